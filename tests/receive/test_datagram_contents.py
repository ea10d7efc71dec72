"""On real kernels: what comes with a datagram, how large it can be, and what finds no room."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest
import trio

from tests.lab.fixtures import TwoHosts
from tests.lab.machine import on
from tests.support.leftovers import open_descriptors
from tests.support.linux_sockets import send_unit
from tests.support.privileges import CAP_NET_ADMIN, has_capability
from tests.support.senders import listening
from tests.support.traffic import (
    FAMILIES,
    PORT,
    Family,
    delivered,
    group_of,
    member,
    plain_sender,
    receive,
    receiver_on,
    sender_on,
)
from tests.support.waiting import wait_for
from trio_mcast import open_mcast_receiver

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)


# --- What comes with a datagram ----------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize("ttl", [1, 7, 255])
async def test_ttl_arrives(two_hosts: TwoHosts, family: Family, ttl: int) -> None:
    group = group_of(family)
    async with (
        receiver_on(two_hosts, two_hosts.a, group, receive_ttl=True) as receiver,
        sender_on(two_hosts.b, group, interfaces="eth0", ttl=ttl) as sender,
    ):
        await sender.send(b"hello")
        datagram = await receive(receiver)
        assert (datagram.ttl, datagram.timestamp_ns) == (ttl, None)


async def test_ttl_zero_stays_on_the_machine(two_hosts: TwoHosts) -> None:
    group = group_of("ipv4")
    async with (
        receiver_on(two_hosts, two_hosts.a, group, interfaces="eth0") as there,
        receiver_on(two_hosts, two_hosts.b, group, interfaces="lo", receive_ttl=True) as here,
        sender_on(two_hosts.b, group, interfaces="lo", ttl=0) as sender,
        sender_on(two_hosts.b, group, interfaces=["lo", "eth0"]) as marking,
    ):
        await sender.send(b"hello")
        datagrams = await delivered(here, marking)
        assert [(datagram.data, datagram.ttl) for datagram in datagrams] == [(b"hello", 0)]
        assert await delivered(there, marking) == []


@FAMILIES
@pytest.mark.parametrize("interfaces", [None, "eth0", ["lo", "eth0"]])
async def test_ttl_zero_is_refused_where_linux_lets_it_out(
    two_hosts: TwoHosts, family: Family, interfaces: list[str] | str | None
) -> None:
    group = group_of(family)
    with await listening(two_hosts.b, two_hosts.lan, group) as there:
        there.setblocking(False)
        # So much for the reason: what a plain socket sends arrives.
        with plain_sender(two_hosts.a, group, "eth0") as program:
            program.setsockopt(*TTL_OPTIONS[family], 0)
            program.sendto(b"hello", (group, PORT))
        await wait_for(lambda: _has_data(there), "a datagram with a ttl of 0")
        before = open_descriptors()
        with pytest.raises(ValueError, match=r"ttl=0 .* on interface eth0: .* the loopback inter"):
            async with sender_on(two_hosts.a, group, interfaces=interfaces, ttl=0):
                pass
        assert open_descriptors() == before


TTL_OPTIONS = {
    "ipv4": (socket.IPPROTO_IP, socket.IP_MULTICAST_TTL),
    "ipv6": (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS),
}


def _has_data(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(100))
    except BlockingIOError:
        return False


@FAMILIES
async def test_timestamps_are_the_kernels_and_increase(two_hosts: TwoHosts, family: Family) -> None:
    group = group_of(family)
    async with (
        receiver_on(two_hosts, two_hosts.a, group, receive_timestamp=True) as receiver,
        sender_on(two_hosts.b, group, interfaces="eth0") as sender,
    ):
        times = [time.time_ns()]
        for _ in range(20):
            await sender.send(b"hello")
            datagram = await receive(receiver)
            assert datagram.ttl is None
            assert datagram.timestamp_ns is not None
            times += [datagram.timestamp_ns, time.time_ns()]
    assert times == sorted(times)


# linux/in.h, linux/in6.h
SENT_TRAFFIC_CLASS = {"ipv4": (socket.IPPROTO_IP, 1), "ipv6": (socket.IPPROTO_IPV6, 67)}
TRAFFIC_CLASS_OPTIONS = {
    "ipv4": (socket.IPPROTO_IP, 13, 1),  # IP_RECVTOS, IP_TOS
    "ipv6": (socket.IPPROTO_IPV6, 66, 67),  # IPV6_RECVTCLASS, IPV6_TCLASS
}


@FAMILIES
async def test_traffic_class_arrives(two_hosts: TwoHosts, family: Family) -> None:
    group, expedited = group_of(family), 46 << 2
    level, option, kind = TRAFFIC_CLASS_OPTIONS[family]
    async with (
        receiver_on(two_hosts, two_hosts.b, group),
        sender_on(two_hosts.a, group, interfaces="eth0", traffic_class=expedited) as sender,
        sender_on(two_hosts.a, group, interfaces="eth0") as ordinary,
    ):
        with member(two_hosts.b, group, "eth0") as program:
            program.setsockopt(level, option, 1)
            for one, expected in ((sender, expedited), (ordinary, 0)):
                await one.send(b"hello")
                _, ((_, kind_there, value),), _, _ = program.recvmsg(100, 100)
                assert (kind_there, value[0]) == (kind, expected)


@FAMILIES
@pytest.mark.parametrize(
    "options", [{}, {"receive_ttl": True}, {"receive_traffic_class": True}], ids=str
)
async def test_destination_is_right_in_every_way_to_read(
    two_hosts: TwoHosts, family: Family, options: dict[str, Any]
) -> None:
    """One at a time, in batches, in units, and from many sockets at once."""
    groups = [group_of(family, number) for number in range(1, 31)]
    sizes = {b"x" * 64, b"y" * 100}
    expected: Counter[tuple[str, int, bytes]] = Counter()
    found: Counter[tuple[str, int, bytes]] = Counter()
    with on(two_hosts.a), trio.fail_after(10), ExitStack() as stack:
        senders = [
            stack.enter_context(plain_sender(two_hosts.a, group, "eth0")) for group in groups
        ]
        level, option = SENT_TRAFFIC_CLASS[family]
        for sender in senders:
            sender.setsockopt(level, option, 0xB8)
        wanted_class = 0xB8 if "receive_traffic_class" in options else None
        async with open_mcast_receiver(groups, PORT, interfaces="eth0", **options) as receiver:

            async def take() -> None:
                while found.total() < expected.total():
                    for datagram in await receiver.receive_batch():
                        assert datagram.group == datagram.destination.host
                        assert datagram.traffic_class == wanted_class
                        host, port = datagram.destination
                        found[host, port, datagram.data] += 1

            for group, sender in zip(groups, senders, strict=True):
                sender.sendto(b"single", (group, PORT))
                expected[group, PORT, b"single"] += 1
                await take()
            for size in sizes:
                for _ in range(3):
                    for group, sender in zip(groups, senders, strict=True):
                        sender.sendto(size, (group, PORT))
                        expected[group, PORT, size] += 1
                    await take()
                for sender in senders[:20]:
                    sender.sendto(size, (groups[0], PORT))
                    expected[groups[0], PORT, size] += 1
                await take()
                send_unit(senders[0], (groups[1], PORT), size * 10 + size[:5], len(size))
                expected[groups[1], PORT, size] += 10
                expected[groups[1], PORT, size[:5]] += 1
                await take()
    assert found == expected


# --- Sizes and buffers -----------------------------------------------------------------------


@FAMILIES
async def test_datagrams_of_every_size_arrive_whole(two_hosts: TwoHosts, family: Family) -> None:
    group = group_of(family)
    fits = 1500 - (28 if family == "ipv4" else 48)  # Headers of IP and UDP.
    payloads = [os.urandom(size) for size in (0, 1, fits, fits + 1, 9000, 65_507)]
    async with (
        receiver_on(two_hosts, two_hosts.a, group, receive_ttl=True) as with_control,
        receiver_on(two_hosts, two_hosts.a, group) as plain,
        sender_on(two_hosts.b, group, interfaces="eth0") as sender,
    ):
        await sender.send_batch(payloads)
        for receiver in (with_control, plain):
            assert [item.data for item in await delivered(receiver, sender)] == payloads


@FAMILIES
async def test_datagrams_dropped_for_want_of_room_are_counted(
    two_hosts: TwoHosts, family: Family
) -> None:
    group, sent = group_of(family), 300
    options = {"receive_buffer_size": 4096, "max_buffered": 1}
    async with (
        receiver_on(two_hosts, two_hosts.a, group) as witness,
        receiver_on(two_hosts, two_hosts.a, group, **options) as receiver,
        sender_on(two_hosts.b, group, interfaces="eth0") as sender,
    ):
        await sender.send_batch([b"%d" % number for number in range(sent)])
        with trio.fail_after(5):
            for _ in range(sent):
                await witness.receive()
            dropped = receiver.statistics().dropped_by_kernel
            assert dropped is not None
            assert 0 < dropped < sent
            for _ in range(sent - dropped):
                await receiver.receive()
        assert await delivered(receiver, sender) == []
        statistics = receiver.statistics()
        assert (statistics.dropped_by_kernel, statistics.waiting) == (dropped, 0)
        assert statistics.received == statistics.delivered == sent - dropped + 1  # The marker.
        assert witness.statistics().dropped_by_kernel == 0


@FAMILIES
@pytest.mark.parametrize(("asked", "clamped"), [(100_000, False), (2**30 - 1, True)])
async def test_buffers_asked_for_and_granted_are_told(
    two_hosts: TwoHosts, family: Family, asked: int, clamped: bool
) -> None:
    group = group_of(family)
    async with (
        receiver_on(two_hosts, two_hosts.a, group, receive_buffer_size=asked) as receiver,
        sender_on(two_hosts.b, group, interfaces="eth0", send_buffer_size=asked) as sender,
    ):
        received, sent = receiver.statistics(), sender.statistics()
        assert received.receive_buffer_asked == sent.send_buffer_asked == asked
        # A program with CAP_NET_ADMIN is not limited.
        assert (received.receive_buffer_granted < asked) == (
            clamped and not has_capability(CAP_NET_ADMIN)
        )
        assert (sent.send_buffer_granted < asked) == clamped
        assert min(received.receive_buffer_granted, sent.send_buffer_granted) >= 100_000
