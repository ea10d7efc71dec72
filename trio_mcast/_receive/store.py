"""The datagrams that wait in a queue: lists, bounded, with the policies for too many.

Decision: who stops, and who drops
==================================

With "wait", a task asks for room before it reads, and reads no more than that. When the queue is
full, reading stops and the kernel's buffers fill; what does not fit there the kernel drops and
counts. With the other policies tasks read on, and the queue drops after consumers had a turn.

Decision: full until half has been taken
========================================

A queue that was full and has room for one would have the reading task read one datagram, and then
the next one. So the queue stays `full` until it has drained to half of the bound.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import chain, islice
from operator import attrgetter
from typing import Final, Literal, TypeAlias, get_args

from .._live import Signal
from .._values.datagram import Datagram

# The fate of datagrams when `max_buffered` of them wait; "latest" is in `latest`.
Overflow: TypeAlias = Literal["wait", "drop_oldest", "drop_newest", "latest"]
OVERFLOWS: Final[tuple[Overflow, ...]] = get_args(Overflow)

_MEMBERSHIP = attrgetter("group", "interface.name")


class Store:
    """Datagrams in the order in which they were put, put in lists and taken in lists or one by one.

    Attributes:
        received: The number of datagrams that were put. ``received == delivered + waiting +
            dropped.total()``, always.
        delivered: The number of datagrams that were taken.
        dropped: The number that the overflow policy dropped, by group and name of the interface.
        full: Whether so many wait that the overflow policy applies, as it then does until half of
            ``max_buffered`` has been taken.
        on_full: Called whenever the store becomes `full`.
    """

    def __init__(self, max_buffered: int, overflow: Overflow) -> None:
        self.received: int = 0
        self.delivered: int = 0
        self.dropped: Counter[tuple[str | None, str]] = Counter()
        self.full: bool = False
        self.on_full: Callable[[], None] = lambda: None
        self._max_buffered = max_buffered
        self._half = max_buffered // 2
        # The room of a queue that is empty, and whether all that was read is delivered as it was
        # read. Not of the class: to look there takes longer.
        self._room_at_most = max_buffered
        self._gives_as_read = True
        self._overflow = overflow
        # The remainder of the list that was taken from last, and the lists behind it.
        self._head: deque[Datagram] = deque()
        self._lists: deque[list[Datagram]] = deque()
        self._room_made = Signal()
        self._dropped_total = 0

    @property
    def waiting(self) -> int:
        """The number of datagrams in the queue; once closed, the number at the end."""
        return self.received - self.delivered - self._dropped_total

    def waiting_datagrams(self) -> Iterator[Datagram]:
        """Iterate over the datagrams in the queue, which must not change in the meantime."""
        return chain(self._head, chain.from_iterable(self._lists))

    @property
    def room(self) -> int:
        """The number of datagrams that may still be read in one go.

        0 when the queue is `full` and the policy is to wait. With others nobody has to look here,
        but who does has nothing dropped for which there was room.
        """
        if not self.full:
            # Less what is `waiting`, without the call: this is asked for each read.
            return self._max_buffered + self.delivered + self._dropped_total - self.received
        return 0 if self._overflow == "wait" else self._max_buffered

    def _append(self, batch: list[Datagram]) -> None:
        self.received += len(batch)
        self._lists.append(batch)

    def _apply_policy(self) -> None:
        excess = self.waiting - self._max_buffered
        if excess >= 0:
            if not self.full:
                self.full = True
                self.on_full()
            if excess and self._overflow == "drop_oldest":
                self._drop_oldest(excess)
            elif excess and self._overflow == "drop_newest":
                self._drop_newest(excess)

    def _drop_oldest(self, count: int) -> None:
        while count:
            dropped = self._take(count)
            self._count_dropped(dropped)
            count -= len(dropped)

    def _drop_newest(self, count: int) -> None:
        # All belong to the list that was put last, whose beginning may have been taken.
        newest = self._lists[-1] if self._lists else self._head
        self._count_dropped([newest.pop() for _ in range(count)])
        if self._lists and not newest:
            self._lists.pop()

    def _count_dropped(self, datagrams: list[Datagram]) -> None:
        self._dropped_total += len(datagrams)
        self.dropped.update(map(_MEMBERSHIP, datagrams))

    def _take(self, most: int | None) -> list[Datagram]:
        """Take the first datagrams that were put together. There has to be one."""
        head = self._head
        if not head:
            batch = self._lists.popleft()
            if most is not None and most < len(batch):
                head.extend(islice(batch, most, None))
                del batch[most:]
        elif most is not None and most < len(head):
            batch = [head.popleft() for _ in range(most)]
        else:
            batch = list(head)
            head.clear()
        return batch

    def _deliver(self, most: int | None) -> list[Datagram]:
        batch = self._take(most)
        self.delivered += len(batch)
        if self.full and self.waiting <= self._half:
            self._make_room()
        return batch

    def _deliver_one(self) -> Datagram:
        if not self._head:
            self._head.extend(self._lists.popleft())
        self.delivered += 1
        # `waiting`, without the call: this runs for each datagram.
        if self.full and self.received - self.delivered - self._dropped_total <= self._half:
            self._make_room()
        return self._head.popleft()

    def _make_room(self) -> None:
        self.full = False
        self._room_made.give()
