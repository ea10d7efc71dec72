"""From the sockets of one interface to a queue: the task that each interface has."""

from __future__ import annotations

import math
import time
from contextlib import suppress

import trio

from .._host.protocols import McastSocket, Poller
from .._values.datagram import Datagram
from .._values.interface import Interface
from .queue import DatagramQueue

# A pass that begins sooner than this after the last one follows it at once: nothing was waited for.
# Some two or three passes through an otherwise idle scheduler.
_AT_ONCE_SECONDS = 100e-6

# After a pass that has read so many, there is likely to be more, so it is looked for before it is
# waited for: that costs a tenth of such a pass if there is nothing.
_MANY = 64


class InterfaceReader:
    """What is read on one interface: its sockets, their poller, and the task that reads them.

    While a consumer of the queue reads for itself, it is a `Source`, and the task is parked.
    """

    def __init__(self, interface: Interface, poller: Poller, queue: DatagramQueue) -> None:
        self.interface = interface
        self._queue = queue
        # Each socket, and whether it is read.
        self.sockets: dict[McastSocket, bool] = {}
        self._poller = poller
        self._stopped = False
        self._running = trio.CancelScope()
        self._expects_more = False
        self._pass_ended = -math.inf

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

    async def run(self) -> None:
        """Read what arrives, in batches, and feed the queue, until stopped."""
        queue = self._queue
        with self._running, suppress(trio.ClosedResourceError):
            while True:
                # Backpressure: while the queue is full nothing is read, and the kernel's buffers
                # fill; or, if the queue is to drop, who takes from it has a turn first.
                await queue.wait_for_room()
                await queue.lend(self)
                batch = await self.read()
                if batch:
                    queue.put(batch)

    def interrupt(self) -> None:
        """End the wait in `read`."""
        self._poller.interrupt()

    async def read(self) -> list[Datagram]:
        """Wait until something can be read, and read it, in one pass.

        A checkpoint, and none behind the reading. Empty if nothing was read after all.
        """
        was_away = time.perf_counter() - self._pass_ended >= _AT_ONCE_SECONDS
        if was_away or self._expects_more:
            await trio.lowlevel.checkpoint()
        else:
            await self._wait()
        batch = self._poller.read(self._queue.room)
        self._expects_more = len(batch) >= _MANY
        self._pass_ended = time.perf_counter()
        return batch

    async def _wait(self) -> None:
        try:
            await self._poller.wait()
        except trio.ClosedResourceError:
            if not self._stopped:
                self._queue.close()  # The machine itself has gone: nothing can come any more.
            raise

    def stop(self) -> None:
        """Read nothing any more; the sockets stay open. Idempotent."""
        self._stopped = True
        self._running.cancel()  # It may be waiting for room.
        self._poller.close()
        self.sockets = dict.fromkeys(self.sockets, False)

    def close(self) -> None:
        self.stop()
        for socket in self.sockets:
            socket.close()
        self.sockets.clear()
