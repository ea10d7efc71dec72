"""Datagrams that are numbers, and queues of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest
import trio
from trio.testing import MockClock

from tests.support.interfaces import ETH0
from trio_mcast import Datagram, Endpoint
from trio_mcast._receive.latest import queue_for
from trio_mcast._receive.queue import DatagramQueue
from trio_mcast._receive.store import Overflow

SOURCE = Endpoint("10.0.0.9", 5000)

# Trio runs tasks that are ready in random order: after so many times, each order has been seen.
ENOUGH_FOR_CHANCE = 30

# Both ways to wait, as a function that gives what was taken as numbers.
Take: TypeAlias = Callable[[DatagramQueue], Awaitable[list[int]]]


@asynccontextmanager
async def tasks(clock: MockClock) -> AsyncIterator[trio.Nursery]:
    """Open a nursery that fails, instead of hanging, where every task waits for ever."""
    assert clock.autojump_threshold == 0
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            yield nursery


def numbered(numbers: Iterable[int]) -> list[Datagram]:
    return [Datagram(b"%d" % number, SOURCE, "239.1.2.3", ETH0) for number in numbers]


def numbers_of(datagrams: Iterable[Datagram]) -> list[int]:
    return [int(datagram.data) for datagram in datagrams]


def filled(
    count: int, max_buffered: int = 1_000, batch: int = 10, overflow: Overflow = "wait"
) -> DatagramQueue:
    """Return a queue with datagrams 0, 1, 2, ... in lists of ``batch``."""
    queue = queue_for(max_buffered, overflow)
    for start in range(0, count, batch):
        queue.put(numbered(range(start, min(start + batch, count))))
        numbers_in(queue)
    return queue


async def take_one(queue: DatagramQueue) -> list[int]:
    return numbers_of([await queue.get()])


async def take_batch(queue: DatagramQueue) -> list[int]:
    return numbers_of(await queue.get_batch(None))


def numbers_in(queue: DatagramQueue) -> list[int]:
    """Return the numbers that wait in the queue, whose counts have to fit."""
    numbers = numbers_of(queue.waiting_datagrams())
    assert len(numbers) == queue.waiting
    assert queue.received == queue.delivered + queue.waiting + queue.dropped.total()
    return numbers


EITHER_WAY = pytest.mark.parametrize("take", [take_one, take_batch])


class Sockets:
    """Stands for the sockets of an interface, with a task that reads them as a reader does."""

    def __init__(self, queue: DatagramQueue) -> None:
        self._queue = queue
        self._arrived: list[Datagram] = []
        self._wake = trio.Event()
        # Whether a consumer waits for itself, and was interrupted.
        self._ahead = False
        self._interrupted = False
        self._closed = False
        # Whether all that has arrived is one unit, which is read as a whole.
        self.units = False
        # Whether a look finds what has arrived; else only a wait does.
        self.looks = False
        # Who has read how many.
        self.read_by_task = 0
        self.read_by_consumer = 0
        self.read_by_look = 0

    def arrive(self, numbers: Iterable[int]) -> None:
        self._arrived += numbered(numbers)
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    def interrupt(self) -> None:
        self._interrupted = True
        self._wake.set()

    @property
    def task_reads(self) -> bool:
        """Whether it is the task that waits, and no consumer for itself."""
        return not self._ahead

    async def _wait_until(self, is_over: Callable[[], object]) -> None:
        await trio.lowlevel.checkpoint()
        while not (self._closed or is_over()):
            if self._wake.is_set():
                self._wake = trio.Event()
            await self._wake.wait()
        if self._closed:
            raise trio.ClosedResourceError

    def _take(self, room: int) -> list[Datagram]:
        count = len(self._arrived) if self.units else room
        batch, self._arrived = self._arrived[:count], self._arrived[count:]
        return batch

    def read_now(self, room: int) -> list[Datagram]:
        if self._closed or not self.looks:
            return []
        batch = self._take(room)
        self.read_by_look += len(batch)
        return batch

    async def read(self) -> list[Datagram]:
        assert not self._ahead, "one at a time"
        self._ahead, self._interrupted = True, False
        try:
            await self._wait_until(lambda: self._arrived or self._interrupted)
        finally:
            self._ahead = False
            self._wake.set()
        batch = self._take(self._queue.room)
        self.read_by_consumer += len(batch)
        return batch

    async def run(self) -> None:
        self._queue.lend(self)
        try:
            while True:
                await self._queue.wait_for_room()
                await self._wait_until(lambda: self._arrived and not self._ahead)
                await self._queue.let_return()
                batch = self._take(self._queue.room)
                self.read_by_task += len(batch)
                if batch:
                    self._queue.put(batch, self)
        except trio.ClosedResourceError:
            pass
        finally:
            self._queue.take_back(self)
