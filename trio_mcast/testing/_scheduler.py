"""What is to happen when: one heap for a whole virtual network.

Decision: who delivers
======================

A task per cable would be woken in Trio's order, which is random. Here one heap holds everything
that is under way, ordered by the time at which it is due, then by the path that it takes, then by
number. One task sleeps until the first of it is due. Whoever calls into the network (sends, reads,
opens) first has everything delivered that is due by then, so it makes no difference who is woken
first.
What takes no time is delivered before the call that sent it returns.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import trio

from ._trace import Trace


class Scheduler:
    """Calls functions when they are due, in order."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._heap: list[tuple[float, tuple[int, ...], int, int, Callable[[], None]]] = []
        self._number = 0
        self._running = False
        self._start = trio.current_time()
        self._first_changed = trio.Event()

    def now(self) -> float:
        """Seconds since the start."""
        return trio.current_time() - self._start

    def schedule(self, due: float, path: tuple[int, ...], call: Callable[[], None]) -> None:
        """Have a function called.

        Args:
            due: When, in seconds since the start; at once if that is now.
            path: Decides between those that are due at the same time.
            call: The function.
        """
        self._number += 1
        heapq.heappush(self._heap, (due, path, self._number, self._trace.depth, call))
        if due <= self.now():
            self.run_due()
        elif self._heap[0][2] == self._number:
            self._first_changed.set()

    def run_due(self) -> None:
        """Call all that is due. Unless this is called from one of them: then they follow it."""
        if self._running:
            return
        self._running = True
        outer = self._trace.depth
        try:
            now = self.now()
            while self._heap and self._heap[0][0] <= now:
                due, _path, _number, depth, call = heapq.heappop(self._heap)
                self._trace.depth = depth if due == now else 0
                call()
        finally:
            self._running = False
            self._trace.depth = outer

    async def run(self) -> None:
        """Call everything when it is due, until cancelled."""
        while True:
            self._trace.begin(self.now(), None)
            self.run_due()
            self._first_changed = trio.Event()
            due = self._heap[0][0] + self._start if self._heap else math.inf
            with trio.move_on_at(due):
                await self._first_changed.wait()
