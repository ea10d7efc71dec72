"""The number of a datagram, from its payload: of this tool, of RTP, or at a given place. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import attrs

from .._diagnosis.probe.header import Header, starts_with_magic

_RTP_HEADER_BYTES = 12
_RTP_VERSION = 2
# RTCP on the port of RTP looks like these payload types (RFC 5761, section 4).
_RTCP = range(72, 77)
# The clock rates of payload types that have a fixed one, in Hz (RFC 3551, tables 4 and 5).
_CLOCKS = dict.fromkeys((0, 3, 4, 5, 7, 8, 9, 12, 13, 15, 18), 8_000) | {
    6: 16_000,
    10: 44_100,
    11: 44_100,
    14: 90_000,
    16: 11_025,
    17: 22_050,
    **dict.fromkeys((25, 26, 28, 31, 32, 33, 34), 90_000),
}


class Numbered(NamedTuple):
    """The number in a payload.

    Attributes:
        series: Tells numbers that have nothing to do with each other apart.
        number: The number.
        bits: The size of a number, after whose highest value comes 0 again.
        sent_ns: The time of sending by any clock, in nanoseconds; `None` if unknown.
    """

    series: tuple[str, int]
    number: int
    bits: int
    sent_ns: int | None


NumberOf: TypeAlias = Callable[[bytes], Numbered | None]


def find_number(data: bytes) -> Numbered | None:
    """Return the number of a datagram of ``send --numbered`` or RTP; `None` of any other."""
    if starts_with_magic(data):
        try:
            header = Header.unpack(data)
        except ValueError:
            return None
        return Numbered(("trio-mcast", header.run), header.sequence, 64, header.time_ns)
    if len(data) < _RTP_HEADER_BYTES or data[0] >> 6 != _RTP_VERSION:
        return None
    kind = data[1] & 0x7F
    if kind in _RTCP:
        return None
    number, timestamp, source = struct.unpack_from("!HII", data, 2)
    clock = _CLOCKS.get(kind)
    sent_ns = None if clock is None else timestamp * 1_000_000_000 // clock
    return Numbered((f"RTP {kind}", source), number, 16, sent_ns)


@attrs.frozen
class SequenceAt:
    """A place in every payload that has a number, in network byte order.

    Attributes:
        offset: The offset of its first byte.
        size: Its size in bytes.
    """

    offset: int
    size: int

    def __call__(self, data: bytes) -> Numbered | None:
        """Return the number; `None` if the payload is too short."""
        place = data[self.offset : self.offset + self.size]
        if len(place) < self.size:
            return None
        return Numbered(("sequence", 0), int.from_bytes(place, "big"), self.size * 8, None)


def parse_sequence(text: str) -> SequenceAt:
    """Return the place that ``OFFSET:SIZE`` stands for.

    Raises:
        ValueError: The text is not of this form, or the size is not 1 to 8.
    """
    offset, colon, size = text.partition(":")
    if not (colon and offset.isascii() and size.isascii()) or not (offset + size).isdecimal():
        raise ValueError(f"{text!r} is no OFFSET:SIZE in bytes, such as 4:2")
    if not offset or not size or not 1 <= int(size) <= 8:
        raise ValueError(f"{text!r} is no OFFSET:SIZE with a size of 1 to 8 bytes, such as 4:2")
    return SequenceAt(int(offset), int(size))
