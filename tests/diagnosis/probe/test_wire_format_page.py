"""The page of the wire format names all that there is on the wire."""

from __future__ import annotations

import re

import pytest

from tests.support.examples import DOCS
from trio_mcast._diagnosis.probe.beacon import Beacon
from trio_mcast._diagnosis.probe.control import CONTROL_PORT, MESSAGES, MOST_BYTES
from trio_mcast._diagnosis.probe.header import HEADER_SIZE, Header, Kind
from trio_mcast._diagnosis.probe.ping import LEAST_QUESTION
from trio_mcast._diagnosis.probe.responder import MOST_ANSWERS
from trio_mcast._diagnosis.probe.streams import StreamCounts

pytestmark = pytest.mark.once

PAGE = (DOCS / "wire-format.rst").read_text()


def rows(heading: str) -> list[tuple[str, ...]]:
    """The first three cells of each row of the table below a heading, without the table's head."""
    text = PAGE.split(f"{heading}\n{'-' * len(heading)}\n")[1]
    table = text.split(".. list-table::")[1]
    found = re.findall(r"^   \* - (.*)\n     -(.*)\n     -(.*)$", table, re.MULTILINE)
    return [tuple(cell.strip() for cell in row) for row in found[1:]]


def test_page_has_every_field_of_the_header() -> None:
    fields = rows("The header")
    assert [name for _, _, name in fields] == [
        "magic",
        "version",
        "kind",
        "ttl",
        "flags",
        "run",
        "sequence",
        "time",
    ]
    offset = 0
    for start, size, _ in fields:
        assert int(start) == offset
        offset += int(size)
    assert offset == HEADER_SIZE


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
def test_page_has_every_kind(kind: Kind) -> None:
    name = "measured" if kind is Kind.MEASURE else kind.name.lower().replace("_", " ")
    assert f"   * - {kind.value}\n     - {name}\n" in PAGE


@pytest.mark.parametrize(("request_kind", "answer"), MESSAGES.items(), ids=list(MESSAGES))
def test_page_has_every_control_message(request_kind: str, answer: str) -> None:
    assert f"   * - ``{request_kind}``\n" in PAGE
    assert f"     - ``{answer}``\n" in PAGE


def test_page_has_every_member_of_an_answer_about_a_stream() -> None:
    described = PAGE.split("     - ``measured``\n")[1]
    assert set(re.findall(r"``(\w+)``", described)) == StreamCounts().fields().keys()


def test_numbers_of_the_page_are_those_of_the_code() -> None:
    assert f"{CONTROL_PORT} unless another" in PAGE
    assert f"up to {MOST_BYTES:,} bytes::" in PAGE
    assert f"at most {MOST_ANSWERS} questions" in PAGE
    assert f"less than {LEAST_QUESTION} bytes" in PAGE
    start, *_ = rows("Ping answer")
    assert start == (str(HEADER_SIZE), "8", "responder")
    names = {name: int(offset) for offset, _, name in rows("Mesh beacon") if offset}
    beacon = Beacon(Header(Kind.MESH_BEACON, 1, 0), "pumpe", "eth0", 0x1234, 0x5678).pack()
    assert beacon[names["hears"] : names["interval"] + 2] == b"\x56\x78\x12\x34"
    assert beacon[names["names"] :].startswith(b"eth0pumpe\0")
    assert len(beacon) == 256
