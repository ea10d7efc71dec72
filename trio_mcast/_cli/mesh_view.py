"""The look of ``trio-mcast mesh``: the matrix of who hears whom in any width, changes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.text import Text

from .._diagnosis.probe.mesh import Cell, Change, Row, Station

# Two spaces, and the longest: "100%".
_CELL: Final = 6
_MOST_LABEL: Final = 24
_STATES: Final = {"here": "", "there": "", "left": "left", "silent": "silent", "unheard": "unheard"}
LEGEND: Final = "Each row hears the columns: the share of the last 64 beacons that were lost."
SIGNS: Final = "no: hears none.  ?: only others hear that station, so it tells nothing here."
SHORT_SIGNS: Final = "0: all come.  1 to 9: tenths that are lost.  x: hears none.  ?: not known."


def matrix_lines(rows: Sequence[Row], width: int) -> Iterator[Text]:
    """Yield the lines of the matrix.

    If it does not fit, the addresses are left out; then each field is one character; then the last
    columns are left out.

    Args:
        rows: The rows.
        width: The width of the terminal, in characters.
    """
    labels = [_cut(str(row.station), _MOST_LABEL) for row in rows]
    states = [_STATES[row.state] for row in rows]
    addresses = [row.station.address for row in rows]
    number = len(str(len(rows)))
    heads = _columns([labels, addresses, states]) or [""]
    if number + 2 + len(heads[0]) + _CELL * len(rows) > width:
        heads = _columns([labels, states]) or [""]
    is_short = number + 2 + len(heads[0]) + _CELL * len(rows) > width
    shown = min(len(rows), max(1, width - number - 4 - len(heads[0]))) if is_short else len(rows)
    start = " " * (number + 2 + len(heads[0]) + 2 * is_short)
    yield from (Text(line, "dim") for line in _headings(start, shown, is_short=is_short))
    for index, row in enumerate(rows):
        line = Text(f"{index + 1:{number}}  ")
        line.append(heads[index], "bold" if row.state == "here" else "dim" if states[index] else "")
        line.append("  " if is_short else "")
        for column in range(shown):
            text, style = _field(rows, index, column)
            line.append(_shortened(text) if is_short else f"{text:>{_CELL}}", style)
        line.rstrip()
        yield line
    if shown < len(rows):
        yield Text(f"{len(rows) - shown} more columns do not fit.", "dim")
    yield Text(LEGEND, "dim")
    yield Text(SHORT_SIGNS if is_short else SIGNS, "dim")


def _columns(columns: Sequence[Sequence[str]]) -> list[str]:
    """Return texts side by side, two spaces apart; a column of empty texts takes no room."""
    widths = [max(map(len, column), default=0) for column in columns]
    used = [(column, size) for column, size in zip(columns, widths, strict=True) if size]
    return [
        "  ".join(text.ljust(size) for text, size in zip(texts, (w for _, w in used), strict=True))
        for texts in zip(*(column for column, _ in used), strict=True)
    ]


def _headings(start: str, count: int, *, is_short: bool) -> Iterator[str]:
    """Yield the numbers of the columns; with fields of one character, from top to bottom."""
    if not is_short:
        yield start + "".join(f"{number:>{_CELL}}" for number in range(1, count + 1))
        return
    size = len(str(count))
    numbers = [f"{number:>{size}}" for number in range(1, count + 1)]
    for digit in range(size):
        yield (start + "".join(text[digit] for text in numbers)).rstrip()


def _field(rows: Sequence[Row], index: int, column: int) -> tuple[str, str]:
    """Return the text and the style of a field."""
    row, cell = rows[index], rows[index].cells[column]
    if index == column:
        return "-", "dim"
    if row.state == "unheard":
        return "?", "dim"
    # Of a station that has gone, all stays as it was.
    has_gone = bool({row.state, rows[column].state} & {"left", "silent"})
    if cell is None or not (cell.hears or has_gone):
        return "no", "dim" if has_gone else "bold red"
    return _percent(cell), "dim" if has_gone else "yellow" if cell.lost else "green"


def _percent(cell: Cell) -> str:
    """Return the loss as a percentage, which is 0 and 100 only where it is exactly that."""
    percent = round(100 * cell.loss)
    return f"{min(99, max(1, percent)) if 0 < cell.loss < 1 else percent}%"


def _shortened(text: str) -> str:
    if not text.endswith("%"):
        return {"no": "x"}.get(text, text)
    percent = int(text[:-1])
    return "0" if not percent else str(min(9, max(1, percent // 10)))


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 3]}..."


def describe_change(change: Change) -> str:
    """Return one line about a change."""
    who = str(change.who)
    if change.event == "came":
        place = "here" if change.who.is_here else change.who.address
        return f"{who} came ({place})"
    if change.event in ("left", "silent"):
        return f"{who} left" if change.event == "left" else f"{who} fell silent"
    if change.event == "misses":
        return f"{who} does not hear {change.whom} any more"
    loss = "" if not change.loss and change.event == "hears" else f", {change.loss or 0:.0%} lost"
    return f"{who} hears {change.whom}{loss}"


def json_change(change: Change) -> dict[str, Any]:
    """Return a change for JSON."""
    line: dict[str, Any] = {"event": change.event, "who": _json_station(change.who)}
    if change.whom is not None:
        line["whom"] = _json_station(change.whom)
    if change.loss is not None:
        line["loss"] = round(change.loss, 4)
    return line


def json_matrix(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the matrix for JSON: the stations, and of each the others that it hears."""
    stations = [
        {
            **_json_station(row.station),
            "state": row.state,
            "hears": [
                {
                    "station": column,
                    "hears": cell.hears,
                    "expected": cell.expected,
                    "lost": cell.lost,
                }
                for column, cell in enumerate(row.cells)
                if cell is not None
            ],
        }
        for row in rows
    ]
    return {"event": "matrix", "stations": stations}


def _json_station(station: Station) -> dict[str, Any]:
    return {
        "run": f"{station.run:016x}",
        "name": station.name,
        "interface": station.interface,
        "address": station.address,
    }
