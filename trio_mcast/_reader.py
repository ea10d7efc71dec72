"""From the sockets of one interface to a queue: the task that each interface has."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

import trio

from ._datagram import Datagram
from ._host import McastSocket, Poller
from ._interface import Interface
from ._queue import DatagramQueue

# How many datagrams are read, from all sockets of an interface together, before other tasks have
# their turn. A pass through selector, channel and scheduler costs 15 us or, as reading has taken
# the processor's caches, up to 80. So many are better: with datagrams that come as units, reading
# 1,024 in a pass took up to a tenth less per datagram than reading 512 (measured). They take half a
# millisecond then; of those that come one by one, a socket gives no more than 512 at once. From a
# thousand sockets, one each, they take two and a half.
_READ_AT_ONCE = 1_024

# A pass that begins sooner than this after the last one follows it at once: nothing was waited for.
# Some two or three passes through an otherwise idle scheduler.
_AT_ONCE_SECONDS = 100e-6

# What each of many sockets may give in one pass, so that it is worth a batch. If that is too much
# for all of them together, the last ones come first in the next pass.
_LEAST_SHARE = 16

# How often the sockets are looked at in one pass, where there are several. At each look up to 128
# of them are read, so that a pass can be as large where each has one datagram (measured: 5 per cent
# less per datagram than with 4). If all of it was rejected, one look is enough: it must not keep
# others waiting.
_LOOKS_AT_ONCE = 8

# After a pass that has read so many, there is likely to be more, so it is looked for before it is
# waited for: that costs a tenth of such a pass if there is nothing.
_MANY = 64

OnFailure: TypeAlias = Callable[["InterfaceReader", McastSocket, OSError], None]


class InterfaceReader:
    """What is read on one interface: its sockets, their poller, and the task that reads them.

    While a consumer of the queue reads for itself, it is a `Source`, and the task is parked.
    """

    # Set by `run`, before anything is read.
    _queue: DatagramQueue
    _fail: OnFailure

    def __init__(self, interface: Interface, poller: Poller) -> None:
        self.interface = interface
        # Each socket, and whether it is read.
        self.sockets: dict[McastSocket, bool] = {}
        self._poller = poller
        self._stopped = False
        self._running = trio.CancelScope()
        # Those that were ready in the last pass, and for which there was no room.
        self._unread: Sequence[McastSocket] = ()
        self._expects_more = False
        self._busy_since = self._pass_ended = -math.inf

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

    async def run(self, queue: DatagramQueue, fail: OnFailure) -> None:
        """Read what arrives, in batches, and feed the queue, until stopped.

        Args:
            queue: Where the datagrams go.
            fail: Called when the system refuses to read a socket; it has to `ignore` or `discard`
                the socket, which would be ready again at once.
        """
        self._queue, self._fail = queue, fail
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
        now = time.perf_counter()
        was_away = now - self._pass_ended >= _AT_ONCE_SECONDS
        if was_away or self._expects_more or self._unread:
            await trio.lowlevel.checkpoint()
            unread = [item for item in self._unread if self.sockets.get(item)]
            ready = unread or self._poller.likely_ready()
            if was_away:
                # Quiet sockets are read the short way. One that is alone has been filled in the
                # meantime, if there is anything at all.
                self._busy_since = now if len(ready) > 1 else -math.inf
        else:
            unread = []
            ready = await self._wait()
            now = time.perf_counter()
            if now - self._pass_ended >= _AT_ONCE_SECONDS:
                self._busy_since = now
        batch = self._read_from(ready, looked=not unread)
        self._expects_more = len(batch) >= _MANY
        self._pass_ended = time.perf_counter()
        return batch

    def _read_from(self, ready: Sequence[McastSocket], *, looked: bool) -> list[Datagram]:
        """Read some of what the sockets have, and where there are several, look for more.

        Args:
            ready: The sockets.
            looked: Whether they come from the poller just now; else they were left over.
        """
        self._unread = ()
        batch: list[Datagram] = []
        most = min(self._queue.room, _READ_AT_ONCE)
        looks_left = _LOOKS_AT_ONCE
        while ready:
            before = len(batch)
            if looked and len(ready) > 1:
                ready = self._poller.read_each(ready, most - len(batch), batch)
            share = max(_LEAST_SHARE, _READ_AT_ONCE // max(1, len(ready)))
            for number, socket in enumerate(ready):
                left = most - len(batch)
                if left <= 0:
                    self._unread = ready[number:]  # They come first the next time.
                    return batch
                found = self._receive(socket, min(share, left))
                # To copy a list is to touch every datagram.
                if batch:
                    batch += found
                else:
                    batch = found
            looks_left -= 1
            if len(ready) == 1 or not looks_left or not before < len(batch) < most:
                break
            ready, looked = self._poller.likely_ready(), True
        return batch

    def _receive(self, socket: McastSocket, most: int) -> list[Datagram]:
        """What one socket has, unless it is no longer read."""
        if self.sockets.get(socket):
            try:
                return socket.receive(most, self._busy_since)
            except OSError as error:
                self._fail(self, socket, error)
        return []

    async def _wait(self) -> Sequence[McastSocket]:
        try:
            return await self._poller.wait()
        except trio.ClosedResourceError:
            if not self._stopped:
                self._queue.close()  # The machine itself has gone: nothing can come any more.
            raise

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
