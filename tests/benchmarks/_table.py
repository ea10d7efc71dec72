"""The table, as text."""

from __future__ import annotations

from collections.abc import Sequence

from ._bars import BARS
from ._rounds import Figures
from ._subjects import Comparison, Subject

_LABEL_WIDTH = 44
_CELL_WIDTH = 11
_COLUMNS = 5
_WIDTH = _LABEL_WIDTH + _COLUMNS * _CELL_WIDTH


def render(comparisons: Sequence[Comparison], figures: Figures) -> str:
    """All comparisons and the bars."""
    lines: list[str] = []
    for comparison in comparisons:
        lines += _section(comparison, figures)
    lines += [
        "Bars (64 bytes; of draining, the full socket)",
        _row("", ["ratio", "bar", "verdict"]),
        "-" * _WIDTH,
    ]
    for bar in BARS:
        cells = [_number(bar.ratio(figures), 2), bar.wanted, bar.verdict(figures)]
        lines.append(_row(bar.label, cells).rstrip())
    return "\n".join(lines)


def _section(comparison: Comparison, figures: Figures) -> list[str]:
    headings: list[str] = []
    for column in comparison.columns:
        headings += [column.heading, "ratio"] if column.ratio else [column.heading]
    if comparison.ratio:
        headings.append("spread/one")
    lines = [comparison.title, _row("", headings), "-" * _WIDTH]
    for subject in comparison.subjects:
        lines.append(_row(subject.label, _cells(comparison, subject, figures)))
    return [*lines, ""]


def _cells(comparison: Comparison, subject: Subject, figures: Figures) -> list[str]:
    first = comparison.subjects[0].name
    cells: list[str] = []
    for column in comparison.columns:
        median = figures.median(subject.name, column.figure)
        cells.append(_number(None if median is None else median / column.divisor, column.decimals))
        if column.ratio:
            ratio = figures.ratio((subject.name, column.figure), (first, column.figure))
            cells.append(_number(ratio, 2))
    if comparison.ratio:
        above, below = comparison.ratio
        cells.append(_number(figures.ratio((subject.name, above), (subject.name, below)), 2))
    return cells


def _row(label: str, cells: Sequence[str]) -> str:
    return label.ljust(_LABEL_WIDTH) + "".join(cell.rjust(_CELL_WIDTH) for cell in cells)


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:,.{decimals}f}"
