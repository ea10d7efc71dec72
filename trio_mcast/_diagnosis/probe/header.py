"""The 32 bytes at the start of each numbered datagram that the command sends. Pure.

In network byte order::

    offset  size  field
    0       4     magic, "TMCP"
    4       1     version, 1
    5       1     kind (see `Kind`)
    6       1     ttl or hop limit that the datagram was sent with; 0 if unknown
    7       1     flags, 0; to be ignored by who reads this version
    8       8     run: a random number of the sender's run
    16      8     sequence: the number of the datagram in that run
    24      8     time: nanoseconds since 1970 (UTC) at which it was sent, by the sender's clock

What follows is padding, or what the kind says. All numbers are without a sign.
"""

from __future__ import annotations

import enum
import struct
from typing import Final, NamedTuple

_MAGIC: Final = b"TMCP"
_VERSION: Final = 1
_LAYOUT: Final = struct.Struct("!4sBBBBQQQ")

HEADER_SIZE: Final = _LAYOUT.size
"""The number of bytes of a header."""


class Kind(enum.IntEnum):
    """The purpose of a numbered datagram."""

    NUMBERED = 0
    """One of a stream, whose gaps and order the receiver tells."""
    PING_QUESTION = 1
    """A question to which each responder answers by unicast."""
    PING_ANSWER = 2
    """The answer to a ping question; run, sequence and time are those of the question."""
    MESH_BEACON = 3
    """The sign of life of a machine that takes part in a mesh."""
    PROBE = 4
    """One of a case of the two-ended probe."""
    MEASURE = 5
    """One of a stream whose loss is measured."""


class Header(NamedTuple):
    """The header of a numbered datagram."""

    kind: Kind
    """The purpose of the datagram."""
    run: int
    """The random number of the sender's run: 64 bits."""
    sequence: int
    """The number of the datagram in that run: 64 bits."""
    time_ns: int = 0
    """The time of sending, in nanoseconds since 1970 (UTC) by the sender's clock: 64 bits."""
    ttl: int = 0
    """The ttl or hop limit that the datagram was sent with, 1 to 255; 0 if unknown."""

    def pack(self, size: int = HEADER_SIZE) -> bytes:
        """Return the header as bytes, followed by zeros up to a size.

        Raises:
            ValueError: The size is less than the header's, or a number does not fit its field.
        """
        if size < HEADER_SIZE:
            raise ValueError(f"a numbered datagram has at least {HEADER_SIZE} bytes, not {size}")
        try:
            packed = _LAYOUT.pack(
                _MAGIC, _VERSION, self.kind, self.ttl, 0, self.run, self.sequence, self.time_ns
            )
        except struct.error as error:
            raise ValueError(f"a number of {self} does not fit its field: {error}") from None
        return packed.ljust(size, b"\0")

    @classmethod
    def unpack(cls, data: bytes) -> Header:
        """Return the header at the start of a datagram.

        Raises:
            ValueError: The datagram is shorter than a header, does not start with the magic, or
                has a version or a kind that is unknown.
        """
        if not starts_with_magic(data):
            raise ValueError("the datagram has no header of trio-mcast")
        if len(data) < HEADER_SIZE:
            raise ValueError(f"the datagram has {len(data)} bytes; a header has {HEADER_SIZE}")
        _, version, kind, ttl, _, run, sequence, time_ns = _LAYOUT.unpack_from(data)
        if version != _VERSION:
            raise ValueError(f"the header has version {version}; known is {_VERSION}")
        if kind not in _KINDS:
            raise ValueError(f"the header has kind {kind}; known are 0 to {max(_KINDS)}")
        return cls(_KINDS[kind], run, sequence, time_ns, ttl)


_KINDS: Final = {kind.value: kind for kind in Kind}


def starts_with_magic(data: bytes) -> bool:
    """Tell whether a datagram claims to be a numbered one; `Header.unpack` may still refuse it."""
    return data.startswith(_MAGIC)
