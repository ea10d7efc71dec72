"""Sending a datagram, and being told when it left: on real kernels."""

from __future__ import annotations

import errno
import select
import sys
import time
from typing import Any, cast

import pytest
import trio

from tests.lab import Host
from tests.lab.fixtures import TwoHosts, TwoLans
from tests.support.traffic import (
    FAMILIES,
    Family,
    group_of,
    plain_sender,
    receive,
    receiver_on,
    sender_on,
)
from trio_mcast import Datagram, Endpoint, McastSender, SocketSetupError

pytestmark = pytest.mark.once

if sys.platform != "linux":
    pytest.skip("only Linux tells when a datagram leaves", allow_module_level=True)


def error_events(sender: McastSender) -> list[int]:
    """What epoll tells of the sockets, asked for nothing: errors, and the error queue."""
    with select.epoll() as epoll:
        for socket in sender._outlets.open_sockets:
            epoll.register(cast("Any", socket).fileno(), 0)
        return [event for _, event in epoll.poll(0)]


@FAMILIES
async def test_time_of_departure_lies_between_sending_and_arrival(
    two_hosts: TwoHosts, family: Family
) -> None:
    group = group_of(family)
    async with (
        receiver_on(two_hosts, two_hosts.b, group, receive_timestamp=True) as receiver,
        sender_on(two_hosts.a, group, interfaces="eth0") as sender,
    ):
        await sender.send(b"untimed")
        await receive(receiver)
        for number in range(5):
            before = time.time_ns()
            left = await sender.send_timestamped(b"%d" % number)
            datagram = await receive(receiver)
            assert datagram.data == b"%d" % number
            assert datagram.timestamp_ns is not None
            assert before < left < datagram.timestamp_ns
            await sender.send(b"untimed")  # Not numbered.
            await receive(receiver)
        assert sender.statistics().sent == 11
        assert error_events(sender) == []


@FAMILIES
async def test_each_of_several_tasks_gets_its_own_time(two_hosts: TwoHosts, family: Family) -> None:
    group, left = group_of(family), dict[bytes, int]()
    async with (
        receiver_on(two_hosts, two_hosts.b, group, receive_timestamp=True) as receiver,
        sender_on(two_hosts.a, group, interfaces="eth0") as sender,
    ):

        async def send(data: bytes) -> None:
            left[data] = await sender.send_timestamped(data)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(send, b"%d" % number)
        arrived = [await receive(receiver) for _ in range(20)]
    assert sorted(left, key=lambda data: left[data]) == [datagram.data for datagram in arrived]
    assert len(set(left.values())) == 20
    for datagram in arrived:
        assert left[datagram.data] < (datagram.timestamp_ns or 0)


async def test_exactly_one_datagram_must_result(two_lans: TwoLans) -> None:
    first, second = group_of("ipv4", 1), group_of("ipv6", 1)
    async with (
        receiver_on(two_lans, two_lans.b, [first, second]) as receiver,
        sender_on(two_lans.a, [first, second], interfaces=["eth0", "eth1"]) as sender,
    ):
        with pytest.raises(ValueError, match=r"4 datagrams would result.*eth0, eth1"):
            await sender.send_timestamped(b"no")
        with pytest.raises(ValueError, match="2 datagrams would result"):
            await sender.send_timestamped(b"no", to=first)
        with pytest.raises(ValueError, match="2 datagrams would result"):
            await sender.send_timestamped(b"no", interface="eth1")
        with pytest.raises(ValueError, match=r"interface='eth7' is not an interface.*eth0, eth1"):
            await sender.send_timestamped(b"no", to=first, interface="eth7")
        assert sender.statistics().sent == 0
        for name in ("eth1", two_lans.a.index("eth0")):
            assert await sender.send_timestamped(b"yes", to=second, interface=name)
        found: list[Datagram] = [await receive(receiver) for _ in range(2)]
        assert [datagram.interface.name for datagram in found] == ["eth1", "eth0"]


async def test_refusal_is_an_error_and_the_next_time_is_right(two_hosts: TwoHosts) -> None:
    group = group_of("ipv4")
    async with (
        receiver_on(two_hosts, two_hosts.b, group, receive_timestamp=True) as receiver,
        sender_on(two_hosts.a, group, interfaces="eth0") as sender,
    ):
        for number in range(3):
            left = await sender.send_timestamped(b"%d" % number)
            datagram = await receive(receiver)
            assert 0 < (datagram.timestamp_ns or 0) - left < 1_000_000_000
            with pytest.raises(SocketSetupError) as caught:
                await sender.send_timestamped(b"x", to=Endpoint("198.51.100.1", 5000))
            assert caught.value.errno == errno.ENETUNREACH
        assert (sender.statistics().sent, sender.statistics().failed) == (3, 3)


# How long what is sent after `fill` stays in the queue of a slow interface, at the least.
DELAY_SECONDS = 0.2


@pytest.fixture
def slow(two_hosts: TwoHosts) -> TwoHosts:
    """Two hosts, the first of which has a slow interface."""
    shape = "tbf rate 80kbit burst 1600 limit 10mb"
    two_hosts.a.run(*f"tc qdisc replace dev eth0 root {shape}".split())
    return two_hosts


def fill(host: Host) -> None:
    """Send so much that what is sent next has to wait for a while."""
    with plain_sender(host, "239.1.2.99", "eth0") as sender:
        for _ in range(3):
            sender.sendto(bytes(1_400), ("239.1.2.99", 5000))


@FAMILIES
@pytest.mark.parametrize("replies", [False, True])
async def test_time_of_a_cancelled_call_is_dropped(
    slow: TwoHosts, family: Family, replies: bool
) -> None:
    group = group_of(family)
    async with (
        receiver_on(slow, slow.b, group) as receiver,
        sender_on(slow.a, group, interfaces="eth0", receive_replies=replies) as sender,
    ):
        fill(slow.a)
        with trio.move_on_after(DELAY_SECONDS / 4) as scope:
            await sender.send_timestamped(b"cancelled")
        assert scope.cancelled_caught
        (socket,) = sender._outlets.open_sockets
        assert cast("Any", socket)._departures._waiting == []
        assert (await receive(receiver)).data == b"cancelled"
        started = time.thread_time()
        await trio.sleep(DELAY_SECONDS)
        assert time.thread_time() - started < DELAY_SECONDS / 3, "nobody looks again and again"
        assert error_events(sender) == []
        fill(slow.a)
        before = time.time_ns()
        assert await sender.send_timestamped(b"timed") > before + DELAY_SECONDS * 1e9
        if replies:
            assert sender.statistics().replies is not None
            async with sender_on(slow.b, group, interfaces="eth0") as answering:
                await answering.send(b"reply", to=sender.local_endpoints[0])
                assert (await sender.replies.receive()).data == b"reply"
            counts = sender.statistics().replies
            assert counts is not None
            assert (counts.sockets_failed, counts.received) == (0, 1)


async def test_closing_ends_the_wait_for_a_time(slow: TwoHosts) -> None:
    group = group_of("ipv4")
    async with sender_on(slow.a, group, interfaces="eth0") as sender:

        async def close() -> None:
            await trio.sleep(DELAY_SECONDS / 4)
            sender.close()

        async with trio.open_nursery() as nursery:
            fill(slow.a)
            nursery.start_soon(close)
            with pytest.raises(trio.ClosedResourceError, match="this sender was closed"):
                await sender.send_timestamped(b"x")
