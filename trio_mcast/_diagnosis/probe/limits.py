"""`Allowance`: a bound on answers a second. Pure."""

from __future__ import annotations


class Allowance:
    """An allowance of so many a second, of which up to a second's worth is saved.

    Args:
        a_second: How many a second.
        now: The time, in seconds.
    """

    def __init__(self, a_second: int, now: float) -> None:
        self._a_second = a_second
        self._left = float(a_second)
        self._time = now

    def take(self, now: float) -> bool:
        """Take one, and tell whether there was one."""
        self._left = min(self._a_second, self._left + (now - self._time) * self._a_second)
        self._time = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
