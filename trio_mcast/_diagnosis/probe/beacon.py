"""The payload of a mesh beacon, after the header. Pure.

In network byte order::

    offset  size  field
    0       1     flags: 1 if the station leaves, 2 if it is a guest, which beacons only after
                  hearing one that is none; other bits are 0, and ignored
    1       1     length of the interface's name in bytes
    2       1     length of the machine's name in bytes
    3       1     number of entries that follow
    4       2     number of stations that this one hears
    6       2     interval between two beacons in milliseconds
    8       ...   the names, in UTF-8
    ...     12    an entry: the run of a station that this one hears (8), and how many of its last
                  beacons were to come (2) and have not come (2)

A station is one interface of one machine that takes part: it has a run of its own, and numbers its
beacons. A beacon is filled up with zeros to 256 bytes, so that the one of a guest need not be
larger; it has at most 1,200 bytes, so that it fits into every link of IPv6. A station that hears
more than fit into one beacon tells of the others in the next ones.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import attrs

from .header import HEADER_SIZE, Header, Kind
from .names import cut_name, shown_name

_LAYOUT: Final = struct.Struct("!BBBBHH")
_ENTRY: Final = struct.Struct("!QHH")
_LEAVES: Final = 1
_GUEST: Final = 2
_LEAST_BYTES: Final = 256
_MOST_BYTES: Final = 1_200
_MOST_NAME: Final = 64

MOST_ENTRIES: Final = 80
"""The most entries of one beacon: with names of 64 bytes, they fill 1,128 bytes."""


@attrs.frozen
class Heard:
    """An entry of a beacon: a station that the sender hears."""

    run: int
    """The run of the station: 64 bits."""
    expected: int
    """The number of its last beacons that were to come, up to 65,535."""
    lost: int
    """The number of these that have not come."""


@attrs.frozen
class Beacon:
    """A mesh beacon."""

    header: Header
    """The header; its run is the station's."""
    name: str
    """The name of the machine."""
    interface: str
    """The name of the interface."""
    interval_ms: int
    """The interval between two beacons in milliseconds, up to 65,535."""
    hears: int
    """The number of stations that this one hears."""
    heard: tuple[Heard, ...] = ()
    """Some of these stations, or all, at most 80."""
    leaves: bool = False
    """Whether this is the last beacon."""
    is_guest: bool = False
    """Whether the station beacons only after it has heard one that is none."""

    def pack(self) -> bytes:
        """Return the whole datagram, at most 1,200 bytes.

        Raises:
            ValueError: A number does not fit its field, or there are too many entries.
        """
        if len(self.heard) > MOST_ENTRIES:
            raise ValueError(f"a beacon has at most {MOST_ENTRIES} entries, not {len(self.heard)}")
        interface, name = cut_name(self.interface, _MOST_NAME), cut_name(self.name, _MOST_NAME)
        flags = (_LEAVES if self.leaves else 0) | (_GUEST if self.is_guest else 0)
        try:
            numbers = _LAYOUT.pack(
                flags, len(interface), len(name), len(self.heard), self.hears, self.interval_ms
            )
            entries = [_ENTRY.pack(one.run, one.expected, one.lost) for one in self.heard]
        except struct.error as error:
            raise ValueError(f"a number of {self} does not fit its field: {error}") from None
        parts = (self.header.pack(), numbers, interface, name, *entries)
        return b"".join(parts).ljust(_LEAST_BYTES, b"\0")

    @classmethod
    def unpack(cls, data: bytes) -> Beacon:
        """Return the beacon that a datagram is. Names can be shown anywhere.

        Raises:
            ValueError: The datagram is none, or contradicts itself.
        """
        header = Header.unpack(data)
        if header.kind is not Kind.MESH_BEACON:
            raise ValueError(f"the datagram is of kind {header.kind.name}, no mesh beacon")
        if len(data) > _MOST_BYTES:
            raise ValueError(f"the beacon has {len(data)} bytes, above {_MOST_BYTES}")
        if len(data) < _LEAST_BYTES:
            raise ValueError(f"the beacon has {len(data)} bytes, below {_LEAST_BYTES}")
        flags, of_interface, of_name, count, hears, interval_ms = _LAYOUT.unpack_from(
            data, HEADER_SIZE
        )
        names = HEADER_SIZE + _LAYOUT.size
        entries = names + of_interface + of_name
        end = entries + count * _ENTRY.size
        if len(data) < end:
            raise ValueError("the beacon is shorter than its numbers say")
        if max(of_interface, of_name) > _MOST_NAME or count > MOST_ENTRIES or count > hears:
            raise ValueError("the beacon's numbers are out of range")
        if not interval_ms:
            raise ValueError("the beacon has an interval of 0")
        heard = tuple(Heard(*entry) for entry in _ENTRY.iter_unpack(data[entries:end]))
        if any(one.lost > one.expected for one in heard):
            raise ValueError("the beacon tells of more losses than beacons")
        return cls(
            header,
            shown_name(data[names + of_interface : entries]),
            shown_name(data[names : names + of_interface]),
            interval_ms,
            hears,
            heard,
            bool(flags & _LEAVES),
            bool(flags & _GUEST),
        )


def entries_in(size: int) -> int:
    """Return how many entries fit into a beacon of a size, from 256 bytes up, with any names."""
    room = size - HEADER_SIZE - _LAYOUT.size - 2 * _MOST_NAME
    return min(MOST_ENTRIES, room // _ENTRY.size)


def parts_of(heard: Sequence[Heard], turn: int, most: int = MOST_ENTRIES) -> tuple[Heard, ...]:
    """Return the entries of one beacon: all if they fit, else the next ones at each turn.

    Args:
        heard: All entries.
        turn: The number of the beacon.
        most: The number of entries that fit into one.
    """
    parts = max(1, -(-len(heard) // most))
    start = turn % parts * most
    return tuple(heard[start : start + most])
