"""The ledger of a receiver: what became of every datagram, by group and interface.

Decision: who counts what
=========================

Each number is counted in one place only, and the rest follows:

* A socket counts what was read from it and accepted, and what was rejected and why. It has one
  group and one interface, so that costs nothing per datagram.
* The kernel counts, for each socket, what it dropped.
* The queue counts what it dropped, by group and interface.
* What waits in the queue is looked through when somebody asks: at most ``max_buffered`` datagrams
  (measured: some 200 ns for each). With one membership only there is nothing to look for.
* What was delivered is the rest. Counting it by group would take a line of Python per datagram.

A socket that is closed takes its counts with it, so they are put down here before. They are kept by
group and name of the interface. Interfaces can come and go without end (think of containers), so
only so many are told apart: then the half of them that ended first is added to one sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from operator import attrgetter
from typing import Final, TypeAlias

import attrs

from .._host.protocols import McastSocket
from .._values.datagram import Datagram
from .._values.interface import Interface
from .._values.statistics import DatagramCounts, MembershipStatistics, add_up
from .queue import DatagramQueue

# How many memberships that have ended are told apart. Arbitrary: 2,000 groups on two interfaces.
ENDED_KEPT: Final = 4_096

# The kernel's count of a socket's drops is an unsigned integer of 32 bits, which wraps.
_WRAPS_AT: Final = 2**32

_Key: TypeAlias = "tuple[str | None, str]"

# Under what the queue's drops are kept whose membership is no longer told apart.
_EARLIER: Final[_Key] = (None, "")

_key_of: Final[Callable[[Datagram], _Key]] = attrgetter("group", "interface.name")


@attrs.define
class _Tally:
    """What the sockets of one membership have counted."""

    interface: Interface
    received: int = 0
    received_bytes: int = 0
    # As in the statistics: `None` if it is not known of one of the sockets.
    dropped: int | None = 0
    rejections: Counter[str] = attrs.Factory(Counter)

    def add(self, other: _Tally) -> None:
        self.received += other.received
        self.received_bytes += other.received_bytes
        if self.dropped is not None:
            self.dropped = None if other.dropped is None else self.dropped + other.dropped
        self.rejections.update(other.rejections)


class _KernelDrops:
    """How many datagrams the kernel has dropped on one socket, across the wraps of its count."""

    def __init__(self) -> None:
        self._seen = 0  # What the kernel counts of a new socket.
        self._total: int | None = None

    def look(self, socket: McastSocket) -> int | None:
        """How many so far. Right as long as fewer than 2**32 are dropped between two looks."""
        seen = socket.dropped()
        if seen is not None:
            self._total = (self._total or 0) + (seen - self._seen) % _WRAPS_AT
            self._seen = seen
        return self._total


class Ledger:
    """What became of every datagram of the sockets of one receiver or sender."""

    def __init__(
        self,
        open_sockets: Callable[[], Iterable[McastSocket]],
        queue: DatagramQueue,
        *,
        ended_kept: int = ENDED_KEPT,
    ) -> None:
        """Begin to count.

        Args:
            open_sockets: Gives all sockets that are open, each once.
            queue: Where all datagrams of these sockets go.
            ended_kept: How many memberships that have ended are told apart.
        """
        self._open_sockets = open_sockets
        self._queue = queue
        self._drops: dict[McastSocket, _KernelDrops] = {}
        # What sockets that are closed have counted; what ended last stands last.
        self._ended: dict[_Key, _Tally] = {}
        self._ended_kept = self._fold_above = ended_kept
        self.earlier = DatagramCounts()

    def keep_counts(self, socket: McastSocket) -> None:
        """Keep the counts of a socket that is about to be closed. Once for each socket."""
        key = _socket_key(socket)
        tally = self._read(socket)
        before = self._ended.pop(key, None)
        if before is not None:
            tally.add(before)
        self._ended[key] = tally
        del self._drops[socket]
        if len(self._ended) > self._fold_above:
            self._fold()

    def memberships(self) -> tuple[MembershipStatistics, ...]:
        """What was counted so far, by group and interface, as far as they are told apart."""
        tallies: dict[_Key, _Tally] = {}
        read = ((_socket_key(socket), self._read(socket)) for socket in self._open_sockets())
        for key, tally in chain(read, self._ended.items()):
            if key in tallies:
                tallies[key].add(tally)
            else:
                tallies[key] = tally
        if len(tallies) == 1:
            # All that waits is its own: what has been folded has nothing there.
            waiting = Counter(dict.fromkeys(tallies, self._queue.waiting))
        else:
            waiting = self._waiting()
        return tuple(self._settle(key, tally, waiting[key]) for key, tally in tallies.items())

    def _read(self, socket: McastSocket) -> _Tally:
        """What a socket that is open has counted."""
        drops = self._drops.get(socket)
        if drops is None:
            drops = self._drops[socket] = _KernelDrops()
        return _Tally(
            socket.spec.interface,
            socket.received,
            socket.received_bytes,
            drops.look(socket),
            Counter({reason.value: count for reason, count in socket.rejected.items()}),
        )

    def _waiting(self) -> Counter[_Key]:
        return Counter(map(_key_of, self._queue.waiting_datagrams()))

    def _settle(self, key: _Key, tally: _Tally, waiting: int) -> MembershipStatistics:
        dropped = self._queue.dropped[key]
        return MembershipStatistics(
            group=key[0],
            interface=tally.interface,
            received=tally.received,
            received_bytes=tally.received_bytes,
            delivered=tally.received - waiting - dropped,
            waiting=waiting,
            dropped_by_policy=dropped,
            dropped_by_kernel=tally.dropped,
            rejections=tally.rejections,
        )

    def _fold(self) -> None:
        """Add the half that ended first to one sum.

        Not those that have a socket again, or datagrams in the queue: what becomes of these will be
        counted under their own names.
        """
        needed = {_socket_key(socket) for socket in self._open_sockets()} | self._waiting().keys()
        surplus = len(self._ended) - self._ended_kept // 2
        folded = [key for key in self._ended if key not in needed][:surplus]
        settled = [self._settle(key, self._ended.pop(key), 0) for key in folded]
        self.earlier = add_up([self.earlier, *settled])
        dropped = self._queue.dropped
        for key in folded:
            dropped[_EARLIER] += dropped.pop(key, 0)
        # If there are so many that cannot be folded yet, they are not looked through each time.
        self._fold_above = max(self._ended_kept, 2 * len(self._ended))


def _socket_key(socket: McastSocket) -> _Key:
    return socket.spec.group, socket.spec.interface.name
