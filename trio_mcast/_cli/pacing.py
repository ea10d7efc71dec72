"""The pace of sending: when the next datagram is due. Pure."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import attrs

_Unit: TypeAlias = Literal["datagrams", "bits"]

_RATE = re.compile(r"(?P<number>\d+(\.\d+)?) ?((?P<prefix>[kMG]?)bit)?(/s)?", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}

# The seconds for which datagrams that were held up are sent in one go afterwards; what was held up
# longer is sent later. Arbitrary: a sleep ends some milliseconds late, and more than this would
# fill the buffers on the way.
_MOST_CATCHING_UP = 0.05


@attrs.frozen
class Rate:
    """A rate: datagrams a second, or bits of payload a second."""

    number: float
    unit: _Unit = "datagrams"

    def seconds(self, size: int) -> float:
        """Return how long a datagram with a payload of so many bytes takes."""
        return (1 if self.unit == "datagrams" else size * 8) / self.number


def parse_rate(text: str) -> Rate:
    """Return the rate that a text stands for: ``100``, ``500kbit``, ``2.5Mbit``.

    A kbit is 1,000 bits, a Mbit 1,000,000, a Gbit 1,000,000,000; ``/s`` may follow.

    Raises:
        ValueError: The text is no rate, or the rate is 0.
    """
    match = _RATE.fullmatch(text.strip())
    number = float(match["number"]) if match is not None else 0.0
    if match is None or not number:
        raise ValueError(
            f"{text!r} is no rate: write datagrams a second, as in 100, or bits of payload a "
            "second, as in 500kbit or 2.5Mbit"
        )
    if match["prefix"] is None:
        return Rate(number)
    return Rate(number * _FACTORS[match["prefix"].lower()], "bits")


class Pacer:
    """The times at which datagrams are due, so that the average is the rate exactly.

    One that went late does not put off the next: those that were held up follow at once. After a
    longer pause they do not, and the schedule begins anew.
    """

    def __init__(self, rate: Rate | None) -> None:
        """Plan nothing yet.

        Args:
            rate: The rate, or `None` for as fast as can be.
        """
        self._rate = rate
        self._next = float("-inf")

    def due(self, size: int, now: float) -> float:
        """Return the time at which the next datagram is due, and count it as sent then.

        Args:
            size: The size of its payload in bytes.
            now: The time by the clock that the result is of, in seconds.
        """
        if self._rate is None:
            return now
        due = self._next
        if due < now - _MOST_CATCHING_UP:
            due = now
        self._next = due + self._rate.seconds(size)
        return due
