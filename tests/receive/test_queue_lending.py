"""Consumers that read for themselves: nothing is lost, nobody is overtaken, and all of it ends."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.queues import (
    EITHER_WAY,
    Sockets,
    Take,
    numbered,
    numbers_of,
    take_batch,
    take_one,
)
from trio_mcast._receive.queue import DatagramQueue


class Consumer:
    """A task that reads for itself, and waits."""

    def __init__(self, queue: DatagramQueue, take: Take) -> None:
        self._queue = queue
        self._take = take
        self.scope = trio.CancelScope()
        self.taken: list[int] = []
        self.error = ""

    async def run(self) -> None:
        """Take once."""
        with self.scope:
            try:
                self.taken = await self._take(self._queue)
            except trio.ClosedResourceError as error:
                self.error = str(error)


@asynccontextmanager
async def borrowing(
    queue: DatagramQueue, clock: MockClock, take: Take = take_one
) -> AsyncIterator[tuple[Sockets, Consumer, trio.Nursery]]:
    """Sockets, and a consumer that has borrowed them and waits."""
    assert clock.autojump_threshold == 0
    sockets, consumer = Sockets(queue), Consumer(queue, take)
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sockets.run)
            await wait_all_tasks_blocked()
            nursery.start_soon(consumer.run)
            await wait_all_tasks_blocked()
            assert queue._borrowed is sockets
            assert not sockets.task_reads
            yield sockets, consumer, nursery
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()


@EITHER_WAY
async def test_consumer_that_waits_reads_for_itself(take: Take, autojump_clock: MockClock) -> None:
    queue = DatagramQueue(10)
    async with borrowing(queue, autojump_clock, take) as (sockets, consumer, _):
        sockets.arrive([0])
        await wait_all_tasks_blocked()
        assert consumer.taken == [0]
        assert (sockets.read_by_consumer, sockets.read_by_task) == (1, 0)
        # It does not come back: now the task reads.
        assert sockets.task_reads
        sockets.arrive([1, 2])
        await wait_all_tasks_blocked()
        assert numbers_of(queue.waiting_datagrams()) == [1, 2]
        assert sockets.read_by_task == 2


async def test_what_a_consumer_has_read_and_not_taken_waits(autojump_clock: MockClock) -> None:
    queue = DatagramQueue(10)
    async with borrowing(queue, autojump_clock) as (sockets, consumer, _):
        sockets.arrive(range(25))
        await wait_all_tasks_blocked()
        assert consumer.taken == [0]
        assert numbers_of(queue.waiting_datagrams()) == list(range(1, 11))
        assert queue.full, "the bound holds: the task waits for room, and has read once"


@EITHER_WAY
async def test_cancelled_borrower_takes_nothing_and_the_task_reads_on(
    take: Take, autojump_clock: MockClock
) -> None:
    queue = DatagramQueue(10)
    async with borrowing(queue, autojump_clock, take) as (sockets, consumer, _):
        consumer.scope.cancel()
        sockets.arrive([0, 1])
        await wait_all_tasks_blocked()
        assert consumer.scope.cancelled_caught
        assert consumer.taken == []
        assert numbers_of(queue.waiting_datagrams()) == [0, 1]
        assert sockets.task_reads


@EITHER_WAY
async def test_what_another_puts_ends_the_waiting(take: Take, autojump_clock: MockClock) -> None:
    queue = DatagramQueue(10)
    async with borrowing(queue, autojump_clock, take) as (sockets, consumer, _):
        queue.put(numbered([7]))
        await wait_all_tasks_blocked()
        assert consumer.taken == [7]
        assert sockets.task_reads


async def test_those_who_wait_behind_a_borrower_are_served_after_it(
    autojump_clock: MockClock,
) -> None:
    queue = DatagramQueue(10)
    second, third = Consumer(queue, take_one), Consumer(queue, take_batch)
    async with borrowing(queue, autojump_clock) as (sockets, first, nursery):
        for consumer in (second, third):
            nursery.start_soon(consumer.run)
            await wait_all_tasks_blocked()
        sockets.arrive([0, 1, 2, 3])
        await wait_all_tasks_blocked()
        assert (first.taken, second.taken, third.taken) == ([0], [1], [2, 3])


async def test_what_another_puts_goes_to_the_borrower_first(autojump_clock: MockClock) -> None:
    queue = DatagramQueue(10)
    second = Consumer(queue, take_one)
    async with borrowing(queue, autojump_clock) as (_, first, nursery):
        nursery.start_soon(second.run)
        await wait_all_tasks_blocked()
        queue.put(numbered([0]))
        queue.put(numbered([1]))
        await wait_all_tasks_blocked()
        assert (first.taken, second.taken) == ([0], [1])


async def test_what_is_put_for_a_borrower_that_is_cancelled_goes_to_the_next(
    autojump_clock: MockClock,
) -> None:
    queue = DatagramQueue(10)
    second = Consumer(queue, take_one)
    async with borrowing(queue, autojump_clock) as (_, first, nursery):
        nursery.start_soon(second.run)
        await wait_all_tasks_blocked()
        first.scope.cancel()
        queue.put(numbered([0]))
        await wait_all_tasks_blocked()
        assert (first.taken, second.taken) == ([], [0])


@EITHER_WAY
async def test_closing_ends_the_waiting_of_a_borrower(
    take: Take, autojump_clock: MockClock
) -> None:
    queue = DatagramQueue(10)
    async with borrowing(queue, autojump_clock, take) as (_, consumer, _nursery):
        queue.close()
        await wait_all_tasks_blocked()
        assert consumer.error == "this receiver was closed"


@EITHER_WAY
async def test_borrower_waits_on_when_its_sockets_are_closed(
    take: Take, autojump_clock: MockClock
) -> None:
    queue = DatagramQueue(10)
    async with borrowing(queue, autojump_clock, take) as (sockets, consumer, nursery):
        sockets.close()
        await wait_all_tasks_blocked()
        assert consumer.taken == []
        others = Sockets(queue)
        nursery.start_soon(others.run)
        others.arrive([0])
        await wait_all_tasks_blocked()
        assert consumer.taken == [0]


async def test_borrower_takes_before_the_policy_drops(autojump_clock: MockClock) -> None:
    queue = DatagramQueue(3, overflow="drop_oldest")
    async with borrowing(queue, autojump_clock, take_batch) as (sockets, consumer, _):
        sockets.units = True
        sockets.arrive(range(10))
        await wait_all_tasks_blocked()
        assert consumer.taken == list(range(10))
        assert not queue.dropped


# Each takes two seconds.
OTHER_WAYS_TO_CONSUME = [
    (1, 1, True),
    (1, 3, False),
    (1, 3, True),
    (2, 1, False),
    (2, 1, True),
    (2, 3, False),
]


@pytest.mark.parametrize(
    ("interfaces", "consumers", "looks"),
    [
        (1, 1, False),
        (2, 3, True),
        *(pytest.param(*how, marks=pytest.mark.once) for how in OTHER_WAYS_TO_CONSUME),
    ],
)
async def test_cancelling_at_random_points_loses_nothing(
    consumers: int, interfaces: int, looks: bool, autojump_clock: MockClock
) -> None:
    assert autojump_clock.autojump_threshold == 0
    sockets = [
        item for seed in range(5) for item in await cancel(seed, consumers, interfaces, looks)
    ]
    if looks:
        assert sum(item.read_by_look for item in sockets) >= 5
        return
    # Both ways to read were gone, else this test has tested nothing. Where several consumers wait
    # most of the time, or several interfaces deliver, one that reads for itself can be rare; and as
    # Trio itself shuffles the tasks, a single scenario can do without.
    assert sum(item.read_by_task for item in sockets) >= 5
    if consumers == interfaces == 1:
        assert sum(item.read_by_consumer for item in sockets) >= 5


async def cancel(seed: int, consumers: int, interfaces: int, looks: bool) -> list[Sockets]:
    """Take what arrives while being cancelled at random points; nothing may be lost.

    Returns:
        What was read from.
    """
    total, chance, queue = 2_000, random.Random(seed), DatagramQueue(50)
    sockets = [Sockets(queue) for _ in range(interfaces)]
    for item in sockets:
        item.looks = looks
    taken: list[list[int]] = [[] for _ in range(consumers)]
    scopes: dict[int, trio.CancelScope] = {}

    async def arrive() -> None:
        number = 0
        while number < total:
            end = min(number + chance.randint(1, 20), total)
            chance.choice(sockets).arrive(range(number, end))
            number = end
            for _ in range(chance.choice([0, 5, 200])):  # Now and then everything runs dry.
                await trio.lowlevel.checkpoint()

    async def consume(mine: int) -> None:
        while sum(map(len, taken)) < total:
            with trio.CancelScope() as scopes[mine]:
                if chance.random() < 0.5:
                    taken[mine].extend(await take_one(queue))
                else:
                    batch = await queue.get_batch(chance.choice([None, 1, 5]))
                    taken[mine].extend(numbers_of(batch))

    async def cancel_now_and_then() -> None:
        while sum(map(len, taken)) < total:
            await trio.lowlevel.checkpoint()
            if chance.random() < 0.2:
                scopes[chance.choice(list(scopes))].cancel()
        for scope in scopes.values():
            scope.cancel()

    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            for item in sockets:
                nursery.start_soon(item.run)
            async with trio.open_nursery() as inner:
                for mine in range(consumers):
                    inner.start_soon(consume, mine)
                inner.start_soon(arrive)
                inner.start_soon(cancel_now_and_then)
            nursery.cancel_scope.cancel()

    assert sorted(number for numbers in taken for number in numbers) == list(range(total))
    assert (queue.received, queue.delivered, queue.waiting) == (total, total, 0)
    if interfaces == 1:
        assert all(numbers == sorted(numbers) for numbers in taken)
    return sockets
