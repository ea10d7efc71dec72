"""Counts: frozen snapshots of what a receiver or a sender has done. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from .errors import SocketSetupError, printable
from .interface import Interface
from .shown import shown_lines, table

_Key = TypeVar("_Key", str, "str | None")

_NUMBERS = ("received", "received_bytes", "delivered", "waiting", "dropped_by_policy")


def _by_reason(
    counts: Mapping[str, int] | Iterable[tuple[str, int]],
) -> tuple[tuple[str, int], ...]:
    if not counts:  # Mostly, and a receiver may have thousands of memberships.
        return ()
    return tuple(sorted((reason, count) for reason, count in dict(counts).items() if count))


@attrs.frozen(kw_only=True)
class DatagramCounts:
    """Counts of datagrams, by fate. Two such values can be added up with ``+``.

    ``received == delivered + waiting + dropped_by_policy``; ``rejected`` and ``dropped_by_kernel``
    come on top.
    """

    received: int = 0
    """Read from the system and accepted."""
    received_bytes: int = 0
    """The payload of the received datagrams, in bytes."""
    delivered: int = 0
    """Handed to the program."""
    waiting: int = 0
    """Read, accepted and not yet handed to the program."""
    dropped_by_policy: int = 0
    """Read, accepted, and dropped because ``max_buffered`` datagrams waited: either ``overflow``
    says that some are to be dropped then, or a group was left, and the datagrams that the group's
    sockets still had did not fit.
    """
    dropped_by_kernel: int | None = 0
    """Dropped by the system, mostly because a socket's receive buffer was full; `None` where the
    system does not tell. Datagrams that the system handles as one unit (see ``max_buffered`` of
    `open_mcast_receiver`) are also dropped as one, and count once.
    """
    # In a form that can be compared, hashed, copied and pickled like the other fields.
    rejections: tuple[tuple[str, int], ...] = attrs.field(default=(), converter=_by_reason)
    """Pairs of a reason to reject and a count, by name of the reason, for reasons that have come
    up. `rejected_by_reason` has the same as a mapping.
    """

    @property
    def rejected(self) -> int:
        """The number of datagrams that were read and discarded, as nobody had asked for them.

        The system has let these datagrams through. The number is the sum of `rejected_by_reason`.
        """
        return sum(count for _, count in self.rejections)

    @property
    def rejected_by_reason(self) -> Counter[str]:
        """The number of rejected datagrams by reason; 0 for a reason without any.

        * ``"excluded_source"``: came from one of the ``excluded_sources``, or from a blocked
          source, that the system does not filter itself.
        * ``"own"``: came from this machine, and ``loopback`` is off; or from the channel itself.
        * ``"other_interface"``: arrived on another interface than the one that was joined.
        * ``"other_group"``: was sent to another group, which somebody else has joined.
        * ``"unicast"``: was sent to this machine alone, not to the group.
        * ``"other_source"``: came from none of the ``sources``, and the system does not filter
          that: unicast; groups under gVisor or qemu-user; 224.0.0.1 on macOS.
        * ``"untold"``: does not say where it was sent, or where it arrived, as can happen on
          Windows when memory is short.
        """
        return Counter(dict(self.rejections))

    def __add__(self, other: DatagramCounts) -> DatagramCounts:
        if not isinstance(other, DatagramCounts):
            return NotImplemented
        return add_up((self, other))

    def __str__(self) -> str:
        return "\n".join((table(_COUNTS_HEAD, [_counts_line("in all", self)]), *_reasons(self)))


def add_up(all_counts: Iterable[DatagramCounts]) -> DatagramCounts:
    """Return the sum; ``dropped_by_kernel`` is `None` if `None` in any of the counts."""
    numbers = dict.fromkeys(_NUMBERS, 0)
    dropped: int | None = 0
    reasons: Counter[str] = Counter()
    for counts in all_counts:
        for name in _NUMBERS:
            numbers[name] += getattr(counts, name)
        by_kernel = counts.dropped_by_kernel
        dropped = None if dropped is None or by_kernel is None else dropped + by_kernel
        if counts.rejections:
            reasons.update(counts.rejected_by_reason)
    return DatagramCounts(**numbers, dropped_by_kernel=dropped, rejections=reasons)


_COUNTS_HEAD = ("", "received", "bytes", "delivered", "waiting", "dropped", "by kernel", "rejected")


def _counts_line(label: str, counts: DatagramCounts) -> tuple[str, ...]:
    by_kernel = counts.dropped_by_kernel
    numbers = (getattr(counts, name) for name in _NUMBERS)
    kernel = "unknown" if by_kernel is None else f"{by_kernel:,}"
    return (label, *(f"{number:,}" for number in numbers), kernel, f"{counts.rejected:,}")


def _reasons(counts: DatagramCounts) -> list[str]:
    if not counts.rejections:
        return []
    return ["rejected: " + ", ".join(f"{reason} {count:,}" for reason, count in counts.rejections)]


def fields_of(counts: DatagramCounts) -> dict[str, Any]:
    """Return the arguments that make another value with the same counts."""
    return {field.name: getattr(counts, field.name) for field in attrs.fields(DatagramCounts)}


@attrs.frozen(kw_only=True)
class MembershipStatistics(DatagramCounts):
    """The counts of one group on one interface.

    All attributes of `DatagramCounts` are there, too.
    """

    group: str | None
    """The group, as text; `None` for datagrams to this program alone, such as the replies to a
    sender.
    """
    interface: Interface = attrs.field(repr=str)
    """The interface, in the state when the newest socket was opened. Memberships are told apart by
    the interface's name: if an interface goes and another of the same name comes, both are counted
    together.
    """

    def __str__(self) -> str:
        line = _counts_line(_label(self), self)
        return "\n".join((table(_COUNTS_HEAD, [line]), *_reasons(self)))


def _label(membership: MembershipStatistics) -> str:
    return f"{membership.group or 'unicast'} on {membership.interface}"


@attrs.frozen(kw_only=True)
class ReceiverStatistics(DatagramCounts):
    """The total counts while receiving; all attributes of `DatagramCounts` are there, too.

    A receiver has such counts, and a sender for the replies.
    """

    memberships: tuple[MembershipStatistics, ...] = ()
    """The counts of each group on each interface, also of memberships that were left, went away or
    failed; standing memberships come first.
    """
    earlier: DatagramCounts = DatagramCounts()
    """The counts of the memberships that ended longest ago, all in one. Beyond 4,096 ended
    memberships, the oldest are no longer told apart, so that memory is bounded; that number is
    arbitrary. ``memberships`` and ``earlier`` add up to the total.
    """
    receive_buffer_asked: int
    """The receive buffer that was asked for, per socket, in bytes."""
    receive_buffer_granted: int
    """The receive buffer that the system granted, per socket, in bytes: the smallest of all
    sockets, in the same unit as asked (Linux reports twice as much, for bookkeeping). Less than
    asked means that a limit of the system applies (``net.core.rmem_max``).
    """
    sockets_failed: int = 0
    """The number of sockets that the system refused to read; each was logged. Another is opened in
    its place after a pause.
    """

    @property
    def by_interface(self) -> dict[str, DatagramCounts]:
        """The sums of ``memberships`` for each interface, by name."""
        return _grouped(self.memberships, lambda membership: membership.interface.name)

    @property
    def by_group(self) -> dict[str | None, DatagramCounts]:
        """The sums of ``memberships`` for each group.

        The sum under `None` counts the datagrams to this program alone.
        """
        return _grouped(self.memberships, lambda membership: membership.group)

    def __str__(self) -> str:
        shown = shown_lines(len(self.memberships))
        lines = [
            _counts_line(_label(membership), membership) for membership in self.memberships[:shown]
        ]
        remaining = self.memberships[shown:]
        if remaining:
            lines.append(_counts_line(f"{len(remaining):,} more", add_up(remaining)))
        if self.earlier != DatagramCounts():
            lines.append(_counts_line("earlier", self.earlier))
        lines.append(_counts_line("in all", self))
        asked, granted = self.receive_buffer_asked, self.receive_buffer_granted
        texts = [table(_COUNTS_HEAD, lines), *_reasons(self)]
        texts.append(f"receive buffer: {asked:,} bytes asked for, {granted:,} granted")
        if self.sockets_failed:
            texts.append(f"sockets that could not be read: {self.sockets_failed:,}")
        return "\n".join(texts)


def _grouped(
    memberships: Iterable[MembershipStatistics], key: Callable[[MembershipStatistics], _Key]
) -> dict[_Key, DatagramCounts]:
    by_key: dict[_Key, list[DatagramCounts]] = {}
    for membership in memberships:
        by_key.setdefault(key(membership), []).append(membership)
    return {name: add_up(all_counts) for name, all_counts in by_key.items()}


@attrs.frozen
class SenderInterfaceStatistics:
    """The counts of a sender on one interface."""

    sent: int
    """Datagrams handed to the system, counted once for each group."""
    failed: int
    """Datagrams not handed to the system, counted likewise."""
    last_error: SocketSetupError | None = None
    """The error of the last failed datagram; `None` without a failure. The error stays when
    datagrams go out again.
    """


_SENT_HEAD = ("", "sent", "failed")


@attrs.frozen
class SenderStatistics:
    """The counts of a sender since the opening."""

    sent: int
    """Datagrams handed to the system, counted once for each group and interface."""
    failed: int
    """Datagrams not handed to the system, because the system refused the datagram, or an earlier
    one in the same batch, or because the interface or the interface's address was not there;
    counted likewise.
    """
    send_buffer_asked: int | None
    """The send buffer that was asked for, per socket, in bytes; `None` if the system was left to
    choose.
    """
    send_buffer_granted: int
    """The send buffer that the system granted, per socket, in bytes: the smallest of all sockets,
    in the same unit as asked (limited by ``net.core.wmem_max`` on Linux); 0 while no interface is
    there.
    """
    replies: ReceiverStatistics | None = None
    """The counts of the replies that came; `None` unless the sender was opened with
    ``receive_replies``.
    """
    interfaces: Mapping[str, SenderInterfaceStatistics] = attrs.field(factory=dict, hash=False)
    """The counts of each interface that the sender has had, by name. An interface that was waited
    for from the opening on is called as it was named; where none was named, and there was no route
    either, as ``""``.
    """

    def __str__(self) -> str:
        names = list(self.interfaces)
        shown = shown_lines(len(names))
        counted = [(printable(name), self.interfaces[name]) for name in names[:shown]]
        remaining = [self.interfaces[name] for name in names[shown:]]
        if remaining:
            sent = sum(counts.sent for counts in remaining)
            failed = sum(counts.failed for counts in remaining)
            counted.append((f"{len(remaining):,} more", SenderInterfaceStatistics(sent, failed)))
        counted.append(("in all", SenderInterfaceStatistics(self.sent, self.failed)))
        lines = [(name, f"{counts.sent:,}", f"{counts.failed:,}") for name, counts in counted]
        asked = self.send_buffer_asked
        wish = "the system's choice" if asked is None else f"{asked:,} bytes asked for"
        texts = [table(_SENT_HEAD, lines)]
        texts += [
            f"last error on {name}: {counts.last_error}"
            for name, counts in counted
            if counts.last_error is not None
        ]
        texts.append(f"send buffer: {wish}, {self.send_buffer_granted:,} bytes granted")
        if self.replies is not None:
            texts += ["replies:", str(self.replies)]
        return "\n".join(texts)


@attrs.frozen(kw_only=True)
class ChannelStatistics(ReceiverStatistics):
    """The total counts of a channel; all attributes of `ReceiverStatistics` are there, too.

    What the channel has sent itself, and taken out again, counts as rejected, as ``"own"``.
    """

    sending: SenderStatistics
    """The counts of what was sent."""

    def __str__(self) -> str:
        return f"{super().__str__()}\nsending:\n{self.sending}"


def add_up_sent(all_counts: Sequence[SenderStatistics]) -> SenderStatistics:
    """Return the sums of the counts of several senders that were opened alike, at least one."""
    interfaces: dict[str, SenderInterfaceStatistics] = {}
    for counts in all_counts:
        for name, one in counts.interfaces.items():
            before = interfaces.get(name, SenderInterfaceStatistics(0, 0))
            interfaces[name] = SenderInterfaceStatistics(
                before.sent + one.sent,
                before.failed + one.failed,
                one.last_error or before.last_error,
            )
    return attrs.evolve(
        all_counts[0],
        sent=sum(counts.sent for counts in all_counts),
        failed=sum(counts.failed for counts in all_counts),
        send_buffer_granted=min(counts.send_buffer_granted for counts in all_counts),
        interfaces=interfaces,
    )
