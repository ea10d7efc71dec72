"""Reading one socket fast on Linux: recvmmsg through ctypes, and UDP_GRO.

Decision: what makes reading fast
=================================

The kernel's own work per datagram is some 1,000 ns; what Python adds has to be small beside it.

* ``recvmmsg`` reads up to 256 datagrams in one call, into buffers that are made once and serve
  every socket of the thread: reading is synchronous, and payloads are copied out before the next
  read.
* If all datagrams of a batch have one size, as is common, one comparison of the headers tells so,
  and the payloads are unpacked by precompiled `struct.Struct`. The datagrams are then made by `map`
  over C functions: no line of Python runs per datagram.
* A source's bytes are the key of a cache of endpoints. If a whole batch comes from one source, the
  source is looked up once.
* ``UDP_GRO`` lets datagrams that were sent as one unit arrive as one unit, which costs the kernel a
  fraction; the unit is cut up here.
* The call is made with the interpreter locked (`libc`): the call never waits
  (``MSG_DONTWAIT``), and unlocking would cost more than it gives.
* Setting up for a batch makes the first read cost more (4.7 us against 1.8 us for ``recvmsg``), so
  a socket that has been quiet is read by one ``recvmsg`` first.

Many sockets that have one datagram each are read together (`read_many`). Sending is in `sending`.

Where recvmmsg is refused (an old kernel, a seccomp filter) the portable path takes over.
"""

from __future__ import annotations

import math
import mmap
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import product, repeat
from typing import TYPE_CHECKING, Final

from ..._live import call_each
from ..._plan.socket_spec import SocketSpec
from ..._platform.control import NOTHING, Arrival, split_control
from ..._platform.model import Platform
from ..._platform.options import SocketOption
from ..._values.addresses import Endpoint
from ..._values.datagram import Datagram, make_datagram
from ..poller import TURN
from ..portable_socket import CONTROL_BYTES, READ_BYTES
from ..protocols import Rejection

if not TYPE_CHECKING or sys.platform == "linux":
    from .buffers import (
        BATCH,
        CALL_REFUSED,
        READS_BATCHES,
        SLOT_BYTES,
        thread_buffers,
        unit_layout,
    )
    from .counted_socket import CountedSocket
    from .drops import read_drops

assert not TYPE_CHECKING or sys.platform == "linux"

# How many datagrams or units are read from one socket before others have their turn, which takes
# some half a millisecond if they are datagrams.
_READS_AT_ONCE: Final = 512

# Nobody knows before a read whether it brings datagrams or units. So the first read takes one, the
# next ones up to 64, and twice as many each time while there is more: mostly all are of one kind.
_SLOTS_AT_FIRST: Final = 1
_SLOTS_THEN: Final = 64

# Pages of the buffers that were written to once stay in memory. So fewer slots are used, but at
# least 16, where datagrams or units take more than this of each.
_SLOT_BYTES_WANTED: Final = 4_096
_SLOTS_FOR_LARGE: Final = 16

# A socket that was last read longer ago than this is quiet. Two passes of the scheduler take about
# 30 us, so a socket that is read in one pass after the other is busy.
QUIET_SECONDS: Final = 100e-6

# In place of the time of the last read, when there was more.
_MORE: Final = math.inf

# With so many datagrams, one comparison of all headers costs less than a look at each.
_MANY_ALIKE: Final = 2

_REJECTIONS: Final = frozenset(Rejection)


class LinuxSocket(CountedSocket):
    """A `McastSocket` on Linux."""

    __slots__ = (
        "_buffers",
        "_constants",
        "_last_read",
        "_per_read",
        "_reads_batches",
        "_slots",
        "number",
    )

    def __init__(
        self,
        sock: socket.socket,
        socket_spec: SocketSpec,
        platform: Platform,
        applied: frozenset[str],
    ) -> None:
        super().__init__(sock, socket_spec, platform, applied)
        self.number = sock.fileno()
        self._buffers = thread_buffers()
        self._reads_batches = READS_BATCHES
        self._last_read = -math.inf
        self._constants = self._of_socket(socket_spec)
        # How many datagrams each read message had last: more than one for units.
        self._per_read = 1
        # How many slots of the buffers to read into.
        self._slots = _SLOTS_AT_FIRST

    def revise(self, socket_spec: SocketSpec, options: Sequence[SocketOption]) -> None:
        super().revise(socket_spec, options)
        self._constants = self._of_socket(socket_spec)
        if self.together is not None:
            self.together.part()

    def _of_socket(self, socket_spec: SocketSpec) -> tuple[object, ...]:
        """Return the fields that all datagrams without ancillary data have, after the source."""
        return socket_spec.group, socket_spec.interface, None, None, self._destination, None

    @property
    def destination(self) -> Endpoint:
        """The address and port that datagrams for the socket are sent to."""
        return self._destination

    # Reading

    def receive(self, max_datagrams: int, busy_since: float | None = None) -> list[Datagram]:
        if busy_since is None:
            now = time.perf_counter()
            was_quiet = self._last_read < now - QUIET_SECONDS
        else:
            # Later than every read of earlier passes, and one object for all sockets.
            now = busy_since
            was_quiet = self._last_read < now
        self._last_read = now
        if was_quiet and self._reads_batches and self._pending_error is None:
            return self.receive_first(max_datagrams)
        batch = super().receive(max_datagrams)
        if self.has_failed and self.together is not None:
            self.together.part()  # Read with others, this socket would not raise its error.
        return batch

    def receive_first(self, max_datagrams: int) -> list[Datagram]:
        """Read one datagram or unit the short way; or more, if more is known to be there."""
        if self._pending_error is not None or self._last_read == _MORE or not self._reads_batches:
            return self.receive(max_datagrams, -math.inf)
        # Every call counts.
        try:
            data, control, _flags, address = self._sock.recvmsg(READ_BYTES, CONTROL_BYTES)
        except (BlockingIOError, InterruptedError):
            return []
        source = self.endpoints[address]
        # The class of an `Endpoint` is compared at once, that of a `Rejection`, an enum, by a call.
        if not control and isinstance(source, Endpoint):
            self._per_read = 1
            self._slots = _SLOTS_THEN
            self._received += 1
            self._received_bytes += len(data)
            return [make_datagram((data, source, *self._constants))]
        batch: list[Datagram] = []
        before = self._taken
        self._add(batch, data, source, self._control.decode(control))
        self._expect(self._taken - before, len(data))
        return batch

    @property
    def _taken(self) -> int:
        """The count of datagrams taken from the system, rejected ones included."""
        rejected = 0 if self._rejected is None else self._rejected.total()
        return self.received + rejected

    @property
    def reads_batches(self) -> bool:
        """Whether many datagrams are read by one call, as far as is known."""
        return self._reads_batches

    def has_more(self) -> None:
        """Note that there is more to read: the socket is not quiet, however long that lasts."""
        self._last_read = _MORE

    def _read_into(self, batch: list[Datagram], max_datagrams: int) -> None:
        if not self._reads_batches:
            super()._read_into(batch, max_datagrams)
            return
        left, reads_left = max_datagrams, _READS_AT_ONCE
        while True:
            wanted = max(1, min(self._slots, reads_left, left // self._per_read))
            try:
                count = self._buffers.read(self.number, wanted, self.name_bytes)
            except OSError as error:
                if error.errno not in CALL_REFUSED:
                    raise
                self._reads_batches = False
                super()._read_into(batch, min(max_datagrams, TURN))
                return
            if count:
                taken, total = self._decode(batch, count)
                left -= taken
                self._expect(taken // count, total // count)
            # A short read means that the socket is empty.
            if count < wanted:
                self._slots = min(self._slots, _SLOTS_THEN)
                return
            reads_left -= count
            if left <= 0 or not reads_left:
                self.has_more()
                return

    def _expect(self, per_read: int, bytes_per_read: int) -> None:
        """Prepare for more datagrams or units like the last ones."""
        self._per_read = max(1, per_read)
        most = BATCH // (1 + bytes_per_read // _SLOT_BYTES_WANTED)
        self._slots = max(_SLOTS_FOR_LARGE, min(most, max(_SLOTS_THEN, 2 * self._slots)))

    def _decode(self, batch: list[Datagram], count: int) -> tuple[int, int]:
        """Make datagrams of the last read.

        Returns:
            The numbers of datagrams and of bytes. Rejected datagrams count, too: else a flood of
            them would never let other sockets have their turn.
        """
        buffers = self._buffers
        size = buffers.first_size()
        # Many of one size and without control data: the common case under load.
        alike = count >= _MANY_ALIKE and buffers.are_alike(count, size)
        sources = self._sources_of(count)
        if alike and not self.endpoints.may_reject:
            payloads, total = buffers.payloads_alike(count, size), count * size
        else:
            controls, sizes = buffers.control_lengths(count), buffers.sizes(count)
            rejects = self.endpoints.may_reject and not _REJECTIONS.isdisjoint(sources)
            if any(controls) or rejects:
                before = self._taken
                each = sources if len(sources) == count else [sources[0]] * count
                self._add_each(batch, sizes, each, controls)
                return self._taken - before, sum(sizes)
            payloads, total = buffers.payloads(range(count), sizes), sum(sizes)
        _extend(batch, payloads, sources, self._constants)
        self.count(count, total)
        return count, total

    def _sources_of(self, count: int) -> Sequence[Endpoint | Rejection]:
        """Return the source of each datagram of the last read; one alone is that of them all."""
        name_of_all = self._buffers.same_name(count)
        if name_of_all is not None:
            return (self.endpoints[name_of_all],)
        return [self.endpoints[name] for name in self._buffers.each_name(count)]

    def _add_each(
        self,
        batch: list[Datagram],
        sizes: Sequence[int],
        sources: Sequence[Endpoint | Rejection],
        controls: Sequence[int],
    ) -> None:
        """Add datagrams the slower way, for units, ancillary data and rejected sources."""
        data = self._buffers.data
        control, arrival = b"", NOTHING
        for slot, (size, source, length) in enumerate(zip(sizes, sources, controls, strict=True)):
            last, control = control, self._buffers.control(slot, length)
            if control != last:  # Mostly a unit has the control data of the one before.
                arrival = self._control.decode(split_control(control)) if control else NOTHING
            start = slot * SLOT_BYTES
            if self._is_unit(source, arrival):
                self._add_unit(batch, data, start, start + size, source, arrival)
            else:
                super()._add(batch, data[start : start + size], source, arrival)

    def take_slot(self, batch: list[Datagram], slot: int, size: int, control_length: int) -> None:
        """Make datagrams of one slot of the buffers, which was read from this socket."""
        source = self.endpoints[self._buffers.name(slot)]
        control = self._buffers.control(slot, control_length)
        arrival = self._control.decode(split_control(control)) if control else NOTHING
        start = slot * SLOT_BYTES
        self._add(batch, self._buffers.data[start : start + size], source, arrival)

    def _add(
        self, batch: list[Datagram], data: bytes, source: Endpoint | Rejection, arrival: Arrival
    ) -> None:
        if self._is_unit(source, arrival):
            self._add_unit(batch, data, 0, len(data), source, arrival)
        else:
            super()._add(batch, data, source, arrival)

    def _is_unit(self, source: Endpoint | Rejection, arrival: Arrival) -> bool:
        """Tell whether to add all that one read gave as one unit of datagrams."""
        return (
            arrival.segment_size is not None
            and not isinstance(source, Rejection)
            and self._refusal_of(arrival) is None
        )

    def _add_unit(
        self,
        batch: list[Datagram],
        data: bytes | mmap.mmap,
        start: int,
        end: int,
        source: Endpoint | Rejection,
        arrival: Arrival,
    ) -> None:
        """Add a unit of many datagrams, cut up without a line of Python for each."""
        size = arrival.segment_size
        assert size is not None
        whole, remainder = divmod(end - start, size)
        parts: Sequence[bytes] = unit_layout(whole, size).unpack_from(data, start) if whole else ()
        if remainder or not whole:
            parts = (*parts, data[end - remainder : end])
        socket_spec = self.socket_spec
        constants = (
            socket_spec.group,
            socket_spec.interface,
            arrival.ttl,
            arrival.timestamp_ns,
            self._destination,
            arrival.traffic_class,
        )
        _extend(batch, parts, (source,), constants)
        self.count(len(parts), end - start)

    def dropped(self) -> int | None:
        return read_drops(self._sock, self._platform)

    def close(self) -> None:
        part = () if self.together is None else (self.together.part,)
        call_each((*part, super().close))
        self.number = -1


def _extend(
    batch: list[Datagram],
    payloads: Sequence[bytes],
    sources: Sequence[Endpoint | Rejection],
    constants: tuple[object, ...],
) -> None:
    """Add datagrams without a line of Python for each. One source alone is that of them all."""
    if len(sources) == 1:
        # To change one field of the last tuple costs less than to fill a new one (measured: 6 per
        # cent of all that reading units takes, and 2 of reading datagrams).
        fields: Iterable[Iterable[object]] = product(payloads, sources, *zip(constants))
    else:
        fields = zip(payloads, sources, *map(repeat, constants), strict=False)
    batch.extend(map(make_datagram, fields))
