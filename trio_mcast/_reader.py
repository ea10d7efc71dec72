"""From the sockets of one interface to a queue: the task that each interface has."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import trio

from ._datagram import Datagram
from ._host import McastSocket, Poller
from ._interface import Interface
from ._queue import DatagramQueue

# How many datagrams are read, from all sockets of an interface together, before other tasks have
# their turn. A pass through selector, channel and scheduler costs about 15 us (measured: 1,766 ns
# per datagram with 32 a pass, 1,157 with 512), so many are better; 512 take about half a
# millisecond, which is fair.
_READ_AT_ONCE = 512

# A pass that begins sooner than this after the last one follows it at once: nothing was waited for.
# Some two or three passes through an otherwise idle scheduler.
_AT_ONCE_SECONDS = 100e-6


class InterfaceReader:
    """What is read on one interface: its sockets, their poller, and the task that reads them."""

    def __init__(self, interface: Interface, poller: Poller) -> None:
        self.interface = interface
        # Each socket, and whether it is read.
        self.sockets: dict[McastSocket, bool] = {}
        self._poller = poller
        self._stopped = False
        self._running = trio.CancelScope()

    def add(self, socket: McastSocket) -> None:
        """Take over a socket; it is closed with this reader."""
        self._poller.add(socket)
        self.sockets[socket] = True

    def ignore(self, socket: McastSocket) -> None:
        """Read one socket no longer; it stays open, and the others are read on."""
        if self.sockets.get(socket):
            self.sockets[socket] = False
            self._poller.remove(socket)

    def discard(self, socket: McastSocket) -> None:
        """Close one socket, the others stay."""
        if socket in self.sockets:
            self.ignore(socket)
            del self.sockets[socket]
            socket.close()

    async def run(
        self, queue: DatagramQueue, fail: Callable[[InterfaceReader, McastSocket, OSError], None]
    ) -> None:
        """Read what arrives, in batches, and feed the queue, until stopped.

        Args:
            queue: Where the datagrams go.
            fail: Called when the system refuses to read a socket; it has to `ignore` or `discard`
                the socket, which would be ready again at once.
        """
        with self._running:
            await self._run(queue, fail)

    async def _run(
        self, queue: DatagramQueue, fail: Callable[[InterfaceReader, McastSocket, OSError], None]
    ) -> None:
        busy_since = ended = -math.inf
        while True:
            try:
                ready = await self._poller.wait()
            except trio.ClosedResourceError:
                if not self._stopped:
                    queue.close()  # The machine itself has gone: nothing can come any more.
                return
            # As long as one pass follows the other at once, sockets that have been read are busy.
            now = time.perf_counter()
            if now - ended >= _AT_ONCE_SECONDS:
                busy_since = now
            share = max(1, _READ_AT_ONCE // len(ready))
            batch: list[Datagram] = []
            room = 0 if queue.full else queue.room
            for socket in ready:
                if room <= 0:
                    # Backpressure: without room nothing is read, and the kernel's buffers fill; or,
                    # if the queue is to drop, who takes from it has a turn first.
                    if batch:
                        queue.put(batch)
                        batch = []
                    try:
                        await queue.wait_for_room()
                    except trio.ClosedResourceError:
                        return
                    room = queue.room
                if not self.sockets.get(socket):
                    continue
                try:
                    found = socket.receive(share if share < room else room, busy_since)
                except OSError as error:
                    fail(self, socket, error)
                else:
                    room -= len(found)
                    batch += found
            if batch:
                queue.put(batch)
            ended = time.perf_counter()

    def stop(self) -> None:
        """Read nothing any more; the sockets stay open. Idempotent."""
        self._stopped = True
        self._running.cancel()  # It may be waiting for room.
        self._poller.close()
        # The task may be about to read one of them: it looks here first.
        self.sockets = dict.fromkeys(self.sockets, False)

    def close(self) -> None:
        self.stop()
        for socket in self.sockets:
            socket.close()
        self.sockets.clear()
