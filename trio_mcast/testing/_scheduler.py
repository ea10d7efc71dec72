"""The schedule: one heap of future calls for a whole virtual network.

Decision: who delivers
======================

A task per cable would be woken in Trio's order, which is random. Here one heap holds everything
that is under way, ordered by due time, then by path, then by number. One task sleeps until the
first entry is due. Whoever calls into the network (sends, reads, opens) first has everything
delivered that is due by then, so the order of waking makes no difference. A frame that takes no
time is delivered before the call that sent the frame returns.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Final

import trio

from ._recorder import Recorder

NS_PER_SECOND: Final = 1_000_000_000


class Scheduler:
    """A heap of functions that are called when due, in order.

    Times are whole nanoseconds since the start, so sums are exact: two calls that are due at the
    same time are so in every run, whatever the clock showed at the start.
    """

    def __init__(self, trace: Recorder) -> None:
        self._trace = trace
        self._heap: list[tuple[int, tuple[int, ...], int, int, Callable[[], None]]] = []
        self._number = 0
        self._running = False
        self._clock = trio.lowlevel.current_clock()
        self._start = self._clock.current_time()
        self._first_changed = trio.Event()
        self._ended = False
        self._now_ns = 0
        self._failure: Exception | None = None

    def now_ns(self) -> int:
        """Return the nanoseconds from the start to the last `read_clock`, or to the end.

        The time stands still while one call of a program is carried out.
        """
        return self._now_ns

    def read_clock(self) -> int:
        """Read the clock, and return the nanoseconds since the start."""
        if not self._ended:
            self._now_ns = round((self._clock.current_time() - self._start) * NS_PER_SECOND)
        return self._now_ns

    def later(self, seconds: float) -> int:
        """Return the time so many seconds from now, but never now."""
        return self.now_ns() + max(1, round(seconds * NS_PER_SECOND))

    def end(self) -> None:
        """Drop all future calls, and take no new ones."""
        self.read_clock()
        self._ended = True
        self._heap.clear()

    def schedule(self, due_ns: int, path: tuple[int, ...], call: Callable[[], None]) -> None:
        """Have a function called.

        Args:
            due_ns: When; at once if the time is now.
            path: Decides between calls that are due at the same time.
            call: The function.
        """
        if self._ended:
            return
        self._number += 1
        heapq.heappush(self._heap, (due_ns, path, self._number, self._trace.depth, call))
        if due_ns <= self.now_ns():
            self._call_due()
        elif self._heap[0][2] == self._number:
            self._first_changed.set()

    def is_due(self) -> bool:
        """Tell whether a function is due that was not called yet."""
        return self.is_due_at(self.read_clock())

    def is_due_at(self, now_ns: int) -> bool:
        """Tell whether a function is due at a time that was not called yet."""
        return not self._running and bool(self._heap) and self._heap[0][0] <= now_ns

    def run_due(self) -> None:
        """Call all functions that are due.

        What such a function raises is no matter of whoever comes by: it ends `run`.
        """
        try:
            self._call_due()
        except Exception as error:
            self._failure = self._failure or error
            self._first_changed.set()

    def _call_due(self) -> None:
        """Call all functions that are due. From inside such a function, the others follow later."""
        if self._running:
            return
        self._running = True
        outer = self._trace.depth
        try:
            while self._heap and self._heap[0][0] <= self._now_ns:
                due, _path, _number, depth, call = heapq.heappop(self._heap)
                self._trace.depth = depth if due == self._now_ns else 0
                call()
                # A call may schedule more that is due, or that is by the time of a real clock.
                if self._heap and self._heap[0][0] > self._now_ns:
                    self.read_clock()
        finally:
            self._running = False
            self._trace.depth = outer

    async def run(self, _: trio.Nursery) -> None:
        """Call every function when due, until cancelled or until one raises."""
        while True:
            self._trace.begin(self.read_clock(), None)
            self.run_due()
            if self._failure is not None:
                raise self._failure
            self._first_changed = trio.Event()
            due = math.inf
            if self._heap:
                due = self._start + self._heap[0][0] / NS_PER_SECOND
            with trio.move_on_at(due):
                await self._first_changed.wait()
