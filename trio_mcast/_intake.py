"""All that a receiver, or a sender for its replies, reads: readers, their tasks, their counts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import trio

from ._errors import SocketSetupError, explain_refusal
from ._host import McastSocket
from ._ledger import Ledger
from ._queue import DatagramQueue
from ._reader import InterfaceReader
from ._statistics import ReceiverStatistics, add_up, fields_of

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
        self._ledger = Ledger(self._sockets, queue)
        self._last_statistics: ReceiverStatistics | None = None

    def _sockets(self) -> Iterator[McastSocket]:
        """All that are open."""
        return (socket for reader in self._readers for socket in reader.sockets)

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
        if socket in reader.sockets:
            self._ledger.retire(socket)
            reader.discard(socket)

    def statistics(self) -> ReceiverStatistics:
        """What was counted so far, or until it was stopped."""
        if self._last_statistics is not None:
            return self._last_statistics
        memberships, earlier = self._ledger.memberships(), self._ledger.earlier
        return ReceiverStatistics(
            **fields_of(add_up([*memberships, earlier])),
            memberships=memberships,
            earlier=earlier,
            receive_buffer_asked=self._buffer_asked,
            receive_buffer_granted=min(
                (socket.receive_buffer_granted for socket in self._sockets()), default=0
            ),
            sockets_failed=self._sockets_failed,
        )

    def stop(self) -> None:
        """Read nothing any more, and wake who waits for a datagram; the sockets stay open."""
        if self._last_statistics is None:
            self._last_statistics = self.statistics()
        self._tasks.cancel()
        for reader in self._readers:
            reader.stop()
        self.queue.close()

    def close(self) -> None:
        """`stop`, and close the sockets. Idempotent."""
        self.stop()
        for reader in self._readers:
            reader.close()
