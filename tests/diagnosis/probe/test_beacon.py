"""Mesh beacons: byte for byte, back again, bounded, and the refusal of what is none."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_mcast._diagnosis.probe.beacon import MOST_ENTRIES, Beacon, Heard, entries_in, parts_of
from trio_mcast._diagnosis.probe.header import HEADER_SIZE, Header, Kind

pytestmark = pytest.mark.once

HEADER = Header(Kind.MESH_BEACON, 7, 3, 1_700_000_000_000_000_000, 1)
BEACON = Beacon(HEADER, "pumpe", "eth0", 1_000, 2, (Heard(8, 64, 1), Heard(9, 3, 0)))
PACKED = (
    bytes.fromhex("00 04 05 02 0002 03e8")
    + b"eth0pumpe"
    + bytes.fromhex("0000000000000008 0040 0001 0000000000000009 0003 0000")
)


def test_beacon_is_these_bytes() -> None:
    packed = BEACON.pack()
    assert packed == (HEADER.pack() + PACKED).ljust(256, b"\0")
    assert Beacon.unpack(packed) == BEACON


def test_last_beacon_says_so() -> None:
    packed = attrs.evolve(BEACON, leaves=True).pack()
    assert packed[HEADER_SIZE] == 1
    assert Beacon.unpack(packed).leaves


def test_beacon_fits_into_every_link_of_ipv6() -> None:
    heard = tuple(Heard(2**64 - 1 - number, 65535, 65535) for number in range(MOST_ENTRIES))
    full = Beacon(HEADER, "n" * 100, "i" * 100, 65535, 65535, heard)
    assert len(full.pack()) <= 1_200  # 1,280 less the headers of IPv6 and UDP.
    assert Beacon.unpack(full.pack()).heard == heard
    with pytest.raises(ValueError, match="at most 80 entries, not 81"):
        attrs.evolve(full, heard=(*heard, Heard(1, 1, 0))).pack()


@pytest.mark.parametrize(
    ("offset", "data", "reason"),
    [
        pytest.param(0, b"\x65\x04\x05\x20", "shorter", id="count"),
        pytest.param(0, b"\x00\xff", "shorter", id="name"),
        pytest.param(0, b"\x00\x41", "out of range", id="long-name"),
        pytest.param(0, b"\x00\x04\x05\x02\x00\x01", "out of range", id="hears-fewer"),
        pytest.param(6, b"\0\0", "interval of 0", id="interval"),
        pytest.param(25, b"\0\0", "more losses", id="losses"),
    ],
)
def test_beacon_that_contradicts_itself_is_refused(offset: int, data: bytes, reason: str) -> None:
    packed = bytearray(BEACON.pack())
    start = HEADER_SIZE + offset
    packed[start : start + len(data)] = data
    with pytest.raises(ValueError, match=reason):
        Beacon.unpack(bytes(packed))


def test_other_kinds_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="no mesh beacon"):
        Beacon.unpack(HEADER._replace(kind=Kind.NUMBERED).pack() + PACKED)
    with pytest.raises(ValueError, match="has 255 bytes, below 256"):
        Beacon.unpack(HEADER.pack(255))
    with pytest.raises(ValueError, match="above 1200"):
        Beacon.unpack(HEADER.pack(1_201))


def test_guest_says_so() -> None:
    packed = attrs.evolve(BEACON, is_guest=True).pack()
    assert packed[HEADER_SIZE] == 2
    assert Beacon.unpack(packed).is_guest


@pytest.mark.parametrize(("size", "count"), [(256, 7), (267, 8), (1_127, 79), (1_200, 80)])
def test_entries_fit_with_the_longest_names(size: int, count: int) -> None:
    assert entries_in(size) == count
    heard = tuple(Heard(number, 1, 0) for number in range(count))
    assert len(Beacon(HEADER, "n" * 64, "i" * 64, 1, count, heard).pack()) <= size


@given(st.binary(min_size=224, max_size=300))
def test_any_payload_is_a_beacon_or_a_value_error(payload: bytes) -> None:
    try:
        beacon = Beacon.unpack(HEADER.pack() + payload)
    except ValueError:
        return
    assert (beacon.name + beacon.interface).isprintable()
    assert len(beacon.heard) <= min(MOST_ENTRIES, beacon.hears)


@pytest.mark.parametrize("count", [0, 1, 79, 80, 81, 160, 250])
def test_beacons_in_turn_tell_of_all(count: int) -> None:
    heard = [Heard(number, 1, 0) for number in range(count)]
    parts = max(1, -(-count // MOST_ENTRIES))
    for first in (0, 5):
        turns = [parts_of(heard, first + turn) for turn in range(parts)]
        assert sorted(one.run for turn in turns for one in turn) == list(range(count))
        assert all(len(turn) <= MOST_ENTRIES for turn in turns)
