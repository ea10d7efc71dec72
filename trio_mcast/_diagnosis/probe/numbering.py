"""The counts of a stream of numbered datagrams: loss, duplicates, reordering, by number. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import attrs

# The distance behind the highest number within which a late datagram is told from a copy. Of what
# comes later than that, nobody knows whether it has come before. Arbitrary: at a million datagrams
# a second it is 4 ms.
_WINDOW: Final = 4_096


@attrs.frozen
class NumberCounts:
    """The counts of a stream, or of a part of it."""

    expected: int = 0
    """The datagrams from the first number that came to the highest."""
    received: int = 0
    """The datagrams that came, each counted once."""
    duplicates: int = 0
    """The datagrams that came once more."""
    reordered: int = 0
    """The datagrams that came after one with a higher number (RFC 4737, section 3)."""

    @property
    def lost(self) -> int:
        """The datagrams that have not come: a late one takes back what was counted before."""
        return self.expected - self.received

    def __sub__(self, other: NumberCounts) -> NumberCounts:
        return NumberCounts(
            self.expected - other.expected,
            self.received - other.received,
            self.duplicates - other.duplicates,
            self.reordered - other.reordered,
        )


class Numbering:
    """The numbers of one stream as they come; memory stays bounded whatever comes.

    A number far behind all others is left aside, unless the one after it comes next: then the
    stream has begun again, and is counted on from there (as in RFC 3550, appendix A.1).
    """

    def __init__(self, bits: int = 64) -> None:
        """Count nothing yet.

        Args:
            bits: The size of a number, after whose highest value comes 0 again.
        """
        self._modulus = 1 << bits
        self._window = min(_WINDOW, self._modulus // 4)
        # Positions are numbers without wrapping. Those below the next that have not come, in order.
        self._missing: OrderedDict[int, None] = OrderedDict()
        self._first: int | None = None
        self._next = 0
        self._after_stray: int | None = None
        self._expected_before = 0
        self._received = self._duplicates = self._reordered = 0
        self.restarts = 0
        """The number of times that the stream has begun again."""

    def add(self, number: int) -> None:
        """Count the datagram with this number."""
        if self._first is None:
            self._begin(number)
            return
        ahead = (number - self._next) % self._modulus
        if ahead >= self._modulus // 2:
            self._add_late(number, self._next + ahead - self._modulus)
            return
        self._after_stray = None
        self._received += 1
        if ahead:
            self._skip(ahead)
        self._next += 1

    def counts(self) -> NumberCounts:
        """Return the counts so far."""
        stream = 0 if self._first is None else self._next - self._first
        return NumberCounts(
            self._expected_before + stream, self._received, self._duplicates, self._reordered
        )

    def _begin(self, number: int) -> None:
        self._first, self._next = number, number + 1
        self._missing.clear()
        self._after_stray = None
        self._received += 1

    def _skip(self, ahead: int) -> None:
        """Note the numbers that are left out as missing, as far as the window reaches."""
        position = self._next + ahead
        for missing in range(max(self._next, position - self._window), position):
            self._missing[missing] = None
        self._next = position
        lowest = position - self._window
        while self._missing and next(iter(self._missing)) < lowest:
            self._missing.popitem(last=False)

    def _add_late(self, number: int, position: int) -> None:
        assert self._first is not None
        if position < self._next - self._window:
            self._add_stray(number)
        elif position < self._first:
            # Older than the first that came.
            for missing in range(self._first - 1, position, -1):
                self._missing[missing] = None
                self._missing.move_to_end(missing, last=False)
            self._first = position
            self._received += 1
            self._reordered += 1
        elif position in self._missing:
            del self._missing[position]
            self._received += 1
            self._reordered += 1
        else:
            self._duplicates += 1

    def _add_stray(self, number: int) -> None:
        """Begin again if this number follows one that was far behind as well."""
        if number != self._after_stray:
            self._after_stray = (number + 1) % self._modulus
            return
        assert self._first is not None
        self._expected_before += self._next - self._first + 1
        self._received += 1  # The stray before, which was the first of the new stream.
        self.restarts += 1
        self._begin(number)
