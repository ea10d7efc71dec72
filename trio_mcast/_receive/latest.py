"""The queue that keeps the latest datagram of each source: ``overflow="latest"``.

Decision: a newer datagram takes the place of the older
=======================================================

Of what waits there is one datagram for each destination, source and interface. If a newer one went
to the end, a source that sends all the time would always stand behind the others, and would be the
last to be taken or, where there are many sources, be dropped again and again. So the place in the
queue belongs to the source, from its first datagram that waits until that place is taken.

The policy holds always, not only when the queue is full, and within one read as well: a program
that is slow for a moment finds the values of now, and each once. Unicast is never replaced, as two
questions of one source are two questions.

Sources can be forged, so the places are bounded. Beyond the bound, the one that waits longest goes.

A loud source costs no line of Python per datagram: of those that follow one another in one read,
functions written in C find the last.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Final, TypeAlias

from trio.lowlevel import enable_ki_protection

from .._values.datagram import Datagram
from .queue import DatagramQueue
from .store import Overflow

_Key: TypeAlias = "tuple[object, ...]"

# The name of an interface tells as much as the interface, and takes less time to compare.
_KEY: Final = attrgetter("group", "interface.name", "source", "destination")
# By position, which takes less time than by name.
_FIELDS: Final = ("source", "group", "interface", "destination")
_ORIGIN: Final = itemgetter(*map(Datagram._fields.index, _FIELDS))

# As many as a read may bring at the least, however few may wait: most of them replace others. With
# a lower number, a source that sends all the time would be read one by one.
_LEAST_ROOM: Final = 1_024


class LatestQueue(DatagramQueue):
    """A `DatagramQueue` in which a newer datagram takes the place of the older."""

    def __init__(self, max_buffered: int, owner: str = "this receiver") -> None:
        super().__init__(max_buffered, owner, "drop_oldest")
        self._room_at_most = max(max_buffered, _LEAST_ROOM)
        self._gives_as_read = False
        # The lists of the queue hold one datagram each: the places. Those of groups by source.
        self._places: dict[_Key, list[Datagram]] = {}

    @property
    def room(self) -> int:
        """The number of datagrams that may be read in one go; mostly they replace others."""
        return self._room_at_most

    def _append(self, batch: list[Datagram]) -> None:
        self.received += len(batch)
        places, lists = self._places, self._lists
        for _, run in groupby(batch, _ORIGIN):
            datagrams = list(run)
            latest, replaced = datagrams[-1], len(datagrams)
            if latest.group is None:
                lists.extend([datagram] for datagram in datagrams)
                continue
            key = _KEY(latest)
            place = places.get(key)
            if place is None:
                places[key] = place = [latest]
                lists.append(place)
                replaced -= 1
            place[0] = latest
            if replaced:
                self.dropped[latest.group, latest.interface.name] += replaced
                self._dropped_total += replaced

    def _take(self, most: int | None) -> list[Datagram]:
        lists, places = self._lists, self._places
        if most is None or most >= len(lists):
            taken = [datagram for (datagram,) in lists]
            lists.clear()
            places.clear()
            return taken
        taken = [lists.popleft()[0] for _ in range(most)]
        for datagram in taken:
            places.pop(_KEY(datagram), None)
        return taken

    def _deliver_one(self) -> Datagram:
        (datagram,) = self._deliver(1)
        return datagram

    @enable_ki_protection
    def close(self) -> None:
        super().close()
        self._places.clear()


def queue_for(max_buffered: int, overflow: Overflow, owner: str = "this receiver") -> DatagramQueue:
    """Return an empty queue with the policy that a receiver, or channel, was opened with."""
    if overflow == "latest":
        return LatestQueue(max_buffered, owner)
    return DatagramQueue(max_buffered, owner, overflow)
