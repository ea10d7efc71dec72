"""Waiting until something can be seen to be so, with a deadline.

The kernel says nothing when a switch has understood a report or a program has got ready, so the lab
has to look again and again. It never merely sleeps and hopes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")

DEFAULT_TIMEOUT_SECONDS = 5.0
# Arbitrary: short against what is waited for, and long enough to leave the machine to others.
_PAUSE_SECONDS = 0.005
_ASYNC_PAUSE_SECONDS = 0.02


class _Watch(Generic[T]):
    """What is looked at, what is hoped to be seen, and until when."""

    def __init__(
        self, look: Callable[[], T], accept: Callable[[T], bool], what: str, timeout: float
    ) -> None:
        self._look = look
        self._accept = accept
        self._what = what
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self.seen: T

    def accepted(self) -> bool:
        """Look once; raise TimeoutError if it is not what was hoped for and the time is over."""
        # The clock is read before the look: what is seen after the deadline still counts.
        late = time.monotonic() >= self._deadline
        self.seen = self._look()
        if self._accept(self.seen):
            return True
        if late:
            raise TimeoutError(
                f"waited {self._timeout:g} s for {self._what}; last seen: {self.seen!r}"
            )
        return False


def wait_until(
    look: Callable[[], T],
    accept: Callable[[T], bool],
    what: str,
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
) -> T:
    """Look until what is seen is accepted, and return it.

    Raises:
        TimeoutError: after ``timeout`` seconds; says what was waited for and what was seen last.
    """
    watch = _Watch(look, accept, what, timeout)
    while not watch.accepted():
        time.sleep(_PAUSE_SECONDS)
    return watch.seen


async def wait_until_async(
    look: Callable[[], T],
    accept: Callable[[T], bool],
    what: str,
    timeout: float = DEFAULT_TIMEOUT_SECONDS,  # noqa: ASYNC109 - it says what was seen last
) -> T:
    """Do what `wait_until` does, and let other tasks run between the looks."""
    watch = _Watch(look, accept, what, timeout)
    while not watch.accepted():  # noqa: ASYNC110 - the kernel sets no event
        await trio.sleep(_ASYNC_PAUSE_SECONDS)
    return watch.seen
