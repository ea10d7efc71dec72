"""The look of ``trio-mcast listen --live``: a table of streams, in 80 columns as in 200."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.text import Text

from .._values.errors import printable
from .rendering import counted
from .streams import HISTORY, Order, Row, State, Subscription

_BARS = "▁▂▃▄▅▆▇█"
_STYLES: dict[State, str] = {
    "WAITING": "yellow",
    "RECEIVING": "green",
    "STALLED": "bold red",
    "FAILED": "bold red",
}
# From this width on, a stream is one line; below, its details are a second one.
_WIDE = 150
# The lines around the streams: heading, rule, an empty one, and the keys.
_OTHER_LINES = 5


class _Column(NamedTuple):
    """A column of the table."""

    name: str
    width: int
    right: bool = False


def sparkline(history: Sequence[int], width: int) -> str:
    """Return a bar for each part of a history; a blank where nothing came."""
    per_bar = max(1, len(history) // width)
    sums = [sum(history[start : start + per_bar]) for start in range(0, per_bar * width, per_bar)]
    most = max(sums, default=0)
    return "".join(" " if not count else _BARS[(count * len(_BARS) - 1) // most] for count in sums)


def draw(
    rows: Sequence[Row],
    size: tuple[int, int],
    *,
    order: Order,
    paused: bool = False,
    not_shown: int = 0,
    keys: bool = True,
) -> RenderableType:
    """Return the picture of streams.

    Args:
        rows: The streams in order.
        size: The columns and lines of the terminal.
        order: The order, to say so.
        paused: Whether the picture stands still.
        not_shown: The datagrams of streams that are not told apart.
        keys: Whether to name the keys.
    """
    width, height = size
    wide = width >= _WIDE
    room = max(1, (height - _OTHER_LINES) // (1 if wide else 2))
    lines = _wide_lines(rows[:room], width) if wide else _narrow_lines(rows[:room], width)
    notes = []
    if len(rows) > room:
        notes.append(counted(len(rows) - room, "more stream"))
    if not_shown:
        notes.append(f"{counted(not_shown)} of streams beyond the first 1,000")
    if keys:
        pause = "p goes on" if paused else "p pauses"
        notes.append(f"{pause}, s sorts (now by {order}), q quits")
    state = Text("PAUSED  ", "bold yellow") if paused else Text()
    return Group(*lines, Text(), state + Text("; ".join(notes), "dim"))


def _line(columns: Sequence[_Column], cells: Sequence[tuple[str, str]]) -> Text:
    """Return cells side by side, each cut or filled up to the width of its column."""
    line = Text(no_wrap=True, overflow="crop")
    for (_, width, right), (text, style) in zip(columns, cells, strict=True):
        if cell_len(text) > width:
            text = set_cell_size(text, width - 1) + "…"
        blanks = " " * (width - cell_len(text))
        line.append(blanks + text if right else text + blanks, style)
        line.append(" ")
    line.rstrip()
    return line


def _heading(columns: Sequence[_Column]) -> list[Text]:
    width = sum(column.width + 1 for column in columns) - 1
    names = [(column.name, "bold") for column in columns]
    return [_line(columns, names), Text("─" * width, "dim")]


def _narrow_lines(rows: Sequence[Row], width: int) -> list[Text]:
    """Return two lines for each stream, of which the second has the details."""
    fixed = 9 + 6 + 7 + 6
    flexible = max(10, (width - fixed - 6 - 10) // 2)
    bars = max(6, width - fixed - 6 - 2 * flexible)
    columns = [
        _Column("state", 9),
        _Column("group", flexible),
        _Column("source", flexible),
        _Column("if", 6),
        _Column("rate/s", 7, right=True),
        _Column("lost", 6, right=True),
        _Column("minute", bars),
    ]
    lines = _heading(columns)
    for row in rows:
        lines.append(_line(columns, [*_main_cells(row), (sparkline(row.history, bars), "cyan")]))
        details = Text(details_text(row), "dim", no_wrap=True, overflow="crop")
        details.truncate(width, overflow="ellipsis")
        lines.append(details)
    return lines


def _wide_lines(rows: Sequence[Row], width: int) -> list[Text]:
    """Return one line for each stream."""
    columns = [
        _Column("state", 9),
        _Column("group", 22),
        _Column("source", 22),
        _Column("if", 8),
        _Column("rate/s", 7, right=True),
        _Column("lost", 7, right=True),
        _Column("bytes", 8, right=True),
        _Column("Mbit/s", 8, right=True),
        _Column("late", 5, right=True),
        _Column("dup", 5, right=True),
        _Column("jitter", 8, right=True),
        _Column("ttl", 3, right=True),
        _Column("dscp", 4, right=True),
        _Column("kernel", 6, right=True),
        _Column("policy", 6, right=True),
    ]
    used = sum(column.width + 1 for column in columns)
    bars = min(HISTORY, max(6, width - used))
    columns.append(_Column("minute", bars))
    lines = _heading(columns)
    for row in rows:
        numbers, subscription = row.numbers, row.subscription
        plain = [
            short_number(row.size),
            f"{row.bit_rate / 1e6:.3f}",
            "" if numbers is None else short_number(numbers.reordered),
            "" if numbers is None else short_number(numbers.duplicates),
            "" if row.jitter_ms is None else f"{row.jitter_ms:.2f} ms",
            "" if row.ttl is None else str(row.ttl),
            "" if row.dscp is None else str(row.dscp),
            "" if subscription is None else _kernel_drops(subscription),
            "" if subscription is None else short_number(subscription.dropped_by_policy),
        ]
        cells = [*_main_cells(row), *((text, "") for text in plain)]
        lines.append(_line(columns, [*cells, (sparkline(row.history, bars), "cyan")]))
    return lines


def _main_cells(row: Row) -> list[tuple[str, str]]:
    lost = "" if row.numbers is None else short_number(row.numbers.lost)
    alarming = row.numbers is not None and row.numbers.lost > 0
    return [
        (row.state, _STYLES[row.state]),
        (group_text(row), ""),
        ("" if row.source is None else str(row.source), ""),
        (printable(row.key.interface), ""),
        ("" if row.source is None else short_number(row.rate), ""),
        (lost, "bold red" if alarming else ""),
    ]


def group_text(row: Row) -> str:
    """Return the group and port of a row."""
    group, port, _ = row.key
    if group is None:
        return f"unicast:{port}"
    return f"[{group}]:{port}" if ":" in group else f"{group}:{port}"


def details_text(row: Row) -> str:
    """Return in one line what has no column in a narrow table."""
    parts = []
    if row.source is not None:
        parts.append(f"{short_number(row.size)}B {_bit_rate(row.bit_rate)}")
    if row.numbers is not None:
        late, twice = short_number(row.numbers.reordered), short_number(row.numbers.duplicates)
        parts.append(f"late {late} dup {twice}")
    if row.jitter_ms is not None:
        parts.append(f"jitter {row.jitter_ms:.{2 if row.jitter_ms < 10 else 1}f}ms")
    if row.ttl is not None and row.dscp is not None:
        parts.append(f"ttl {row.ttl} dscp {row.dscp}")
    if row.subscription is not None:
        kernel = _kernel_drops(row.subscription)
        policy = short_number(row.subscription.dropped_by_policy)
        parts.append(f"drops {kernel}+{policy}")
    return "  ".join(parts)


def _bit_rate(bits: int) -> str:
    if bits >= 1e9:
        return f"{bits / 1e9:.1f}Gb/s"
    return f"{bits / 1e6:.1f}Mb/s" if bits >= 1e6 else f"{bits / 1e3:.0f}kb/s"


def _kernel_drops(subscription: Subscription) -> str:
    dropped = subscription.dropped_by_kernel
    return "?" if dropped is None else short_number(dropped)


def short_number(number: int) -> str:
    """Return a number in at most 5 characters, or a few more if it is huge: 12345, 123k, 12.3M."""
    if number < 100_000:
        return str(number)
    for factor, letter in ((1_000, "k"), (1_000_000, "M"), (1_000_000_000, "G")):
        value = number / factor
        if value < 999.5:
            return f"{value:.0f}{letter}" if value >= 100 else f"{value:.1f}{letter}"
    return f"{number / 1e12:.1f}T"
