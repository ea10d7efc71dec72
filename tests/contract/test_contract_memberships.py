"""In every world: joining, leaving, and sources."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.support.changing_lan import states
from trio_mcast._values.addresses import Family

from .using import FAMILIES, data_of, group_of, receive, receiving, sending
from .worlds import TIMEOUT_SECONDS, World, address_of

# More than any of the systems takes for one socket.
MANY = 200


@FAMILIES
async def test_groups_are_joined_and_left_at_run_time(world: World, family: Family) -> None:
    first, second = group_of(family, 1), group_of(family, 2)
    async with (
        receiving(world, "a", first, interfaces="eth0") as receiver,
        sending(world, "b", [first, second]) as sender,
    ):
        await sender.send(b"1")
        assert await data_of(world, receiver) == [b"1"]
        await receiver.join(second)
        await sender.send(b"2")
        assert await data_of(world, receiver) == [b"2", b"2"]
        await receiver.leave(first)
        await sender.send(b"3", to=first)
        await sender.send(b"4", to=second)
        assert await data_of(world, receiver) == [b"4"]
        assert states(receiver) == [(second, "eth0", "joined")]


@FAMILIES
async def test_what_came_before_leaving_is_still_delivered(world: World, family: Family) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, interfaces="eth0") as receiver,
        sending(world, "b", group) as sender,
    ):
        await sender.send_batch([b"1", b"2", b"3"])
        await world.settle()
        await receiver.leave(group)
        await sender.send(b"4")
        assert await data_of(world, receiver) == [b"1", b"2", b"3"]


@FAMILIES
async def test_joined_joins_for_the_length_of_a_block(world: World, family: Family) -> None:
    first, second = group_of(family, 1), group_of(family, 2)
    async with (
        receiving(world, "a", first, interfaces="eth0") as receiver,
        sending(world, "b", second) as sender,
    ):
        await sender.send(b"before")
        async with receiver.joined(second):
            await sender.send(b"inside")
            assert await data_of(world, receiver) == [b"inside"]
        await sender.send(b"after")
        await sender.send(b"to the other", to=first)
        assert await data_of(world, receiver) == [b"to the other"]


@FAMILIES
async def test_joining_twice_changes_nothing(world: World, family: Family) -> None:
    first, second = group_of(family, 1), group_of(family, 2)
    async with (
        receiving(world, "a", first, interfaces="eth0") as receiver,
        sending(world, "b", [first, second]) as sender,
    ):
        with pytest.raises(ValueError, match="joined"):
            await receiver.join([second, first])
        await sender.send(b"not joined", to=second)
        await sender.send(b"joined", to=first)
        assert await data_of(world, receiver) == [b"joined"]


# --- Sources ------------------------------------------------------------------------------------


def strangers(family: Family, count: int) -> list[str]:
    return [f"10.7.0.{n}" if family == "ipv4" else f"fd07::{n:x}" for n in range(1, count + 1)]


@FAMILIES
@pytest.mark.parametrize("others", [0, 5, MANY])
@pytest.mark.parametrize("what", ["sources", "excluded_sources"])
async def test_sources_are_filtered_however_many_there_are(
    world: World, family: Family, what: str, others: int
) -> None:
    group = group_of(family)
    # The one that counts comes last: beyond what the system takes.
    options: dict[str, Any] = {what: [*strangers(family, others), address_of(family, "b")]}
    async with (
        receiving(world, "a", group, interfaces="eth0", **options) as receiver,
        receiving(world, "a", group, interfaces="eth0") as everything,
        sending(world, "b", group) as named,
        sending(world, "c", group) as another,
    ):
        await named.send(b"named")
        await another.send(b"another")
        expected = [b"named"] if what == "sources" else [b"another"]
        assert await data_of(world, receiver) == expected
        assert await data_of(world, everything) == [b"named", b"another"]


@FAMILIES
@pytest.mark.parametrize("others", [0, MANY])
async def test_sources_are_blocked_and_unblocked(world: World, family: Family, others: int) -> None:
    group, source = group_of(family), address_of(family, "b")
    excluded: dict[str, Any] = {"excluded_sources": strangers(family, others)} if others else {}
    async with (
        receiving(world, "a", group, interfaces="eth0", **excluded) as receiver,
        sending(world, "b", group) as blocked,
        sending(world, "c", group) as another,
    ):
        await blocked.send(b"1")
        assert await data_of(world, receiver) == [b"1"]
        await receiver.block_source(source)
        await blocked.send(b"2")
        await another.send(b"3")
        assert await data_of(world, receiver) == [b"3"]
        await receiver.unblock_source(source)
        await blocked.send(b"4")
        assert await data_of(world, receiver) == [b"4"]


# --- Cancelling and closing ---------------------------------------------------------------------


@FAMILIES
async def test_cancelled_receive_loses_nothing(world: World, family: Family) -> None:
    group, found = group_of(family), []
    async with (
        receiving(world, "a", group, interfaces="eth0") as receiver,
        sending(world, "b", group) as sender,
    ):

        async def collect(scope: trio.CancelScope, batches: bool) -> None:
            with scope:
                while True:
                    if batches:
                        found.extend([item.data for item in await receiver.receive_batch()])
                    else:
                        found.append((await receiver.receive()).data)

        payloads = [b"%d" % number for number in range(200)]
        for number, payload in enumerate(payloads):
            async with trio.open_nursery() as nursery:
                scope = trio.CancelScope()
                nursery.start_soon(collect, scope, number % 2 == 0)
                for _ in range(number % 5):
                    await trio.lowlevel.checkpoint()
                await sender.send(payload)
                for _ in range(number % 7):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        assert found + await data_of(world, receiver) == payloads
        assert receiver.statistics().delivered == len(payloads)


@FAMILIES
async def test_closing_ends_waiting_and_leaves_others_alone(world: World, family: Family) -> None:
    group = group_of(family)
    async with (
        receiving(world, "a", group, interfaces="eth0") as other,
        receiving(world, "a", group, interfaces="eth0") as receiver,
        sending(world, "b", group) as sender,
    ):
        ended = trio.Event()

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await receiver.receive()
            ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await world.settle()
            await receiver.aclose()
            with trio.fail_after(TIMEOUT_SECONDS):
                await ended.wait()
        with pytest.raises(trio.ClosedResourceError):
            receiver.receive_nowait()
        await sender.send(b"hello")
        assert (await receive(other)).data == b"hello"
        assert receiver.statistics().received == 0
