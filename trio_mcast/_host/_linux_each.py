"""Reading one datagram from each of many sockets at once: from a `Ring` to datagrams."""

from __future__ import annotations

import errno
import os
import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Final

from .._addresses import Endpoint
from .._datagram import Datagram, make_datagram
from .._interface import Interface
from ._protocols import Rejection

if not TYPE_CHECKING or sys.platform == "linux":
    from ._linux_buffers import READS_BATCHES, thread_buffers
    from ._linux_io import LinuxSocket
    from ._linux_ring import SOCKETS_AT_ONCE, Ring

assert not TYPE_CHECKING or sys.platform == "linux"

# With fewer sockets, nothing is gained that can be told from chance (measured: 6; with 12 it is).
FEWEST: Final = 8

# The ttl and the timestamp of what has none.
_NONE: Final = repeat(None)

_NOTHING_THERE: Final = frozenset({-errno.EAGAIN, -errno.EINTR})

_sources_of: Final = attrgetter("sources")


class Together:
    """Sockets that are read all at once, as long as each of them has something each time.

    What that needs to know of them is kept together, so that nothing of a socket has to be fetched
    from memory for a datagram. So is what they have counted, until somebody asks for it.
    """

    def __init__(self, sockets: Sequence[LinuxSocket]) -> None:
        """Take sockets of one family, of one interface, and which decode and reject alike."""
        first = sockets[0]
        self.sockets = sockets
        self.numbers = memoryview(array("i", [item.number for item in sockets]))
        self.name_bytes = first.name_bytes
        self.sources = first.sources
        self.groups = [item.spec.group for item in sockets]
        self.interface = first.spec.interface
        self.reads = 0
        self.read_bytes = 0
        self.is_whole = True
        for item in sockets:
            item.together = self

    @staticmethod
    def fit(sockets: Sequence[LinuxSocket]) -> bool:
        """Whether these sockets can be read so."""
        if not FEWEST <= len(sockets) <= SOCKETS_AT_ONCE:
            return False
        kinds = {(item.name_bytes, id(item.sources)) for item in sockets}
        interface = sockets[0].spec.interface
        return (
            len(kinds) == 1
            and not sockets[0].sources.may_reject
            and all(item.spec.interface == interface for item in sockets)
        )

    def settle(self) -> None:
        """Have each socket count its own."""
        reads, read_bytes = self.reads, self.read_bytes
        self.reads = self.read_bytes = 0
        if reads:
            for item in self.sockets:
                item.count(reads, read_bytes)

    def part(self) -> None:
        """End it: each socket is by itself again."""
        self.is_whole = False
        self.settle()
        for item in self.sockets:
            item.together = None


class EachReader:
    """Reads from many sockets at once, where the system lets it."""

    def __init__(self) -> None:
        self._buffers = thread_buffers()
        self._ring: Ring | None = None
        self._usable = READS_BATCHES
        # How many datagrams each of those that were read last had in it: more than one for units.
        self._per_read = 1

    def read(
        self, sockets: Sequence[LinuxSocket], room: int, batch: list[Datagram]
    ) -> list[LinuxSocket] | None:
        """Read one datagram, or unit, of each of the first sockets that are of one family.

        Args:
            sockets: The sockets.
            room: How many datagrams there is room for. A unit may exceed it.
            batch: Where to put the datagrams.

        Returns:
            Those that have an error to tell, when they are read by themselves; `None` if nothing
            was read, so that all have to be.
        """
        count = min(len(sockets), SOCKETS_AT_ONCE, room // self._per_read)
        ring = self._open_ring() if count >= FEWEST else None
        if ring is None:
            return None
        family = sockets[0].name_bytes
        chosen = [item for item in sockets[:count] if item.name_bytes == family]
        numbers = memoryview(array("i", [item.number for item in chosen]))
        return self._take(chosen, ring.read(numbers, family), batch)

    def read_together(
        self, together: Together, room: int, batch: list[Datagram]
    ) -> list[LinuxSocket] | None:
        """Do the same with sockets of which each is likely to have something, if there is room.

        Returns:
            As `read`. If some had nothing, they are together no longer.
        """
        count = len(together.sockets)
        ring = self._open_ring() if room >= count * self._per_read else None
        if ring is None:
            return None
        sizes = ring.read(together.numbers, together.name_bytes)
        size, buffers = sizes[0], self._buffers
        if size < 0 or sizes.count(size) != count or not buffers.are_alike(count, 0):
            if min(sizes) < 0:
                together.part()
            return self._take(together.sockets, sizes, batch)
        self._per_read = 1
        together.reads += 1
        together.read_bytes += size
        name, sources = buffers.same_name(count), together.sources
        self._extend(
            batch,
            buffers.payloads_alike(count, size),
            repeat(sources[name])
            if name is not None
            else [sources[each] for each in buffers.each_name(count)],
            together.groups,
            repeat(together.interface),
        )
        return []

    def _open_ring(self) -> Ring | None:
        """The ring, made when it is needed first; `None` if the system refuses."""
        if self._ring is None and self._usable:
            try:
                self._ring = Ring(self._buffers)
            except OSError:
                self._usable = False
        elif self._ring is not None and self._ring.is_broken:
            self.close()
        return self._ring if self._usable else None

    def _take(
        self, sockets: Sequence[LinuxSocket], sizes: Sequence[int], batch: list[Datagram]
    ) -> list[LinuxSocket]:
        """Make datagrams of what was read last; which sockets have an error to tell."""
        slots = [slot for slot, size in enumerate(sizes) if size >= 0]
        before = len(batch)
        if slots:
            self._decode(sockets, sizes, slots, batch)
            self._per_read = max(1, (len(batch) - before) // len(slots))
        failed: list[LinuxSocket] = []
        if len(slots) < len(sizes):
            for item, size in zip(sockets, sizes, strict=True):
                if size < 0 and size not in _NOTHING_THERE:
                    item.fail_next(OSError(-size, os.strerror(-size)))
                    failed.append(item)
        return failed

    def _decode(
        self,
        sockets: Sequence[LinuxSocket],
        sizes: Sequence[int],
        slots: Sequence[int],
        batch: list[Datagram],
    ) -> None:
        """Make datagrams of what was read into these slots."""
        buffers, chosen = self._buffers, [sockets[slot] for slot in slots]
        sources = chosen[0].sources
        lengths = buffers.control_lengths(len(sizes))
        if (
            sources.may_reject
            or any(lengths[slot] for slot in slots)
            or not all(map(is_, map(_sources_of, chosen), repeat(sources)))
        ):
            # The slower way, for units, ancillary data and rejected sources.
            for slot in slots:
                sockets[slot].take_slot(batch, slot, sizes[slot], lengths[slot])
            return
        for item, slot in zip(chosen, slots, strict=True):
            item.count(1, sizes[slot])
        specs = [item.spec for item in chosen]
        names = list(buffers.each_name(len(sizes)))
        self._extend(
            batch,
            buffers.payloads(slots, sizes),
            [sources[names[slot]] for slot in slots],
            [spec.group for spec in specs],
            [spec.interface for spec in specs],
        )

    @staticmethod
    def _extend(
        batch: list[Datagram],
        payloads: Iterable[bytes],
        sources: Iterable[Endpoint | Rejection],
        groups: Iterable[str | None],
        interfaces: Iterable[Interface],
    ) -> None:
        """Add datagrams without a line of Python for each."""
        fields = zip(payloads, sources, groups, interfaces, _NONE, _NONE, strict=False)
        batch.extend(map(make_datagram, fields))

    def close(self) -> None:
        """Close it. Idempotent."""
        self._usable = False
        if self._ring is not None:
            self._ring.close()
