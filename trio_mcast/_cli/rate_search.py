"""The search of ``trio-mcast measure`` for the highest rate without loss. Pure."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Verdict: TypeAlias = Literal["clean", "lossy", "not offered"]

# The search ends when a rate with loss is so near above one without.
_NEAR: Final = 1.05
# A rate counts as offered if at least this share of it was sent.
ENOUGH: Final = 0.95


class RateSearch:
    """Doubles the rate until datagrams are lost, then halves the gap to the last clean rate.

    All rates are in bits a second.
    """

    def __init__(self, start: float, least: float) -> None:
        """Begin.

        Args:
            start: The first rate to try.
            least: The rate below which none is tried.
        """
        self._least = least
        self.rate: float | None = start
        """The rate to try next; `None` at the end of the search."""
        self.clean: float | None = None
        """The highest rate at which all arrived, as it was offered; `None` if there is none yet."""
        self.lossy: float | None = None
        """The lowest rate at which some were lost, as it was offered."""
        self.is_limited = False
        """Whether the sender could not offer more: the search ended for that reason."""

    def note(self, verdict: Verdict, offered: float) -> None:
        """Take in what came of the rate that was tried.

        Args:
            verdict: ``"clean"`` if all arrived, ``"lossy"`` if some were lost; ``"not offered"`` if
                all arrived, but the sender could not send at that rate.
            offered: The rate that was offered.
        """
        if verdict == "lossy":
            self.lossy = offered if self.lossy is None else min(self.lossy, offered)
            if self.clean is not None and self.clean >= self.lossy:
                # What was clean once is no more: the path is not the same all the time.
                self.clean = None
        else:
            self.clean = offered if self.clean is None else max(self.clean, offered)
        self.is_limited = verdict == "not offered"
        self.rate = None if self.is_limited else self._next()

    def _next(self) -> float | None:
        if self.lossy is None:
            assert self.clean is not None
            return 2 * self.clean
        if self.clean is None:
            half = self.lossy / 2
            return half if half >= self._least else None
        if self.lossy / self.clean <= _NEAR:
            return None
        return (self.clean + self.lossy) / 2
