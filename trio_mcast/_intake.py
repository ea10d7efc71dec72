"""All that a receiver, or a sender for its replies, reads: readers, their tasks, their counts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

import trio

from ._errors import SocketSetupError, explain_refusal
from ._host import McastSocket
from ._queue import DatagramQueue
from ._reader import InterfaceReader
from ._statistics import ReceiverStatistics

logger = logging.getLogger("trio_mcast")

OnFailure: TypeAlias = Callable[[InterfaceReader, McastSocket, SocketSetupError], None]


class Intake:
    """All that one receiver or sender reads: its interfaces' readers, their queue, their counts."""

    def __init__(
        self, readers: Sequence[InterfaceReader], queue: DatagramQueue, *, buffer_asked: int
    ) -> None:
        self.queue = queue
        self._readers = tuple(readers)
        self._buffer_asked = buffer_asked
        self._tasks = trio.CancelScope()
        self._sockets_failed = 0
        # What sockets that were discarded had counted: (rejected, dropped by the kernel).
        self._counted_before = [0, 0]

    async def run(self, on_failure: OnFailure) -> None:
        """Read, with a task for each interface, until stopped.

        Args:
            on_failure: Called for a socket that the system refuses to read, after that was logged
                and counted; it has to take the socket out of its reader.
        """

        def fail(reader: InterfaceReader, socket: McastSocket, error: OSError) -> None:
            explained = explain_refusal(
                error, step="receive", group=socket.spec.group, interface=reader.interface.name
            )
            logger.warning("%s", explained)
            self._sockets_failed += 1
            on_failure(reader, socket, explained)

        with self._tasks:
            async with trio.open_nursery() as nursery:
                for reader in self._readers:
                    nursery.start_soon(
                        reader.run, self.queue, fail, name=f"read {reader.interface.name}"
                    )

    def discard(self, reader: InterfaceReader, socket: McastSocket) -> None:
        """Close one socket; what it has counted stays counted."""
        self._counted_before[0] += socket.rejected.total()
        self._counted_before[1] += socket.dropped() or 0
        reader.discard(socket)

    def statistics(self) -> ReceiverStatistics:
        sockets = [socket for reader in self._readers for socket in reader.sockets]
        rejected, dropped = self._counted_before
        drops = [socket.dropped() for socket in sockets]
        known = [count for count in drops if count is not None]
        return ReceiverStatistics(
            received=self.queue.received,
            delivered=self.queue.delivered,
            waiting=self.queue.waiting,
            rejected=rejected + sum(socket.rejected.total() for socket in sockets),
            dropped_by_kernel=dropped + sum(known) if known or dropped or not drops else None,
            receive_buffer_asked=self._buffer_asked,
            receive_buffer_granted=min(
                (socket.receive_buffer_granted for socket in sockets), default=0
            ),
            sockets_failed=self._sockets_failed,
        )

    def stop(self) -> None:
        """Read nothing any more, and wake who waits for a datagram; the sockets stay open."""
        self._tasks.cancel()
        for reader in self._readers:
            reader.stop()
        self.queue.close()

    def close(self) -> None:
        """`stop`, and close the sockets. Idempotent."""
        self.stop()
        for reader in self._readers:
            reader.close()
