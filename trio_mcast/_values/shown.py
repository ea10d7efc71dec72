"""The texts by which values are shown to people: short, whatever is in the values. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

# How much of a payload is shown, and how many lines of a table before the others are one line. Both
# are arbitrary.
_SHOWN_BYTES = 32
_SHOWN_LINES = 16
# The digits of an int that are shown in whole.
_SHOWN_DIGITS = 24


def show_value(value: object) -> str:
    """Return the repr of a wrong value for an error; of a very long int, only the beginning.

    Python refuses to write an int of more than 4,300 digits, with an error of its own.
    """
    if isinstance(value, int) and abs(value) >= 10**_SHOWN_DIGITS:
        digits = int(math.log10(abs(value))) + 1
        first = abs(value) // 10 ** (digits - _SHOWN_DIGITS // 2)
        return f"{'-' if value < 0 else ''}{first}... (some {digits:,} digits)"
    try:
        return repr(value)
    except ValueError:
        return f"one that cannot be shown: it is a {type(value).__name__} with very long numbers"


def first_and_more(texts: Sequence[str], none: str) -> str:
    """Return the first of several texts, and how many more there are.

    Args:
        texts: The texts.
        none: The text to return if there are none.
    """
    if not texts:
        return none
    return texts[0] if len(texts) == 1 else f"{texts[0]} and {len(texts) - 1:,} more"


def cut_payload(data: bytes) -> str:
    """Return the repr of a payload; of a long one, only its beginning and its length."""
    if len(data) <= _SHOWN_BYTES:
        return repr(data)
    return f"{data[:_SHOWN_BYTES]!r}... ({len(data)} bytes)"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    rows = [
        "  ".join(
            text.rjust(width) if number else text.ljust(width)
            for number, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in (head, *lines)
    ]
    return "\n".join(row.rstrip() for row in rows)


def shown_lines(count: int) -> int:
    """Return how many of a table's lines have a line of their own; the others share one."""
    return count if count <= _SHOWN_LINES else _SHOWN_LINES - 1
