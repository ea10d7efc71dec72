"""Charts, as SVG: a row for each thing, and a mark for each of its figures.

The axis is logarithmic, because the slowest takes more than 50 times as long as the fastest. The
colours are those of the page, light or dark; where the chart stands alone, those of the system.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _LABELS, _RIGHT = 800, 345, 32
_TOP, _LEGEND, _ROW = 66, 32, 26
_RADIUS = 4.5

_STYLE = """
    svg.chart { --ink: var(--color-foreground-primary, #111);
      --paper: var(--color-background-primary, #fff); --pale: var(--color-background-border, #ccc);
      --own: var(--color-brand-primary, #0a4bff);
      font: 15px var(--font-stack, sans-serif); background: var(--paper); }
    @media (prefers-color-scheme: dark) {
      svg.chart { --ink: var(--color-foreground-primary, #eee);
        --paper: var(--color-background-primary, #131416);
        --pale: var(--color-background-border, #444); --own: var(--color-brand-primary, #6b9bff); }
    }
    .chart text { fill: var(--ink); } .chart .ours { font-weight: bold; }
    .chart .small { font-size: 13px; }
    .chart path { stroke: var(--pale); fill: none; }
    .chart .mark { stroke: var(--ink); stroke-width: 1.5; fill: var(--paper); }
    .chart .full { fill: var(--ink); }
    .chart .ours .mark { stroke: var(--own); } .chart .ours .full { fill: var(--own); }
"""

# Around a point: told apart by shape, so that nobody needs to see a colour.
_SHAPES = (
    "M-{0} 0a{0} {0} 0 1 0 {1} 0a{0} {0} 0 1 0 -{1} 0z",
    "M-{0} -{0}h{1}v{1}h-{1}z",
    "M0 -{0}L{0} {0}H-{0}z",
)


@dataclass(frozen=True)
class Row:
    """A row of a chart.

    Attributes:
        label: What stands at its left.
        points: The values, by the number of their heading.
        ours: Whether it is about this library.
        decimals: How many of them are told of a value.
    """

    label: str
    points: dict[int, float]
    ours: bool = False
    decimals: int = 2


def draw_chart(
    name: str, title: str, headings: Sequence[str], rows: Sequence[Row], unit: str
) -> str:
    """Return a chart.

    Args:
        name: What its parts are called in a page.
        title: What stands above.
        headings: What each kind of mark means; one kind needs no words.
        rows: What is shown; a row without any point is not.
        unit: What the values are in.
    """
    rows = [row for row in rows if row.points]
    axis = _Axis([value for row in rows for value in row.points.values()])
    top = _TOP if len(headings) > 1 else _TOP - _LEGEND
    bottom = top + _ROW * len(rows)
    lines = [
        f'<svg class="drawing chart" viewBox="0 0 {_WIDTH} {bottom + 34}" role="img"'
        f' aria-labelledby="chart-{name}" xmlns="http://www.w3.org/2000/svg">',
        f'<title id="chart-{name}">{escape(title)}</title>',
        f"<style>{_STYLE}</style>",
        f'<text x="0" y="16">{escape(title)}</text>',
        *(_legend(headings) if len(headings) > 1 else ()),
        *axis.draw(top, bottom, unit),
    ]
    for number, row in enumerate(rows):
        lines += _row(row, top + _ROW * (number + 0.5), headings, axis)
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

    def draw(self, top: int, bottom: int, unit: str) -> Iterator[str]:
        for tick in self._ticks:
            x = self.place(tick)
            yield f'<path d="M{x} {top}V{bottom}"/>'
            yield _small(x, bottom + 16, "middle", f"{tick:,g}")
        yield _small(_LABELS - 34, bottom + 16, "end", unit)


def _small(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text class="small" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _row(row: Row, y: float, headings: Sequence[str], axis: _Axis) -> Iterator[str]:
    places = [axis.place(value) for value in row.points.values()]
    kind = ' class="ours"' if row.ours else ""
    yield f'<g{kind}><text x="0" y="{y + 5}">{escape(row.label)}</text>'
    yield f'<path d="M{min(places)} {y}H{max(places)}"/>'
    # What comes last in the table lies below.
    for number, value in reversed(row.points.items()):
        told = f"{row.label}, {headings[number]}: {value:,.{row.decimals}f}"
        yield _mark(number, axis.place(value), y, told)
    yield "</g>"


def _mark(number: int, x: float, y: float, told: str) -> str:
    """A shape, filled for the first ones and hollow for the others."""
    shape = _SHAPES[number % len(_SHAPES)].format(_RADIUS, 2 * _RADIUS)
    kind = "mark full" if number < len(_SHAPES) else "mark"
    place = f'transform="translate({x} {y})"'
    return f'<path class="{kind}" {place} d="{shape}"><title>{escape(told)}</title></path>'


def _legend(headings: Sequence[str]) -> Iterator[str]:
    x = float(_LABELS)
    for number, heading in enumerate(headings):
        yield _mark(number, x, 40, heading)
        yield f'<text x="{x + 10}" y="45">{escape(heading)}</text>'
        x += 28 + 8.5 * len(heading)
