"""All that a receiver, or a sender for its replies, reads: readers, their tasks, their counts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TypeAlias

import trio

from .._host.protocols import Host, McastSocket
from .._platform.advice import explain_refusal
from .._values.errors import SocketSetupError
from .._values.interface import Interface
from .._values.statistics import ReceiverStatistics, add_up, fields_of
from .ledger import Ledger
from .queue import DatagramQueue
from .reader import InterfaceReader

logger = logging.getLogger("trio_mcast")

# How many datagrams are read at the most from a socket that is about to be closed. More have not
# come by then: a receive buffer of 1 MiB holds some 2,700 of the smallest. What has a larger buffer
# and more in it loses the rest.
_READ_WHILE_RETIRING = 8_192

OnFailure: TypeAlias = Callable[[McastSocket, SocketSetupError], None]


class Intake:
    """What one receiver or sender reads: its sockets, by interface, their queue, their counts.

    Sockets are added and discarded at any time. Each interface that has one has a reader, and each
    reader a task while `run` runs.
    """

    def __init__(self, host: Host, queue: DatagramQueue, *, buffer_asked: int) -> None:
        self.queue = queue
        self._host = host
        # By name and index: one that was removed and made again under its name is another one.
        self._readers: dict[tuple[str, int], InterfaceReader] = {}
        self._buffer_asked = buffer_asked
        self._tasks = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._stopped = False
        self._on_failure: OnFailure | None = None
        self._sockets_failed = 0
        self._ledger = Ledger(self._sockets, queue)
        self._last_statistics: ReceiverStatistics | None = None

    def _sockets(self) -> Iterator[McastSocket]:
        """All that are open."""
        return (socket for reader in self._readers.values() for socket in reader.sockets)

    async def run(self, on_failure: OnFailure) -> None:
        """Read, with a task for each interface, until stopped.

        Args:
            on_failure: Called for a socket that the system refuses to read, after that was logged
                and counted; it has to `ignore` or `discard` the socket.
        """
        self._on_failure = on_failure
        with self._tasks:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for reader in self._readers.values():
                    self._start(reader)
                await trio.sleep_forever()  # Readers come and go.

    def _start(self, reader: InterfaceReader) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(reader.run, name=f"read {reader.interface}")

    def _fail(self, socket: McastSocket, error: OSError) -> None:
        explained = explain_refusal(
            error,
            step="receive",
            group=socket.spec.group,
            interface=socket.spec.interface.name,
            platform=self._host.platform.name,
        )
        logger.warning("%s", explained)
        self._sockets_failed += 1
        assert self._on_failure is not None
        self._on_failure(socket, explained)

    def add(self, socket: McastSocket) -> None:
        """Take over a socket: read it from now on, and close it in the end.

        Raises:
            SocketSetupError: The system refused to watch it. It is not closed then.
        """
        if self._stopped:
            return
        key = _key(socket.spec.interface)
        reader = self._readers.get(key)
        if reader is None:
            poller = self._host.open_poller(self._fail)
            reader = InterfaceReader(socket.spec.interface, poller, self.queue)
            try:
                reader.add(socket)
            except BaseException:
                reader.stop()
                raise
            self._readers[key] = reader
            self._start(reader)
        else:
            reader.add(socket)

    def ignore(self, socket: McastSocket) -> None:
        """Read a socket no longer; it stays open."""
        reader = self._readers.get(_key(socket.spec.interface))
        if reader is not None:
            reader.ignore(socket)

    def retire(self, socket: McastSocket) -> None:
        """Close one socket, after what has come to it was put into the queue."""
        before, end = -1, _taken(socket) + _READ_WHILE_RETIRING
        try:
            while not self._stopped and before < _taken(socket) < end:
                before = _taken(socket)
                self.queue.put_last(socket.receive(end - before))
        except OSError:
            pass  # Its interface has gone. There is nothing more to be had.
        self.discard(socket)

    def discard(self, socket: McastSocket) -> None:
        """Close one socket; what it has counted stays counted."""
        key = _key(socket.spec.interface)
        reader = self._readers.get(key)
        if reader is not None and socket in reader.sockets:
            self._ledger.retire(socket)
            reader.discard(socket)
            if not reader.sockets:
                del self._readers[key]
                reader.stop()
        socket.close()  # Also if no reader had taken it.

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
        self._stopped = True
        if self._last_statistics is None:
            self._last_statistics = self.statistics()
        self._tasks.cancel()
        for reader in self._readers.values():
            reader.stop()
        self.queue.close()

    def close(self) -> None:
        """`stop`, and close the sockets. Idempotent."""
        self.stop()
        for reader in self._readers.values():
            reader.close()


def _taken(socket: McastSocket) -> int:
    return socket.received + socket.rejected.total()


def _key(interface: Interface) -> tuple[str, int]:
    return interface.name, interface.index
