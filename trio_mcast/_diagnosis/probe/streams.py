"""`Streams`: the measured streams as a receiver gets them, by run, and what it tells about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

from ..._values.datagram import Datagram
from .control import Message
from .header import Header
from .numbering import NumberCounts, Numbering
from .timing import Jitter

# The streams that are kept: those that a sender asks about, and those that just came. Arbitrary;
# whoever forges datagrams displaces no stream that was asked about.
_MOST_ASKED: Final = 64
_MOST_UNASKED: Final = 64


@attrs.frozen
class Drops:
    """The datagrams that the receiving machine itself dropped."""

    kernel: int = 0
    """Dropped by the kernel, as the receive buffer was full."""
    process: int = 0
    """Dropped by the receiving process, as too many waited there."""


@attrs.frozen
class StreamCounts:
    """The counts of a stream until now."""

    numbers: NumberCounts = attrs.field(factory=NumberCounts)
    """Its datagrams by number."""
    bytes: int = 0
    """The payload, headers of trio-mcast included, of each datagram that came."""
    jitter_ns: int = 0
    """The interarrival jitter (RFC 3550)."""
    drops: Drops = attrs.field(factory=Drops)
    """The drops since the stream was first asked about, or came."""

    def fields(self) -> dict[str, Any]:
        """Return the fields of a control message."""
        return {
            "expected": self.numbers.expected,
            "received": self.numbers.received,
            "duplicates": self.numbers.duplicates,
            "reordered": self.numbers.reordered,
            "bytes": self.bytes,
            "jitter_ns": self.jitter_ns,
            "kernel": self.drops.kernel,
            "process": self.drops.process,
        }

    @classmethod
    def of_message(cls, message: Message) -> StreamCounts:
        """Return the counts in a control message.

        Raises:
            ValueError: A field is missing or out of range.
        """
        names = ("expected", "received", "duplicates", "reordered")
        numbers = NumberCounts(*(message.number(name) for name in names))
        drops = Drops(message.number("kernel"), message.number("process"))
        return cls(numbers, message.number("bytes"), message.number("jitter_ns"), drops)


@attrs.define
class Stream:
    """One stream."""

    source: str
    """The address that the last datagram came from; empty while none has come."""
    interface: str
    """The interface on which it arrived."""
    before: Drops
    """The drops before the stream."""
    numbering: Numbering = attrs.Factory(Numbering)
    jitter: Jitter = attrs.Factory(Jitter)
    bytes: int = 0

    def take(self, datagram: Datagram, header: Header) -> None:
        """Take in a datagram of the stream."""
        if not self.source:
            self.source, self.interface = datagram.source.host, str(datagram.interface)
        self.numbering.add(header.sequence)
        self.bytes += len(datagram.data)
        if datagram.timestamp_ns is not None:
            self.jitter.add(header.time_ns, datagram.timestamp_ns)

    def counts(self, drops: Drops) -> StreamCounts:
        """Return the counts until now.

        Args:
            drops: All drops of the receiver until now.
        """
        since = Drops(drops.kernel - self.before.kernel, drops.process - self.before.process)
        return StreamCounts(self.numbering.counts(), self.bytes, round(self.jitter.ns), since)


class Streams:
    """The streams of a receiver.

    Args:
        drops: Returns all drops of the receiver until now.
    """

    def __init__(self, drops: Callable[[], Drops]) -> None:
        self._drops = drops
        self._asked: dict[int, Stream] = {}
        self._unasked: dict[int, Stream] = {}

    def take(self, datagram: Datagram, header: Header) -> None:
        """Take in a datagram of the kind of measured ones."""
        stream = self._asked.get(header.run) or self._unasked.get(header.run)
        if stream is None:
            stream = _make_room(self._unasked, _MOST_UNASKED)[header.run] = Stream(
                "", "", self._drops()
            )
        stream.take(datagram, header)

    def answer(self, request: Message) -> Message:
        """Answer a request about a stream, which may be still to come."""
        try:
            run = request.number("run")
        except ValueError as error:
            return request.refuse(str(error))
        drops = self._drops()
        stream = self._asked.get(run)
        if stream is None:
            stream = self._unasked.pop(run, None) or Stream("", "", drops)
            _make_room(self._asked, _MOST_ASKED)[run] = stream
        return request.answer(**stream.counts(drops).fields())

    def counts(self) -> dict[int, tuple[Stream, StreamCounts]]:
        """Return each stream that has come, with its counts until now, by run."""
        drops = self._drops()
        return {
            run: (stream, stream.counts(drops))
            for run, stream in (*self._asked.items(), *self._unasked.items())
            if stream.source
        }


def _make_room(streams: dict[int, Stream], most: int) -> dict[int, Stream]:
    """Forget the oldest stream if there are so many."""
    if len(streams) >= most:
        del streams[next(iter(streams))]
    return streams
