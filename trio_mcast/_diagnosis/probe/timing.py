"""Jitter and quantiles of times. Pure; all times are in nanoseconds."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final

# The round trips of which the quantiles are kept. Arbitrary: at ten a second, the last two hours.
_KEPT: Final = 65_536


class Jitter:
    """The interarrival jitter of a stream (RFC 3550, section 6.4.1).

    The clocks of sender and receiver need not agree, as only differences count.
    """

    def __init__(self) -> None:
        self._transit: int | None = None
        self.ns = 0.0
        """The jitter so far."""

    def add(self, sent_ns: int, arrived_ns: int) -> None:
        """Take in the next datagram: the time of its sending, and of its arrival."""
        transit = arrived_ns - sent_ns
        if self._transit is not None:
            self.ns += (abs(transit - self._transit) - self.ns) / 16
        self._transit = transit


def quantile(ordered: Sequence[int], share: float) -> int:
    """Return the value that this share of the values does not exceed (the nearest rank).

    Args:
        ordered: The values in ascending order, at least one.
        share: From 0, the least value, to 1, the greatest.
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class RoundTrips:
    """The round trips of one responder: the least of all, and quantiles of the last 65,536."""

    def __init__(self) -> None:
        self._last: deque[int] = deque(maxlen=_KEPT)
        self._least: int | None = None

    def add(self, ns: int) -> None:
        """Take in one round trip."""
        self._last.append(ns)
        self._least = ns if self._least is None else min(ns, self._least)

    def summary(self) -> tuple[int, int, int] | None:
        """Return the least, the median and the 99th percentile; `None` if there is none yet."""
        if self._least is None:
            return None
        ordered = sorted(self._last)
        return self._least, quantile(ordered, 0.5), quantile(ordered, 0.99)
