"""The header of numbered datagrams: byte for byte, back again, and the refusal of all others."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trio_mcast._diagnosis.probe.header import HEADER_SIZE, Header, Kind, starts_with_magic

pytestmark = pytest.mark.once

NUMBER = st.integers(0, 2**64 - 1)
HEADERS = st.builds(Header, st.sampled_from(Kind), NUMBER, NUMBER, NUMBER, st.integers(0, 255))
PACKED = bytes.fromhex("544d4350 01 04 20 00 0102030405060708 0000000000000013 17c4b3a5d2e1f000")
HEADER = Header(Kind.PROBE, 0x0102030405060708, 19, 0x17C4B3A5D2E1F000, 32)


def test_header_is_these_32_bytes() -> None:
    assert HEADER_SIZE == 32
    assert HEADER.pack() == PACKED
    assert Header.unpack(PACKED) == HEADER


def test_kinds_have_the_numbers_of_the_wire_format() -> None:
    assert {kind.name: kind.value for kind in Kind} == {
        "NUMBERED": 0,
        "PING_QUESTION": 1,
        "PING_ANSWER": 2,
        "MESH_BEACON": 3,
        "PROBE": 4,
        "MEASURE": 5,
    }


@given(HEADERS, st.integers(HEADER_SIZE, 1500))
def test_header_survives_the_wire_and_its_padding_is_zeros(header: Header, size: int) -> None:
    packed = header.pack(size)
    assert len(packed) == size
    assert not packed[HEADER_SIZE:].strip(b"\0")
    unpacked = Header.unpack(packed)
    assert unpacked == header
    assert isinstance(unpacked.kind, Kind)


def test_flags_of_a_header_are_ignored() -> None:
    assert Header.unpack(PACKED[:7] + b"\xff" + PACKED[8:]) == HEADER


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "no header", id="empty"),
        pytest.param(b"TMC", "no header", id="part-of-the-magic"),
        pytest.param(b"hello, world, this is some other protocol", "no header", id="other"),
        pytest.param(PACKED[:31], "has 31 bytes", id="short"),
        pytest.param(PACKED[:4], "has 4 bytes", id="magic-alone"),
        pytest.param(b"TMCQ" + PACKED[4:], "no header", id="magic"),
        pytest.param(PACKED[:4] + b"\x02" + PACKED[5:], "version 2; known is 1", id="version"),
        pytest.param(PACKED[:4] + b"\x00" + PACKED[5:], "version 0; known is 1", id="version-0"),
        pytest.param(PACKED[:5] + b"\x06" + PACKED[6:], "kind 6; known are 0 to 5", id="kind"),
    ],
)
def test_header_that_is_unknown_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Header.unpack(data)


@given(st.binary(max_size=64))
@example(PACKED)
@example(PACKED + b"more")
def test_any_bytes_are_a_header_or_a_value_error(data: bytes) -> None:
    try:
        header = Header.unpack(data)
    except ValueError:
        return
    assert starts_with_magic(data)
    assert header.pack()[:7] == data[:7]
    assert header.pack()[8:] == data[8:HEADER_SIZE]


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(HEADER._replace(run=2**64), id="run"),
        pytest.param(HEADER._replace(sequence=-1), id="sequence"),
        pytest.param(HEADER._replace(time_ns=2**64), id="time"),
        pytest.param(HEADER._replace(ttl=256), id="ttl"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(header: Header) -> None:
    with pytest.raises(ValueError, match="does not fit its field"):
        header.pack()


def test_size_below_the_header_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes, not 31"):
        HEADER.pack(31)
