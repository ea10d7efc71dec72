"""The tables on a terminal, by rich."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from ._bars import BARS
from ._record import Measured, Record
from ._subjects import Comparison
from ._view import IN_BRACKETS, cells, headings

# What the widest table takes; where there is less, ratios stand below their figures.
_WIDEST = 132
_STYLES = {"met": "green", "NOT met": "bold red", "skipped": "dim"}


class Tables:
    """All comparisons, and the bars."""

    def __init__(self, comparisons: Sequence[Comparison], record: Record) -> None:
        self._comparisons = comparisons
        self._record = record

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for comparison in self._comparisons:
            measured = self._record.measured[comparison.name]
            yield Text(comparison.title, style="bold")
            yield _comparison_table(comparison, measured, narrow=options.max_width < _WIDEST)
            if any(column.ratio for column in comparison.columns):
                yield IN_BRACKETS
            yield from measured.skipped_lines()
            yield ""
        yield Text("Bars (64 bytes)", style="bold")
        yield self._bars_table()

    def _bars_table(self) -> Table:
        table = _table()
        for heading in ("measured", "bar", "verdict"):
            table.add_column(heading, justify="right")
        table.add_column("where the bar comes from", style="dim")
        figures = self._record.figures
        for bar in BARS:
            verdict = bar.verdict(figures)
            styled = f"[{_STYLES[verdict]}]{verdict}[/]"
            table.add_row(bar.label, bar.shown(figures), bar.wanted, styled, bar.source)
        return table


def _comparison_table(comparison: Comparison, measured: Measured, *, narrow: bool) -> Table:
    table = _table()
    for heading in headings(comparison):
        table.add_column(heading, justify="right", overflow="fold")
    for subject in comparison.subjects:
        style = "bold" if subject.label.startswith("trio_mcast") else ""
        shown = cells(comparison, subject, measured.figures)
        if narrow:
            shown = [cell.replace(" (", "\n(") for cell in shown]
        table.add_row(subject.label, *shown, style=style)
    return table


def _table() -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("", overflow="fold")
    return table
