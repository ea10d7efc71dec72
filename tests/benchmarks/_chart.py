"""A chart for each table: a row for each subject, and a mark for each figure, as SVG.

The axis is logarithmic, because the slowest takes more than 50 times as long as the fastest. The
colours are those of the page, light or dark; where the chart stands alone, those of the system.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from ._rounds import Figures
from ._subjects import Column, Comparison, Subject

_WIDTH, _LABELS, _RIGHT = 780, 320, 32
_TOP, _ROW = 66, 26
_RADIUS = 4.5

_STYLE = """
    svg.chart { --ink: var(--color-foreground-primary, #111); --pale: var(--color-background-border, #ccc);
      --own: var(--color-brand-primary, #0a4bff); font: 15px var(--font-stack, sans-serif); }
    @media (prefers-color-scheme: dark) {
      svg.chart { --ink: var(--color-foreground-primary, #eee); --pale: var(--color-background-border, #555);
        --own: var(--color-brand-primary, #6b9bff); }
    }
    .chart text { fill: var(--ink); } .chart .small { font-size: 13px; } .chart .ours { font-weight: bold; }
    .chart path { stroke: var(--pale); fill: none; }
    .chart .mark { stroke: var(--ink); stroke-width: 1.5; fill: var(--color-background-primary, none); }
    .chart .full { fill: var(--ink); }
    .chart .ours .mark { stroke: var(--own); } .chart .ours .full { fill: var(--own); }
"""  # noqa: E501

# Around a point: told apart by shape, so that nobody needs to see a colour.
_SHAPES = (
    "M-{0} 0a{0} {0} 0 1 0 {1} 0a{0} {0} 0 1 0 -{1} 0z",
    "M-{0} -{0}h{1}v{1}h-{1}z",
    "M0 -{0}L{0} {0}H-{0}z",
)


def draw_chart(comparison: Comparison, figures: Figures) -> str:
    """Return the chart of a comparison."""
    columns = [column for column in comparison.columns if column.drawn]
    subjects = [each for each in comparison.subjects if _points(each, columns, figures)]
    axis = _Axis([x for each in subjects for x in _points(each, columns, figures).values()])
    bottom = _TOP + _ROW * len(subjects)
    title = escape(comparison.title)
    lines = [
        f'<svg class="drawing chart" viewBox="0 0 {_WIDTH} {bottom + 34}" role="img"'
        f' aria-labelledby="chart-{comparison.name}" xmlns="http://www.w3.org/2000/svg">',
        f'<title id="chart-{comparison.name}">{title}</title>',
        f"<style>{_STYLE}</style>",
        f'<text x="0" y="16">{title}</text>',
        *_legend(columns),
        *axis.draw(bottom, columns[0].unit),
    ]
    for number, subject in enumerate(subjects):
        lines += _row(subject, _TOP + _ROW * (number + 0.5), columns, figures, axis)
    return "\n".join([*lines, "</svg>", ""])


class _Axis:
    """Places on a logarithmic axis, with a line at each 1, 2 and 5."""

    def __init__(self, values: Sequence[float]) -> None:
        steps = [10.0**power * step for power in range(-3, 10) for step in (1, 2, 5)]
        low = max(step for step in steps if step <= min(values))
        high = min(step for step in steps if step >= max(values))
        self._ticks = [step for step in steps if low <= step <= max(high, low * 2)]

    def place(self, value: float) -> float:
        first, last = self._ticks[0], self._ticks[-1]
        share = math.log(value / first) / math.log(last / first)
        return round(_LABELS + share * (_WIDTH - _LABELS - _RIGHT), 1)

    def draw(self, bottom: int, unit: str) -> Iterator[str]:
        for tick in self._ticks:
            x = self.place(tick)
            yield f'<path d="M{x} {_TOP}V{bottom}"/>'
            yield _small(x, bottom + 16, "middle", f"{tick:,g}")
        yield _small(_LABELS - 34, bottom + 16, "end", unit)


def _small(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text class="small" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _points(subject: Subject, columns: Sequence[Column], figures: Figures) -> dict[int, float]:
    medians = [figures.median(subject.name, column.figure) for column in columns]
    return {
        number: median / columns[number].divisor
        for number, median in enumerate(medians)
        if median is not None
    }


def _row(
    subject: Subject, y: float, columns: Sequence[Column], figures: Figures, axis: _Axis
) -> Iterator[str]:
    points = _points(subject, columns, figures)
    places = [axis.place(value) for value in points.values()]
    kind = ' class="ours"' if subject.label.startswith("trio_mcast") else ""
    yield f'<g{kind}><text x="0" y="{y + 5}">{escape(subject.label)}</text>'
    yield f'<path d="M{min(places)} {y}H{max(places)}"/>'
    # What comes last in the table lies below.
    for number, value in reversed(points.items()):
        told = f"{subject.label}, {columns[number].heading}: {value:,.{columns[number].decimals}f}"
        yield _mark(number, axis.place(value), y, told)
    yield "</g>"


def _mark(number: int, x: float, y: float, told: str) -> str:
    """A shape, filled for the first ones and hollow for the others."""
    shape = _SHAPES[number % len(_SHAPES)].format(_RADIUS, 2 * _RADIUS)
    kind = "mark full" if number < len(_SHAPES) else "mark"
    place = f'transform="translate({x} {y})"'
    return f'<path class="{kind}" {place} d="{shape}"><title>{escape(told)}</title></path>'


def _legend(columns: Sequence[Column]) -> Iterator[str]:
    x = float(_LABELS)
    for number, column in enumerate(columns):
        yield _mark(number, x, 40, column.heading)
        yield f'<text x="{x + 10}" y="45">{escape(column.heading)}</text>'
        x += 28 + 8.5 * len(column.heading)
