"""The matrix of ``trio-mcast mesh`` in any width, and the lines about changes."""

from __future__ import annotations

import pytest

from trio_mcast._cli.mesh_view import describe_change, json_change, json_matrix, matrix_lines
from trio_mcast._diagnosis.probe.mesh import Cell, Change, Row, Station

pytestmark = pytest.mark.once


def station(number: int, name: str | None = None) -> Station:
    name = f"robot-{number}" if name is None else name
    return Station(number, name, "eth0", f"10.0.0.{number}", is_here=number == 1)


def full(count: int) -> list[Row]:
    cells = tuple(Cell(True, 64, 0) for _ in range(count))
    return [
        Row(station(number), "here" if number == 1 else "there", cells)
        for number in range(1, count + 1)
    ]


def drawn(rows: list[Row], width: int = 80) -> list[str]:
    return [line.plain for line in matrix_lines(rows, width)]


def test_matrix_shows_loss_silence_and_what_is_not_known() -> None:
    unheard = Station(0x1A2B << 48, "", "", "")
    rows = [
        Row(station(1), "here", (None, Cell(True, 64, 0), Cell(True, 64, 1), None)),
        Row(station(2), "there", (Cell(True, 64, 63), None, Cell(False, 64, 3), Cell(True, 8, 2))),
        Row(station(3), "left", (Cell(True, 4, 4), None, None, Cell(False, 8, 4))),
        Row(unheard, "unheard", (None,) * 4),
    ]
    assert drawn(rows)[:-2] == [
        "                                       1     2     3     4",
        "1  robot-1:eth0  10.0.0.1              -    0%    2%    no",
        "2  robot-2:eth0  10.0.0.2            98%     -    5%   25%",
        "3  robot-3:eth0  10.0.0.3  left     100%    no     -   50%",
        "4  ?1a2b                   unheard     ?     ?     ?     -",
    ]


@pytest.mark.parametrize("count", [1, 2, 8, 9, 20, 60, 256])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_matrix_fits_its_width(count: int, width: int) -> None:
    lines = drawn(full(count), width)
    assert max(map(len, lines[:-2])) <= width
    fields = lines[-3 if "do not fit" not in lines[-3] else -4]
    assert fields.startswith(f"{count}  robot-{count}:eth0")
    # Every station has a row.
    assert sum("robot" in line for line in lines) == count


def test_matrix_of_many_has_one_character_for_each() -> None:
    lines = drawn(full(20), 60)
    assert lines[0].endswith("         11111111112")
    assert lines[1].endswith("12345678901234567890")
    assert lines[2] == " 1  robot-1:eth0   -0000000000000000000"
    assert "tenths" in lines[-1]


def test_matrix_that_cannot_fit_says_so() -> None:
    lines = drawn(full(60), 40)
    assert lines[-3] == "39 more columns do not fit."


def test_matrix_without_stations_is_its_legend() -> None:
    assert len(drawn([])) == 3


@pytest.mark.parametrize("lost", [1, 63])
def test_loss_is_none_or_all_only_where_it_is_exactly_that(lost: int) -> None:
    rows = [
        Row(station(1), "here", (None, Cell(True, 1_000, lost if lost == 1 else 999))),
        Row(station(2), "there", (Cell(True, 64, 0), None)),
    ]
    assert drawn(rows)[1].endswith("1%" if lost == 1 else "99%")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (Change("came", station(1)), "robot-1:eth0 came (here)"),
        (Change("came", station(2)), "robot-2:eth0 came (10.0.0.2)"),
        (Change("left", station(2)), "robot-2:eth0 left"),
        (Change("silent", station(2)), "robot-2:eth0 fell silent"),
        (Change("hears", station(1), station(2), 0.0), "robot-1:eth0 hears robot-2:eth0"),
        (
            Change("hears", station(1), station(2), 0.25),
            "robot-1:eth0 hears robot-2:eth0, 25% lost",
        ),
        (Change("loss", station(1), station(2), 0.0), "robot-1:eth0 hears robot-2:eth0, 0% lost"),
        (
            Change("misses", station(1), station(2)),
            "robot-1:eth0 does not hear robot-2:eth0 any more",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else value.event,
)
def test_change_is_one_line(change: Change, text: str) -> None:
    assert describe_change(change) == text


def test_json_names_stations_and_whom_each_hears() -> None:
    line = json_change(Change("loss", station(1), station(2), 0.125))
    assert line == {
        "event": "loss",
        "who": {
            "run": "0000000000000001",
            "name": "robot-1",
            "interface": "eth0",
            "address": "10.0.0.1",
        },
        "whom": {
            "run": "0000000000000002",
            "name": "robot-2",
            "interface": "eth0",
            "address": "10.0.0.2",
        },
        "loss": 0.125,
    }
    rows = [
        Row(station(1), "here", (None, Cell(True, 64, 2))),
        Row(station(2), "there", (None, None)),
    ]
    one, two = json_matrix(rows)["stations"]
    assert one["hears"] == [{"station": 1, "hears": True, "expected": 64, "lost": 2}]
    assert (two["name"], two["state"], two["hears"]) == ("robot-2", "there", [])
