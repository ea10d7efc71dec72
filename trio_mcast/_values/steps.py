"""Work in steps, so that whoever does the work can let other tasks run in between. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import closing
from typing import TypeAlias, TypeVar

_T = TypeVar("_T")

# Work that pauses after each step, of a tenth of a millisecond or less, and returns its result.
Steps: TypeAlias = Generator[None, None, _T]


def at_once(steps: Steps[_T]) -> _T:
    """Do all steps of some work, and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result


async def in_turns(steps: Steps[_T], give_way: Callable[[], Awaitable[object]]) -> _T:
    """Do some work in steps, and return its result.

    Args:
        steps: The work. It is closed if a step fails, or a turn is cancelled.
        give_way: Called after each step, to let other tasks run now and then.
    """
    with closing(steps):
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: _T = end.value
                return result
            await give_way()
