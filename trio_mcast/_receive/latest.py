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

A loud source costs no line of Python per datagram: what one read has brought is first reduced to
the latest of each source by functions written in C.
"""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import Final, TypeAlias

from trio.lowlevel import enable_ki_protection

from .._values.datagram import Datagram
from .queue import DatagramQueue, Overflow

_Key: TypeAlias = "tuple[object, ...]"

# The name of an interface tells as much as the interface, and takes less time to compare.
_KEY: Final = attrgetter("group", "interface.name", "source", "destination")
_GROUP: Final = attrgetter("group")

# As many as a read may bring at the least, however few may wait: most of them replace others. With
# a lower number, a source that sends all the time would be read one by one.
_LEAST_ROOM: Final = 1_024


class LatestQueue(DatagramQueue):
    """A `DatagramQueue` in which a newer datagram takes the place of the older."""

    _gives_as_read = False

    def __init__(self, max_buffered: int, owner: str = "this receiver") -> None:
        super().__init__(max_buffered, owner, "drop_oldest")
        # The lists of the queue hold one datagram each: the places. Those of groups by source.
        self._places: dict[_Key, list[Datagram]] = {}

    @property
    def room(self) -> int:
        """The number of datagrams that may be read in one go; mostly they replace others."""
        return max(self._max_buffered, _LEAST_ROOM)

    def _append(self, batch: list[Datagram]) -> None:
        self.received += len(batch)
        keys: list[_Key] = list(map(_KEY, batch))
        if None in map(_GROUP, batch):
            keys = [key if key[0] is not None else (object(),) for key in keys]
        latest = dict(zip(keys, batch, strict=True))
        if len(latest) < len(batch):
            self._count_replaced(keys)
        places, replaced = self._places, list[Datagram]()
        for key, datagram in latest.items():
            place = places.get(key)
            if place is not None:
                replaced.append(place[0])
                place[0] = datagram
            else:
                place = [datagram]
                self._lists.append(place)
                if datagram.group is not None:
                    places[key] = place
        self._count_dropped(replaced)

    def _count_replaced(self, keys: list[_Key]) -> None:
        """Count all but the last of each source, of datagrams that were read together."""
        for key, count in Counter(keys).items():
            if count > 1:
                group, interface, *_ = key
                self.dropped[group, interface] += count - 1  # type: ignore[index]
        self._dropped_total += len(keys) - len(set(keys))

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


def queue_for(max_buffered: int, overflow: Overflow) -> DatagramQueue:
    """Return an empty queue with the policy that a receiver was opened with."""
    if overflow == "latest":
        return LatestQueue(max_buffered)
    return DatagramQueue(max_buffered, overflow=overflow)
