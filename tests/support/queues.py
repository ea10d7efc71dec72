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
from trio_mcast._receive.queue import DatagramQueue, Overflow

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
