"""Interfaces that come, go and change, as `watch_interfaces` tells it on a lab host."""

from __future__ import annotations

import errno
import socket
from contextlib import closing
from ipaddress import IPv4Interface, IPv6Interface
from itertools import pairwise
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from tests.lab import Host, Lab
from tests.lab.machine import LabMachine, on
from tests.support.watched_host import Follower, Machine, ip, summary, take
from trio_mcast import InterfaceAddress, InterfaceChange, list_interfaces, watch_interfaces
from trio_mcast._host.current import host_variable
from trio_mcast._host.protocols import Ended, InterfaceWatcher

pytestmark = pytest.mark.once

# What is told -----------------------------------------------------------------------------------

COMING_AND_GOING: list[tuple[list[str], list[tuple[str, str]]]] = [
    (["link add y0 type bridge"], [("added", "y0")]),
    (["link delete x0"], [("removed", "x0")]),
    (["link delete x0", "link add x0 type bridge"], [("removed", "x0"), ("added", "x0")]),
    (
        ["link delete x0", "link add y0 type bridge", "link set lo down"],
        [("removed", "x0"), ("changed", "lo"), ("added", "y0")],
    ),
    (["link add y1 type veth peer name y0"], [("added", "y0"), ("added", "y1")]),
]


@pytest.mark.parametrize(("commands", "expected"), COMING_AND_GOING)
async def test_coming_and_going_is_told(
    commands: list[str], expected: list[tuple[str, str]], host: Host
) -> None:
    with on(host):
        follower = Follower(list_interfaces())
        async with watch_interfaces() as changes:
            ip(host, *commands)
            told = await take(changes, len(expected))
            assert summary(told) == expected
            for change in told:
                follower.tell(change)
            assert follower.known == list_interfaces()


# Commands that are carried out before watching, one that is carried out then, and what it changes.
CHANGES: list[tuple[list[str], str, dict[str, object]]] = [
    ([], "link set x0 up", {"is_up": True}),
    (["link set x0 up"], "link set x0 down", {"is_up": False}),
    ([], "link set x0 mtu 1400", {"mtu": 1400}),
    ([], "link set x0 name y0", {"name": "y0", "description": "y0"}),
    ([], "link set x0 multicast off", {"is_multicast": False}),
    ([], "link set x0 address 02:00:00:00:00:99", {"link_address": "02:00:00:00:00:99"}),
    (
        [],
        "address add 10.0.0.1/24 dev x0",
        {"ipv4_addresses": (IPv4Interface("10.0.0.1/24"),)},
    ),
    (
        ["address add 10.0.0.1/24 dev x0", "address add 10.0.0.2/24 dev x0"],
        "address delete 10.0.0.1/24 dev x0",
        {"ipv4_addresses": (IPv4Interface("10.0.0.2/24"),)},
    ),
    (
        ["link set x0 up"],
        "address add fd00::1/64 dev x0",
        {"ipv6_addresses": (IPv6Interface("fd00::1/64"),)},
    ),
    (
        ["link set x0 up", "address add fd00::1/64 dev x0"],
        "address delete fd00::1/64 dev x0",
        {"ipv6_addresses": ()},
    ),
    (
        ["address add 10.0.0.1/24 dev x0"],
        "address change 10.0.0.1/24 dev x0 valid_lft 100 preferred_lft 0",
        {
            "address_details": (
                InterfaceAddress(IPv4Interface("10.0.0.1/24"), "global", "deprecated"),
            )
        },
    ),
    (  # The kernel tells of it while the interface is up (netdev_state_change).
        ["link set x0 up"],
        "link property add dev x0 altname enx0",
        {"alternative_names": ("enx0",)},
    ),
]


@pytest.mark.parametrize(("before", "command", "different"), CHANGES, ids=[c[1] for c in CHANGES])
async def test_change_is_told_with_what_is_different(
    before: list[str], command: str, different: dict[str, Any], host: Host
) -> None:
    ip(host, *before)
    with on(host):
        was = next(item for item in list_interfaces() if item.name == "x0")
        async with watch_interfaces() as changes:
            ip(host, command)
            (change,) = await take(changes, 1)
    now = attrs.evolve(was, **different)
    if {"ipv4_addresses", "ipv6_addresses"} & different.keys():
        addresses: list[Any] = [*now.ipv4_addresses, *now.ipv6_addresses]
        details = tuple(InterfaceAddress(address, "global", "preferred") for address in addresses)
        now = attrs.evolve(now, address_details=details)
    assert change == InterfaceChange(was, now)


async def test_cable_that_is_plugged_in_and_pulled_out_is_followed(lab: Lab) -> None:
    host, lan = lab.host("a"), lab.switch("lan")
    with on(host):
        async with watch_interfaces() as changes:
            follower = Follower(list_interfaces())
            for _ in range(2):
                for act in (
                    lambda: host.plug("eth0", lan, "10.0.0.1/24", "fd00::1/64"),
                    lambda: host.down("eth0"),
                    lambda: host.up("eth0"),
                    lambda: host.unplug("eth0"),
                ):
                    await trio.to_thread.run_sync(act)
                    with trio.fail_after(10):
                        while follower.known != list_interfaces():
                            follower.tell(await changes.receive())


async def test_nothing_is_told_when_nothing_changed(host: Host) -> None:
    machine = Machine(host)
    ip(host, "link set x0 up")
    with machine.used():
        async with watch_interfaces() as changes:
            # The kernel tells of this one (if x0 is up), but an `Interface` has no alias.
            ip(host, "link set x0 alias something")
            async with trio.open_nursery() as nursery:
                told: list[InterfaceChange] = []

                async def follow() -> None:
                    told.extend(await take(changes, 1))

                nursery.start_soon(follow)
                with trio.fail_after(10):
                    while machine.looks < 2:
                        await trio.lowlevel.checkpoint()
                assert told == []
                ip(host, "link set x0 mtu 1400")
            assert summary(told) == [("changed", "x0")]


async def test_what_changes_around_the_first_look_is_told_or_in_it(host: Host) -> None:
    machine = Machine(host)
    machine.before_look = lambda: ip(host, "link add in0 type bridge")
    machine.after_look = lambda: ip(host, "link add after0 type bridge")
    with machine.used():
        async with watch_interfaces() as changes:
            machine.before_look = machine.after_look = lambda: None
            ip(host, "link add later0 type bridge")
            told = await take(changes, 2)
    assert summary(told) == [("added", "after0"), ("added", "later0")]


# Many changes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["-4", "-6"])
async def test_changes_of_routes_are_noticed_only_where_asked_for(family: str, host: Host) -> None:
    ip(host, "link set x0 up", "address add 10.9.9.1/24 dev x0")
    machine = LabMachine(host)
    with closing(machine.watch(routes=True)) as asked, closing(machine.watch()) as other:
        group = "239.0.0.0/8" if family == "-4" else "ff05::/16"
        for action in ("add", "delete"):
            host.run("ip", family, "route", action, "multicast", group, "dev", "x0")
            with trio.fail_after(5):
                assert await asked.wait() == Ended()
        # The kernel hands its messages over before the command ends.
        of_system: Any = other
        with pytest.raises(BlockingIOError):
            of_system._socket.recv(1)


async def test_burst_is_answered_by_few_looks(host: Host) -> None:
    machine = Machine(host)
    names = [f"y{number}" for number in range(50)]
    with machine.used():
        async with watch_interfaces() as changes:
            assert machine.looks == 1
            ip(host, *[f"link add {name} type bridge" for name in names])
            ip(host, *[f"link set {name} mtu 1400" for name in names])
            told = await take(changes, 50)
            assert [change.interface.name for change in told] == names
            assert {change.interface.mtu for change in told} == {1400}
            assert machine.looks == 2


async def test_looks_have_a_distance_when_messages_keep_coming(
    host: Host, mock_clock: trio.testing.MockClock
) -> None:
    watcher = LabMachine(host).watch()
    start = trio.current_time()
    ended: list[float] = []

    async def wait_again_and_again() -> None:
        while True:
            await watcher.wait()
            ended.append(trio.current_time() - start)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_again_and_again)
        for number in range(45):  # In steps of 10 ms.
            ip(host, f"link set x0 mtu {1300 + number}")
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(0.01)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    watcher.close()
    # A step may be needed more, where the sums of steps are not exact.
    assert ended[0] == pytest.approx(0.02)
    distances = [later - sooner for sooner, later in pairwise(ended)]
    assert len(distances) == 4
    assert all(0.0999 < distance < 0.1101 for distance in distances)


async def test_wait_that_is_always_cancelled_soon_comes_to_its_end(
    host: Host, mock_clock: trio.testing.MockClock
) -> None:
    watcher = LabMachine(host).watch()
    ip(host, "link set x0 mtu 1400")
    async with trio.open_nursery() as nursery:
        for tried in range(3):  # The pause is 20 ms long, each try lasts 10.
            with trio.CancelScope() as scope:
                nursery.start_soon(_cancel_when_blocked, mock_clock, scope)
                await watcher.wait()
            assert scope.cancelled_caught == (tried < 2)
    watcher.close()


async def _cancel_when_blocked(clock: trio.testing.MockClock, scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    clock.jump(0.01)
    scope.cancel()


async def test_lost_messages_are_made_up_for_by_a_look(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(LabMachine):
        def watch(self, *, routes: bool = False) -> InterfaceWatcher:
            watcher = super().watch(routes=routes)
            of_system: Any = watcher
            of_system._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            return watcher

    refusals: list[int | None] = []
    real_recv = socket.socket.recv

    def recv(self: socket.socket, *args: int) -> bytes:
        try:
            return real_recv(self, *args)
        except OSError as error:
            refusals.append(error.errno)
            raise

    monkeypatch.setattr(socket.socket, "recv", recv)
    names = [f"y{number}" for number in range(20)]
    token = host_variable.set(Forgetful(host))
    async with watch_interfaces() as changes:
        for _ in range(2):
            ip(host, *[f"link add {name} type bridge" for name in names])
            assert summary(await take(changes, 20)) == [("added", name) for name in names]
            ip(host, *[f"link delete {name}" for name in names])
            assert summary(await take(changes, 20)) == [("removed", name) for name in names]
    host_variable.reset(token)
    assert errno.ENOBUFS in refusals
