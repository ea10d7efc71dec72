"""Receiving on Windows: from another machine, and from this one."""

from __future__ import annotations

import errno

import pytest
import trio
import trio.testing

from trio_mcast import (
    Endpoint,
    SocketSetupError,
    list_interfaces,
    open_mcast_receiver,
    open_mcast_sender,
)

from . import wine
from .conftest import Peer

PORT = 5_000
GROUPS = {"ipv4": "239.1.2.3", "ipv6": "ff15::1:2:3"}
OTHERS = {"ipv4": "239.1.2.4", "ipv6": "ff15::1:2:4"}
EITHER_FAMILY = pytest.mark.parametrize("family", GROUPS)


@EITHER_FAMILY
async def test_datagram_arrives_with_all_that_is_known_of_it(family: str, peer: Peer) -> None:
    group = GROUPS[family]
    async with open_mcast_receiver(
        group, PORT, interfaces=peer.interface, receive_ttl=True
    ) as receiver:
        port = peer.ask("send", to=(group, PORT), data=["hello"], ttl=7)
        with trio.fail_after(10):
            datagram = await receiver.receive()
        assert datagram.data == b"hello"
        assert datagram.source == Endpoint(peer.address(family), port)
        assert datagram.group == group
        assert datagram.interface == peer.interface
        assert datagram.ttl == 7
        assert datagram.timestamp_ns is None
        assert receiver.statistics().dropped_by_kernel is None


async def test_link_local_source_carries_the_interface_as_its_zone(peer: Peer) -> None:
    async with open_mcast_receiver("ff02::1:3", PORT, interfaces=peer.interface) as receiver:
        peer.ask("send", to=("ff02::1:3", PORT), data=["hello"])
        with trio.fail_after(10):
            datagram = await receiver.receive()
    assert datagram.source.host.startswith("fe80::")
    assert datagram.source.host.endswith(f"%{peer.interface.name}")


@EITHER_FAMILY
async def test_only_what_was_sent_to_the_group_is_delivered(family: str, peer: Peer) -> None:
    group, other = GROUPS[family], OTHERS[family]
    (own, *_) = peer.interface.addresses("ipv4" if family == "ipv4" else "ipv6")
    async with (
        # So that the other group reaches this machine.
        open_mcast_receiver(other, PORT, interfaces=peer.interface) as neighbour,
        open_mcast_receiver(group, PORT, interfaces=peer.interface) as receiver,
    ):
        peer.ask("send", to=(str(own), PORT), data=["by unicast"])
        peer.ask("send", to=(other, PORT), data=["to the other group"])
        peer.ask("send", to=(group, PORT), data=["to the group"])
        with trio.fail_after(10):
            assert (await receiver.receive()).data == b"to the group"
            assert (await neighbour.receive()).data == b"to the other group"
        for each in (receiver, neighbour):
            assert each.statistics().received == 1


@EITHER_FAMILY
async def test_unicast_is_delivered_where_it_is_accepted(family: str, peer: Peer) -> None:
    group = GROUPS[family]
    (own, *_) = peer.interface.addresses("ipv4" if family == "ipv4" else "ipv6")
    async with open_mcast_receiver(
        group, PORT, interfaces=str(own), accept_unicast=True
    ) as receiver:
        peer.ask("send", to=(str(own), PORT), data=["by unicast"])
        peer.ask("send", to=(group, PORT), data=["to the group"])
        with trio.fail_after(10):
            found = {((item := await receiver.receive()).data, item.group) for _ in range(2)}
    assert found == {(b"by unicast", None), (b"to the group", group)}


@EITHER_FAMILY
async def test_datagrams_arrive_in_order_and_complete(family: str, peer: Peer) -> None:
    group = GROUPS[family]
    async with open_mcast_receiver(
        group, PORT, interfaces=peer.interface, max_buffered=10
    ) as receiver:
        sent = [str(number) for number in range(100)]
        peer.ask("send", to=(group, PORT), data=sent)
        found: list[str] = []
        with trio.fail_after(10):
            while len(found) < len(sent):
                found += [item.data.decode() for item in await receiver.receive_batch()]
    assert found == sent


@pytest.mark.parametrize("size", [0, 1, 1_472, 1_473, 65_507])
async def test_datagram_of_any_size_arrives_whole(size: int, peer: Peer) -> None:
    data = "x" * size
    async with open_mcast_receiver("239.1.2.3", PORT, interfaces=peer.interface) as receiver:
        peer.ask("send", to=("239.1.2.3", PORT), data=[data])
        with trio.fail_after(10):
            assert (await receiver.receive()).data == data.encode()


async def test_each_of_many_groups_has_its_own_datagrams(peer: Peer) -> None:
    groups = [f"239.1.3.{number}" for number in range(1, 61)]
    async with open_mcast_receiver(groups, PORT, interfaces=peer.interface) as receiver:
        assert {item.state for item in receiver.memberships} == {"joined"}
        for group in groups:
            peer.ask("send", to=(group, PORT), data=[group])
        found = []
        with trio.fail_after(20):
            for _ in groups:
                datagram = await receiver.receive()
                assert datagram.data.decode() == datagram.group
                found.append(datagram.group)
    assert sorted(found) == sorted(groups)


@EITHER_FAMILY
async def test_two_receivers_share_a_port_and_both_get_everything(family: str, peer: Peer) -> None:
    group = GROUPS[family]
    async with (
        open_mcast_receiver(group, PORT, interfaces=peer.interface) as one,
        open_mcast_receiver(group, PORT, interfaces=peer.interface) as two,
    ):
        peer.ask("send", to=(group, PORT), data=["hello"])
        with trio.fail_after(10):
            assert (await one.receive()).data == (await two.receive()).data == b"hello"


@EITHER_FAMILY
async def test_datagram_of_this_machine_arrives_too(family: str, peer: Peer) -> None:
    group = GROUPS[family]
    async with (
        open_mcast_receiver(group, PORT, interfaces=peer.interface) as receiver,
        open_mcast_sender(group, PORT, interfaces=peer.interface) as sender,
    ):
        await sender.send(b"hello")
        with trio.fail_after(10):
            datagram = await receiver.receive()
        assert (datagram.source,) == sender.local_endpoints


async def test_loopback_interface_delivers_also_with_loopback_off() -> None:
    (loopback,) = (item for item in list_interfaces() if item.is_loopback)
    async with (
        open_mcast_receiver("239.1.2.3", PORT, interfaces=loopback, loopback=False) as receiver,
        open_mcast_sender("239.1.2.3", PORT, interfaces=loopback) as sender,
    ):
        await sender.send(b"hello")
        with trio.fail_after(10):
            assert (await receiver.receive()).source.host == "127.0.0.1"


@pytest.mark.skipif(
    wine.is_wine(), reason="Wine has none of the options for sources as Windows has them"
)
@EITHER_FAMILY
async def test_only_chosen_sources_are_received(family: str, peer: Peer) -> None:
    group = GROUPS[family]
    stranger = {"ipv4": "192.0.2.1", "ipv6": "2001:db8::1"}[family]
    async with (
        open_mcast_receiver(
            group, PORT, interfaces=peer.interface, sources=peer.address(family)
        ) as wanted,
        open_mcast_receiver(group, PORT, interfaces=peer.interface, sources=stranger) as unwanted,
        open_mcast_receiver(
            group, PORT, interfaces=peer.interface, excluded_sources=peer.address(family)
        ) as excluded,
    ):
        peer.ask("send", to=(group, PORT), data=["hello"])
        with trio.fail_after(10):
            assert (await wanted.receive()).data == b"hello"
        await trio.testing.wait_all_tasks_blocked(0.05)
        for each in (unwanted, excluded):
            with pytest.raises(trio.WouldBlock):
                each.receive_nowait()


@pytest.mark.skipif(not wine.is_wine(), reason="Windows has source filters: nothing is refused")
async def test_refusal_says_what_was_refused(peer: Peer) -> None:
    with pytest.raises(SocketSetupError) as caught:
        async with open_mcast_receiver(
            "ff35::8000:1", PORT, interfaces=peer.interface, sources=peer.ipv6
        ):
            pytest.fail("it was opened")
    assert caught.value.step == "MCAST_JOIN_SOURCE_GROUP"
    assert caught.value.errno == errno.ENOPROTOOPT
    assert "this system does not know source filters" in str(caught.value)


@EITHER_FAMILY
async def test_groups_can_be_joined_and_left_while_receiving(family: str, peer: Peer) -> None:
    first, second = GROUPS[family], OTHERS[family]
    async with open_mcast_receiver(first, PORT, interfaces=peer.interface) as receiver:
        await receiver.join(second, interfaces=peer.interface)
        peer.ask("send", to=(second, PORT), data=["joined"])
        with trio.fail_after(10):
            assert (await receiver.receive()).group == second
        await receiver.leave(second)
        peer.ask("send", to=(second, PORT), data=["left"])
        peer.ask("send", to=(first, PORT), data=["still there"])
        with trio.fail_after(10):
            assert (await receiver.receive()).data == b"still there"


async def test_cancelled_receive_loses_nothing(peer: Peer) -> None:
    async with open_mcast_receiver("239.1.2.3", PORT, interfaces=peer.interface) as receiver:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.receive)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        peer.ask("send", to=("239.1.2.3", PORT), data=["one", "two"])
        with trio.fail_after(10):
            assert (await receiver.receive()).data == b"one"
            assert (await receiver.receive()).data == b"two"


async def test_closing_wakes_who_receives(peer: Peer) -> None:
    async with open_mcast_receiver("239.1.2.3", PORT, interfaces=peer.interface) as receiver:
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await receiver.receive()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await receiver.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await receiver.receive()
