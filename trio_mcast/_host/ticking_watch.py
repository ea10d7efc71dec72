"""Watching interfaces where the system does not tell of changes: a look once a second.

The watcher only says when to look. Whoever follows compares the look with the last one anyway, and
an interface that has gone is not in it.
"""

from __future__ import annotations

import trio

from .protocols import Ended

# How often interfaces are looked at. Arbitrary.
_SECONDS = 1.0


class TickingWatcher:
    """An `InterfaceWatcher` that takes it that something changes every second."""

    def __init__(self) -> None:
        self._closed = trio.Event()
        self._due = trio.current_time() + _SECONDS

    async def wait(self) -> Ended:
        while True:
            self._check_open()
            with trio.move_on_at(self._due):
                await self._closed.wait()
            self._check_open()
            ended = self.take()
            if ended is not None:
                return ended

    def take(self) -> Ended | None:
        # Also somewhat before it is due: all who wait then have their looks at the same times.
        if self._due - trio.current_time() > _SECONDS / 2:
            return None
        self._due = trio.current_time() + _SECONDS
        return Ended()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise trio.ClosedResourceError("this watcher was closed")

    def close(self) -> None:
        self._closed.set()
