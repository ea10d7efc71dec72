"""Received datagrams as text, as rows of bytes, and as JSON."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_mcast import Datagram, Endpoint, Interface
from trio_mcast._cli.output import json_line
from trio_mcast._cli.rendering import as_hex, as_record, as_text, counted, payload_text

pytestmark = pytest.mark.once

ETH0 = Interface("eth0", 2)
DATAGRAM = Datagram(
    b"hello\n",
    Endpoint("10.0.0.1", 4000),
    "239.1.2.3",
    ETH0,
    7,
    1_700_000_000_123_456_789,
    Endpoint("239.1.2.3", 5000),
    0xB8,
)
SIX = Datagram(
    b"\x00\xff",
    Endpoint("fe80::1%eth0", 4000),
    "ff02::5",
    ETH0,
    destination=Endpoint("ff02::5%eth0", 5000),
)


def test_text_has_the_facts_that_were_asked_for() -> None:
    assert as_text(DATAGRAM) == (
        "2023-11-14T22:13:20.123456789Z 10.0.0.1:4000 > 239.1.2.3:5000 eth0 ttl 7 class 0xb8 "
        "6 bytes: hello\n"
    )
    assert as_text(SIX) == "[fe80::1%eth0]:4000 > [ff02::5]:5000 eth0 2 bytes: \\x00\\xff\n"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"a line\r\n", "a line"),
        (b"two\nlines\n", "two\\nlines"),
        ("größer".encode(), "größer"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        ("\u202e".encode(), "\\u202e"),
    ],
)
def test_payload_as_text_does_a_terminal_no_harm(data: bytes, text: str) -> None:
    assert payload_text(data) == text


def test_hex_has_rows_of_sixteen_bytes() -> None:
    lines = as_hex(DATAGRAM._replace(data=bytes(range(60, 80)))).splitlines()
    assert lines[0].endswith(" eth0 ttl 7 class 0xb8 20 bytes")
    assert lines[1:] == [
        "  0000  3c 3d 3e 3f 40 41 42 43 44 45 46 47 48 49 4a 4b  <=>?@ABCDEFGHIJK",
        f"  0010  {'4c 4d 4e 4f':<47}  LMNO",
    ]


def test_record_has_every_fact() -> None:
    assert as_record(DATAGRAM) == {
        "time": "2023-11-14T22:13:20.123456789Z",
        "timestamp_ns": 1_700_000_000_123_456_789,
        "source": "10.0.0.1",
        "source_port": 4000,
        "group": "239.1.2.3",
        "destination": "239.1.2.3",
        "port": 5000,
        "interface": "eth0",
        "interface_index": 2,
        "ttl": 7,
        "traffic_class": 0xB8,
        "size": 6,
        "text": "hello\n",
        "data": "aGVsbG8K",
    }
    record = as_record(SIX)
    assert (record["source"], record["destination"]) == ("fe80::1%eth0", "ff02::5")
    assert (record["text"], record["time"], record["ttl"]) == (None, None, None)


@given(st.binary())
def test_every_payload_survives_json(data: bytes) -> None:
    line = json_line(as_record(DATAGRAM._replace(data=data)))
    assert "\n" not in line
    record = json.loads(line)
    assert base64.b64decode(record["data"]) == data
    assert record["text"] in (None, data.decode(errors="replace"))


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 bytes"), (1, "1 byte"), (2, "2 bytes"), (1400, "1,400 bytes")]
)
def test_one_is_not_plural(count: int, words: str) -> None:
    assert counted(count, "byte") == words
