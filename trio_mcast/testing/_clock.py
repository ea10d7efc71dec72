"""`VirtualClock`: the clock of a virtual host, which can be wrong."""

from __future__ import annotations

from typing import Final, cast

import trio

from .._values.numbers import MOST_SECONDS, parse_float
from ._arguments import FixedAttributes
from ._core import Core
from ._scheduler import NS_PER_SECOND

# What a right clock shows when a network begins: 2000-01-01, in seconds since 1970. It is the same
# in every run, so that programs do the same.
_EPOCH_SECONDS: Final = 946_684_800


# The seconds that a clock can gain in each: no clock is as wrong, and tests can make time fly.
_MOST_DRIFT: Final = 1_000


class VirtualClock(FixedAttributes):
    """The clock of a virtual host: ``clock`` of `VirtualHost`.

    The timestamps of datagrams are of this clock. In the tasks of a host, `time.time` and
    `time.time_ns` give it too. All clocks begin at the same time, 2000-01-01, and are right until a
    test says otherwise. What does not ask `time.time`, such as `datetime.datetime.now` and modules
    that have said ``from time import time``, sees the real clock.
    """

    CHANGEABLE = frozenset({"drift"})

    drift: float = 0.0
    """The seconds that the clock gains in each second: ``20e-6`` is 20 parts per million."""

    # The clock's time at a time of the network, in nanoseconds.
    _base_ns = 0
    _shown_ns = _EPOCH_SECONDS * NS_PER_SECOND

    def __init__(self, core: Core, name: str) -> None:
        self._core = core
        self._name = name

    def __repr__(self) -> str:
        return f"<VirtualClock of {self._name}: {self.time():.6f}, drift={self.drift}>"

    def __setattr__(self, name: str, value: object) -> None:
        if name == "drift":
            parse_float(cast("float", value), name, -1, _MOST_DRIFT, above=True)
            self._rebase(0)
        super().__setattr__(name, value)

    @property
    def is_running(self) -> bool:
        """Whether the network of the clock exists."""
        return self._core.is_open

    def time_ns(self) -> int:
        """Return what the clock shows, in nanoseconds since 1970."""
        scheduler = self._core.scheduler
        # A thread that Trio has started for the task cannot read Trio's clock.
        try:
            trio.lowlevel.current_trio_token()
        except RuntimeError:
            now = scheduler.now_ns()
        else:
            now = scheduler.read_clock()
        return self.at(now)

    def at(self, now_ns: int) -> int:
        """Return what the clock shows at a time of the network. For the host only."""
        passed = now_ns - self._base_ns
        return self._shown_ns + passed + (round(passed * self.drift) if self.drift else 0)

    def time(self) -> float:
        """Return what the clock shows, in seconds since 1970."""
        return self.time_ns() / NS_PER_SECOND

    def step(self, seconds: float) -> None:
        """Set the clock forward, or back if the number is negative.

        Args:
            seconds: The difference.

        Raises:
            TypeError: The difference is not a number.
            ValueError: It is more than a thousand million, or not finite.
            RuntimeError: The network has ended.
        """
        parse_float(seconds, "seconds", -MOST_SECONDS, MOST_SECONDS, unit="seconds")
        self._core.enter(self._name)
        self._rebase(round(seconds * NS_PER_SECOND))
        self._core.record(self._name, "stepped", reason=f"its clock, by {seconds:+g} s")

    def _rebase(self, difference_ns: int) -> None:
        shown = self.time_ns()
        self._base_ns = self._core.scheduler.now_ns()
        self._shown_ns = shown + difference_ns
