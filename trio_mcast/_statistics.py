"""Counts: frozen snapshots of what a receiver or a sender has done. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

import attrs

from ._errors import SocketSetupError
from ._interface import Interface

_ByReason: TypeAlias = tuple[tuple[str, int], ...]
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
    """How many datagrams went which way. Two of them can be added up with ``+``.

    ``received == delivered + waiting + dropped_by_policy``; ``rejected`` and ``dropped_by_kernel``
    come on top.

    Attributes:
        received: Read from the system and accepted.
        received_bytes: The payload of these, in bytes.
        delivered: Handed to the program.
        waiting: Read, accepted and not yet handed to the program.
        dropped_by_policy: Read, accepted, and dropped because ``max_buffered`` of them waited:
            either ``overflow`` says that some are to be dropped then, or a group was left, and what
            its sockets still had did not fit.
        dropped_by_kernel: Dropped by the system, mostly because a socket's receive buffer was full;
            `None` where the system does not tell. What the system handles as one unit (see
            ``max_buffered`` of `open_mcast_receiver`) it also drops as one, and counts once.
    """

    received: int = 0
    received_bytes: int = 0
    delivered: int = 0
    waiting: int = 0
    dropped_by_policy: int = 0
    dropped_by_kernel: int | None = 0
    # In a form that can be compared, hashed, copied and pickled like the rest.
    _rejections: _ByReason = attrs.field(default=(), converter=_by_reason)

    @property
    def rejected(self) -> int:
        """How many were read and discarded, as they were not asked for.

        They are those that the system does not filter. It is the sum of `rejected_by_reason`.
        """
        return sum(count for _, count in self._rejections)

    @property
    def rejected_by_reason(self) -> Counter[str]:
        """How many were rejected for which reason; 0 for a reason that there was none for.

        * ``"excluded_source"``: it came from one of the ``excluded_sources``, or from a blocked
          source, that the system does not filter itself.
        * ``"own"``: it came from this machine, and ``loopback`` is off.
        * ``"other_interface"``: it arrived on another interface than the one that was joined.
        * ``"unicast"``: it was sent to this machine alone, not to the group.
        * ``"other_source"``: it was unicast from none of the ``sources``.
        """
        return Counter(dict(self._rejections))

    def __add__(self, other: DatagramCounts) -> DatagramCounts:
        if not isinstance(other, DatagramCounts):
            return NotImplemented
        return add_up((self, other))


def add_up(items: Iterable[DatagramCounts]) -> DatagramCounts:
    """The sum; its ``dropped_by_kernel`` is `None` if that of any of them is."""
    numbers = dict.fromkeys(_NUMBERS, 0)
    dropped: int | None = 0
    reasons: Counter[str] = Counter()
    for item in items:
        for name in _NUMBERS:
            numbers[name] += getattr(item, name)
        if dropped is not None:
            dropped = None if item.dropped_by_kernel is None else dropped + item.dropped_by_kernel
        if item._rejections:
            reasons.update(item.rejected_by_reason)
    return DatagramCounts(**numbers, dropped_by_kernel=dropped, rejections=reasons)


def fields_of(counts: DatagramCounts) -> dict[str, Any]:
    """The arguments with which a value that has the same counts is made."""
    return {
        item.name.lstrip("_"): getattr(counts, item.name) for item in attrs.fields(DatagramCounts)
    }


@attrs.frozen(kw_only=True)
class MembershipStatistics(DatagramCounts):
    """What was counted of one group on one interface: it has what `DatagramCounts` has, too.

    Attributes:
        group: The group, as text; `None` for what was sent to this program alone, as are the
            replies to a sender.
        interface: The interface, as it was when its newest socket was opened. Memberships are told
            apart by its name: if an interface goes and another comes that is called the same, they
            are counted together.
    """

    group: str | None
    interface: Interface


@attrs.frozen(kw_only=True)
class ReceiverStatistics(DatagramCounts):
    """What was counted while receiving, in total: it has what `DatagramCounts` has, too.

    A receiver has it, and of its replies a sender.

    Attributes:
        memberships: The same of each group on each interface, also of those that were left, went
            away or failed; those that stand come first.
        earlier: The same of those that ended longest ago, all in one. They are no longer told
            apart once more than 4,096 have ended, so that memory is bounded; that number is
            arbitrary. ``memberships`` and this add up to the total.
        receive_buffer_asked: The receive buffer that was asked for, per socket, in bytes.
        receive_buffer_granted: What the system granted, per socket, in bytes: the smallest of all
            sockets, in the same unit as asked (Linux reports twice as much, for its bookkeeping).
            Less than asked means that a limit of the system applies (``net.core.rmem_max``).
        sockets_failed: Sockets that the system refused to read, and that are no longer read; each
            was logged.
    """

    memberships: tuple[MembershipStatistics, ...] = ()
    earlier: DatagramCounts = DatagramCounts()
    receive_buffer_asked: int
    receive_buffer_granted: int
    sockets_failed: int = 0

    @property
    def by_interface(self) -> dict[str, DatagramCounts]:
        """The sums of ``memberships`` for each interface, by its name."""
        return _grouped(self.memberships, lambda item: item.interface.name)

    @property
    def by_group(self) -> dict[str | None, DatagramCounts]:
        """The sums of ``memberships`` for each group.

        Under `None` is what was sent to this program alone.
        """
        return _grouped(self.memberships, lambda item: item.group)


def _grouped(
    memberships: Iterable[MembershipStatistics], key: Callable[[MembershipStatistics], _Key]
) -> dict[_Key, DatagramCounts]:
    members: dict[_Key, list[DatagramCounts]] = {}
    for item in memberships:
        members.setdefault(key(item), []).append(item)
    return {name: add_up(items) for name, items in members.items()}


@attrs.frozen
class SenderInterfaceStatistics:
    """What a sender has counted on one interface.

    Attributes:
        sent: Datagrams handed to the system, counted once for each group.
        failed: Datagrams that were not, counted likewise.
        last_error: Why the last one that failed did; `None` if none has. It stays when datagrams go
            out again.
    """

    sent: int
    failed: int
    last_error: SocketSetupError | None = None


@attrs.frozen
class SenderStatistics:
    """What a sender has counted since it was opened.

    Attributes:
        sent: Datagrams handed to the system, counted once for each group and interface.
        failed: Datagrams that were not, because the system refused them, or one before them in the
            same batch, or because the interface or its address was not there; counted likewise.
        send_buffer_asked: The send buffer that was asked for, per socket, in bytes; `None` if the
            system was left to choose.
        send_buffer_granted: What the system granted, per socket, in bytes: the smallest of all
            sockets, in the same unit as asked (``net.core.wmem_max`` limits it on Linux); 0 while
            no interface is there.
        replies: The same of the replies that came; `None` unless the sender was opened with
            ``receive_replies``.
        interfaces: The counts of each interface that the sender has had, by name.
    """

    sent: int
    failed: int
    send_buffer_asked: int | None
    send_buffer_granted: int
    replies: ReceiverStatistics | None = None
    interfaces: Mapping[str, SenderInterfaceStatistics] = attrs.field(factory=dict, hash=False)
