"""Numbers as arguments: one sentence refuses a wrong one, with the value and the way out. Pure."""

from __future__ import annotations

import math
import re
from typing import Final

from .mistakes import about_number
from .shown import show_value

# The longest time that can be given, some 31 years: sums of such times can still be counted in
# nanoseconds in 64 bits.
MOST_SECONDS: Final = 1_000_000_000


def parse_int(
    value: int,
    what: str,
    lowest: int,
    highest: int | None = None,
    *,
    unit: str = "",
    otherwise: str = "",
) -> int:
    """Return an int after a check.

    Args:
        value: The value.
        what: The argument's name.
        lowest: The least that is allowed.
        highest: The most that is allowed; `None` for no limit.
        unit: The unit in the plural, for errors.
        otherwise: The other values that are allowed, for errors: ``", or None"``, for instance.

    Raises:
        TypeError: The value is not an int.
        ValueError: The value is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"{what} must be an int{otherwise}, not {type(value).__name__}: {show_value(value)}"
            f"{_way_out(value, 'int')}"
        )
    if value < lowest or (highest is not None and value > highest):
        span = _span(value < lowest, lowest, highest, unit)
        raise ValueError(f"{what} must be {span}{otherwise}, not {show_value(value)}")
    return value


def parse_float(
    value: float,
    what: str,
    lowest: float = 0,
    highest: float | None = None,
    *,
    unit: str = "",
    otherwise: str = "",
    above: bool = False,
) -> float:
    """Return a finite number after a check.

    Args:
        value: The value.
        what: The argument's name.
        lowest: The least that is allowed.
        highest: The most that is allowed; `None` for no limit.
        unit: The unit in the plural, for errors.
        otherwise: The other values that are allowed, for errors.
        above: Whether the value has to be more than the least.

    Raises:
        TypeError: The value is not a number.
        ValueError: The value is out of range, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"{what} must be a number{otherwise}, not {type(value).__name__}: {show_value(value)}"
            f"{_way_out(value, 'float')}"
        )
    # "Not a number" is neither less nor more than any.
    is_less = not value >= lowest or (above and value == lowest)
    if is_less or value == math.inf or (highest is not None and value > highest):
        span = f"more than {_amount(lowest, unit)}" if above and is_less else ""
        span = span or _span(is_less, lowest, highest, unit)
        raise ValueError(f"{what} must be {span}{otherwise}, not {show_value(value)}")
    return value


def parse_seconds(value: float, what: str, *, above: bool = False, lowest: float = 0) -> float:
    """Return a number of seconds after a check, as `parse_float` does."""
    return parse_float(value, what, lowest, MOST_SECONDS, unit="seconds", above=above)


def _span(is_less: bool, lowest: float, highest: float | None, unit: str) -> str:
    """Return the numbers that are allowed, for a value that is less or more."""
    if highest is not None and not unit:
        return f"from {lowest} to {highest}"
    if is_less:
        return f"at least {_amount(lowest, unit)}"
    return "finite" if highest is None else f"at most {_amount(highest, unit)}"


def _amount(number: float, unit: str) -> str:
    text = f"{number:,}" if unit else f"{number}"
    one_or_more = re.sub(r"s\b", "", unit, count=1) if number == 1 else unit
    return f"{text} {one_or_more}".rstrip()


def _way_out(value: object, kind: str) -> str:
    """Return how to make a number of what is one in all but its type."""
    if isinstance(value, str):
        return about_number(value)
    is_number = not isinstance(value, (bool, int, float)) and hasattr(value, f"__{kind}__")
    return f": make a number of it with {kind}()" if is_number else ""
