"""The bound of the queue: when reading waits for room, and what is dropped if it does not."""

from __future__ import annotations

import pytest
import trio
from trio.testing import (
    MockClock,
    assert_no_checkpoints,
    wait_all_tasks_blocked,
)

from tests.support.interfaces import ETH0, ETH1
from tests.support.queues import (
    ENOUGH_FOR_CHANCE,
    SOURCE,
    filled,
    numbered,
    numbers_in,
    numbers_of,
    take_one,
    tasks,
)
from trio_mcast import Datagram
from trio_mcast._receive.queue import DatagramQueue
from trio_mcast._receive.store import Overflow

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
    with trio.fail_after(5):
        await queue.wait_for_room()
    assert queue.full


@pytest.mark.parametrize("overflow", ["wait", "drop_oldest", "drop_newest"])
def test_last_datagrams_of_a_socket_are_put_as_far_as_there_is_room(overflow: Overflow) -> None:
    queue = DatagramQueue(5, overflow=overflow)
    for batch in (range(3), range(0), range(3, 7), range(7, 8)):
        queue.put_last(numbered(batch))
        assert queue.received == queue.waiting + queue.dropped.total()
    kept = [3, 4, 5, 6, 7] if overflow == "drop_oldest" else [0, 1, 2, 3, 4]
    assert numbers_of(queue.waiting_datagrams()) == kept
    assert queue.dropped == {("239.1.2.3", "eth0"): 3}


@pytest.mark.parametrize("room", [3, 1_000])
async def test_last_datagrams_are_counted_once_though_a_consumer_takes_of_them(
    room: int, autojump_clock: MockClock
) -> None:
    queue = DatagramQueue(room)
    taken: list[int] = []

    async def take() -> None:
        taken.extend(await take_one(queue))

    async with tasks(autojump_clock) as nursery:
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        queue.put_last(numbered(range(5)))
    kept = list(range(min(room, 5)))
    assert (taken, numbers_in(queue)) == (kept[:1], kept[1:])
    assert (queue.received, queue.dropped.total()) == (5, 5 - len(kept))
