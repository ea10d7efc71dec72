"""The trace of a virtual network: a list of events that is the same for the same seed.

Decision: the order of events at one instant
============================================

Trio runs tasks in turns: all that are ready have one, in a random order. Two programs that join in
the same turn on two hosts do so in an order that differs from run to run, and whether a task still
sees in one turn what another has done in that turn differs as well. Neither matters to the
programs. So the trace keeps neither the order in which events were recorded nor turns. Every event
has a depth, one more than the depth of its causes (a Lamport clock). The causes of an event are:

* the event that led to it in the same call;
* the events before by the same task, and by the task that woke that task;
* if a program acts: what programs on the same host have done and read;
* what has changed the interface that the event is told of: a join, a report, a cable.

Depths start afresh whenever no task can run: whatever comes then comes after all that was before.
Events are ordered by time, then by such rests, then by depth, then by place. Causes come before
effects, and independent events have a fixed order.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

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


# The events that decide what becomes of a datagram at an interface.
_CHANGES: Final[frozenset[EventKind]] = frozenset(
    ["plugged", "unplugged", "up", "down", "addressed", "joined", "left", "learned", "forgot"]
)

Instant: TypeAlias = tuple[int, int]


class Trace:
    """The recorder of events, which also puts them in order."""

    def __init__(self) -> None:
        self._events: list[tuple[tuple[int, int, int, str, str, str], TraceEvent]] = []
        # How often no task could run; and the time and that number at the last event.
        self.rests = 0
        self._now: Instant = (0, 0)
        # The depth at this instant: of the last change of each interface, by place and name; of
        # what each place has done and read; of each task.
        self._changes: dict[tuple[str, str | None], int] = {}
        self._places: dict[str, int] = {}
        self._tasks: dict[object, int] = {}
        # The depth of the next event's cause; the task that causes it, if one does directly; and
        # the place at which the task acts, if that is known.
        self.depth: int = 0
        self._task: object = None
        self._place = ""

    def begin(self, time_ns: int, task: object, place: str = "") -> None:
        """Note that a task begins to act at a place; `None` for what happens by itself."""
        self._set_now(time_ns)
        self._task = task
        self._place = place
        self.depth = 0
        if task is not None:
            self.depth = max(self._tasks.get(task, 0), self._places.get(place, 0))

    def resume(self, task: object) -> None:
        """Note that a task goes on, outside of the network so far; `None`: no task runs."""
        self._task = task
        self._place = ""
        self.depth = self._tasks.get(task, 0)

    def wake(self, task: object) -> None:
        """Note that whoever acts now wakes a task."""
        if self.depth > self._tasks.get(task, 0):
            self._tasks[task] = self.depth

    def read(self, order: tuple[int, int, int]) -> None:
        """Note that the place that acts now reads what has the order given by `order`."""
        if order[:2] == self._now:
            self.depth = max(self.depth, order[2])
            self._acted()

    @property
    def order(self) -> tuple[int, int, int]:
        """The order of the last event: time, rests, depth."""
        return (*self._now, self.depth)

    def add(self, event: TraceEvent) -> None:
        """Take an event down. The event causes the next ones, until `depth` is set or `begin`."""
        self._set_now(round(event.time * 1_000_000_000))
        changed = (event.where, event.interface)
        self.depth = max(self.depth, self._changes.get(changed, 0)) + 1
        if event.what in _CHANGES:
            self._changes[changed] = self.depth
        if self._task is not None:
            self._acted()
        # The events of each path stay in the order in which they were recorded.
        place = (event.where, event.interface or "", event.source or "")
        self._events.append(((*self._now, self.depth, *place), event))

    def _acted(self) -> None:
        self._tasks[self._task] = max(self.depth, self._tasks.get(self._task, 0))
        if self._place:
            self._places[self._place] = max(self.depth, self._places.get(self._place, 0))

    def _set_now(self, time_ns: int) -> None:
        if self._now != (time_ns, self.rests):
            self._now = (time_ns, self.rests)
            self.depth = 0
            self._changes.clear()
            self._places.clear()
            self._tasks.clear()

    def events(self) -> list[TraceEvent]:
        """Return every event so far, in order."""
        # Stable, and fast as most is sorted already.
        self._events.sort(key=lambda entry: entry[0])
        return [event for _, event in self._events]
