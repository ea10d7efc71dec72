"""In every world: what a receiver gets, and what is kept from it."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from trio_mcast import Endpoint, SocketSetupError
from trio_mcast._values.addresses import Family

from .using import BOTH, EVERY_GROUP, FAMILIES, PORT, all_of, data_of, group_of, receiving, sending
from .worlds import World, address_of, link_local_of


@EVERY_GROUP
async def test_each_datagram_comes_once_with_group_interface_source_and_ttl(
    world: World, group: str
) -> None:
    async with (
        receiving(world, "a", group, interfaces=BOTH, receive_ttl=True) as receiver,
        receiving(world, "a", group, interfaces=BOTH),
        sending(world, "b", group, *BOTH, ttl=7) as sender,
    ):
        await sender.send(b"hello")
        found = await all_of(world, receiver)
        sources = {}
        for lan, name in enumerate(BOTH, start=1):
            address = address_of("ipv6" if ":" in group else "ipv4", "b", lan)
            sources[name] = f"{link_local_of('b', lan)}%{name}" if "ff02" in group else address
        told = [(it.data, it.group, it.interface.name, it.source.host, it.ttl) for it in found]
        assert sorted(told) == [(b"hello", group, name, sources[name], 7) for name in BOTH]
        assert receiver.statistics().rejected == 0


@EVERY_GROUP
async def test_groups_that_only_others_joined_are_kept_out(world: World, group: str) -> None:
    other = f"{group[:-1]}8"
    async with (
        receiving(world, "a", other) as theirs,
        receiving(world, "a", group) as receiver,
        sending(world, "b", [group, other]) as sender,
    ):
        await sender.send(b"theirs", to=other)
        await sender.send(b"ours", to=group)
        assert await data_of(world, receiver) == [b"ours"]
        assert await data_of(world, theirs) == [b"theirs"]


@EVERY_GROUP
async def test_interfaces_that_only_others_joined_are_kept_out(world: World, group: str) -> None:
    async with (
        receiving(world, "a", group, interfaces="eth1") as theirs,
        receiving(world, "a", group, interfaces="eth0") as receiver,
        sending(world, "b", group, "eth0") as on_eth0,
        sending(world, "b", group, "eth1") as on_eth1,
    ):
        await on_eth1.send(b"on eth1")
        await on_eth0.send(b"on eth0")
        assert await data_of(world, receiver) == [b"on eth0"]
        assert await data_of(world, theirs) == [b"on eth1"]


@FAMILIES
async def test_other_ports_are_kept_out(world: World, family: Family) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, PORT + 1) as theirs,
        receiving(world, "a", group) as receiver,
        sending(world, "b", group) as sender,
    ):
        await sender.send(b"theirs", to=(group, PORT + 1))
        await sender.send(b"ours")
        assert await data_of(world, receiver) == [b"ours"]
        assert await data_of(world, theirs) == [b"theirs"]


@FAMILIES
@pytest.mark.parametrize("accepted", [True, False])
async def test_unicast_comes_only_if_it_was_asked_for(
    world: World, family: Family, accepted: bool
) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, accept_unicast=accepted) as receiver,
        sending(world, "b", group) as sender,
    ):
        await sender.send(b"to you", to=Endpoint(address_of(family, "a"), PORT))
        await sender.send(b"to all")
        found = await all_of(world, receiver)
        expected = [(b"to all", group), (b"to you", None)] if accepted else [(b"to all", group)]
        assert sorted((item.data, item.group) for item in found) == expected


@FAMILIES
async def test_datagrams_come_in_the_order_of_sending(world: World, family: Family) -> None:
    payloads = [b"%d" % number for number in range(300)]
    async with (
        receiving(world, "a", group_of(family)) as receiver,
        sending(world, "b", group_of(family)) as sender,
    ):
        for payload in payloads[:100]:
            await sender.send(payload)
        await sender.send_batch(payloads[100:])
        assert await data_of(world, receiver) == payloads


@FAMILIES
@pytest.mark.parametrize("size", [0, 1, 1_400, 9_000])
async def test_datagrams_come_whole(world: World, family: Family, size: int) -> None:
    payload = bytes(number % 251 for number in range(size))
    async with (
        receiving(world, "a", group_of(family)) as receiver,
        sending(world, "b", group_of(family)) as sender,
    ):
        await sender.send(payload)
        assert await data_of(world, receiver) == [payload]


# --- The sending machine itself -----------------------------------------------------------------


@FAMILIES
async def test_own_datagrams_come_too(world: World, family: Family) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, interfaces="eth0") as receiver,
        sending(world, "a", group) as sender,
    ):
        await sender.send(b"own")
        assert await data_of(world, receiver) == [b"own"]


@FAMILIES
async def test_receiver_without_loopback_gets_no_own_datagrams(
    world: World, family: Family
) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, interfaces="eth0", loopback=False) as receiver,
        sending(world, "a", group) as own,
        sending(world, "b", group) as other,
    ):
        await own.send(b"own")
        await other.send(b"other")
        assert await data_of(world, receiver) == [b"other"]


@FAMILIES
async def test_sender_without_loopback_reaches_others_only(world: World, family: Family) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, interfaces="eth0") as here,
        receiving(world, "b", group, interfaces="eth0") as there,
        sending(world, "a", group, loopback=False) as sender,
    ):
        await sender.send(b"hello")
        assert await data_of(world, there) == [b"hello"]
        # On Windows it is the receiver that decides.
        assert await data_of(world, here) == ([b"hello"] if world.platform == "windows" else [])


@FAMILIES
async def test_unicast_has_the_systems_ttl_or_the_one_asked_for(
    world: World, family: Family
) -> None:
    group, usual = group_of(family), 128 if world.platform == "windows" else 64
    options: dict[str, Any] = {
        "accept_unicast": True,
        "receive_ttl": True,
        "interfaces": "eth0",
    }
    peer = Endpoint(address_of(family, "a"), PORT)
    async with (
        receiving(world, "a", group, **options) as receiver,
        sending(world, "b", group, ttl=7) as ordinary,
        sending(world, "b", group, unicast_ttl=255) as neighbour,
    ):
        for sender in (ordinary, neighbour):
            await sender.send(b"to the group")
            await sender.send(b"to one", to=peer)
        datagrams = await all_of(world, receiver)
        by_group = sorted((datagram.group is None, datagram.ttl) for datagram in datagrams)
        assert by_group == [(False, 1), (False, 7), (True, usual), (True, 255)]


@FAMILIES
async def test_ttl_of_zero_stays_on_the_machine_or_is_refused(world: World, family: Family) -> None:
    group = group_of(family)
    if world.platform == "linux":
        # The kernel lets the datagrams out where nobody on the machine has joined.
        with pytest.raises(ValueError, match=r"ttl=0 does not keep .* on interface eth0: linux"):
            async with sending(world, "a", group, ttl=0):
                pass
        return
    async with (
        receiving(world, "a", group, interfaces="eth0") as here,
        receiving(world, "b", group, interfaces="eth0") as there,
        sending(world, "a", group, ttl=0) as inside,
        sending(world, "a", group) as outside,
    ):
        await inside.send(b"inside")
        await outside.send(b"outside")
        assert await data_of(world, here) == [b"inside", b"outside"]
        assert await data_of(world, there) == [b"outside"]


@FAMILIES
async def test_zone_of_a_group_narrows_it_to_one_interface(world: World, family: Family) -> None:
    on_eth0, on_eth1 = group_of(family, 1), group_of(family, 2)
    async with (
        receiving(world, "a", [f"{on_eth0}%eth0", f"{on_eth1}%eth1"]) as receiver,
        sending(world, "b", [on_eth0, on_eth1], *BOTH) as sender,
    ):
        await sender.send(b"to both")
        await sender.send(b"to one", to=f"{on_eth0}%eth0")
        await sender.send(b"to the other", to=f"{on_eth0}%eth1")
        found = [
            (datagram.data, datagram.group, datagram.interface.name)
            for datagram in await all_of(world, receiver)
        ]
        assert sorted(found) == [
            (b"to both", on_eth0, "eth0"),
            (b"to both", on_eth1, "eth1"),
            (b"to one", on_eth0, "eth0"),
        ]


@EVERY_GROUP
@pytest.mark.parametrize("options", [{}, {"receive_ttl": True}])
async def test_destination_is_the_group_and_the_port(
    world: World, group: str, options: dict[str, Any]
) -> None:
    async with (
        receiving(world, "a", group, interfaces=BOTH, **options) as receiver,
        sending(world, "b", group, *BOTH) as sender,
    ):
        await sender.send(b"alone")
        await world.settle()
        await sender.send_batch([b"beside others"] * 10)
        found = await all_of(world, receiver)
        assert len(found) == 22
        for datagram in found:
            # On each link, a link-local group is another one.
            zone = f"%{datagram.interface.name}" if group.startswith("ff02:") else ""
            assert datagram.destination == Endpoint(group + zone, PORT)


@FAMILIES
async def test_destination_of_unicast_is_the_address_that_it_was_sent_to(
    world: World, family: Family
) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, interfaces=BOTH, accept_unicast=True) as receiver,
        sending(world, "b", group, *BOTH) as sender,
    ):
        addresses = [address_of(family, "a", lan) for lan in (1, 2)]
        if family == "ipv6":
            addresses += [f"{link_local_of('a', lan)}%{BOTH[lan - 1]}" for lan in (1, 2)]
        for address in addresses:
            await sender.send(address.encode(), to=Endpoint(address, PORT))
        await sender.send(group.encode())
        found = await all_of(world, receiver)
        assert {datagram.destination for datagram in found} == {
            Endpoint(datagram.data.decode(), PORT) for datagram in found
        }
        assert len(found) == len(addresses) + 2


@EVERY_GROUP
async def test_traffic_class_comes_where_it_is_asked_for(world: World, group: str) -> None:
    async with (
        receiving(world, "a", group, receive_traffic_class=True, receive_ttl=True) as asking,
        receiving(world, "a", group, receive_ttl=True) as other,
        sending(world, "b", group) as plain,
        sending(world, "b", group, traffic_class=0xB9) as expedited,
    ):
        for number, sender in enumerate((plain, expedited)):
            await sender.send(b"%d" % number)
            await world.settle()
        found = [(each.traffic_class, each.ttl) for each in await all_of(world, asking)]
        assert found == [(0, 1), (0xB9, 1)]
        assert [each.traffic_class for each in await all_of(world, other)] == [None, None]


@FAMILIES
async def test_traffic_class_of_unicast_and_replies(world: World, family: Family) -> None:
    group, wanted = group_of(family), {"receive_traffic_class": True}
    async with (
        receiving(world, "a", group, interfaces="eth0", accept_unicast=True, **wanted) as receiver,
        sending(world, "b", group, receive_replies=True, receive_ttl=True, **wanted) as asker,
        sending(world, "b", group, receive_replies=True, traffic_class=0x20) as other,
        sending(world, "a", group, traffic_class=0xB8, unicast_ttl=9) as answering,
    ):
        to = Endpoint(address_of(family, "a"), PORT)
        for sender in (asker, other):
            await sender.send(b"who?", to=to)
            await world.settle()
        questions = await all_of(world, receiver)
        assert [each.traffic_class for each in questions] == [0, 0x20]
        for question in questions:
            await answering.send(b"me", to=question.source)
        await world.settle()
        reply = asker.replies.receive_nowait()
        assert (reply.traffic_class, reply.ttl, reply.timestamp_ns) == (0xB8, 9, None)
        reply = other.replies.receive_nowait()
        assert (reply.traffic_class, reply.ttl) == (None, None)


@FAMILIES
async def test_destination_of_a_reply_is_the_sender_s_own_endpoint(
    world: World, family: Family
) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, interfaces="eth0") as receiver,
        sending(world, "b", group, receive_replies=True) as asker,
        sending(world, "a", group) as answering,
    ):
        await asker.send(b"who?")
        (question,) = await all_of(world, receiver)
        await answering.send(b"me", to=question.source)
        await world.settle()
        reply = asker.replies.receive_nowait()
        assert [reply.destination] == list(asker.local_endpoints) == [question.source]


@FAMILIES
async def test_time_of_departure_is_told_where_the_system_takes_it(
    world: World, family: Family
) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, interfaces="eth0") as receiver,
        sending(world, "b", group) as sender,
    ):
        if world.machine("b").platform.name == "linux":
            first = await sender.send_timestamped(b"first")
            second = await sender.send_timestamped(b"second")
            assert 946_684_800_000_000_000 <= first <= second
            assert await data_of(world, receiver) == [b"first", b"second"]
        else:
            with pytest.raises(SocketSetupError, match="only Linux tells") as caught:
                await sender.send_timestamped(b"first")
            assert caught.value.errno == errno.EOPNOTSUPP
            assert await data_of(world, receiver) == []
            assert sender.statistics().sent == 0
