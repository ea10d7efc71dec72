"""The payload of a ping answer, after the header. Pure.

In network byte order::

    offset  size  field
    0       8     responder: a random number of the responder's run
    8       8     alive: nanoseconds for which the responder has answered in this group
    16      1     ttl or hop limit of the question on arrival; 0 if unknown
    17      1     length of the interface's name in bytes
    18      1     length of the responder's name in bytes
    19      ...   the interface on which the question arrived, and the responder's name, in UTF-8

The header is the question's own, with the kind of an answer, and with the ttl of the answer. An
answer is never larger than its question: the names are cut to what the question leaves room for. A
question without room for the numbers is not answered.
"""

from __future__ import annotations

import struct
from typing import Final

import attrs

from .header import HEADER_SIZE, Header, Kind
from .names import cut_name, shown_name

_LAYOUT: Final = struct.Struct("!QQBBB")

LEAST_QUESTION: Final = HEADER_SIZE + _LAYOUT.size
"""The size in bytes of the smallest question that is answered."""
# The names get this much, as long as the question has room: an interface of Linux has up to 15
# bytes, a host up to 64.
_MOST_NAME: Final = 64


@attrs.frozen
class PingAnswer:
    """The payload of a ping answer."""

    responder: int
    """The random number of the responder's run: 64 bits."""
    alive_ns: int
    """The time for which the responder has answered: questions before that count for no loss."""
    ttl: int
    """The ttl or hop limit of the question on arrival; 0 if unknown."""
    interface: str
    """The responder's interface on which the question arrived."""
    name: str
    """The responder's name."""

    def pack(self, question: Header, ttl: int, size: int) -> bytes | None:
        """Return the whole answer; `None` if the question leaves no room for one.

        Args:
            question: The header of the question.
            ttl: The ttl or hop limit that the answer is sent with; 0 if unknown.
            size: The size of the question in bytes, which the answer does not exceed.

        Raises:
            ValueError: A number does not fit its field.
        """
        room = size - LEAST_QUESTION
        if room < 0:
            return None
        interface = cut_name(self.interface, min(room, _MOST_NAME))
        name = cut_name(self.name, min(room - len(interface), _MOST_NAME))
        try:
            numbers = _LAYOUT.pack(
                self.responder, self.alive_ns, self.ttl, len(interface), len(name)
            )
        except struct.error as error:
            raise ValueError(f"a number of {self} does not fit its field: {error}") from None
        header = question._replace(kind=Kind.PING_ANSWER, ttl=ttl)
        return header.pack() + numbers + interface + name

    @classmethod
    def unpack(cls, data: bytes) -> PingAnswer:
        """Return the payload of a whole answer. Names can be shown anywhere.

        Raises:
            ValueError: The answer is too short for what it says.
        """
        if len(data) < LEAST_QUESTION:
            raise ValueError(f"the ping answer has {len(data)} bytes, below {LEAST_QUESTION}")
        responder, alive_ns, ttl, interface, name = _LAYOUT.unpack_from(data, HEADER_SIZE)
        end = LEAST_QUESTION + interface
        if len(data) < end + name:
            raise ValueError("the ping answer is shorter than its names")
        return cls(
            responder,
            alive_ns,
            ttl,
            shown_name(data[LEAST_QUESTION:end]),
            shown_name(data[end : end + name]),
        )
