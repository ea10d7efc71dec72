"""Memberships that the kernel has ended behind a receiver's back, and that are joined again."""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Sequence
from contextlib import closing
from itertools import chain

import pytest
import trio
import trio.testing

from tests.lab import Host, Lab
from tests.lab._polling import wait_until_async
from tests.lab.machine import LabMachine, on
from tests.support.changing_lan import ChangingLan, until_memberships
from tests.support.leftovers import nothing_left_over, open_socket_names
from tests.support.traffic import PORT
from tests.support.watched_host import Machine, ip
from trio_mcast import McastReceiver, open_mcast_receiver
from trio_mcast._host.linux import watch
from trio_mcast._host.protocols import Ended, InterfaceWatcher

pytestmark = pytest.mark.once

# More messages than the watcher's socket has room for: some 48 of 1,500 bytes.
TOO_MANY = ("link set eth0 promisc on", "link set eth0 promisc off") * 50
DIP = ("link set eth0 mtu 1000", "link set eth0 mtu 1500")


def plain_member(host: Host, group: str, interface: str = "eth0") -> socket.socket:
    """Join as another program, on a socket that is not bound and so receives nothing."""
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    level, number = (41, 20) if ":" in group else (0, 35)  # IPV6_JOIN_GROUP, IP_ADD_MEMBERSHIP
    packed = socket.inet_pton(family, group)
    with host.inside():
        index = struct.pack("=i", host.index(interface))
        sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(level, number, packed + (index if ":" in group else bytes(4) + index))
    return sock


async def until_replaced(sockets: set[str]) -> None:
    """Wait until one of these sockets is closed."""
    await wait_until_async(open_socket_names, lambda now: not sockets <= now, "another socket")


async def until_heard(net: ChangingLan, receiver: McastReceiver, group: str | None = None) -> None:
    await wait_until_async(
        lambda: gets(net, receiver, group or net.group), lambda got: got, "a datagram"
    )


def gets(net: ChangingLan, receiver: McastReceiver, group: str) -> bool:
    net.sender.sendto(b"?", (group, PORT))
    try:
        receiver.receive_nowait()
    except trio.WouldBlock:
        return False
    return True


# What the messages tell --------------------------------------------------------------------------


async def test_mtu_that_dips_and_returns_at_once_joins_again(
    net6: ChangingLan, caplog: pytest.LogCaptureFixture
) -> None:
    net6.plug()
    with on(net6.a), nothing_left_over():
        async with open_mcast_receiver(
            [net6.group, "239.1.2.3"], PORT, interfaces="eth0"
        ) as receiver:
            assert await net6.heard(receiver) == ["eth0"]
            sockets = open_socket_names()
            with caplog.at_level(logging.INFO, "trio_mcast"):
                ip(net6.a, *DIP)
                await until_replaced(sockets)
                await until_memberships(receiver, "eth0 joined", "eth0 joined")
                await until_heard(net6, receiver)
                await wait_until_async(lambda: caplog.records, bool, "what is logged")
            assert [record.getMessage() for record in caplog.records] == [
                f"group {net6.group} on interface eth0 is joined again: the system has ended it, "
                "or may have"
            ]


async def test_mtu_that_dips_joins_again_although_another_program_has_joined_since(
    net6: ChangingLan,
) -> None:
    net6.plug()
    with on(net6.a), nothing_left_over():
        async with open_mcast_receiver(net6.group, PORT, interfaces="eth0") as receiver:
            sockets = open_socket_names()
            ip(net6.a, *DIP)
            with plain_member(net6.a, net6.group):
                # The kernel's list has the group again, and says nothing of whose it is.
                await until_replaced(sockets)
                await until_heard(net6, receiver)


async def test_mtu_too_small_for_ipv4_joins_again(lab: Lab) -> None:
    host = lab.host("a")
    with on(host), nothing_left_over():
        async with open_mcast_receiver(["239.1.2.3", "ff05::3"], PORT, interfaces="lo") as receiver:
            # Only lo and tunnels take an mtu of less than 68.
            ip(host, "link set lo mtu 60", "link set lo mtu 65536")
            machine = LabMachine(host)
            (lo,) = receiver.interfaces
            for family, group in (("ipv4", "239.1.2.3"), ("ipv6", "ff05::3")):
                number = socket.AF_INET if family == "ipv4" else socket.AF_INET6
                key = lo.index, socket.inet_pton(number, group)
                await wait_until_async(
                    lambda family=family: list(  # type: ignore[misc]
                        chain(*(machine.kernel_memberships(family, [lo]) or ()))
                    ),
                    lambda listed, key=key: key in listed,  # type: ignore[misc]
                    "the group in the kernel's list",
                )


@pytest.mark.parametrize(
    ("commands", "ended"),
    [
        (DIP, {"ipv6"}),
        (("link set eth0 mtu 1280", "link set eth0 mtu 1500"), set()),
        (("link set eth0 down", "link set eth0 up"), set()),
        (("link set eth0 promisc on", "link set eth0 promisc off"), set()),
        (("link set eth0 down", "link set eth0 name eth0-and-more1", "link set eth0-and-more1 "
          "mtu 1000"), {"ipv6"}),
        (("address flush dev eth0",), set()),
    ],
    ids=["dip", "1280", "down", "promiscuous", "long name", "flushed"],
)  # fmt: skip
async def test_watcher_tells_families_that_were_taken_off(
    commands: Sequence[str], ended: set[str], net6: ChangingLan
) -> None:
    net6.plug()
    index = net6.a.index("eth0")
    with closing(LabMachine(net6.a).watch()) as watcher:
        ip(net6.a, *commands)
        with trio.fail_after(5):
            told = await watcher.wait()
        assert told == Ended(families=frozenset((index, family) for family in ended))  # type: ignore[misc]


@pytest.fixture
def little_room_for_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Linux gives by default; else it would take a thousand changes at once."""
    monkeypatch.setattr(watch, "_ROOM_BYTES", 106_496)


async def test_lost_messages_join_everything_again(
    net: ChangingLan, little_room_for_messages: None
) -> None:
    net.plug()
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT, interfaces="eth0") as receiver:
            sockets = open_socket_names()
            # Other tasks have no turn meanwhile.
            ip(net.a, *TOO_MANY)
            await until_replaced(sockets)
            await until_memberships(receiver, "eth0 joined")
            await until_heard(net, receiver)


async def test_lost_messages_are_told_as_such(lab: Lab, little_room_for_messages: None) -> None:
    host = lab.host("a")
    with closing(LabMachine(host).watch()) as watcher:
        ip(host, "link add eth0 type bridge", *TOO_MANY)
        with trio.fail_after(5):
            assert (await watcher.wait()).unknown


async def test_burst_of_changes_elsewhere_joins_nothing_again(net: ChangingLan) -> None:
    net.plug()
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT, interfaces="eth0") as receiver:
            sockets = open_socket_names()
            ip(net.a, *TOO_MANY)
            await trio.sleep(0.5)
            assert open_socket_names() == sockets
            await until_heard(net, receiver)


# What the kernel lists ---------------------------------------------------------------------------


class Deaf(Machine):
    """A machine whose messages tell nothing of what has ended."""

    def watch(self, *, routes: bool = False) -> InterfaceWatcher:
        watcher = super().watch(routes=routes)
        wait = watcher.wait

        async def wait_only() -> Ended:
            await wait()
            return Ended()

        watcher.wait = wait_only  # type: ignore[method-assign]
        return watcher


async def test_what_the_kernel_does_not_list_is_joined_again_at_the_next_look(
    net6: ChangingLan,
) -> None:
    net6.plug()
    machine = Deaf(net6.a)
    with machine.used(), nothing_left_over():
        async with open_mcast_receiver(
            [net6.group, "239.1.2.3"], PORT, interfaces="eth0"
        ) as receiver:
            sockets = open_socket_names()
            ip(net6.a, *DIP)
            await until_replaced(sockets)
            await until_memberships(receiver, "eth0 joined", "eth0 joined")
            await until_heard(net6, receiver)
            joined = open_socket_names()
            assert len(sockets - joined) == 1, "the IPv4 group has kept its socket"
            looks = machine.looks
            ip(net6.a, "link add x0 type bridge")
            await wait_until_async(lambda: machine.looks, lambda now: now > looks, "a look")
            await trio.testing.wait_all_tasks_blocked()
            await until_heard(net6, receiver)
            assert open_socket_names() == joined


async def test_end_without_any_message_is_seen_by_the_next_look(net6: ChangingLan) -> None:
    net6.plug()
    other = plain_member(net6.a, net6.group)
    ip(net6.a, *DIP)
    with on(net6.a):
        async with open_mcast_receiver(net6.group, PORT, interfaces="eth0") as receiver:
            # The kernel takes one off for the socket that it does not count, and so ends ours.
            other.close()
            await trio.sleep(0.2)
            assert not gets(net6, receiver, net6.group)
            ip(net6.a, "link set eth0 promisc on")  # The interface looks as before.
            await until_heard(net6, receiver)


async def test_ipv6_that_is_switched_off_is_told_and_joined_again_when_on(
    net6: ChangingLan,
) -> None:
    net6.plug()
    with on(net6.a), nothing_left_over():
        async with open_mcast_receiver(net6.group, PORT, interfaces="eth0") as receiver:
            net6.a.namespace.set_parameters({"ipv6/conf/all/disable_ipv6": "1"})
            (failed,) = await until_memberships(receiver, "eth0 failed")
            assert "disable_ipv6" in str(failed.error)
            net6.a.namespace.set_parameters({"ipv6/conf/all/disable_ipv6": "0"})
            await until_memberships(receiver, "eth0 joined")
            await until_heard(net6, receiver)
