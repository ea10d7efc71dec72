"""The datagrams that arrive: one receiver for each membership, as it is heard in a phase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import combinations

import trio

from ..._specs.receiver import McastReceiverSpec
from ..._values.datagram import Datagram
from ..._values.errors import McastError, SocketSetupError, error_name
from ..._values.interface import Interface
from ..evidence import Heard, Refusal, Twice, Widening
from ..frames import PhaseName

# The datagrams of a membership that are compared with another's, and the sources that are counted
# apart. Both are arbitrary.
_MOST_COMPARED = 1_000
_MOST_SOURCES = 100


class Ear:
    """One membership, and the datagrams that came for it.

    Attributes:
        heard: The numbers, once it has ended.
        count: The datagrams until now.
        seen: The source and a hash of each datagram, of the first ones.
        is_open: Whether it is joined.
        is_absent: Whether there can be no such membership, as the group and the interface do not go
            together.
    """

    def __init__(
        self,
        phase: PhaseName,
        group: str,
        interface: Interface,
        port: int,
        *,
        sources: tuple[str, ...] | None = None,
        widening: Widening | None = None,
    ) -> None:
        self.phase = phase
        self.group = group
        self.interface = interface
        self.port = port
        self.sources = sources
        self.widening = widening
        self.count = 0
        self.seen: Counter[tuple[str, int]] = Counter()
        self.is_open = False
        self.is_absent = False
        self._by_source: Counter[str] = Counter()
        self._first = self._last = 0.0
        self._longest_gap = 0.0
        self._largest = self._drops = self._buffer = 0
        self._refusal: Refusal | None = None
        self._end: float | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled. A refusal is kept, not raised."""
        has_started = False
        try:
            spec = McastReceiverSpec(
                self.group.partition("%")[0],
                self.port,
                interfaces=self.interface,
                sources=self.sources,
                follow_interfaces=False,
            )
            async with spec.open() as receiver:
                task_status.started()
                has_started = self.is_open = True
                try:
                    async for datagram in receiver:
                        self._take(datagram)
                finally:
                    statistics = receiver.statistics()
                    self._drops = statistics.dropped_by_kernel or 0
                    self._buffer = statistics.receive_buffer_granted
        except McastError as error:
            self._refusal = refusal_of(error)
        except ValueError:
            self.is_absent = True
        if not has_started:
            task_status.started()

    def _take(self, datagram: Datagram) -> None:
        now = trio.current_time()
        if self._end is not None:
            return
        if self.count:
            self._longest_gap = max(self._longest_gap, now - self._last)
        else:
            self._first = now
        self.count += 1
        self._last = now
        self._largest = max(self._largest, len(datagram.data))
        source = datagram.source.host
        if len(self._by_source) < _MOST_SOURCES or source in self._by_source:
            self._by_source[source] += 1
        if self.count <= _MOST_COMPARED:
            self.seen[source, hash(datagram.data)] += 1

    def end(self) -> None:
        """Count no more: the phase is over."""
        self._end = trio.current_time()

    @property
    def heard(self) -> Heard:
        """The numbers, as evidence."""
        gaps = self.count - 1
        end = self._last if self._end is None else self._end
        return Heard(
            self.phase,
            self.group,
            str(self.interface),
            self.port,
            self.widening,
            self.count,
            dict(self._by_source),
            self._drops,
            self._buffer,
            mean_gap=(self._last - self._first) / gaps if gaps > 0 else None,
            longest_gap=self._longest_gap if gaps > 0 else None,
            silence=end - self._last if self.count else None,
            largest=self._largest,
            refusal=self._refusal,
        )


def refusal_of(error: McastError) -> Refusal:
    """Return a refusal of the system as evidence."""
    if not isinstance(error, SocketSetupError):
        return Refusal("interface", None, "", str(error))
    cause = error.causes[0] if error.causes else error
    return Refusal(cause.step, cause.errno, error_name(cause.errno), str(cause))


def find_twice(ears: Iterable[Ear]) -> tuple[Twice, ...]:
    """Return the datagrams that came on two interfaces of one group."""
    twice = []
    for one, other in combinations(ears, 2):
        if one.group == other.group and one.interface != other.interface:
            count = (one.seen & other.seen).total()
            if count:
                interfaces = (str(one.interface), str(other.interface))
                twice.append(Twice(one.group, interfaces, count))
    return tuple(twice)
