"""The trace of a virtual network: a list of events that is the same for the same seed.

Decision: the order of events at one instant
============================================

Trio runs tasks in turns: all that are ready have one, in a random order. Two programs that join in
the same turn on two hosts do so in an order that differs from run to run, though the difference
matters to neither. So the trace does not keep the order in which events were recorded. Every event
has a depth: one more than the depth of the cause, and of the event before in the same turn at the
same place or by the same task (a Lamport clock that starts afresh in each turn). Events are ordered
by time, then by turn, then by depth, then by place. Causes come before effects, and independent
events have a fixed order.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

from .._values.errors import printable
from .._values.shown import cut_payload

EventKind: TypeAlias = Literal[
    "plugged",
    "unplugged",
    "up",
    "down",
    "addressed",
    "joined",
    "left",
    "sent",
    "refused",
    "lost",
    "forwarded",
    "delivered",
    "dropped",
    "queried",
    "learned",
    "forgot",
    "partitioned",
]


@attrs.frozen
class TraceEvent:
    """One event on a `VirtualNetwork`; ``str()`` gives one readable line."""

    time: float
    """When, in seconds since the network was entered."""
    where: str
    """The name of the host, switch or router."""
    what: EventKind
    """``"joined"`` or ``"left"``: a socket's membership, on a host. ``"sent"`` or ``"refused"``: a
    datagram, by a host; for a refused datagram, the host's system gave an error. ``"delivered"``: a
    datagram, to a socket of a host; once for each socket. ``"dropped"``: a datagram, by a host,
    switch or router; ``reason`` says why. ``"lost"``: a datagram or a report, on a switch, by
    chance. ``"forwarded"``: a datagram, by a router. ``"queried"``, ``"learned"``, ``"forgot"``: a
    switch that snoops, or a router, asked for reports, learned from a report, or forgot one because
    of a newer one or because of age. ``"plugged"``, ``"unplugged"``, ``"up"``, ``"down"``,
    ``"addressed"``: an interface. ``"partitioned"``: a switch, also when the switch is whole again.
    """
    interface: str | None = None
    """The interface in question, or `None`. On a switch, the interface of a host or router, as
    ``"host/interface"``.
    """
    destination: str | None = None
    """The group, or the address and port, as text; or `None`."""
    source: str | None = None
    """The address and port that a datagram came from, as text; or `None`."""
    data: bytes | None = None
    """The payload of a datagram; `None` for everything else."""
    reason: str = ""
    """Further detail, for people."""

    def __str__(self) -> str:
        parts = [f"{self.time:10.6f}", f"{self.where:<8}", f"{self.what:<11}"]
        if self.interface is not None:
            parts.append(self.interface)
        if self.source is not None:
            parts.append(f"{self.source} ->")
        if self.destination is not None:
            parts.append(self.destination)
        if self.data is not None:
            parts.append(cut_payload(self.data))
        if self.reason:
            parts.append(f"({self.reason})")
        return printable(" ".join(parts).rstrip())


class Trace:
    """The recorder of events, which also puts them in order."""

    def __init__(self) -> None:
        self._events: list[tuple[tuple[int, int, int, str, str, str], TraceEvent]] = []
        # Trio's turns so far; and the time and turn of the last event.
        self.turn = 0
        self._now = (0, 0)
        # The depth of the last event of each place, and of each task, now.
        self._places: dict[tuple[str, str, str], int] = {}
        self._tasks: dict[object, int] = {}
        # The depth of the next event's cause; and the task that causes it, if one does directly.
        self.depth: int = 0
        self._task: object = None

    def begin(self, time_ns: int, task: object) -> None:
        """Note that a task begins to act; `None` for events that happen by themselves."""
        self._set_now(time_ns)
        self._task = task
        self.depth = 0 if task is None else self._tasks.get(task, 0)

    def add(self, event: TraceEvent) -> None:
        """Take an event down. The event causes the next ones, until `depth` is set or `begin`."""
        self._set_now(round(event.time * 1_000_000_000))
        # On a switch, each path is a place of its own, and the interface is the end of the path.
        start = event.source or "" if "/" in (event.interface or "") else ""
        place = (event.where, event.interface or "", start)
        depth = max(self.depth, self._places.get(place, 0)) + 1
        self._places[place] = self.depth = depth
        if self._task is not None:
            self._tasks[self._task] = max(depth, self._tasks.get(self._task, 0))
        self._events.append(((*self._now, depth, *place), event))

    def _set_now(self, time_ns: int) -> None:
        if self._now != (time_ns, self.turn):
            self._now = (time_ns, self.turn)
            self._places.clear()
            self._tasks.clear()

    def events(self) -> list[TraceEvent]:
        """Return every event so far, in order."""
        # Stable, and fast as most is sorted already.
        self._events.sort(key=lambda entry: entry[0])
        return [event for _, event in self._events]
