"""The streams that a live view shows: a table fed with datagrams and with the time. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

import attrs

from .._diagnosis.probe.numbering import NumberCounts, Numbering
from .._diagnosis.probe.timing import Jitter
from .._values.addresses import Endpoint
from .._values.datagram import Datagram
from .numbers import NumberOf, find_number

State: TypeAlias = Literal["WAITING", "RECEIVING", "STALLED", "FAILED"]
Order: TypeAlias = Literal["group", "source", "rate", "lost"]
ORDERS: tuple[Order, ...] = ("group", "source", "rate", "lost")

#: The seconds of history of a stream.
HISTORY = 60
# A stream has stalled after so many seconds without a datagram, or after so many of its usual
# intervals. Arbitrary.
_STALL_SECONDS = 2.0
_STALL_INTERVALS = 3
# The streams that are told apart: sources can be forged. Arbitrary.
_MOST_STREAMS = 1_000
_NS_PER_SECOND = 1_000_000_000


class Key(NamedTuple):
    """A group, or `None` for unicast, with the port, and the interface."""

    group: str | None
    port: int
    interface: str


@attrs.frozen
class Subscription:
    """A group on an interface that is listened to.

    Attributes:
        key: The group, port and interface.
        failed: Whether the join was refused.
        dropped_by_kernel: The datagrams that the kernel dropped; `None` if it does not tell.
        dropped_by_policy: The datagrams that the receiver dropped.
    """

    key: Key
    failed: bool = False
    dropped_by_kernel: int | None = 0
    dropped_by_policy: int = 0


@attrs.frozen(kw_only=True)
class Row:
    """A stream as it is now, or a group on an interface from which nothing has come.

    Attributes:
        state: The state.
        key: The group, port and interface.
        source: The source, or `None` if nothing has come.
        datagrams: The number of datagrams.
        size: The bytes of their payloads.
        rate: The datagrams of the last second.
        bit_rate: The bits of payload of the last second.
        numbers: The counts by number, or `None` if the payloads have none.
        numbered_by: The kind of the numbers, such as ``"RTP 33"``.
        jitter_ms: The interarrival jitter (RFC 3550) in milliseconds, or `None` if the payloads do
            not tell when they were sent.
        ttl: The ttl of the last datagram.
        dscp: The DSCP of the last datagram.
        history: The datagrams of each of the last seconds, the oldest first.
        subscription: The drops of the group on the interface, whatever the source.
    """

    state: State
    key: Key
    source: Endpoint | None = None
    datagrams: int = 0
    size: int = 0
    rate: int = 0
    bit_rate: int = 0
    numbers: NumberCounts | None = None
    numbered_by: str = ""
    jitter_ms: float | None = None
    ttl: int | None = None
    dscp: int | None = None
    history: tuple[int, ...] = ()
    subscription: Subscription | None = None


class _Stream:
    """A stream: one source, to one group, on one interface."""

    def __init__(self, second: int) -> None:
        self.datagrams = self.size = 0
        self.first = self.last = 0.0
        self.ttl: int | None = None
        self.traffic_class: int | None = None
        # The second that runs, and the datagrams and bytes of that and of the seconds before.
        self.second = second
        self.counts: deque[int] = deque([0], maxlen=HISTORY + 1)
        self.sizes: deque[int] = deque([0], maxlen=2)
        self.series: tuple[str, int] | None = None
        self.numbering: Numbering | None = None
        self.jitter: Jitter | None = None
        self._candidate: tuple[tuple[str, int], int] | None = None

    def advance(self, second: int) -> None:
        """Begin another second, if it is time for one."""
        passed = min(second - self.second, HISTORY + 1)
        for _ in range(passed):
            self.counts.append(0)
            self.sizes.append(0)
        if passed > 0:
            self.second = second

    def add(self, datagram: Datagram, now: float, number_of: NumberOf) -> None:
        """Count a datagram."""
        size = len(datagram.data)
        if not self.datagrams:
            self.first = now
        self.last = now
        self.datagrams += 1
        self.size += size
        self.counts[-1] += 1
        self.sizes[-1] += size
        self.ttl, self.traffic_class = datagram.ttl, datagram.traffic_class
        numbered = number_of(datagram.data)
        if numbered is None:
            return
        series, number, bits, sent_ns = numbered
        if series != self.series:
            # Two in a row belong together, as in RFC 3550, appendix A.1; one may be chance.
            before, self._candidate = self._candidate, (series, number)
            if before is None or before[0] != series or before[1] == number:
                return
            self.series, self.jitter = series, None
            self.numbering = Numbering(bits)
            self.numbering.add(before[1])
        assert self.numbering is not None
        self.numbering.add(number)
        if sent_ns is not None and datagram.timestamp_ns is not None:
            self.jitter = self.jitter or Jitter()
            self.jitter.add(sent_ns, datagram.timestamp_ns)

    def has_stalled(self, now: float) -> bool:
        """Tell whether no datagram has come for unusually long."""
        interval = (self.last - self.first) / max(1, self.datagrams - 1)
        return now - self.last > max(_STALL_SECONDS, _STALL_INTERVALS * interval)


class StreamTable:
    """All streams that came, and the subscriptions from which nothing has come."""

    def __init__(self, number_of: NumberOf = find_number) -> None:
        """Begin without any stream.

        Args:
            number_of: Finds the number in a payload.
        """
        self._number_of = number_of
        self._streams: dict[tuple[str | None, int, str, Endpoint], _Stream] = {}
        self._subscriptions: dict[Key, Subscription] = {}
        self.not_shown = 0
        """The datagrams of streams beyond the first 1,000."""

    def add(self, batch: Iterable[Datagram], now: float) -> None:
        """Count datagrams.

        Args:
            batch: The datagrams.
            now: The time by a clock that is never set, in seconds.
        """
        second, streams, number_of = int(now), self._streams, self._number_of
        for datagram in batch:
            place = (
                datagram.group,
                datagram.destination.port,
                datagram.interface.name,
                datagram.source,
            )
            stream = streams.get(place)
            if stream is None:
                if len(streams) >= _MOST_STREAMS:
                    self.not_shown += 1
                    continue
                stream = streams[place] = _Stream(second)
            if stream.second != second:
                stream.advance(second)
            stream.add(datagram, now, number_of)

    def subscribe(self, subscriptions: Iterable[Subscription]) -> None:
        """Take in what is listened to now, with its drops."""
        self._subscriptions = {one.key: one for one in subscriptions}

    def rows(self, now: float, order: Order = "group") -> list[Row]:
        """Return every stream, and every subscription without one.

        Args:
            now: The time by the clock of `add`, in seconds.
            order: The order: by group, by source, or the highest rate or loss first.
        """
        rows = [
            self._row(Key(group, port, interface), source, stream, now)
            for (group, port, interface, source), stream in self._streams.items()
        ]
        heard = {row.key for row in rows}
        rows += [
            Row(
                state="FAILED" if subscription.failed else "WAITING",
                key=key,
                subscription=subscription,
                history=(0,) * HISTORY,
            )
            for key, subscription in self._subscriptions.items()
            if key not in heard
        ]
        return sort_rows(rows, order)

    def _row(self, key: Key, source: Endpoint, stream: _Stream, now: float) -> Row:
        stream.advance(int(now))
        history = tuple(stream.counts)[:-1]  # The last second is not over yet.
        return Row(
            state="STALLED" if stream.has_stalled(now) else "RECEIVING",
            key=key,
            source=source,
            datagrams=stream.datagrams,
            size=stream.size,
            rate=history[-1] if history else stream.counts[-1],
            bit_rate=8 * stream.sizes[0],
            numbers=None if stream.numbering is None else stream.numbering.counts(),
            numbered_by="" if stream.series is None else stream.series[0],
            jitter_ms=None if stream.jitter is None else stream.jitter.ns / 1e6,
            ttl=stream.ttl,
            dscp=None if stream.traffic_class is None else stream.traffic_class >> 2,
            history=(0,) * (HISTORY - len(history)) + history,
            subscription=self._subscriptions.get(key),
        )


def sort_rows(rows: Iterable[Row], order: Order) -> list[Row]:
    """Return rows by group, by source, or with the highest rate or loss first."""
    by_group = sorted(rows, key=_by_group)
    if order == "source":
        return sorted(by_group, key=_by_source)
    if order == "rate":
        return sorted(by_group, key=lambda row: -row.rate)
    if order == "lost":
        return sorted(by_group, key=lambda row: 0 if row.numbers is None else -row.numbers.lost)
    return by_group


def _by_group(row: Row) -> tuple[bool, str, int, str, str]:
    group, port, interface = row.key
    return group is None, group or "", port, interface, str(row.source or "")


def _by_source(row: Row) -> tuple[bool, str]:
    return row.source is None, str(row.source or "")
