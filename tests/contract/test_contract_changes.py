"""In every world: receivers follow interfaces as they come, go and change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.fixtures import require_lab
from tests.support.changing_lan import states
from tests.support.waiting import until
from trio_mcast import Endpoint, McastReceiver
from trio_mcast._values.addresses import Family

from .using import BOTH, FAMILIES, PORT, all_of, data_of, group_of, receiving, sending
from .worlds import LabWorld, World, address_of, addresses_of, lab_world


@pytest.fixture
def real_linux() -> Iterator[LabWorld]:
    """Give each test a world of its own: these change it."""
    require_lab()
    with lab_world() as real:
        yield real


async def until_on(receiver: McastReceiver, *states_wanted: str) -> None:
    await until(lambda: tuple(item.state for item in receiver.memberships), states_wanted)


@FAMILIES
async def test_interface_that_is_plugged_in_again_is_joined_again(
    world: World, family: Family
) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, interfaces=BOTH) as receiver,
        sending(world, "b", group, *BOTH) as sender,
    ):
        before = {item.name: item.index for item in receiver.interfaces}
        world.unplug("a", "eth0")
        await until_on(receiver, "waiting", "joined")
        await sender.send(b"on one")
        assert [item.interface.name for item in await all_of(world, receiver)] == ["eth1"]
        world.plug("a", "eth0", 1, *addresses_of("a", 1))
        await until_on(receiver, "joined", "joined")
        await sender.send(b"on both")
        found = await all_of(world, receiver)
        assert sorted((it.data, it.interface.name) for it in found) == [
            (b"on both", name) for name in BOTH
        ]
        after = {item.name: item.index for item in receiver.interfaces}
        assert after["eth0"] != before["eth0"]
        assert after["eth1"] == before["eth1"]


@FAMILIES
async def test_interface_that_was_switched_off_is_received_from_again(
    world: World, family: Family
) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, interfaces="eth0") as receiver,
        sending(world, "b", group) as sender,
    ):
        world.down("a", "eth0")
        await until_on(receiver, "waiting")
        await sender.send(b"lost")
        assert await data_of(world, receiver) == []
        world.up("a", "eth0")
        await until_on(receiver, "joined")
        await sender.send(b"hello")
        assert await data_of(world, receiver) == [b"hello"]


@FAMILIES
async def test_new_interface_is_joined_by_a_receiver_on_all(world: World, family: Family) -> None:
    group = group_of(family)
    world.unplug("a", "eth1")
    async with (
        receiving(world, "a", group) as receiver,
        sending(world, "b", group, "eth1") as sender,
    ):
        assert states(receiver) == [(group, "eth0", "joined")]
        world.plug("a", "eth1", 2, *addresses_of("a", 2))
        joined = [(group, "eth0", "joined"), (group, "eth1", "joined")]
        await until(lambda: states(receiver), joined)
        await sender.send(b"hello")
        assert await data_of(world, receiver) == [b"hello"]


@FAMILIES
async def test_interface_is_joined_when_it_gets_the_address_that_was_named(
    world: World, family: Family
) -> None:
    group = group_of(family)
    address = address_of(family, "a") + "7"
    async with (
        receiving(world, "a", group, interfaces=address, allow_missing=True) as receiver,
        sending(world, "b", group) as sender,
    ):
        await until_on(receiver, "waiting")
        world.address("a", "eth0", add=[f"{address}/{24 if family == 'ipv4' else 64}"])
        await until_on(receiver, "joined")
        await sender.send(b"hello")
        assert await data_of(world, receiver) == [b"hello"]


@FAMILIES
async def test_unicast_to_a_new_address_is_accepted(world: World, family: Family) -> None:
    group = group_of(family)
    address = address_of(family, "a") + "7"
    async with (
        receiving(world, "a", group, interfaces="eth0", accept_unicast=True) as receiver,
        sending(world, "b", group) as sender,
    ):
        world.address("a", "eth0", add=[f"{address}/{24 if family == 'ipv4' else 64}"])

        def knows() -> bool:
            found = (item.interface.addresses(family) for item in receiver.memberships)
            return all(address in map(str, item) for item in found)

        await until(knows, True)
        await sender.send(b"to you", to=Endpoint(address, PORT))
        found = await all_of(world, receiver)
        assert [(item.data, item.group) for item in found] == [(b"to you", None)]
