"""What docs/performance.rst is made of: the figures, a table and a chart for each comparison.

The tables are included by the page, and so are ratios that the text quotes: as substitutions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ._bars import BARS
from ._chart import Row, draw_chart
from ._record import Measured, Record, read_record
from ._rounds import Figures
from ._subjects import COMPARISONS, Column, Comparison, Subject
from ._view import IN_BRACKETS, cells, headings

FOLDER = Path(__file__).parents[2] / "docs" / "performance"
FIGURES = FOLDER / "figures.json"


# Ratios that the page quotes beside those of the bars.
_QUOTED = {
    f"{label}, {count}": ((f"drain-64-{above}", figure), (f"drain-64-{below}", figure))
    for label, above, below in (
        ("receive_batch / trio.socket", "receive_batch", "trio"),
        ("receive_batch with GRO / Go", "receive_batch-units", "go"),
        ("receive_batch with GRO / Java", "receive_batch-units", "java"),
        ("receive_batch with GRO / Node", "receive_batch-units", "node"),
    )
    for count, figure in (("2", "ns_2"), ("5", "ns_5"), ("100", "ns_100"), ("full", "ns"))
}

# What a program does, and which ratio to a bare Trio socket then holds.
_HOLDS = {
    "waits already": "quiet, p50 / trio.socket",
    "sends and receives by itself": "sent by itself / trio.socket",
    "the same, in instructions": "sent by itself, instructions / trio.socket",
    "sends a request": "request and reply / trio.socket",
    "comes back from 5 ms of other work": "after a pause of 5 ms / trio.socket",
    "finds 2": "receive_batch / trio.socket, 2",
    "finds 5": "receive_batch / trio.socket, 5",
    "finds 100": "receive_batch / trio.socket, 100",
    "cannot keep up": "receive_batch / trio.socket, full",
}


def write_page(record: Record, folder: Path = FOLDER) -> None:
    """Write the figures, and all that is made from them."""
    folder.mkdir(exist_ok=True)
    figures = folder / FIGURES.name
    record.write(figures)
    # From what was written, which is rounded: so it is the same when it is made again.
    for name, text in made_from(read_record(figures, COMPARISONS)).items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)


def made_from(record: Record) -> dict[str, str]:
    """Return the texts of all files that are made from the figures, by name."""
    files: dict[str, str] = {}
    for comparison in COMPARISONS:
        measured = record.measured.get(comparison.name)
        if measured is not None:
            files[f"{comparison.name}.svg"] = _comparison_chart(comparison, measured.figures)
            files[f"{comparison.name}.inc"] = "\n".join(_section(comparison, measured)) + "\n"
    files["bars.svg"] = _bars_chart(record)
    files["holds.svg"] = _holds_chart(record)
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


def _comparison_chart(comparison: Comparison, figures: Figures) -> str:
    """Return the chart of a comparison."""
    columns = [column for column in comparison.columns if column.drawn]
    rows = [
        Row(
            subject.label,
            _points(subject, columns, figures),
            subject.label.startswith("trio_mcast"),
            columns[0].decimals,
        )
        for subject in comparison.subjects
    ]
    headings = [column.heading for column in columns]
    return draw_chart(comparison.name, comparison.title, headings, rows, columns[0].unit)


def _points(subject: Subject, columns: Sequence[Column], figures: Figures) -> dict[int, float]:
    medians = [figures.median(subject.name, column.figure) for column in columns]
    return {
        number: median / columns[number].divisor
        for number, median in enumerate(medians)
        if median is not None
    }


def _bars_chart(record: Record) -> str:
    rows = []
    for bar in BARS:
        ratio = bar.ratio(record.figures)
        if ratio is not None:
            share = bar.limit / ratio if bar.at_least else ratio / bar.limit
            rows.append(Row(bar.label, {0: share}, ours=share <= 1))
    title = "What was measured, as a share of the bar (of a least one: the other way round)"
    return draw_chart("bars", f"{title}: up to 1 it is met", ["share"], rows, "share")


def _holds_chart(record: Record) -> str:
    ratios = _all_ratios(record)
    rows = [
        Row(label, {0: ratio}, ours=True)
        for label, name in _HOLDS.items()
        if (ratio := ratios[name]) is not None
    ]
    title = "The cost as a ratio to that of a bare Trio socket, by what the program does"
    return draw_chart("holds", title, ["ratio"], rows, "ratio")


def _all_ratios(record: Record) -> dict[str, float | None]:
    figures = record.figures
    quoted = {label: figures.ratio(above, below) for label, (above, below) in _QUOTED.items()}
    return {bar.label: bar.ratio(figures) for bar in BARS} | quoted


def _ratios(record: Record) -> Iterator[str]:
    for label, ratio in _all_ratios(record).items():
        yield f".. |{label}| replace:: {'-' if ratio is None else f'{ratio:,.2f}'}"
