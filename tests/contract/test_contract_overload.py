"""In every world: when more comes than is taken, each datagram is accounted for."""

from __future__ import annotations

import pytest

from trio_mcast import McastReceiver
from trio_mcast._values.addresses import Family

from .using import FAMILIES, all_of, data_of, group_of, receiving, sending
from .worlds import World

COUNT = 1_000
ROOM = 8
# Enough for the largest datagram, and for less than all of them.
BUFFER_BYTES = 70_000
POLICIES = pytest.mark.parametrize("overflow", ["wait", "drop_oldest", "drop_newest"])


def dropped_by_system(world: World, receiver: McastReceiver) -> int:
    """What found no room in a socket's buffer, as the system counts it or, else, the world."""
    counted, seen = receiver.statistics().dropped_by_kernel, world.dropped_for_room()
    assert counted is not None or seen is not None
    if counted is None:
        return seen or 0
    assert seen in (None, counted)
    return counted


@FAMILIES
@POLICIES
async def test_sent_is_delivered_or_waiting_or_dropped(
    world: World, family: Family, overflow: str
) -> None:
    group = group_of(family)
    async with (
        receiving(
            world,
            "a",
            group,
            interfaces="eth0",
            overflow=overflow,
            max_buffered=ROOM,
            receive_buffer_size=BUFFER_BYTES,
        ) as receiver,
        sending(world, "b", group) as sender,
    ):
        taken = []
        for number in range(COUNT):
            await sender.send(b"%d" % number + bytes(500))
            if number % 300 == 299:  # Somebody takes some of it now and then.
                taken.append(await receiver.receive())
        await world.settle()
        found = receiver.statistics()
        assert found.delivered == len(taken)
        assert found.received == found.delivered + found.waiting + found.dropped_by_policy
        # Reading goes on when half of them have been taken.
        assert ROOM // 2 <= found.waiting <= ROOM
        lost = dropped_by_system(world, receiver)
        if overflow == "wait":
            assert found.dropped_by_policy == 0
            assert lost > 0
        else:
            assert found.dropped_by_policy > 0
            assert found.received + lost == COUNT
        rest = await all_of(world, receiver)
        after = receiver.statistics()
        assert len(taken) + len(rest) == after.delivered
        assert after.delivered + after.dropped_by_policy + lost == COUNT
        numbers = [int(item.data.rstrip(b"\0")) for item in [*taken, *rest]]
        assert numbers == sorted(set(numbers))


@FAMILIES
@POLICIES
async def test_policy_decides_which_are_kept(world: World, family: Family, overflow: str) -> None:
    group = group_of(family)
    payloads = [b"%d" % number for number in range(5 * ROOM)]
    async with (
        receiving(
            world, "a", group, interfaces="eth0", overflow=overflow, max_buffered=ROOM
        ) as receiver,
        sending(world, "b", group) as sender,
    ):
        for payload in payloads:
            await sender.send(payload)
            await world.settle()
        kept = {
            "wait": payloads,
            "drop_oldest": payloads[-ROOM:],
            "drop_newest": payloads[:ROOM],
        }[overflow]
        assert await data_of(world, receiver) == kept
        assert receiver.statistics().dropped_by_policy == len(payloads) - len(kept)
        assert dropped_by_system(world, receiver) == 0


@FAMILIES
async def test_latest_keeps_the_value_of_a_quiet_group_beside_a_loud_one(
    world: World, family: Family
) -> None:
    loud, quiet = group_of(family, 1), group_of(family, 2)
    async with (
        receiving(
            world, "a", [loud, quiet], interfaces="eth0", overflow="latest", max_buffered=ROOM
        ) as receiver,
        sending(world, "b", [loud, quiet]) as sender,
    ):
        await sender.send(b"quiet", to=quiet)
        for number in range(5 * ROOM):
            await sender.send(b"%d" % number, to=loud)
            await world.settle()
        counts = receiver.statistics()
        assert (counts.waiting, counts.dropped_by_policy) == (2, 5 * ROOM - 1)
        assert await data_of(world, receiver) == [b"quiet", b"%d" % (5 * ROOM - 1)]
        by_group = receiver.statistics().by_group
        assert (by_group[loud].dropped_by_policy, by_group[quiet].dropped_by_policy) == (
            5 * ROOM - 1,
            0,
        )


@FAMILIES
async def test_latest_of_each_source_keeps_its_place(world: World, family: Family) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, interfaces="eth0", overflow="latest") as receiver,
        sending(world, "b", group) as first,
        sending(world, "b", group) as second,
    ):
        for number in range(ROOM):
            for name, sender in ((b"first", first), (b"second", second)):
                await sender.send(name + b" %d" % number)
                await world.settle()
        assert await data_of(world, receiver) == [b"first 7", b"second 7"]
