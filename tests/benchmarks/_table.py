"""The table, as text."""

from __future__ import annotations

from collections.abc import Sequence

from ._bars import BARS
from ._rounds import Figures
from ._subjects import Column, Comparison, Subject

_LABEL_WIDTH = 44
_CELL_WIDTH = 11
_COLUMNS = 5
_WIDTH = _LABEL_WIDTH + _COLUMNS * _CELL_WIDTH


def render(comparisons: Sequence[Comparison], figures: Figures) -> str:
    """All comparisons and the bars."""
    lines: list[str] = []
    for comparison in comparisons:
        lines += _section(comparison, figures)
    lines += ["Bars (64 bytes)", _row("", ["ratio", "bar", "verdict"]), "-" * _WIDTH]
    for bar in BARS:
        cells = [_number(bar.ratio(figures), 2), bar.wanted, bar.verdict(figures)]
        lines.append(_row(bar.label, cells).rstrip())
    return "\n".join(lines)


def _section(comparison: Comparison, figures: Figures) -> list[str]:
    headings = [column.heading for column in comparison.columns]
    ratio = "spread/one" if comparison.ratio else "ratio"
    lines = [comparison.title, _row("", [*headings, ratio]), "-" * _WIDTH]
    for subject in comparison.subjects:
        cells = [_cell(subject, column, figures) for column in comparison.columns]
        lines.append(_row(subject.label, [*cells, _ratio(comparison, subject, figures)]))
    return [*lines, ""]


def _row(label: str, cells: Sequence[str]) -> str:
    return label.ljust(_LABEL_WIDTH) + "".join(cell.rjust(_CELL_WIDTH) for cell in cells)


def _cell(subject: Subject, column: Column, figures: Figures) -> str:
    median = figures.median(subject.name, column.figure)
    return _number(None if median is None else median / column.divisor, column.decimals)


def _ratio(comparison: Comparison, subject: Subject, figures: Figures) -> str:
    if comparison.ratio is not None:
        above, below = comparison.ratio
        return _number(figures.ratio((subject.name, above), (subject.name, below)), 2)
    first = comparison.columns[0].figure
    return _number(figures.ratio((subject.name, first), (comparison.subjects[0].name, first)), 2)


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:,.{decimals}f}"
