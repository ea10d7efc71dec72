"""The impairments of a cable: loss, delay, jitter, duplication, reordering."""

from __future__ import annotations

from random import Random
from typing import Final, Protocol, cast

from .._values.numbers import parse_float, parse_seconds

IMPAIRMENTS: Final = ("loss", "delay", "jitter", "duplicate", "reorder", "reorder_delay")
_PROBABILITIES: Final = frozenset({"loss", "duplicate", "reorder"})


class Impairment(Protocol):
    """The measures of a cable's impairments: probabilities from 0 to 1, and seconds."""

    loss: float
    delay: float
    jitter: float
    duplicate: float
    reorder: float
    reorder_delay: float


def check_impairment(name: str, value: object) -> None:
    """Check the measure of an impairment.

    Raises:
        TypeError: The value is not a number.
        ValueError: The value is out of range.
    """
    number = cast("float", value)
    if name in _PROBABILITIES:
        parse_float(number, name, 0, 1)
    else:
        parse_seconds(number, name)


def show_impairments(impairment: Impairment) -> str:
    """Return the measures that are not 0, for a `repr`."""
    return "".join(
        f" {name}={getattr(impairment, name)}"
        for name in IMPAIRMENTS
        if getattr(impairment, name) and (name != "reorder_delay" or impairment.reorder)
    )


def has_chance(impairment: Impairment) -> bool:
    """Tell whether chance has any part in the fate of a frame."""
    return bool(impairment.loss or impairment.duplicate or impairment.jitter or impairment.reorder)


class Path:
    """The way from one interface to another through a switch.

    Each path has random numbers of its own, which depend on the seed and on the names of the two
    ends only: other parts of the network and other events make no difference. Each frame takes
    four of the numbers as soon as chance has any part in its fate, so that setting a loss does not
    change the jitter. Without, a path has no numbers, which would take 2.5 kB.
    """

    __slots__ = ("_last_due", "_random", "_seed")

    def __init__(self, seed: str) -> None:
        """Begin with no frame under way.

        Args:
            seed: The seed of the path's random numbers.
        """
        self._seed = seed
        self._random: Random | None = None
        self._last_due = 0

    def begin_again(self, now_ns: int) -> None:
        """Have no frame wait for those that are under way now."""
        self._last_due = min(self._last_due, now_ns)

    def fate(
        self, impairment: Impairment, now_ns: int, fragments: int = 1, earliest_ns: int = 0
    ) -> list[int]:
        """Return when a frame that is sent now arrives, in nanoseconds: once, twice, or never.

        Args:
            impairment: The measures of the switch.
            now_ns: The time now.
            fragments: The number of frames that it takes: if one is lost, all is.
            earliest_ns: The frame arrives no earlier, as with a frame that was sent before.
        """
        self._last_due = max(self._last_due, earliest_ns)
        if not has_chance(impairment):
            self._last_due = max(now_ns + nanoseconds(impairment.delay), self._last_due)
            return [self._last_due]
        if self._random is None:
            self._random = Random(self._seed)
        loss, duplicate, jitter, reorder = (self._random.random() for _ in range(4))
        of_any = 1 - (1 - impairment.loss) ** fragments if fragments > 1 else impairment.loss
        if loss < of_any:
            return []
        due = now_ns + nanoseconds(impairment.delay + impairment.jitter * jitter)
        # A frame does not overtake the one before it by jitter alone, as in a queue.
        due = max(due, self._last_due)
        if reorder < impairment.reorder:
            due += nanoseconds(impairment.reorder_delay)
        else:
            self._last_due = due
        return [due, due] if duplicate < impairment.duplicate else [due]


def nanoseconds(seconds: float) -> int:
    """Return a time in whole nanoseconds."""
    return round(seconds * 1_000_000_000)
