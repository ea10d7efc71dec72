"""The queue between the interface tasks and the program: its bound, its order, its promises."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest
import trio
from trio.testing import (
    MockClock,
    assert_checkpoints,
    assert_no_checkpoints,
    wait_all_tasks_blocked,
)

from tests.machine import ETH0, ETH1
from trio_mcast import Datagram, Endpoint
from trio_mcast._queue import DatagramQueue
from trio_mcast._specs import Overflow

SOURCE = Endpoint("10.0.0.9", 5000)

# Trio runs tasks that are ready in random order: after so many times, each order has been seen.
ENOUGH_FOR_CHANCE = 30

# Both ways to wait, as a function that gives what was taken as numbers.
Take: TypeAlias = Callable[[DatagramQueue], Awaitable[list[int]]]


@asynccontextmanager
async def tasks(clock: MockClock) -> AsyncIterator[trio.Nursery]:
    """A nursery that fails, instead of hanging, where every task waits for ever."""
    assert clock.autojump_threshold == 0
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            yield nursery


def numbered(numbers: Iterable[int]) -> list[Datagram]:
    return [Datagram(b"%d" % number, SOURCE, "239.1.2.3", ETH0) for number in numbers]


def numbers_of(datagrams: Iterable[Datagram]) -> list[int]:
    return [int(item.data) for item in datagrams]


def filled(
    count: int, max_buffered: int = 1_000, batch: int = 10, overflow: Overflow = "wait"
) -> DatagramQueue:
    """A queue with datagrams 0, 1, 2, ... in lists of ``batch``."""
    queue = DatagramQueue(max_buffered, overflow=overflow)
    for start in range(0, count, batch):
        queue.put(numbered(range(start, min(start + batch, count))))
        numbers_in(queue)
    return queue


async def take_one(queue: DatagramQueue) -> list[int]:
    return numbers_of([await queue.get()])


async def take_batch(queue: DatagramQueue) -> list[int]:
    return numbers_of(await queue.get_batch(None))


def numbers_in(queue: DatagramQueue) -> list[int]:
    """What waits in it; what it counts fits."""
    found = numbers_of(queue.waiting_datagrams())
    assert len(found) == queue.waiting
    assert queue.received == queue.delivered + queue.waiting + queue.dropped.total()
    return found


EITHER_WAY = pytest.mark.parametrize("take", [take_one, take_batch])


# Taking ----------------------------------------------------------------------------------------


async def test_get_gives_one_at_a_time_in_order() -> None:
    queue = filled(25)
    assert [number for _ in range(25) for number in await take_one(queue)] == list(range(25))


def test_get_nowait_gives_one_at_a_time_in_order() -> None:
    queue = filled(25)
    assert numbers_of(queue.get_nowait() for _ in range(25)) == list(range(25))
    with pytest.raises(trio.WouldBlock):
        queue.get_nowait()


async def test_get_batch_gives_what_was_put_together() -> None:
    queue = filled(25)
    assert await take_batch(queue) == list(range(10))
    assert await take_batch(queue) == list(range(10, 20))
    assert await take_batch(queue) == list(range(20, 25))


@pytest.mark.parametrize(
    ("at_most", "expected"),
    [(1, [0]), (3, [0, 1, 2]), (10, list(range(10))), (11, list(range(10)))],
)
async def test_get_batch_gives_no_more_than_asked_for(at_most: int, expected: list[int]) -> None:
    queue = filled(20)
    assert numbers_of(await queue.get_batch(at_most)) == expected
    # What is left of a list comes next.
    rest = len(expected)
    assert await take_one(queue) == [rest]


async def test_get_batch_gives_the_rest_of_a_list_that_was_begun() -> None:
    queue = filled(20)
    assert await take_one(queue) == [0]
    assert numbers_of(await queue.get_batch(4)) == [1, 2, 3, 4]
    assert await take_batch(queue) == [5, 6, 7, 8, 9]
    assert await take_batch(queue) == list(range(10, 20))


@EITHER_WAY
async def test_taking_waits_for_the_first_datagram(take: Take, autojump_clock: MockClock) -> None:
    queue = DatagramQueue(10)
    taken: list[int] = []

    async def consume() -> None:
        taken.extend(await take(queue))

    async with tasks(autojump_clock) as nursery:
        nursery.start_soon(consume)
        await wait_all_tasks_blocked()
        assert taken == []
        queue.put(numbered([7]))
    assert taken == [7]


@EITHER_WAY
async def test_taking_is_a_checkpoint_even_when_data_is_waiting(take: Take) -> None:
    queue = filled(20, batch=5)
    with assert_checkpoints():
        await take(queue)  # From a list that nobody has taken from.
    queue = filled(20, batch=5)
    queue.get_nowait()
    with assert_checkpoints():
        await take(queue)  # From the list that was begun.


@pytest.mark.parametrize("overflow", ["wait", "drop_oldest", "drop_newest"])
def test_last_datagrams_of_a_socket_are_put_as_far_as_there_is_room(overflow: Overflow) -> None:
    queue = DatagramQueue(5, overflow=overflow)
    for batch in (range(3), range(0), range(3, 7), range(7, 8)):
        queue.put_last(numbered(batch))
        assert queue.received == queue.waiting + queue.dropped.total()
    kept = [3, 4, 5, 6, 7] if overflow == "drop_oldest" else [0, 1, 2, 3, 4]
    assert numbers_of(queue.waiting_datagrams()) == kept
    assert queue.dropped == {("239.1.2.3", "eth0"): 3}


# The bound -------------------------------------------------------------------------------------


async def test_room_is_counted_in_datagrams() -> None:
    queue = DatagramQueue(10)
    assert (queue.room, queue.waiting) == (10, 0)
    queue.put(numbered(range(4)))
    assert (queue.room, queue.waiting) == (6, 4)
    queue.put(numbered(range(4, 10)))
    assert (queue.room, queue.waiting) == (0, 10)
    assert (queue.received, queue.delivered) == (10, 0)


async def test_full_queue_has_room_when_half_has_been_taken() -> None:
    queue = filled(10, max_buffered=10)
    assert queue.full
    await queue.get()
    assert (queue.full, queue.room, queue.waiting) == (True, 0, 9)
    await queue.get_batch(3)
    assert (queue.full, queue.room, queue.waiting) == (True, 0, 6)
    queue.get_nowait()
    assert (queue.full, queue.room, queue.waiting) == (False, 5, 5)
    # Half full is not full: what there is room for can be put.
    queue.put(numbered(range(10, 14)))
    assert (queue.full, queue.room, queue.waiting) == (False, 1, 9)


def test_put_takes_the_rest_of_a_unit_for_which_there_is_no_room() -> None:
    queue = filled(8, max_buffered=10)
    queue.put(numbered(range(3)))
    assert (queue.waiting, queue.room) == (11, 0)


async def test_wait_for_room_returns_at_once_where_there_is_some() -> None:
    await filled(9, max_buffered=10).wait_for_room()


# How many may wait, and with how many waiting who wants to put is woken.
@pytest.mark.parametrize(("max_buffered", "resumes_at"), [(10, 5), (11, 5), (2, 1), (1, 0)])
async def test_wait_for_room_resumes_when_half_has_been_taken(
    max_buffered: int, resumes_at: int, autojump_clock: MockClock
) -> None:
    queue = filled(max_buffered, max_buffered=max_buffered)
    woken_with: list[int] = []

    async def produce() -> None:
        await queue.wait_for_room()
        woken_with.append(queue.waiting)

    async with tasks(autojump_clock) as nursery:
        nursery.start_soon(produce)
        for waiting in range(max_buffered, resumes_at, -1):
            await wait_all_tasks_blocked()
            assert queue.waiting == waiting
            assert woken_with == []
            queue.get_nowait()
    assert woken_with == [resumes_at]


async def test_wait_for_room_wakes_every_waiter_and_keeps_the_bound(
    autojump_clock: MockClock,
) -> None:
    queue = filled(10, max_buffered=10)
    room_seen: list[int] = []

    async def produce() -> None:
        await queue.wait_for_room()
        room_seen.append(queue.room)
        queue.put(numbered(range(queue.room)))

    async with tasks(autojump_clock) as nursery:
        for _ in range(3):
            nursery.start_soon(produce)
        await wait_all_tasks_blocked()
        for _ in range(3):
            assert queue.room == 0
            assert await queue.get_batch(None)
            await wait_all_tasks_blocked()
    assert room_seen == [10, 10, 10]


# Dropping --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 10, 11, 25, 100])
@pytest.mark.parametrize(
    ("overflow", "kept"),
    [("drop_oldest", list(range(90, 100))), ("drop_newest", list(range(10)))],
)
async def test_queue_that_drops_keeps_exactly_its_bound(
    overflow: Overflow, kept: list[int], size: int
) -> None:
    queue = filled(100, max_buffered=10, batch=size, overflow=overflow)
    assert numbers_in(queue) == kept
    assert (queue.received, queue.waiting, queue.dropped.total()) == (100, 10, 90)
    assert numbers_of([await queue.get() for _ in kept]) == kept
    assert queue.delivered == 10


@pytest.mark.parametrize(
    ("overflow", "kept"),
    [("drop_oldest", [5, 6, 7, 8, 9]), ("drop_newest", [2, 3, 4, 5, 6])],
)
async def test_queue_drops_from_a_list_that_was_begun(overflow: Overflow, kept: list[int]) -> None:
    queue = DatagramQueue(5, overflow=overflow)
    queue.put(numbered(range(5)))
    assert numbers_of(await queue.get_batch(2)) == [0, 1]
    queue.put(numbered([5, 6, 7]))
    queue.put(numbered([8, 9]))
    assert numbers_in(queue) == kept
    assert numbers_of([queue.get_nowait() for _ in kept]) == kept


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
async def test_what_is_dropped_is_counted_by_group_and_interface(overflow: Overflow) -> None:
    queue = DatagramQueue(1, overflow=overflow)
    first = Datagram(b"0", SOURCE, "239.1.2.3", ETH0)
    others = [
        Datagram(b"1", SOURCE, "239.1.2.3", ETH1),
        Datagram(b"2", SOURCE, None, ETH0),
        Datagram(b"3", SOURCE, "239.1.2.3", ETH1),
    ]
    queue.put(others if overflow == "drop_oldest" else [first])
    queue.put([first] if overflow == "drop_oldest" else others)
    assert list(queue.waiting_datagrams()) == [first]
    assert queue.dropped == {("239.1.2.3", "eth1"): 2, (None, "eth0"): 1}


@pytest.mark.parametrize(("overflow", "kept"), [("drop_oldest", [8, 9]), ("drop_newest", [1, 2])])
async def test_who_waits_is_served_before_anything_is_dropped(
    overflow: Overflow, kept: list[int], autojump_clock: MockClock
) -> None:
    queue = DatagramQueue(2, overflow=overflow)
    taken: list[int] = []

    async def consume() -> None:
        taken.extend(await take_one(queue))

    async with tasks(autojump_clock) as nursery:
        nursery.start_soon(consume)
        await wait_all_tasks_blocked()
        queue.put(numbered(range(10)))
        assert numbers_in(queue) == kept
    assert taken == [0]


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
async def test_queue_that_drops_gives_who_is_about_to_take_a_turn(overflow: Overflow) -> None:
    for _ in range(ENOUGH_FOR_CHANCE):
        queue = filled(10, max_buffered=10, overflow=overflow)
        assert (queue.full, queue.room) == (True, 10)
        found = trio.Event()

        async def consume(queue: DatagramQueue, found: trio.Event) -> None:
            found.set()
            await queue.get_batch(None)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(consume, queue, found)
            await found.wait()  # Who runs first now is left to chance.
            await queue.wait_for_room()
            assert queue.waiting == 0
        with assert_no_checkpoints():
            await queue.wait_for_room()


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
async def test_wait_for_room_does_not_wait_for_consumers_if_the_queue_drops(
    overflow: Overflow,
) -> None:
    queue = filled(10, max_buffered=10, overflow=overflow)
    with trio.fail_after(1):
        await queue.wait_for_room()
    assert queue.full


# Several consumers -----------------------------------------------------------------------------


async def test_rest_of_a_list_goes_to_the_next_consumer(autojump_clock: MockClock) -> None:
    queue = DatagramQueue(10)
    first: list[int] = []
    second: list[int] = []

    async def take_one_and_stop() -> None:
        first.extend(await take_one(queue))

    async def take_the_rest() -> None:
        while len(second) < 9:
            second.extend(await take_one(queue))

    async with tasks(autojump_clock) as nursery:
        nursery.start_soon(take_one_and_stop)
        await wait_all_tasks_blocked()
        nursery.start_soon(take_the_rest)
        await wait_all_tasks_blocked()
        queue.put(numbered(range(10)))
    assert first == [0]
    assert second == list(range(1, 10))


async def test_waiting_consumers_are_served_in_turn(autojump_clock: MockClock) -> None:
    queue = DatagramQueue(10)
    taken: dict[str, list[int]] = {}

    async def consume(name: str) -> None:
        taken[name] = await take_one(queue)

    async with tasks(autojump_clock) as nursery:
        for name in "abc":
            nursery.start_soon(consume, name)
            await wait_all_tasks_blocked()
        queue.put(numbered(range(3)))
    assert taken == {"a": [0], "b": [1], "c": [2]}


async def test_cancelled_consumer_passes_its_turn_on(autojump_clock: MockClock) -> None:
    queue = DatagramQueue(10)
    taken: list[int] = []
    scope = trio.CancelScope()

    async def give_up() -> None:
        with scope:
            await queue.get()

    async def consume() -> None:
        taken.extend(await take_batch(queue))

    async with tasks(autojump_clock) as nursery:
        nursery.start_soon(give_up)
        await wait_all_tasks_blocked()
        nursery.start_soon(consume)
        await wait_all_tasks_blocked()
        scope.cancel()
        await wait_all_tasks_blocked()
        queue.put(numbered(range(3)))
    assert taken == [0, 1, 2]


@pytest.mark.parametrize(("take", "first"), [(take_one, [0]), (take_batch, [0, 1])])
async def test_get_nowait_does_not_overtake_who_waits(
    take: Take, first: list[int], autojump_clock: MockClock
) -> None:
    queue = DatagramQueue(10)
    taken: list[int] = []

    async def consume() -> None:
        taken.extend(await take(queue))

    async with tasks(autojump_clock) as nursery:
        nursery.start_soon(consume)
        await wait_all_tasks_blocked()
        # Putting has handed something to the consumer, which has not run yet.
        queue.put(numbered([0, 1]))
        queue.put(numbered([2, 3]))
        assert taken == []
        rest = numbers_of(queue.get_nowait() for _ in range(queue.waiting))
    assert taken == first
    assert taken + rest == [0, 1, 2, 3]


async def test_who_comes_later_does_not_overtake_who_waits(autojump_clock: MockClock) -> None:
    queue = DatagramQueue(10)
    taken: dict[str, list[int]] = {}

    async def consume(name: str) -> None:
        taken[name] = await take_one(queue)

    async with tasks(autojump_clock) as nursery:
        nursery.start_soon(consume, "early")
        await wait_all_tasks_blocked()
        nursery.start_soon(consume, "late")
        queue.put(numbered([0]))
        await wait_all_tasks_blocked()
        assert taken == {"early": [0]}
        queue.put(numbered([1]))
    assert taken == {"early": [0], "late": [1]}


async def test_consumers_that_never_wait_do_not_starve_one_that_does(
    autojump_clock: MockClock,
) -> None:
    queue = DatagramQueue(10)
    done = trio.Event()

    async def produce() -> None:
        while not done.is_set():
            if not queue.full:
                queue.put(numbered(range(5)))
            await trio.lowlevel.checkpoint()

    async def take_for_ever() -> None:
        while not done.is_set():
            await queue.get_batch(None)

    async def take_a_few() -> None:
        for _ in range(100):
            await queue.get()
        done.set()

    async with tasks(autojump_clock) as nursery:
        for task in (produce, take_for_ever, take_for_ever, take_a_few):
            nursery.start_soon(task)
        await done.wait()
        nursery.cancel_scope.cancel()
    assert done.is_set()


# Cancellation ----------------------------------------------------------------------------------


@EITHER_WAY
async def test_cancelled_taking_takes_nothing(take: Take) -> None:
    queue = filled(20)
    queue.get_nowait()
    with trio.CancelScope() as scope:
        scope.cancel()
        await take(queue)
    assert scope.cancelled_caught
    assert (queue.delivered, queue.waiting) == (1, 19)
    assert await take_one(queue) == [1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("consumers", [1, 3])
async def test_cancelling_at_random_points_loses_nothing(
    seed: int, consumers: int, autojump_clock: MockClock
) -> None:
    total = 3_000
    chance = random.Random(seed)
    queue = DatagramQueue(50)
    taken: list[list[int]] = [[] for _ in range(consumers)]
    scopes: dict[int, trio.CancelScope] = {}
    cancelled = 0

    async def produce() -> None:
        number = 0
        while number < total:
            await queue.wait_for_room()
            size = min(chance.randint(1, 20), queue.room, total - number)
            queue.put(numbered(range(number, number + size)))
            number += size
            for _ in range(chance.randrange(12)):  # Now and then the queue runs dry.
                await trio.lowlevel.checkpoint()

    async def consume(mine: int) -> None:
        nonlocal cancelled
        while sum(map(len, taken)) < total:
            with trio.CancelScope() as scopes[mine]:
                if chance.random() < 0.5:
                    taken[mine].extend(await take_one(queue))
                else:
                    batch = await queue.get_batch(chance.choice([None, 1, 5]))
                    taken[mine].extend(numbers_of(batch))
            cancelled += scopes[mine].cancelled_caught

    async def cancel_now_and_then() -> None:
        while sum(map(len, taken)) < total:
            await trio.lowlevel.checkpoint()
            if chance.random() < 0.5:
                scopes[chance.choice(list(scopes))].cancel()
        # Those who still wait have nothing to wait for.
        for scope in scopes.values():
            scope.cancel()

    async with tasks(autojump_clock) as nursery:
        for mine in range(consumers):
            nursery.start_soon(consume, mine)
        nursery.start_soon(produce)
        nursery.start_soon(cancel_now_and_then)

    assert cancelled > 10  # Else this test has tested nothing.
    for numbers in taken:
        assert numbers == sorted(numbers)
    assert sorted(number for numbers in taken for number in numbers) == list(range(total))
    assert (queue.received, queue.delivered, queue.waiting) == (total, total, 0)


# Closing ---------------------------------------------------------------------------------------


@EITHER_WAY
@pytest.mark.parametrize("waiting", [0, 20])
async def test_taking_after_close_is_an_error_even_with_data(take: Take, waiting: int) -> None:
    queue = filled(waiting)
    queue.close()
    with pytest.raises(trio.ClosedResourceError, match="this receiver was closed"):
        await take(queue)
    with pytest.raises(trio.ClosedResourceError, match="this receiver was closed"):
        queue.get_nowait()
    queue.close()  # Idempotent.


@EITHER_WAY
async def test_close_wakes_every_waiter_with_an_error(
    take: Take, autojump_clock: MockClock
) -> None:
    queue = DatagramQueue(10)
    closed: list[str] = []

    async def consume(name: str) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await take(queue)
        closed.append(name)

    async with tasks(autojump_clock) as nursery:
        for name in "abc":
            nursery.start_soon(consume, name)
        await wait_all_tasks_blocked()
        queue.close()
    assert sorted(closed) == ["a", "b", "c"]


@EITHER_WAY
async def test_close_counts_even_for_a_consumer_that_has_found_something(take: Take) -> None:
    async def consume(queue: DatagramQueue) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await take(queue)

    for _ in range(ENOUGH_FOR_CHANCE):
        queue = filled(10)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(consume, queue)
            # Who runs first now is left to chance: it is about to begin, or in its checkpoint.
            await trio.lowlevel.checkpoint()
            queue.close()
        assert queue.delivered == 0


@EITHER_WAY
async def test_what_was_handed_over_before_closing_is_not_lost(
    take: Take, autojump_clock: MockClock
) -> None:
    queue = DatagramQueue(10)
    taken: list[int] = []

    async def consume() -> None:
        taken.extend(await take(queue))

    async with tasks(autojump_clock) as nursery:
        nursery.start_soon(consume)
        await wait_all_tasks_blocked()
        queue.put(numbered([7]))
        queue.close()
    assert taken == [7]
    assert (queue.received, queue.delivered) == (1, 1)


async def test_close_wakes_who_waits_for_room(autojump_clock: MockClock) -> None:
    queue = filled(10, max_buffered=10)

    async def produce() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await queue.wait_for_room()

    async with tasks(autojump_clock) as nursery:
        nursery.start_soon(produce)
        await wait_all_tasks_blocked()
        queue.close()
    with pytest.raises(trio.ClosedResourceError):
        queue.put(numbered([1]))
    assert queue.waiting == 10, "what was discarded by closing"
