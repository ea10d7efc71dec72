"""In every world: several ports of one group, and receivers without a group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.fixtures import require_lab
from tests.support.waiting import until
from trio_mcast import Endpoint
from trio_mcast._values.addresses import Family

from .using import BOTH, EVERY_GROUP, FAMILIES, PORT, all_of, group_of, receiving, sending
from .worlds import LabWorld, World, address_of, addresses_of, lab_world

PORTS = (PORT, PORT + 1)


@pytest.fixture
def real_linux() -> Iterator[LabWorld]:
    """Give each test a world of its own: some change it."""
    require_lab()
    with lab_world() as real:
        yield real


@EVERY_GROUP
async def test_each_port_of_a_group_is_received(world: World, group: str) -> None:
    async with (
        receiving(world, "a", group, PORTS, interfaces=BOTH) as receiver,
        sending(world, "b", group, *BOTH) as sender,
    ):
        assert [
            (membership.group, membership.interface.name, membership.state)
            for membership in receiver.memberships
        ] == [(group, name, "joined") for name in BOTH]
        for port in (*PORTS, PORT + 2):
            await sender.send(b"%d" % port, to=(group, port))
        found = [
            (int(datagram.data), datagram.destination.port, datagram.interface.name)
            for datagram in await all_of(world, receiver)
        ]
        assert sorted(found) == sorted((port, port, name) for port in PORTS for name in BOTH)
        counts = {
            membership.interface.name: membership.delivered
            for membership in receiver.statistics().memberships
        }
        assert counts == dict.fromkeys(BOTH, 2), "the ports are added up"


@FAMILIES
async def test_joining_and_leaving_mean_all_ports(world: World, family: Family) -> None:
    first, second = group_of(family, 1), group_of(family, 2)
    async with (
        receiving(world, "a", first, PORTS, interfaces="eth0") as receiver,
        sending(world, "b", [first, second]) as sender,
    ):
        with world.on("a"):
            await receiver.join(second)
            await receiver.leave(first)
        await world.settle()
        for group in (first, second):
            for port in PORTS:
                await sender.send(b"x", to=(group, port))
        found = Counter(
            (datagram.group, datagram.destination.port)
            for datagram in await all_of(world, receiver)
        )
        assert found == Counter((second, port) for port in PORTS)


@FAMILIES
async def test_unicast_comes_to_each_port(world: World, family: Family) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, PORTS, interfaces="eth0", accept_unicast=True) as receiver,
        sending(world, "b", group) as sender,
    ):
        to = [Endpoint(address_of(family, "a"), port) for port in PORTS]
        for endpoint in to:
            await sender.send(b"x", to=endpoint)
        found = await all_of(world, receiver)
        assert sorted(datagram.destination for datagram in found) == to
        assert {datagram.group for datagram in found} == {None}


@FAMILIES
async def test_latest_of_each_port_is_kept(world: World, family: Family) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, PORTS, interfaces="eth0", overflow="latest") as receiver,
        sending(world, "b", group) as sender,
    ):
        for number in range(3):
            for port in PORTS:
                await sender.send(b"%d" % number, to=(group, port))
            await world.settle()
        found = [(it.data, it.destination.port) for it in await all_of(world, receiver)]
        assert sorted(found) == [(b"2", port) for port in PORTS]


@FAMILIES
async def test_receiver_without_a_group_joins_later(world: World, family: Family) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", [], interfaces="eth0") as receiver,
        sending(world, "b", group) as sender,
    ):
        assert (receiver.memberships, receiver.interfaces) == ((), ())
        await sender.send(b"early")
        assert await all_of(world, receiver) == []
        with world.on("a"):
            await receiver.join(group)
        await sender.send(b"joined")
        (datagram,) = await all_of(world, receiver)
        assert (datagram.data, datagram.group) == (b"joined", group)
        with world.on("a"):
            await receiver.leave(group)
        assert receiver.memberships == ()
        with world.on("a"):
            await receiver.join(group)
        await sender.send(b"again")
        assert [datagram.data for datagram in await all_of(world, receiver)] == [b"again"]


@pytest.mark.parametrize("interfaces", [None, BOTH])
async def test_unicast_alone_comes_to_every_address_in_both_families(
    world: World, interfaces: Any
) -> None:
    async with (
        receiving(world, "a", (), interfaces=interfaces, accept_unicast=True) as receiver,
        sending(world, "b", [group_of("ipv4"), group_of("ipv6")], *BOTH) as sender,
    ):
        to = [
            Endpoint(address_of(family, "a", lan), PORT)
            for family in ("ipv4", "ipv6")
            for lan in (1, 2)
        ]
        for endpoint in to:
            await sender.send(b"x", to=endpoint)
        await sender.send(b"to the groups")
        found = await all_of(world, receiver)
        assert sorted(datagram.destination for datagram in found) == sorted(to)
        states = [(each.group, each.state) for each in receiver.memberships]
        assert states == [(None, "joined")] * 2


async def test_unicast_alone_on_an_address_is_of_its_family(world: World) -> None:
    address = address_of("ipv4", "a")
    async with (
        receiving(world, "a", (), interfaces=address, accept_unicast=True) as receiver,
        sending(world, "b", [group_of("ipv4"), group_of("ipv6")]) as sender,
    ):
        for family in ("ipv4", "ipv6"):
            await sender.send(family.encode(), to=Endpoint(address_of(family, "a"), PORT))
        assert [datagram.data for datagram in await all_of(world, receiver)] == [b"ipv4"]


async def test_unicast_alone_from_chosen_sources_is_of_their_families(world: World) -> None:
    sources = [address_of("ipv4", "b")]
    async with (
        receiving(world, "a", (), accept_unicast=True, sources=sources) as receiver,
        sending(world, "b", [group_of("ipv4"), group_of("ipv6")]) as chosen,
        sending(world, "c", [group_of("ipv4")]) as other,
    ):
        for family in ("ipv4", "ipv6"):
            to = Endpoint(address_of(family, "a"), PORT)
            await chosen.send(family.encode(), to=to)
        await other.send(b"other", to=Endpoint(address_of("ipv4", "a"), PORT))
        assert [datagram.data for datagram in await all_of(world, receiver)] == [b"ipv4"]


async def test_unicast_alone_follows_interfaces(world: World) -> None:
    async with (
        receiving(world, "a", (), accept_unicast=True) as receiver,
        sending(world, "b", group_of("ipv4"), *BOTH) as sender,
    ):
        world.unplug("a", "eth1")
        await until(lambda: [each.interface.name for each in receiver.memberships], ["eth0"])
        world.plug("a", "eth1", 2, *addresses_of("a", 2))
        await until(lambda: [each.name for each in receiver.interfaces], [*BOTH])
        await world.settle()
        to = Endpoint(address_of("ipv4", "a", 2), PORT)
        await sender.send(b"x", to=to)
        (datagram,) = await all_of(world, receiver)
        assert datagram.destination == to
