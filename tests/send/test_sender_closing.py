"""A sender that follows its interfaces: what is refused meanwhile, what waits, and closing."""

from __future__ import annotations

import errno
import logging
import os
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
import trio
import trio.testing

from tests.lab import Host
from tests.lab.fixtures import TwoHosts, TwoLans
from tests.lab.machine import on
from tests.support.leftovers import open_descriptors, tasks_now
from tests.support.senders import GROUPS, plug_again, until_on
from tests.support.traffic import PORT, TIMEOUT_SECONDS, refusals_in, sender_on
from tests.support.waiting import until
from tests.support.watched_host import Machine
from trio_mcast import Endpoint, McastError, McastSender, SocketSetupError, open_mcast_sender
from trio_mcast._host.portable_socket import PosixSocket
from trio_mcast._host.protocols import InterfaceWatcher, McastSocket
from trio_mcast._plan.socket_spec import BindAddress, SocketSpec
from trio_mcast._platform.advice import explain_refusal
from trio_mcast._send.outlets import Outlets

pytestmark = pytest.mark.once

GROUP = GROUPS[0]


def refused(number: int, step: str) -> SocketSetupError:
    error = OSError(number, os.strerror(number))
    return explain_refusal(error, step=step, group=None, interface=None, platform="linux")


# What is refused -------------------------------------------------------------------------------


class Reluctant(Machine):
    """A lab host that refuses to open a number of sockets, when told so."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.refusals = 0
        self.tried_at: list[float] = []

    def open_socket(self, socket_spec: SocketSpec) -> McastSocket:
        self.tried_at.append(trio.current_time())
        if self.refusals:
            self.refusals -= 1
            raise refused(errno.EADDRNOTAVAIL, "bind")
        return super().open_socket(socket_spec)


async def test_socket_that_is_refused_is_tried_again_after_growing_pauses(
    two_hosts: TwoHosts, autojump_clock: trio.testing.MockClock
) -> None:
    machine = Reluctant(two_hosts.a)
    with machine.used():
        async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
            two_hosts.a.unplug("eth0")
            await until_on(sender)
            plug_again(two_hosts.a, two_hosts.lan)
            machine.refusals, machine.tried_at = 12, []
            await until(lambda: len(machine.tried_at) > 1, True)
            with pytest.raises(SocketSetupError, match=r"bind failed: .*goes on there") as caught:
                await sender.send(b"x")
            assert caught.value.errno == errno.EADDRNOTAVAIL
            await until_on(sender, "eth0")
            await sender.send(b"x")
    assert len(machine.tried_at) == 13
    pauses = [later - sooner for sooner, later in pairwise(machine.tried_at)]
    # The first may be cut short by what the kernel still has to tell about the new interface.
    assert pauses[-4:] == pytest.approx([5] * 4)
    for seconds in (0.8, 1.6, 3.2):
        assert pytest.approx(seconds) in pauses


async def test_looks_that_are_refused_are_logged_once_and_made_up_for(
    two_hosts: TwoHosts, caplog: pytest.LogCaptureFixture
) -> None:
    machine, refusals = Machine(two_hosts.a), [refused(errno.EMFILE, "list interfaces")] * 3

    def refuse() -> None:
        if refusals:
            raise refusals.pop()

    with machine.used(), caplog.at_level(logging.WARNING, "trio_mcast"):
        async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
            machine.before_look = refuse
            two_hosts.a.unplug("eth0")
            plug_again(two_hosts.a, two_hosts.lan)
            index = two_hosts.a.index("eth0")
            await until(lambda: [item.index for item in sender.interfaces], [index])
            await sender.send(b"x")
    assert not refusals
    assert len(caplog.records) == 1
    assert "does not see how the interfaces change: list interfaces failed" in caplog.text


async def test_sender_stays_as_it_was_opened_where_interfaces_cannot_be_watched(
    host: Host,
) -> None:
    class Blind(Machine):
        def watch(self, *, routes: bool = False) -> InterfaceWatcher:
            raise McastError("this version of trio_mcast watches interfaces elsewhere only")

    with Blind(host).used():
        async with open_mcast_sender(GROUP, PORT, interfaces="lo", receive_replies=True) as sender:
            await sender.send(b"x")
            await sender.send(b"x", to=sender.local_endpoints[0])
            with trio.fail_after(TIMEOUT_SECONDS):
                assert (await sender.replies.receive()).data == b"x"
            assert [item.name for item in sender.interfaces] == ["lo"]


async def test_refusal_to_watch_is_one_to_open_and_leaves_nothing_open(host: Host) -> None:
    class Full(Machine):
        def watch(self, *, routes: bool = False) -> InterfaceWatcher:
            raise refused(errno.EMFILE, "watch interfaces")

    before = open_descriptors()
    with Full(host).used(), pytest.raises(SocketSetupError, match="watch interfaces failed"):
        await open_mcast_sender(GROUP, PORT, interfaces="lo").__aenter__()
    assert open_descriptors() == before


@pytest.mark.parametrize("number", range(2))
async def test_opening_that_fails_midway_leaves_nothing_open(number: int, host: Host) -> None:
    class Failing(Machine):
        def open_socket(self, socket_spec: SocketSpec) -> McastSocket:
            opened.append(socket_spec)
            if len(opened) > number:
                raise refused(errno.EMFILE, "socket")
            return super().open_socket(socket_spec)

    opened: list[SocketSpec] = []
    before = open_descriptors()
    groups = [GROUP, "ff05::1", "ff02::1"]
    with Failing(host).used(), pytest.raises(SocketSetupError, match="socket failed"):
        await open_mcast_sender(groups, PORT, interfaces="lo", receive_replies=True).__aenter__()
    assert len(opened) == number + 1
    assert open_descriptors() == before


# What waits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
async def test_datagram_that_waits_goes_out_through_the_new_socket(
    two_hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    real_send, full = PosixSocket.send, True
    sent_from: list[Endpoint] = []

    def send(self: PosixSocket, data: bytes, address: BindAddress) -> None:
        if full:
            raise BlockingIOError
        real_send(self, data, address)
        sent_from.append(self.local_endpoint)

    def send_batch(
        self: PosixSocket, datagrams: Sequence[bytes], start: int, address: BindAddress
    ) -> int:
        send(self, datagrams[start], address)
        return 1

    async def wait_writable(self: PosixSocket) -> None:
        waiting.set()
        await room.wait()
        raise trio.ClosedResourceError("as notify_closing has it")

    waiting, room = trio.Event(), trio.Event()
    with monkeypatch.context() as patch:
        patch.setattr(PosixSocket, "send", send)
        patch.setattr("trio_mcast._host.linux.fast_path.LinuxSocket.send_batch", send_batch)
        patch.setattr(PosixSocket, "wait_writable", wait_writable)
        async with sender_on(two_hosts.a, GROUP, interfaces="eth0") as sender:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender.send_batch, [b"x"] * count)
                await waiting.wait()
                two_hosts.a.address("eth0", add=["10.0.1.9/24"], remove=["10.0.1.1/24"])
                await until(lambda: sender.local_endpoints[0].host, "10.0.1.9")
                full = False
                room.set()
            statistics = sender.statistics()
            assert (statistics.sent, statistics.failed) == (count, 0)
            assert sent_from == list(sender.local_endpoints) * count


async def test_datagram_that_waits_is_refused_when_its_interface_goes(
    two_hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(self: PosixSocket, data: bytes, address: BindAddress) -> None:
        raise OSError(errno.EBADF, "closed") if self.fileno() < 0 else BlockingIOError

    async def wait_writable(self: PosixSocket) -> None:
        waiting.set()
        await until_on(sender)

    async def send_and_be_refused() -> None:
        with pytest.raises(SocketSetupError, match="no interface is called 'eth0'"):
            await sender.send(b"x")

    waiting = trio.Event()
    monkeypatch.setattr(PosixSocket, "send", send)
    monkeypatch.setattr(PosixSocket, "wait_writable", wait_writable)
    async with (
        sender_on(two_hosts.a, GROUP, interfaces="eth0") as sender,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(send_and_be_refused)
        await waiting.wait()
        two_hosts.a.unplug("eth0")


# Closing ---------------------------------------------------------------------------------------


async def change_at_random(chance: random.Random, lans: TwoLans) -> None:
    plugged = {"eth0", "eth1"}
    while True:
        name = chance.choice(["eth0", "eth1"])
        lan, number = (lans.lan1, 1) if name == "eth0" else (lans.lan2, 2)
        action = chance.choice(["plug", "down", "address", "route", "nothing"])
        if action == "plug" and name in plugged:
            plugged.remove(name)
            lans.a.unplug(name)
        elif action == "plug":
            plugged.add(name)
            plug_again(lans.a, lan, number, name)
        elif action == "down" and name in plugged:
            lans.a.down(name)
            lans.a.up(name)
        elif action == "address" and name in plugged:
            old, new = chance.choice([(1, 9), (9, 1)])
            prefix = f"10.0.{number}"
            commands = f"address replace {prefix}.{new}/24 dev {name}\n" + (
                f"address delete {prefix}.{old}/24 dev {name}\n"
            )
            lans.a.run("ip", "-force", "-batch", "-", input=commands, check=False)
        elif action == "route" and name in plugged:
            lans.a.run("ip", "route", "replace", "239.0.0.0/8", "dev", name)
        await trio.sleep(chance.choice([0, 0.001, 0.03, 0.15]))


async def send_all_the_time(chance: random.Random, sender: McastSender) -> None:
    while True:
        try:
            await (sender.send(b"x") if chance.random() < 0.5 else sender.send_batch([b"x"] * 3))
        except OSError:
            pass
        except Exception as error:
            refusals_in(error)
        await trio.sleep(0.001)


@pytest.mark.parametrize("interfaces", [["eth0", "eth1"], None], ids=["named", "routed"])
@pytest.mark.parametrize("replies", [False, True])
async def test_closing_at_any_moment_while_the_network_changes_leaves_nothing_behind(
    two_lans: TwoLans, interfaces: list[str] | None, replies: bool
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    two_lans.a.run("ip", "route", "add", "239.0.0.0/8", "dev", "eth0")
    await trio.lowlevel.checkpoint()
    before = open_descriptors()
    tasks = tasks_now()
    closed = 0
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(change_at_random, chance, two_lans)
            while closed < 6:
                try:
                    await _send_for_a_while(chance, two_lans.a, interfaces, replies)
                    closed += 1
                except McastError:  # It could not be opened as things were.
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert open_descriptors() == before, seed
    assert tasks_now() == tasks, seed


async def _send_for_a_while(
    chance: random.Random, host: Host, interfaces: list[str] | None, replies: bool
) -> None:
    async with (
        sender_on(host, GROUPS, interfaces=interfaces, receive_replies=replies)
        if interfaces is not None
        else sender_on(host, GROUP, receive_replies=replies)
    ) as sender:
        with trio.move_on_after(chance.choice([0.01, 0.1, 0.5])):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_all_the_time, chance, sender)
                nursery.start_soon(send_all_the_time, chance, sender)
        how = chance.choice(["block", "close", "aclose"])
        if how == "close":
            sender.close()
        elif how == "aclose":
            await sender.aclose()
        if how != "block":
            with pytest.raises(trio.ClosedResourceError):
                await sender.send(b"x")


async def test_sender_that_was_closed_tells_how_it_stood(two_hosts: TwoHosts) -> None:
    async with sender_on(two_hosts.a, GROUP, interfaces="eth0") as sender:
        await sender.send(b"x")
        interfaces, endpoints = sender.interfaces, sender.local_endpoints
        await sender.aclose()
        two_hosts.a.unplug("eth0")
        await trio.testing.wait_all_tasks_blocked()
        assert (sender.interfaces, sender.local_endpoints) == (interfaces, endpoints)
        assert sender.statistics().interfaces["eth0"].sent == 1


async def test_body_that_fails_while_following_comes_out_unwrapped(two_hosts: TwoHosts) -> None:
    raised = KeyError("from the body")
    with pytest.raises(KeyError) as caught:  # noqa: PT012  # it is about the block
        async with sender_on(two_hosts.a, GROUP, interfaces="eth0") as sender:
            two_hosts.a.unplug("eth0")
            await until_on(sender)
            raise raised
    assert caught.value is raised


async def test_nothing_is_renewed_when_nothing_that_matters_has_changed(
    two_hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bool] = []
    real_look = Outlets._look

    async def look(self: Outlets) -> bool:
        looks.append(await real_look(self))
        return looks[-1]

    monkeypatch.setattr(Outlets, "_look", look)
    with on(two_hosts.a):
        async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
            two_hosts.a.run("ip", "link", "add", "other0", "type", "bridge")
            await until(lambda: looks, [False])
            two_hosts.a.run("ip", "link", "set", "eth0", "mtu", "1400")
            await until(lambda: looks, [False, True])
            assert [item.mtu for item in sender.interfaces] == [1400]
