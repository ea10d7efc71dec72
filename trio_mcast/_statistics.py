"""Counts: frozen snapshots of what a receiver or a sender has done."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ._errors import SocketSetupError


@attrs.frozen
class ReceiverStatistics:
    """What was counted while receiving: datagrams, two buffer sizes, and sockets that failed.

    A receiver has it, and of its replies a sender.

    ``received == delivered + waiting``; ``rejected`` and ``dropped_by_kernel`` come on top.

    Attributes:
        received: Read from the system and accepted.
        delivered: Handed to the program.
        waiting: Read, accepted and not yet handed to the program.
        rejected: Read and discarded, because they were not asked for and the system does not
            filter them: this machine's own with ``loopback=False``, or sources that are excluded
            beyond what the kernel takes.
        dropped_by_kernel: Dropped by the system because a socket's receive buffer was full; `None`
            where the system does not tell.
        receive_buffer_asked: The receive buffer that was asked for, per socket, in bytes.
        receive_buffer_granted: What the system granted, per socket, in bytes: the smallest of all
            sockets, in the same unit as asked (Linux reports twice as much, for its bookkeeping).
            Less than asked means that a limit of the system applies (``net.core.rmem_max``).
        sockets_failed: Sockets that the system refused to read, and that are no longer read; each
            was logged.
    """

    received: int
    delivered: int
    waiting: int
    rejected: int
    dropped_by_kernel: int | None
    receive_buffer_asked: int
    receive_buffer_granted: int
    sockets_failed: int = 0


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
