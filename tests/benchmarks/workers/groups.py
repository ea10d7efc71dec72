"""This library with many groups."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import trio
import trio.testing

from trio_mcast import McastReceiver, open_mcast_receiver

from .._groups import FEW_PER_TURN, FILLS_PER_TURN, SPREAD_PORT, Spread
from .._network import GROUP, PORT, RECEIVE_BUFFER_BYTES, interface_names
from .._turns import Lost

_PAGE_BYTES = 4_096

# Below this, memory says more about the allocator than about memberships.
_FEW_MEMBERSHIPS = 100


def measure(spread: Spread) -> None:
    async def main() -> None:
        memory: float | None = None
        async with open_mcast_receiver(
            GROUP, PORT, interfaces="eth0", receive_buffer_size=RECEIVE_BUFFER_BYTES
        ) as one:
            for _ in spread.turns:
                # Only the first turn takes memory that later turns then have already.
                grown = await _turn(spread, one)
                memory = grown if memory is None else memory
                memberships = spread.count * len(spread.senders)
                if memberships > _FEW_MEMBERSHIPS:
                    spread.turns.report(bytes_per_membership=memory / memberships)

    trio.run(main)


async def _turn(spread: Spread, one: McastReceiver) -> float:
    before = _resident_bytes()
    start = time.perf_counter()
    async with open_mcast_receiver(
        spread.groups,
        SPREAD_PORT,
        interfaces=interface_names(len(spread.senders)),
        receive_buffer_size=RECEIVE_BUFFER_BYTES,
    ) as many:
        spread.keep(opening_seconds=time.perf_counter() - start)
        await trio.testing.wait_all_tasks_blocked()
        grown = _resident_bytes() - before
        for _ in range(FILLS_PER_TURN):
            spread.keep(ns_one=await _drain(one, spread.fill_one()))
            spread.keep(ns_spread=await _drain(many, spread.fill_all()))
        for _ in range(FILLS_PER_TURN):
            spread.keep(ns_half=await _drain(many, spread.fill_half()))
        for _ in range(FEW_PER_TURN):
            spread.keep(ns_each=await _drain(many, spread.fill_each()))
        if many.statistics().dropped_by_kernel:
            raise Lost("the kernel has dropped datagrams")
    spread.report()
    return grown


async def _drain(receiver: McastReceiver, count: int) -> float:
    """Nanoseconds of processor time per datagram."""
    start = time.thread_time_ns()
    left = count
    while left > 0:
        batch = await receiver.receive_batch()
        for datagram in batch:
            _last = datagram.data
        left -= len(batch)
    if left:
        raise Lost(f"{-left} datagrams too many")
    return (time.thread_time_ns() - start) / count


def _resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
