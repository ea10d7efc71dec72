"""The ledger of a receiver: the fate of every datagram, counted by group and interface.

Decision: who counts what
=========================

Each number is counted in one place only, and the others follow:

* A socket counts the datagrams that were read and accepted, and the rejected ones by reason. A
  socket has one group and one interface, so counting costs nothing per datagram.
* The kernel counts the drops of each socket.
* The queue counts its drops, by group and interface.
* The datagrams that wait in the queue are looked through when somebody asks: at most
  ``max_buffered`` (measured: some 200 ns for each). With one membership only there is nothing to
  look for.
* All others were delivered. Counting deliveries by group would take a line of Python per datagram.

The counts of a socket are gone when the socket is closed, so the ledger puts them down before, by
group and name of the interface. Interfaces can come and go without end (think of containers), so
only so many memberships are told apart: then the half that ended first is added to one sum.
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

# The number of memberships that have ended and are told apart. Arbitrary: 2,000 groups on two
# interfaces.
ENDED_KEPT: Final = 4_096

# The kernel's count of a socket's drops is an unsigned integer of 32 bits, which wraps.
_WRAPS_AT: Final = 2**32

_Key: TypeAlias = "tuple[str | None, str]"

# The key of the queue's drops whose membership is no longer told apart.
_EARLIER: Final[_Key] = (None, "")

_NOTHING: Final = DatagramCounts()

_key_of: Final[Callable[[Datagram], _Key]] = attrgetter("group", "interface.name")


@attrs.define
class _Tally:
    """The counts of the sockets of one membership."""

    interface: Interface
    received: int = 0
    received_bytes: int = 0
    # As in the statistics: `None` if one of the sockets cannot tell.
    dropped: int | None = 0
    rejections: Counter[str] = attrs.Factory(Counter)

    @property
    def is_zero(self) -> bool:
        """Whether nothing was counted."""
        return not (self.received or self.dropped or self.rejections.total())

    def add(self, other: _Tally) -> None:
        self.received += other.received
        self.received_bytes += other.received_bytes
        if self.dropped is not None:
            self.dropped = None if other.dropped is None else self.dropped + other.dropped
        self.rejections.update(other.rejections)


class _KernelDrops:
    """The kernel's drops on one socket, across the wraps of the kernel's count.

    Attributes:
        noticed: Whether somebody has seen that there are some.
    """

    def __init__(self) -> None:
        self.noticed = False
        self._seen = 0  # The kernel's count of a new socket.
        self._total: int | None = None

    def look(self, socket: McastSocket) -> int | None:
        """Return the drops so far; right while fewer than 2**32 come between two looks."""
        seen = socket.dropped()
        if seen is not None:
            self._total = (self._total or 0) + (seen - self._seen) % _WRAPS_AT
            self._seen = seen
        return self._total


class Ledger:
    """The fate of every datagram of the sockets of one receiver or sender."""

    def __init__(
        self,
        open_sockets: Callable[[], Iterable[McastSocket]],
        queue: DatagramQueue,
        *,
        ended_kept: int = ENDED_KEPT,
        on_first_drop: Callable[[McastSocket, int], None] = lambda socket, count: None,
    ) -> None:
        """Begin to count.

        Args:
            open_sockets: Gives all sockets that are open, each once.
            queue: The queue that all datagrams of these sockets go to.
            ended_kept: The number of memberships that have ended and are told apart.
            on_first_drop: Called once for each membership when it is seen that the kernel has
                dropped datagrams, with their number.
        """
        self._open_sockets = open_sockets
        self._queue = queue
        self._drops: dict[McastSocket, _KernelDrops] = {}
        self._on_first_drop = on_first_drop
        self._dropping: dict[_Key, None] = {}
        # The counts of sockets that are closed; the membership that ended last stands last.
        self._ended: dict[_Key, _Tally] = {}
        self._ended_kept = self._fold_above = ended_kept
        self.earlier = _NOTHING

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

    def forget_unused(self, keys: Iterable[_Key]) -> None:
        """Forget memberships that have ended without any datagram, as they never came to be."""
        for key in keys:
            tally = self._ended.get(key)
            if tally is not None and tally.is_zero:
                del self._ended[key]

    def memberships(self) -> tuple[MembershipStatistics, ...]:
        """Return the counts so far of each membership that is told apart."""
        tallies: dict[_Key, _Tally] = {}
        read = ((_socket_key(socket), self._read(socket)) for socket in self._open_sockets())
        for key, tally in chain(read, self._ended.items()):
            if key in tallies:
                tallies[key].add(tally)
            else:
                tallies[key] = tally
        if len(tallies) == 1:
            # All that waits belongs to it: memberships that were folded have nothing there.
            waiting = Counter(dict.fromkeys(tallies, self._queue.waiting))
        else:
            waiting = self._waiting()
        return tuple(self._settle(key, tally, waiting[key]) for key, tally in tallies.items())

    def look_for_drops(self, sockets: Iterable[McastSocket]) -> None:
        """See whether the kernel has dropped datagrams of some of the open sockets."""
        for socket in sockets:
            self._dropped(socket)

    def _dropped(self, socket: McastSocket) -> int | None:
        """Return how many datagrams of an open socket the kernel has dropped."""
        drops = self._drops.get(socket)
        if drops is None:
            drops = self._drops[socket] = _KernelDrops()
        count = drops.look(socket)
        if count and not drops.noticed:
            drops.noticed = True
            self._note_first_drop(socket, count)
        return count

    def _note_first_drop(self, socket: McastSocket, count: int) -> None:
        key = _socket_key(socket)
        if key not in self._dropping:
            if len(self._dropping) >= ENDED_KEPT:  # Of those, most have ended long ago.
                self._dropping.clear()
            self._dropping[key] = None
            self._on_first_drop(socket, count)

    def _read(self, socket: McastSocket) -> _Tally:
        """Return the counts of a socket that is open."""
        return _Tally(
            socket.socket_spec.interface,
            socket.received,
            socket.received_bytes,
            self._dropped(socket),
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

        Memberships that have a socket again, or datagrams in the queue, are left out: the fate of
        those datagrams will be counted by membership.
        """
        needed = {_socket_key(socket) for socket in self._open_sockets()} | self._waiting().keys()
        surplus = len(self._ended) - self._ended_kept // 2
        folded = [key for key in self._ended if key not in needed][:surplus]
        settled = [self._settle(key, self._ended.pop(key), 0) for key in folded]
        self.earlier = add_up([self.earlier, *settled])
        dropped = self._queue.dropped
        for key in folded:
            dropped[_EARLIER] += dropped.pop(key, 0)
        # If too many cannot be folded yet, they are not looked through each time.
        self._fold_above = max(self._ended_kept, 2 * len(self._ended))


def _socket_key(socket: McastSocket) -> _Key:
    return socket.socket_spec.group, socket.socket_spec.interface.name
