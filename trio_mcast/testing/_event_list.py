"""`VirtualTrace`: the events of a virtual network, and questions to them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar, TypeAlias, get_args, overload

import attrs

from .._values.addresses import AddressLike, Endpoint, parse_address, parse_port
from ._arguments import FixedAttributes
from ._recorder import Recorder
from ._trace import EventKind, TraceEvent

# What is meant by a device in questions: a host, switch or router, or its name.
Device: TypeAlias = object
# What is meant by a destination or source: an address, or address and port.
End: TypeAlias = AddressLike | tuple[AddressLike, int]


@attrs.frozen
class TraceTotals:
    """The numbers of a host's datagrams, and the bytes of their payloads."""

    sent: int
    """Datagrams that the host's programs have sent."""
    sent_bytes: int
    """The bytes of these."""
    delivered: int
    """Datagrams that were given to sockets; once for each socket."""
    delivered_bytes: int
    """The bytes of these."""
    dropped: int
    """Datagrams that arrived and were given to nobody."""
    dropped_bytes: int
    """The bytes of these."""
    refused: int
    """Datagrams that the host's system refused to send."""


class VirtualTrace(FixedAttributes, Sequence[TraceEvent]):
    """The events of a `VirtualNetwork`, by time, causes before effects: a view that is never stale.

    It is a sequence: ``trace[-1]``, ``len(trace)``, ``for event in trace``. A slice is a new list,
    so ``trace[:]`` is what has happened so far. The methods pick out events; each parameter that is
    not `None` narrows the choice.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __repr__(self) -> str:
        return f"<VirtualTrace of {len(self)} events>"

    def __len__(self) -> int:
        self._recorder.catch_up()
        return len(self._recorder)

    @overload
    def __getitem__(self, index: int) -> TraceEvent: ...

    @overload
    def __getitem__(self, index: slice) -> list[TraceEvent]: ...

    def __getitem__(self, index: int | slice) -> TraceEvent | list[TraceEvent]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return list(self._recorder.events(start, max(start, stop)))
            return [self[position] for position in range(start, stop, step)]
        position = range(len(self))[index]
        return next(self._recorder.events(position, position + 1))

    def __iter__(self) -> Iterator[TraceEvent]:
        return self._recorder.events(0, len(self))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (VirtualTrace, list, tuple)):
            return len(self) == len(other) and all(map(TraceEvent.__eq__, self, other))
        return NotImplemented

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def select(
        self,
        what: EventKind | None = None,
        *,
        at: Device | None = None,
        to: End | None = None,
        source: End | None = None,
        data: bytes | None = None,
    ) -> list[TraceEvent]:
        """Return the events of a kind.

        Args:
            what: The kind.
            at: The host, switch or router where it happened, or its name.
            to: The group or address that it is about, or where a datagram went: an address, or a
                pair of address and port.
            source: Where a datagram came from, alike.
            data: The payload.

        Raises:
            TypeError: A value is of the wrong type.
            ValueError: A text is no address, there is no such kind, or nothing of such a name.
        """
        names = self._recorder.names
        chosen = Choice.parse(what, names, at=at, to=to, source=source, data=data)
        return [event for event in self if chosen.takes(event)]

    def sent(
        self, *, by: Device | None = None, to: End | None = None, data: bytes | None = None
    ) -> list[TraceEvent]:
        """Return the datagrams that hosts have sent: by one of them, to a group or address."""
        return self.select("sent", at=by, to=to, data=data)

    def refused(self, *, by: Device | None = None, to: End | None = None) -> list[TraceEvent]:
        """Return the datagrams that a host's system refused to send."""
        return self.select("refused", at=by, to=to)

    def delivered(
        self,
        *,
        at: Device | None = None,
        to: End | None = None,
        source: End | None = None,
        data: bytes | None = None,
    ) -> list[TraceEvent]:
        """Return the datagrams that were given to sockets of hosts, once for each socket."""
        return self.select("delivered", at=at, to=to, source=source, data=data)

    def dropped(
        self, *, at: Device | None = None, to: End | None = None, source: End | None = None
    ) -> list[TraceEvent]:
        """Return the datagrams that went no further; ``reason`` of each says why."""
        return self.select("dropped", at=at, to=to, source=source)

    def lost(
        self, *, at: Device | None = None, to: End | None = None, source: End | None = None
    ) -> list[TraceEvent]:
        """Return the datagrams and reports that were lost by chance."""
        return self.select("lost", at=at, to=to, source=source)

    def joined(self, *, by: Device | None = None, to: End | None = None) -> list[TraceEvent]:
        """Return the joins of hosts' sockets."""
        return self.select("joined", at=by, to=to)

    def left(self, *, by: Device | None = None, to: End | None = None) -> list[TraceEvent]:
        """Return where hosts' sockets have left a group."""
        return self.select("left", at=by, to=to)

    def totals(self, by: Device) -> TraceTotals:
        """Return the numbers of a host's datagrams, whether their events are kept or not.

        Args:
            by: The host, or its name.
        """
        name = device_name(by, self._recorder.names)
        self._recorder.catch_up()
        numbers = {"sent": [0, 0], "delivered": [0, 0], "dropped": [0, 0], "refused": [0, 0]}
        for (where, what, _), count, size in self._recorder.counts():
            if where == name and what in numbers:
                numbers[what][0] += count
                numbers[what][1] += size
        return TraceTotals(
            sent=numbers["sent"][0],
            sent_bytes=numbers["sent"][1],
            delivered=numbers["delivered"][0],
            delivered_bytes=numbers["delivered"][1],
            dropped=numbers["dropped"][0],
            dropped_bytes=numbers["dropped"][1],
            refused=numbers["refused"][0],
        )


@attrs.frozen
class Choice:
    """A choice among the events."""

    what: EventKind | None
    where: str | None
    destination: str | None
    source: str | None
    data: bytes | None

    @classmethod
    def parse(
        cls,
        what: EventKind | None,
        names: Collection[str],
        *,
        at: Device | None = None,
        to: End | None = None,
        source: End | None = None,
        data: bytes | None = None,
    ) -> Choice:
        """Check and parse what was asked for, in a network whose parts have these names."""
        if what is not None and what not in get_args(EventKind):
            kinds = ", ".join(get_args(EventKind))
            raise ValueError(f"there is no kind of event {what!r}; there are: {kinds}")
        if data is not None and not isinstance(data, bytes):
            raise TypeError(f"data must be bytes, not {type(data).__name__}: {data!r}")
        return cls(
            what,
            None if at is None else device_name(at, names),
            None if to is None else _end_text(to, "to"),
            None if source is None else _end_text(source, "source"),
            data,
        )

    def takes(self, event: TraceEvent) -> bool:
        """Tell whether an event is one of those."""
        return (
            self.what in (None, event.what)
            and self.where in (None, event.where)
            and self.data in (None, event.data)
            and _matches(self.destination, event.destination)
            and _matches(self.source, event.source)
        )

    def __str__(self) -> str:
        parts = [
            self.what,
            self.where and f"at {self.where}",
            self.source and f"from {self.source}",
            self.destination and f"to {self.destination}",
            None if self.data is None else repr(self.data),
        ]
        return " ".join(part for part in parts if part)


def device_name(device: Device, names: Collection[str]) -> str:
    """Return the name of a host, switch or router, or a name itself.

    Raises:
        TypeError: It is none of these.
        ValueError: Nothing has that name.
    """
    name = device if isinstance(device, str) else getattr(device, "name", None)
    if not isinstance(name, str):
        raise TypeError(f"a host, a switch, a router or a name is wanted, not {device!r}")
    if name not in names:
        raise ValueError(
            f"this network has nothing called {name!r}; there are: {', '.join(names) or 'none'}"
        )
    return name


def _end_text(end: End, name: str) -> str:
    """Return an address, or an address and port, as it stands in a trace."""
    if isinstance(end, tuple):
        if len(end) != 2:
            raise ValueError(f"{name} must be an address, or a pair of address and port, not {end}")
        host, port = end
        return str(Endpoint(str(parse_address(host, name)), parse_port(port, f"port of {name}")))
    return str(parse_address(end, name))


def _matches(wanted: str | None, text: str | None) -> bool:
    if wanted is None or wanted == text:
        return True
    if text is None:
        return False
    host, colon, _port = text.rpartition(":")
    return bool(colon) and host.strip("[]") == wanted
