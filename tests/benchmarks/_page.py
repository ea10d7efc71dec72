"""What docs/performance.rst is made of: the figures, a table and a chart for each comparison.

The tables are included by the page, and so are ratios that the text quotes: as substitutions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ._bars import BARS
from ._chart import draw_chart
from ._record import Measured, Record
from ._subjects import COMPARISONS, Comparison
from ._view import IN_BRACKETS, cells, headings

FOLDER = Path(__file__).parents[2] / "docs" / "performance"
FIGURES = FOLDER / "figures.json"


# Ratios that the page quotes beside those of the bars.
_QUOTED = {
    f"{label}, {count}": ((f"drain-64-{above}", figure), (f"drain-64-{below}", figure))
    for label, above, below in (
        ("receive_batch / trio.socket", "receive_batch", "trio"),
        ("receive_batch / asyncio", "receive_batch", "asyncio"),
        ("receive_batch with GRO / Go", "receive_batch-units", "go"),
        ("receive_batch with GRO / Java", "receive_batch-units", "java"),
        ("receive_batch with GRO / Node", "receive_batch-units", "node"),
    )
    for count, figure in (("2", "ns_2"), ("5", "ns_5"), ("100", "ns_100"), ("full", "ns"))
}


def write_page(record: Record) -> None:
    """Write the figures, and all that is made from them."""
    FOLDER.mkdir(exist_ok=True)
    record.write(FIGURES)
    for name, text in made_from(record).items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"docs/performance/{name}")


def made_from(record: Record) -> dict[str, str]:
    """Return the texts of all files that are made from the figures, by name."""
    files: dict[str, str] = {}
    for comparison in COMPARISONS:
        measured = record.measured.get(comparison.name)
        if measured is not None:
            files[f"{comparison.name}.svg"] = draw_chart(comparison, measured.figures)
            files[f"{comparison.name}.inc"] = "\n".join(_section(comparison, measured)) + "\n"
    files["bars.inc"] = "\n".join(_bars(record)) + "\n"
    files["ratios.inc"] = "\n".join(_ratios(record)) + "\n"
    return files


def _section(comparison: Comparison, measured: Measured) -> Iterator[str]:
    rows = [
        [subject.label, *cells(comparison, subject, measured.figures)]
        for subject in comparison.subjects
    ]
    yield from _table(["", *headings(comparison)], rows)
    yield ""
    if any(column.ratio for column in comparison.columns):
        yield IN_BRACKETS
    yield from measured.skipped_lines()
    yield from _when(measured)


def _when(measured: Measured) -> Iterator[str]:
    """Say when it was measured, and on what."""
    rounds = f", {measured.rounds} rounds" if measured.rounds > 1 else ""
    machine = "; ".join(measured.machine.values())
    yield f"Measured on {measured.date}{rounds}; {machine}."
    if not measured.quiet:
        yield (
            f"Other programs took {measured.busy:.0%} of the processors: ratios tell something,"
            " times little, until it is measured again on a quiet machine."
        )


def _bars(record: Record) -> Iterator[str]:
    figures = record.figures
    rows = []
    for bar in BARS:
        # Not broken into two lines.
        wanted, verdict = (
            text.replace(" ", "\N{NO-BREAK SPACE}") for text in (bar.wanted, bar.verdict(figures))
        )
        rows.append([bar.label, bar.shown(figures), wanted, verdict, bar.source])
    yield from _table(["", "measured", "bar", "verdict", "where the bar comes from"], rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield ".. list-table::"
    yield "   :header-rows: 1"
    yield "   :class: figures"
    yield ""
    for row in (columns, *rows):
        for number, cell in enumerate(row):
            yield f"   {'  -' if number else '* -'} {cell}".rstrip()


def _ratios(record: Record) -> Iterator[str]:
    figures = record.figures
    shown = {bar.label: bar.shown(figures) for bar in BARS}
    for label, (above, below) in _QUOTED.items():
        ratio = figures.ratio(above, below)
        shown[label] = "-" if ratio is None else f"{ratio:.2f}"
    yield from (f".. |{label}| replace:: {text}" for label, text in shown.items())
