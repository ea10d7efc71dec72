"""Reading one datagram from each of many sockets at once: from a `Ring` to datagrams."""

from __future__ import annotations

import errno
import os
import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Final, TypeAlias

from ..._values.addresses import Endpoint
from ..._values.datagram import Datagram, make_datagram
from ..._values.interface import Interface
from ..protocols import Rejection

if not TYPE_CHECKING or sys.platform == "linux":
    from .buffers import READS_BATCHES, thread_buffers
    from .fast_path import LinuxSocket
    from .io_uring import SOCKETS_AT_ONCE, Ring

assert not TYPE_CHECKING or sys.platform == "linux"

# With fewer sockets, nothing is gained that can be told from chance (measured: 6; with 12 it is).
FEWEST: Final = 8

# Between the file descriptors of sockets that are known together. Arbitrary: most lie side by side.
_LONGEST_SPAN: Final = 4_096

# The ttl, the timestamp and the traffic class of datagrams that have none.
_NONE: Final = repeat(None)

_NOTHING_THERE: Final = frozenset({-errno.EAGAIN, -errno.EINTR})

_endpoints_of: Final = attrgetter("endpoints")


def _copy_of(text: str | None) -> str | None:
    return None if text is None else text.encode().decode()


# For one socket after the other, the group and the destination of its datagrams.
_Sides: TypeAlias = "tuple[Sequence[str | None], Sequence[Endpoint | None]]"


class Together:
    """The facts about the sockets of one epoll that a read needs, by file descriptor.

    The facts stand side by side, so that nothing of a socket itself has to be fetched from memory
    for a datagram. The counts of received datagrams stand here too, until somebody asks for them.

    Attributes:
        sockets: All the sockets.
        numbers: The sockets' file descriptors, as an array of C's ints.
        name_bytes: The length of a socket address of the sockets' family.
        endpoints: The cache of decoded source addresses, which all the sockets share.
        interface: The sockets' interface.
        all_expected: Whether each socket had something at the last look, and so may have again.
        is_whole: Whether the facts still hold.
        unsettled: The number of reads that have not been counted for each socket yet.
    """

    def __init__(self, by_number: dict[int, LinuxSocket]) -> None:
        """Take sockets that `fit`, by file descriptor."""
        self.sockets = list(by_number.values())
        first = self.sockets[0]
        self.numbers = memoryview(array("i", by_number))
        self.name_bytes = first.name_bytes
        self.endpoints = first.endpoints
        self.interface = first.socket_spec.interface
        self.all_expected = False
        self.is_whole = True
        self.unsettled = 0
        self._by_number = dict(by_number)
        self._base = min(by_number)
        span = max(by_number) - self._base + 1
        # Copies, which lie side by side in memory: a datagram touches one, and a processor fetches
        # the next ones in advance (measured: 4 per cent less per datagram).
        self._all_groups = [_copy_of(socket.socket_spec.group) for socket in self.sockets]
        self._all_destinations = [Endpoint(*socket.destination) for socket in self.sockets]
        self._groups: list[str | None] = [None] * span
        self._destinations: list[Endpoint | None] = [None] * span
        # How many datagrams each socket had by itself, and how many every socket had; all datagrams
        # have one size.
        self._reads = array("Q", bytes(8 * span))
        self._all_reads = 0
        self._size = 0
        for position, (number, socket) in enumerate(by_number.items()):
            self._groups[number - self._base] = self._all_groups[position]
            self._destinations[number - self._base] = self._all_destinations[position]
            socket.together = self

    @staticmethod
    def fit(by_number: dict[int, LinuxSocket]) -> bool:
        """Tell whether sockets have one family and interface, decode alike and reject nothing.

        None of the sockets may have an error to raise: only a socket that is read by itself does.
        """
        if len(by_number) < FEWEST or max(by_number) - min(by_number) > _LONGEST_SPAN:
            return False
        sockets = list(by_number.values())
        kinds = {(socket.name_bytes, id(socket.endpoints)) for socket in sockets}
        interface = sockets[0].socket_spec.interface
        return (
            len(kinds) == 1
            and not sockets[0].endpoints.may_reject
            and all(socket.socket_spec.interface == interface for socket in sockets)
            and not any(socket.has_failed for socket in sockets)
        )

    def sockets_of(self, numbers: Iterable[int]) -> list[LinuxSocket]:
        """Return the sockets of some file descriptors."""
        return [self._by_number[number] for number in numbers]

    def count(self, numbers: memoryview, size: int) -> _Sides:
        """Count a datagram of one size for each of some sockets.

        Returns:
            The groups of the sockets, and the destinations of their datagrams.
        """
        if size != self._size:
            self.settle()
            self._size = size
        self.unsettled += 1
        if numbers is self.numbers:
            self._all_reads += 1
            return self._all_groups, self._all_destinations
        base, reads = self._base, self._reads
        groups, destinations = self._groups, self._destinations
        places = [number - base for number in numbers]
        for place in places:
            reads[place] += 1
        return [groups[place] for place in places], [destinations[place] for place in places]

    def settle(self) -> None:
        """Add to each socket's counts."""
        if self.unsettled:
            reads, of_all, size = self._reads, self._all_reads, self._size
            self._reads, self._all_reads = array("Q", bytes(8 * len(reads))), 0
            self.unsettled = 0
            for number, socket in self._by_number.items():
                count = of_all + reads[number - self._base]
                socket.count(count, count * size)

    def part(self) -> None:
        """Let each socket be by itself again."""
        self.is_whole = False
        self.settle()
        for socket in self.sockets:
            socket.together = None


class EachReader:
    """Reads from many sockets at once, where the system allows that.

    Attributes:
        usable: Whether the system allows that, as far as is known.
    """

    def __init__(self) -> None:
        self.usable = READS_BATCHES
        self._buffers = thread_buffers()
        self._ring: Ring | None = None
        # How many datagrams each read message had last: more than one for units.
        self._per_read = 1

    def read(
        self, sockets: Sequence[LinuxSocket], room: int, batch: list[Datagram]
    ) -> list[LinuxSocket] | None:
        """Read one datagram, or unit, of each of the first sockets that are of one family.

        Args:
            sockets: The sockets.
            room: How many datagrams there is room for. A unit may exceed the room.
            batch: Where to put the datagrams.

        Returns:
            The sockets that have an error to raise when read by themselves; `None` if nothing was
            read, so that every socket has to be read by itself.
        """
        count = min(len(sockets), SOCKETS_AT_ONCE, room // self._per_read)
        ring = self._open_ring() if count >= FEWEST else None
        if ring is None:
            return None
        if any(socket.has_failed for socket in sockets):
            return None
        family = sockets[0].name_bytes
        chosen = [socket for socket in sockets[:count] if socket.name_bytes == family]
        numbers = memoryview(array("i", [socket.number for socket in chosen]))
        return self._take(chosen, ring.read(numbers, family), batch)

    def read_together(
        self, together: Together, numbers: memoryview, room: int, batch: list[Datagram]
    ) -> list[LinuxSocket] | None:
        """Read one datagram, or unit, of each of some sockets that are known together.

        Args:
            together: The facts about the sockets.
            numbers: The file descriptors of the sockets to read.
            room: As for `read`.
            batch: As for `read`.

        Returns:
            As `read`.
        """
        count = min(len(numbers), room // self._per_read)
        ring = self._open_ring() if count >= FEWEST else None
        if ring is None:
            return None
        if count < len(numbers):
            numbers = numbers[:count]
        sizes = ring.read(numbers, together.name_bytes)
        size, buffers = sizes[0], self._buffers
        if size < 0 or sizes.count(size) != count or not buffers.are_alike(count, 0):
            together.all_expected &= min(sizes) >= 0
            return self._take(together.sockets_of(numbers), sizes, batch)
        self._per_read = 1
        name_of_all, endpoints = buffers.same_name(count), together.endpoints
        groups, destinations = together.count(numbers, size)
        self._extend(
            batch,
            buffers.payloads_alike(count, size),
            repeat(endpoints[name_of_all])
            if name_of_all is not None
            else [endpoints[name] for name in buffers.each_name(count)],
            groups,
            repeat(together.interface),
            destinations,
        )
        return []

    def _open_ring(self) -> Ring | None:
        """Return the ring, made when first needed; `None` if the system refuses."""
        if self._ring is None and self.usable:
            try:
                self._ring = Ring(self._buffers)
            except OSError:
                self.usable = False
        elif self._ring is not None and self._ring.is_broken:
            self.close()
        return self._ring if self.usable else None

    def _take(
        self, sockets: Sequence[LinuxSocket], sizes: Sequence[int], batch: list[Datagram]
    ) -> list[LinuxSocket]:
        """Make datagrams of the last read, and return the sockets that have an error to raise."""
        slots = [slot for slot, size in enumerate(sizes) if size >= 0]
        before = len(batch)
        if slots:
            self._decode(sockets, sizes, slots, batch)
            self._per_read = max(1, (len(batch) - before) // len(slots))
        failed: list[LinuxSocket] = []
        if len(slots) < len(sizes):
            for socket, size in zip(sockets, sizes, strict=True):
                if size < 0 and size not in _NOTHING_THERE:
                    socket.fail_next(OSError(-size, os.strerror(-size)))
                    failed.append(socket)
        return failed

    def _decode(
        self,
        sockets: Sequence[LinuxSocket],
        sizes: Sequence[int],
        slots: Sequence[int],
        batch: list[Datagram],
    ) -> None:
        """Make datagrams of some slots of the buffers."""
        buffers, chosen = self._buffers, [sockets[slot] for slot in slots]
        endpoints = chosen[0].endpoints
        lengths = buffers.control_lengths(len(sizes))
        if (
            endpoints.may_reject
            or any(lengths[slot] for slot in slots)
            or not all(map(is_, map(_endpoints_of, chosen), repeat(endpoints)))
        ):
            # The slower way, for units, ancillary data and rejected sources.
            for slot in slots:
                sockets[slot].take_slot(batch, slot, sizes[slot], lengths[slot])
            return
        for socket, slot in zip(chosen, slots, strict=True):
            socket.count(1, sizes[slot])
        socket_specs = [socket.socket_spec for socket in chosen]
        names = list(buffers.each_name(len(sizes)))
        self._extend(
            batch,
            buffers.payloads(slots, sizes),
            [endpoints[names[slot]] for slot in slots],
            [socket_spec.group for socket_spec in socket_specs],
            [socket_spec.interface for socket_spec in socket_specs],
            [socket.destination for socket in chosen],
        )

    @staticmethod
    def _extend(
        batch: list[Datagram],
        payloads: Iterable[bytes],
        sources: Iterable[Endpoint | Rejection],
        groups: Iterable[str | None],
        interfaces: Iterable[Interface],
        destinations: Iterable[Endpoint | None],
    ) -> None:
        """Add datagrams without a line of Python for each."""
        of_sockets = (groups, interfaces, _NONE, _NONE, destinations, _NONE)
        fields = zip(payloads, sources, *of_sockets, strict=False)
        batch.extend(map(make_datagram, fields))

    def close(self) -> None:
        """Close the ring. Idempotent."""
        self.usable = False
        if self._ring is not None:
            self._ring.close()
