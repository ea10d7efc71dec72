"""Checks of receiving."""

from __future__ import annotations

import sys
import time
from contextlib import suppress

import trio
import trio.testing

from tests.platform.place import ARRIVES_SECONDS, Place, arrival, check, same, silence
from trio_mcast import Endpoint, list_interfaces, open_mcast_receiver, open_mcast_sender


@check("a datagram arrives with its data, source, group and interface")
async def arrives(place: Place) -> None:
    port = place.port()
    async with open_mcast_receiver(place.group, port, interfaces=place.interface) as receiver:
        with place.plain_sender() as sender:
            sender.sendto(b"hello", (place.group, port))
            source = sender.getsockname()[:2]
            datagram = await arrival(receiver)
    same(datagram.data, b"hello")
    same(datagram.source, Endpoint(*source))
    same(datagram.group, place.group)
    same(datagram.interface.name, place.interface.name)


@check("the ttl and the traffic class of a datagram are told")
async def ttl(place: Place) -> None:
    port, where = place.port(), place.interface
    async with (
        open_mcast_receiver(
            place.group, port, interfaces=where, receive_ttl=True, receive_traffic_class=True
        ) as receiver,
        open_mcast_sender(place.group, port, interfaces=where, ttl=7, traffic_class=0xB8) as sender,
    ):
        await sender.send(b"hello")
        datagram = await arrival(receiver)
    same(datagram.ttl, 7)
    if sys.platform != "win32":  # Windows takes the option and does not mark.
        same(datagram.traffic_class, 0xB8)


@check("the time of arrival is told")
async def timestamp(place: Place) -> None:
    port, where = place.port(), place.interface
    if sys.platform == "win32":
        try:
            async with open_mcast_receiver(place.group, port, receive_timestamp=True):
                raise AssertionError("Windows has no times of arrival, and this was no error")
        except ValueError:
            return
    async with (
        open_mcast_receiver(
            place.group, port, interfaces=where, receive_timestamp=True
        ) as receiver,
        open_mcast_sender(place.group, port, interfaces=where) as sender,
    ):
        for _ in range(2):  # The kernel begins to stamp a moment after it was asked.
            await sender.send(b"hello")
            datagram = await arrival(receiver)
    assert datagram.timestamp_ns is not None, "no time"
    age = time.time() - datagram.timestamp_ns / 1e9
    assert -1 < age < 30, f"it is {age} seconds old"


@check("what is sent to another group does not arrive")
async def other_group(place: Place) -> None:
    port, where = place.port(), place.interface
    async with (
        # So that the machine as a whole has joined the other group.
        open_mcast_receiver(place.other_group, port, interfaces=where) as neighbour,
        open_mcast_receiver(place.group, port, interfaces=where) as receiver,
    ):
        with place.plain_sender() as sender:
            sender.sendto(b"other", (place.other_group, port))
            sender.sendto(b"ours", (place.group, port))
            same((await arrival(receiver)).data, b"ours")
            same((await arrival(neighbour)).data, b"other")
            await silence(receiver)
            await silence(neighbour)


@check("what is sent on another interface does not arrive")
async def other_interface(place: Place) -> None:
    port, second = place.port(), place.another_interface()
    async with (
        open_mcast_receiver(place.group, port, interfaces=place.interface) as receiver,
        open_mcast_receiver(place.group, port, interfaces=second) as neighbour,
        open_mcast_sender(place.group, port, interfaces=second) as sender,
    ):
        await sender.send(b"over there")
        with place.plain_sender() as plain:
            plain.sendto(b"ours", (place.group, port))
            same((await arrival(receiver)).data, b"ours")
        same((await arrival(neighbour)).data, b"over there")
        await silence(receiver)
        await silence(neighbour)


@check("one receiver on two interfaces tells where each datagram arrived")
async def two_interfaces(place: Place) -> None:
    port, both = place.port(), [place.interface, place.another_interface()]
    async with open_mcast_receiver(place.group, port, interfaces=both) as receiver:
        for interface in both:
            async with open_mcast_sender(place.group, port, interfaces=interface) as sender:
                await sender.send(interface.name.encode())
            datagram = await arrival(receiver)
            same(datagram.data.decode(), interface.name)
            same(datagram.interface.name, interface.name)
        await silence(receiver)


@check("only the sources that were chosen arrive")
async def sources(place: Place) -> None:
    port, where = place.port(), place.interface
    both = [place.stranger, place.address]
    async with (
        open_mcast_receiver(place.group, port, interfaces=where, sources=both) as chosen,
        open_mcast_receiver(
            place.group, port, interfaces=where, sources=place.stranger
        ) as of_stranger,
        open_mcast_sender(place.group, port, interfaces=where, source_address=place.address) as it,
    ):
        await it.send(b"hello")
        same((await arrival(chosen)).data, b"hello")
        await silence(of_stranger)
        await silence(chosen)


@check("excluded sources do not arrive")
async def excluded_sources(place: Place) -> None:
    port, where = place.port(), place.interface
    async with (
        open_mcast_receiver(
            place.group, port, interfaces=where, excluded_sources=place.address
        ) as excluding,
        open_mcast_receiver(
            place.group, port, interfaces=where, excluded_sources=place.stranger
        ) as receiver,
        open_mcast_sender(place.group, port, interfaces=where, source_address=place.address) as it,
    ):
        await it.send(b"hello")
        same((await arrival(receiver)).data, b"hello")
        await silence(excluding)


@check("a source is blocked and let through again while the receiver is open")
async def block_source(place: Place) -> None:
    port, where = place.port(), place.interface
    async with (
        open_mcast_receiver(place.group, port, interfaces=where) as receiver,
        open_mcast_sender(place.group, port, interfaces=where, source_address=place.address) as it,
    ):
        await receiver.block_source(place.address)
        await it.send(b"blocked")
        await silence(receiver)
        await receiver.unblock_source(place.address)
        await it.send(b"again")
        same((await arrival(receiver)).data, b"again")


@check("loopback=False keeps out what this machine has sent")
async def loopback(place: Place) -> None:
    port, where = place.port(), place.wire()
    async with (
        open_mcast_receiver(place.group, port, interfaces=where, loopback=False) as deaf,
        open_mcast_receiver(place.group, port, interfaces=where) as receiver,
        open_mcast_sender(place.group, port, interfaces=where) as sender,
    ):
        await sender.send(b"hello")
        same((await arrival(receiver)).data, b"hello")
        await silence(deaf)


@check("loopback=False on the loopback interface keeps nothing out", "ipv4")
async def loopback_interface(place: Place) -> None:
    port = place.port()
    (where,) = (interface for interface in list_interfaces() if interface.is_loopback)
    async with (
        open_mcast_receiver(place.group, port, interfaces=where, loopback=False) as receiver,
        open_mcast_sender(place.group, port, interfaces=where) as sender,
    ):
        await sender.send(b"hello")
        same((await arrival(receiver)).source.host, "127.0.0.1")


@check("two receivers share a port, and each gets everything")
async def shared_port(place: Place) -> None:
    port, where = place.port(), place.interface
    async with (
        open_mcast_receiver(place.group, port, interfaces=where) as one,
        open_mcast_receiver(place.group, port, interfaces=where) as two,
        open_mcast_sender(place.group, port, interfaces=where) as sender,
    ):
        await sender.send_batch([b"1", b"2", b"3"])
        for receiver in (one, two):
            same([(await arrival(receiver)).data for _ in range(3)], [b"1", b"2", b"3"])
            await silence(receiver)


@check("unicast arrives where it is accepted, told apart from the group")
async def unicast(place: Place) -> None:
    port, where = place.port(), place.interface
    async with open_mcast_receiver(
        place.group, port, interfaces=where, accept_unicast=True
    ) as receiver:
        with place.plain_sender() as sender:
            for host in (place.address, place.group):
                sender.sendto(host.encode(), (host, port))
            arrivals = [await arrival(receiver) for _ in range(2)]
        same(
            {(datagram.data.decode(), datagram.group) for datagram in arrivals},
            {(place.address, None), (place.group, place.group)},
        )
        await silence(receiver)


@check("unicast does not arrive where it is not accepted")
async def no_unicast(place: Place) -> None:
    port, where = place.port(), place.interface
    async with open_mcast_receiver(place.group, port, interfaces=where) as receiver:
        with place.plain_sender() as sender:
            with suppress(ConnectionError):  # Nobody listens there.
                sender.sendto(b"by unicast", (place.address, port))
                sender.sendto(b"to the group", (place.group, port))
            same((await arrival(receiver)).data, b"to the group")
        await silence(receiver)


@check("groups are joined and left while the receiver is open")
async def join_and_leave(place: Place) -> None:
    port, where = place.port(), place.interface
    async with open_mcast_receiver(place.group, port, interfaces=where) as receiver:
        with place.plain_sender() as sender:
            await receiver.join(place.other_group, interfaces=where)
            sender.sendto(b"joined", (place.other_group, port))
            same((await arrival(receiver)).group, place.other_group)
            await receiver.leave(place.other_group)
            sender.sendto(b"left", (place.other_group, port))
            sender.sendto(b"still there", (place.group, port))
            same((await arrival(receiver)).data, b"still there")
        await silence(receiver)


@check("sixty groups, each with its own datagrams")
async def many_groups(place: Place) -> None:
    port, where = place.port(), place.interface
    prefix = {"ipv4": "239.255.43.", "ipv6": "ff15::43:"}[place.family]
    groups = [f"{prefix}{number}" for number in range(10, 70)]
    async with open_mcast_receiver(groups, port, interfaces=where) as receiver:
        same({membership.state for membership in receiver.memberships}, {"joined"})
        with place.plain_sender() as sender:
            for group in groups:
                sender.sendto(group.encode(), (group, port))
            arrivals = [await arrival(receiver) for _ in groups]
        await silence(receiver)
    same([datagram.group for datagram in arrivals], [d.data.decode() for d in arrivals])
    same(sorted(datagram.data.decode() for datagram in arrivals), sorted(groups))


@check("datagrams of any size arrive whole")
async def sizes(place: Place) -> None:
    port, where = place.port(), place.interface
    async with (
        open_mcast_receiver(place.group, port, interfaces=where) as receiver,
        open_mcast_sender(place.group, port, interfaces=where) as sender,
    ):
        for size in (0, 1, 1_472, 1_473, 9_000, 65_507):
            await sender.send(bytes(size))
            same(len((await arrival(receiver)).data), size)


@check("a burst arrives in order and complete, and is counted")
async def burst(place: Place) -> None:
    port, where = place.port(), place.interface
    sent = [str(number).encode() for number in range(200)]
    async with (
        open_mcast_receiver(place.group, port, interfaces=where, max_buffered=10) as receiver,
        open_mcast_sender(place.group, port, interfaces=where) as sender,
    ):
        await sender.send_batch(sent)
        received: list[bytes] = []
        with trio.fail_after(ARRIVES_SECONDS):
            while len(received) < len(sent):
                received += [datagram.data for datagram in await receiver.receive_batch()]
        same(received, sent)
        statistics = receiver.statistics()
        same((statistics.received, statistics.delivered), (len(sent), len(sent)))
        same(sender.statistics().sent, len(sent))


@check("a cancelled receive() loses nothing", "ipv4")
async def cancelled(place: Place) -> None:
    port, where = place.port(), place.interface
    async with open_mcast_receiver(place.group, port, interfaces=where) as receiver:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.receive)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        with place.plain_sender() as sender:
            for data in (b"one", b"two"):
                sender.sendto(data, (place.group, port))
            same([(await arrival(receiver)).data for _ in range(2)], [b"one", b"two"])


@check("closing wakes who receives", "ipv4")
async def closing(place: Place) -> None:
    async with open_mcast_receiver(
        place.group, place.port(), interfaces=place.interface
    ) as receiver:
        ended: list[str] = []

        async def wait() -> None:
            try:
                await receiver.receive()
            except trio.ClosedResourceError:
                ended.append("closed")

        with trio.fail_after(ARRIVES_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked()
                await receiver.aclose()
        same(ended, ["closed"])
