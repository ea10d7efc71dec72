"""The queue that keeps the latest datagram of each source."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.interfaces import ETH0, ETH1
from tests.support.queues import numbers_of, tasks
from trio_mcast import Datagram, Endpoint, Interface
from trio_mcast._receive.latest import LatestQueue

pytestmark = pytest.mark.once

GROUP, OTHER = "239.1.2.3", "239.1.2.4"
LOUD, QUIET = Endpoint("10.0.0.1", 5000), Endpoint("10.0.0.2", 5000)


def value(
    number: int,
    source: Endpoint = LOUD,
    group: str | None = GROUP,
    interface: Interface = ETH0,
) -> Datagram:
    return Datagram(b"%d" % number, source, group, interface)


def loud(numbers: Iterable[int]) -> list[Datagram]:
    return [value(number) for number in numbers]


def waiting(queue: LatestQueue) -> list[int]:
    """Return the numbers that wait in the queue, whose counts have to fit."""
    numbers = numbers_of(queue.waiting_datagrams())
    assert len(numbers) == queue.waiting
    assert queue.received == queue.delivered + queue.waiting + queue.dropped.total()
    return numbers


def test_newer_datagram_takes_the_place_of_the_older() -> None:
    queue = LatestQueue(100)
    queue.put([value(1), value(2, QUIET)])
    queue.put([value(3)])
    assert waiting(queue) == [3, 2], "in the place, not at the end"
    assert queue.dropped == {(GROUP, "eth0"): 1}


def test_one_read_is_reduced_to_the_latest_of_each_source() -> None:
    queue = LatestQueue(100)
    queue.put([value(1), value(2, QUIET), *loud(range(3, 50)), value(50, QUIET)])
    assert waiting(queue) == [49, 50]
    assert queue.dropped == {(GROUP, "eth0"): 48}


def test_places_are_of_destination_source_and_interface() -> None:
    queue = LatestQueue(100)
    other_port = Endpoint(LOUD.host, LOUD.port + 1)
    different = [value(1), value(2, group=OTHER), value(3, interface=ETH1), value(4, other_port)]
    queue.put(different)
    queue.put(different)
    assert waiting(queue) == [1, 2, 3, 4]


def test_unicast_is_bounded_and_never_replaced() -> None:
    queue = LatestQueue(4)
    queue.put([value(1, group=None), value(2), value(3, group=None)])
    queue.put([value(4, group=None), value(5)])
    assert waiting(queue) == [1, 5, 3, 4]
    queue.put([value(6, group=None)])
    assert waiting(queue) == [5, 3, 4, 6]
    assert queue.dropped == {(GROUP, "eth0"): 1, (None, "eth0"): 1}


def test_beyond_the_bound_the_one_that_waits_longest_goes() -> None:
    queue = LatestQueue(3)
    forged = [value(number, Endpoint("10.9.9.9", number)) for number in range(1, 11)]
    queue.put([value(0, QUIET)])
    queue.put(forged[:2])
    queue.put([value(20, QUIET)])  # Newer, in the place that waits longest.
    queue.put(forged[2:3])
    assert waiting(queue) == [1, 2, 3]
    queue.put(forged[3:])
    assert waiting(queue) == [8, 9, 10]


@pytest.mark.parametrize("most", [None, 1, 2, 5])
async def test_place_that_was_taken_is_a_new_one_at_the_end(most: int | None) -> None:
    queue = LatestQueue(100)
    queue.put([value(1), value(2, QUIET), value(3, group=None)])
    count = len(await queue.get_batch(most))
    queue.put([value(4)])
    assert waiting(queue) == [*[1, 2, 3][count:], 4]
    assert numbers_of([queue.get_nowait() for _ in range(4 - count)]) == [*[1, 2, 3][count:], 4]
    queue.put([value(5)])
    assert waiting(queue) == [5]


async def test_loud_source_does_not_starve_a_quiet_one() -> None:
    queue = LatestQueue(2)
    queue.put([value(1000, QUIET)])
    sources = []
    for number in range(10):
        queue.put(loud([number, number]))
        sources.append(queue.get_nowait().source)
        queue.put([value(1000, QUIET)])
    assert sources.count(QUIET) == sources.count(LOUD) == 5


@pytest.mark.parametrize("most", [None, 1])
async def test_who_waits_gets_the_latest_of_what_was_put(
    most: int | None, autojump_clock: MockClock
) -> None:
    queue = LatestQueue(10)
    taken: list[Datagram] = []

    async def consume() -> None:
        taken.extend(await queue.get_batch(most))

    async with tasks(autojump_clock) as nursery:
        nursery.start_soon(consume)
        await wait_all_tasks_blocked()
        queue.put(loud(range(10)))
    assert numbers_of(taken) == [9]
    assert waiting(queue) == []


class ReadyReader:
    """A reader that has something to read at once."""

    def read_now(self, room: int) -> list[Datagram]:
        return []

    async def read(self) -> list[Datagram]:
        await trio.lowlevel.checkpoint()
        return loud(range(10))

    def interrupt(self) -> None:
        raise AssertionError("nobody else puts anything")


@pytest.mark.parametrize("most", [None, 1, 100])
async def test_who_reads_for_itself_gets_the_latest_only(
    most: int | None, autojump_clock: MockClock
) -> None:
    queue = LatestQueue(10)
    queue.lend(ReadyReader())
    with trio.fail_after(1):
        assert numbers_of(await queue.get_batch(most)) == [9]
    assert waiting(queue) == []


def test_room_is_for_what_replaces_others() -> None:
    queue = LatestQueue(1)
    queue.put(loud([1]))
    assert (queue.full, queue.room) == (True, 1024)
    assert LatestQueue(5000).room == 5000
