"""Figures as the cells of a table, for the terminal and for the page."""

from __future__ import annotations

from ._rounds import Figures
from ._subjects import Column, Comparison, Subject

IN_BRACKETS = "In brackets: the ratio to the first row, median of the ratios of each round."


def headings(comparison: Comparison) -> list[str]:
    """What stands above the cells."""
    spread = ["spread / one"] if comparison.ratio else []
    return [*(column.heading for column in comparison.columns), *spread]


def cells(comparison: Comparison, subject: Subject, figures: Figures) -> list[str]:
    """The figures of a subject."""
    shown = [_cell(comparison, subject, column, figures) for column in comparison.columns]
    if comparison.ratio:
        above, below = comparison.ratio
        shown.append(_number(figures.ratio((subject.name, above), (subject.name, below)), 2))
    return shown


def _cell(comparison: Comparison, subject: Subject, column: Column, figures: Figures) -> str:
    median = figures.median(subject.name, column.figure)
    text = _number(None if median is None else median / column.divisor, column.decimals)
    first = comparison.subjects[0].name
    ratio = figures.ratio((subject.name, column.figure), (first, column.figure))
    return text if ratio is None or not column.ratio else f"{text} ({ratio:,.2f})"


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:,.{decimals}f}"
