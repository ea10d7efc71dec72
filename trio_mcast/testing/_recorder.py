"""The recorder of a virtual network's events: puts them in an order that is always the same. Pure.

Decision: the order of events at one instant
============================================

Trio runs tasks in turns: all that are ready have one, in a random order. Two programs that join in
the same turn on two hosts do so in an order that differs from run to run, and whether a task still
sees in one turn what another has done in that turn differs as well. Neither matters to the
programs. So the trace keeps neither the order in which events were recorded nor turns. Every event
has a depth, one more than the depth of its causes (a Lamport clock). The causes of an event are:

* the event that led to it in the same call;
* the events before by the same task, and by the task that woke that task;
* if a program acts: what programs on the same host have done and read, and what has been delivered
  there by itself, whether or not somebody has had the time to read it before;
* what has changed the interface that the event is told of: a join, a report, a cable.

Depths start afresh whenever no task can run: whatever comes then comes after all that was before.
Events are ordered by time, then by such rests, then by depth, then by place. Causes come before
effects, and independent events have a fixed order.

Decision: columns of numbers
============================

A simulated day of 50 hosts has millions of events. An object for each would take 440 bytes. Here an
event is four entries in columns, some 24 bytes: its depth, and the numbers of its place and reason,
both of which are few; and its subject, which the events of one datagram share. The time stands once
for all events of an instant. A `TraceEvent` is made when somebody looks.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from typing import Final, TypeAlias

from .._values.addresses import IPAddress
from ._frames import Packet, RefusedDatagram
from ._trace import EventKind, TraceEvent

_NS_PER_SECOND: Final = 1_000_000_000

# The events that decide what becomes of a datagram at an interface.
_CHANGES: Final[frozenset[EventKind]] = frozenset(
    ["plugged", "unplugged", "up", "down", "addressed", "joined", "left"]
)

# Those by which a port learns what is wanted there: several can report through one port, and
# what one of them wants has no part in what another does.
_REPORTED: Final[frozenset[EventKind]] = frozenset(["learned", "forgot"])

Instant: TypeAlias = tuple[int, int]
# The place of an event, the kind, and the interface.
Spot: TypeAlias = tuple[str, EventKind, str | None]


Subject: TypeAlias = Packet | RefusedDatagram | IPAddress | str | None


class Recorder:
    """The recorder of a network's events, which also puts them in order."""

    def __init__(self, keep: int | None) -> None:
        """Begin without events.

        Args:
            keep: How many events to keep at least, the last ones; `None` for all.
        """
        self.keep = keep
        # The names of the hosts, switches and routers of the network.
        self.names: Collection[str] = ()
        # Lets happen whatever is due; called before anybody looks at the events.
        self.catch_up: Callable[[], None] = lambda: None
        # How often no task could run; and the time and that number at the last event.
        self.rests = 0
        self._now: Instant = (0, 0)
        # The depth at this instant: of the last change of each interface, by place and name, and of
        # what was last learned there; of what each place has done and read; of each task.
        self._changes: dict[tuple[str, str | None], int] = {}
        self._reported: dict[tuple[str, str | None], int] = {}
        self._places: dict[str, int] = {}
        self._tasks: dict[object, int] = {}
        # The depth of the next event's cause; the task that causes it, if one does directly; and
        # the place at which the task acts, if that is known.
        self.depth: int = 0
        self._task: object = None
        self._place = ""
        # The columns; and for each instant with events, the time and the first event's position.
        self._depths = array("I")
        self._spot_numbers = array("I")
        self._reason_numbers = array("I")
        self._subjects: list[Subject] = []
        self._times = array("q", [0])
        self._starts = array("Q", [0])
        # The first instant that may not be in order.
        self._unsorted = 0
        self._spots: dict[Spot, int] = {}
        self._reasons: dict[str, int] = {}
        # By number: the spot, how many events it had, and how many bytes of payload.
        self._spot_list: list[Spot] = []
        self._reason_list: list[str] = []
        self._counts: list[int] = []
        self._bytes: list[int] = []
        self._listeners: dict[Callable[[TraceEvent], None], None] = {}

    # --- What causes what

    def begin(self, time_ns: int, task: object, place: str = "") -> None:
        """Note that a task begins to act at a place; `None` for what happens by itself."""
        if self._now[0] != time_ns or self._now[1] != self.rests:
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
        time_ns, rests = self._now
        return time_ns, rests, self.depth

    def _acted(self) -> None:
        depth, tasks, places = self.depth, self._tasks, self._places
        if depth > tasks.get(self._task, 0):
            tasks[self._task] = depth
        if self._place and depth > places.get(self._place, 0):
            places[self._place] = depth

    def _set_now(self, time_ns: int) -> None:
        """Begin another instant, as the time or the number of rests is another."""
        self._now = (time_ns, self.rests)
        self.depth = 0
        self._changes.clear()
        self._reported.clear()
        self._places.clear()
        self._tasks.clear()
        self._begin_instant()

    # --- Recording

    def add(
        self,
        time_ns: int,
        where: str,
        what: EventKind,
        interface: str | None,
        subject: Subject,
        reason: str,
    ) -> None:
        """Take an event down. The event causes the next ones, until `depth` is set or `begin`."""
        if self._now[0] != time_ns or self._now[1] != self.rests:
            self._set_now(time_ns)
        changed = (where, interface)
        self.depth = max(self.depth, self._changes.get(changed, 0)) + 1
        if what in _REPORTED:
            self._reported[changed] = max(self.depth, self._reported.get(changed, 0))
        else:
            self.depth = max(self.depth, self._reported.get(changed, 0) + 1)
            if what in _CHANGES:
                self._changes[changed] = self.depth
        if self._task is not None:
            self._acted()
        elif what == "delivered" and self.depth > self._places.get(where, 0):
            self._places[where] = self.depth
        spot = (where, what, interface)
        spot_number = self._spots.get(spot)
        if spot_number is None:
            spot_number = self._new_spot(spot)
        self._counts[spot_number] += 1
        if isinstance(subject, (Packet, RefusedDatagram)):
            self._bytes[spot_number] += len(subject.data)
        if self._listeners:
            event = self._event(time_ns, spot, subject, reason)
            for listener in list(self._listeners):
                listener(event)
        if self.keep == 0:
            return
        reason_number = self._reasons.get(reason)
        if reason_number is None:
            reason_number = self._reasons[reason] = len(self._reason_list)
            self._reason_list.append(reason)
        self._depths.append(self.depth)
        self._spot_numbers.append(spot_number)
        self._reason_numbers.append(reason_number)
        self._subjects.append(subject)

    def _new_spot(self, spot: Spot) -> int:
        self._spot_list.append(spot)
        self._counts.append(0)
        self._bytes.append(0)
        number = self._spots[spot] = len(self._spot_list) - 1
        return number

    def _begin_instant(self) -> None:
        """Begin an instant: what is recorded from now on is later than what was."""
        position = len(self._subjects)
        if self._starts[-1] == position:
            self._times[-1] = self._now[0]  # Nothing has happened in the instant before.
            return
        if self.keep is not None and position > 2 * self.keep:
            self._forget_oldest(position - self.keep)
            position = len(self._subjects)
        self._starts.append(position)
        self._times.append(self._now[0])

    def _forget_oldest(self, count: int) -> None:
        self._sort()
        for column in (self._depths, self._spot_numbers, self._reason_numbers, self._subjects):
            del column[:count]
        first = bisect_right(self._starts, count) - 1
        self._starts = array("Q", (max(start - count, 0) for start in self._starts[first:]))
        del self._times[:first]
        self._unsorted = len(self._starts)

    # --- Reading

    def __len__(self) -> int:
        length = len(self._subjects)
        return length if self.keep is None else min(length, self.keep)

    def events(self, start: int, stop: int) -> Iterator[TraceEvent]:
        """Yield the events between two positions of those that are kept."""
        self._sort()
        skipped = len(self._subjects) - len(self)
        for position in range(start + skipped, stop + skipped):
            instant = bisect_right(self._starts, position) - 1
            yield self._event(
                self._times[instant],
                self._spot_list[self._spot_numbers[position]],
                self._subjects[position],
                self._reason_list[self._reason_numbers[position]],
            )

    def counts(self) -> Iterator[tuple[Spot, int, int]]:
        """Yield each spot with how many events it had and of how many bytes, kept or not."""
        yield from zip(self._spot_list, self._counts, self._bytes, strict=True)

    def listen(self, listener: Callable[[TraceEvent], None]) -> None:
        """Have a function called with each event from now on."""
        self._listeners[listener] = None

    def stop_listening(self, listener: Callable[[TraceEvent], None]) -> None:
        """Undo `listen`."""
        self._listeners.pop(listener, None)

    @staticmethod
    def _event(time_ns: int, spot: Spot, subject: Subject, reason: str) -> TraceEvent:
        where, what, interface = spot
        source, destination, data = _texts(subject)
        return TraceEvent(
            time_ns / _NS_PER_SECOND, where, what, interface, destination, source, data, reason
        )

    def _sort(self) -> None:
        """Put the events of each instant in order; those of most instants are."""
        starts, end = self._starts, len(self._subjects)
        for instant in range(self._unsorted, len(starts)):
            start = starts[instant]
            stop = starts[instant + 1] if instant + 1 < len(starts) else end
            if stop - start > 1:
                self._sort_part(start, stop)
        # Events can be added to the last instant.
        self._unsorted = max(len(starts) - 1, 0)

    def _sort_part(self, start: int, stop: int) -> None:
        def key(position: int) -> tuple[int, str, str, str]:
            where, what, interface = self._spot_list[self._spot_numbers[position]]
            if what in _REPORTED:
                whose = self._reason_list[self._reason_numbers[position]]
            else:
                whose = _texts(self._subjects[position])[0] or ""
            return self._depths[position], where, interface or "", whose

        # The events of each path stay in the order in which they were recorded: sorting is stable.
        positions = sorted(range(start, stop), key=key)
        for column in (self._depths, self._spot_numbers, self._reason_numbers):
            column[start:stop] = array("I", [column[position] for position in positions])
        self._subjects[start:stop] = [self._subjects[position] for position in positions]


def _texts(subject: Subject) -> tuple[str | None, str | None, bytes | None]:
    """Return the source, the destination and the payload of what an event is about."""
    if subject is None or isinstance(subject, str):
        return None, subject, None
    if isinstance(subject, (Packet, RefusedDatagram)):
        return subject.source_text, subject.destination_text, subject.data
    return None, str(subject), None
