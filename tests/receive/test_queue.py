"""The queue between the interface tasks and the program: its order, its promises."""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import (
    MockClock,
    assert_checkpoints,
    wait_all_tasks_blocked,
)

from tests.support.queues import (
    EITHER_WAY,
    ENOUGH_FOR_CHANCE,
    Take,
    filled,
    numbered,
    numbers_of,
    take_batch,
    take_one,
    tasks,
)
from trio_mcast._receive.queue import DatagramQueue

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
