"""How a worker is told to measure: a line for each turn, on standard input.

Decision: workers take turns
============================

A machine is not equally fast from one second to the next: other programs, the clock of the
processor, and the other virtual machines on it all change it, by half and more. What is compared
therefore has to be measured close together in time. All workers of a comparison are started at
once, and wait; then each has its turn of some milliseconds, one after the other, and then the next
round begins. The ratios are those of one round, and what is quoted is their median over the rounds.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator

# Nothing takes nearly that long, except waiting for a datagram that was lost.
_TURN_SECONDS = 60


class Lost(Exception):
    """Datagrams did not arrive, so what was measured means nothing."""


class Turns:
    """The turns of this process: an iteration waits for each."""

    def __init__(self) -> None:
        self._figures: dict[str, float] = {}

    def __iter__(self) -> Iterator[None]:
        """Blocks, also in a task: nothing is to happen between the turns."""
        self._answer()  # Ready.
        while sys.stdin.readline():
            _give_up_after(_TURN_SECONDS)
            yield
            _give_up_after(0)
            self._answer()

    def report(self, /, **figures: float) -> None:
        """Add to what this turn has found."""
        self._figures.update(figures)

    def _answer(self) -> None:
        print(json.dumps(self._figures), flush=True)
        self._figures = {}


def _give_up_after(seconds: int) -> None:
    if sys.platform != "win32":

        def give_up(*_: object) -> None:
            raise Lost(f"waiting for {seconds} seconds for a datagram that does not come")

        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(seconds)
