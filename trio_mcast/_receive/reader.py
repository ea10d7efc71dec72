"""The task of one interface: from the sockets to the queue."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import trio
from trio.lowlevel import enable_ki_protection

from .._host.protocols import McastSocket, Poller
from .._live import call_each
from .._values.datagram import Datagram
from .._values.interface import Interface
from .queue import DatagramQueue

# A pass that begins sooner than this after the last one follows at once: nothing was waited for.
# Some two or three passes through an otherwise idle scheduler.
_AT_ONCE_SECONDS = 100e-6

# After a pass that has read so many, there are likely to be more, so the next pass does not wait:
# that costs a tenth of such a pass if there is nothing.
_MANY = 64

# The pause between two looks where waiting is refused. Arbitrary; a receive buffer holds what comes
# at some thousands a second.
_LOOK_SECONDS = 0.05

# A consumer that comes back sooner than this after the last pass, when no more is expected, does
# not look before it waits: there has been no time for anything to come.
_BACK_AT_ONCE_SECONDS = 10e-6

logger = logging.getLogger("trio_mcast")


# Takes out of what was read what is not to be delivered. Given the name of the interface, whether
# nothing more had come, and the socket if only one was read.
Sift: TypeAlias = Callable[[list[Datagram], str, bool, "McastSocket | None"], list[Datagram]]


class InterfaceReader:
    """The reading of one interface: the sockets, the poller, and the task that reads them.

    A consumer of the queue may borrow the reader, which is a `Lendable`, to read for itself. The
    task waits behind the consumer, and is not woken for what the consumer reads.

    Reading ends in two ways, for one socket or for all: `stop_socket` and `stop` leave the sockets
    open, `close_socket` and `close` close them.
    """

    def __init__(
        self,
        interface: Interface,
        poller: Poller,
        queue: DatagramQueue,
        sift: Sift | None = None,
    ) -> None:
        self.interface = interface
        self._sift = sift
        self._queue = queue
        # Whether each socket is read.
        self.sockets: dict[McastSocket, bool] = {}
        self._poller = poller
        self._stopped = False
        # The wait for room that goes on, or the last one: there is none before the queue was full.
        self._waiting_for_room: trio.CancelScope | None = None
        self._expects_more = False
        self._pass_ended = -math.inf
        # As if it had looked: the first thing to do is to wait.
        self._found_nothing = True
        # Whether waiting was refused once, which was logged.
        self._looks_instead = False

    @enable_ki_protection
    def add(self, socket: McastSocket) -> None:
        """Take over a socket, which is closed with the reader."""
        self._poller.add(socket)
        self.sockets[socket] = True

    @enable_ki_protection
    def stop_socket(self, socket: McastSocket) -> None:
        """Read one socket no longer; the socket stays open."""
        if self.sockets.get(socket):
            self.sockets[socket] = False
            self._poller.remove(socket)

    @enable_ki_protection
    def close_socket(self, socket: McastSocket) -> None:
        """Close one socket. If that fails, the reader has done with the socket all the same."""
        if socket in self.sockets:
            steps = (partial(self.stop_socket, socket), partial(self.sockets.pop, socket))
            call_each((*steps, socket.close))

    @enable_ki_protection
    async def run(self) -> None:
        """Read what arrives, in batches, and feed the queue, until stopped or closed."""
        queue = self._queue
        queue.lend(self)
        try:
            while not self._stopped:
                if queue.full:
                    # Backpressure: while the queue is full nothing is read, and the kernel's
                    # buffers fill; or, if the queue is to drop, who takes from it has a turn first.
                    with trio.CancelScope() as self._waiting_for_room:
                        await queue.wait_for_room()
                try:
                    if self._expects_something():
                        await trio.lowlevel.checkpoint()
                    else:
                        await self._poller.wait_behind()
                except OSError as error:
                    await self._look_later(error)
                await queue.let_return()
                batch = self._read_pass(queue.room)
                if batch:
                    queue.put(batch, self)
        except trio.ClosedResourceError:
            self._note_end()
        finally:
            queue.take_back(self)

    def interrupt(self) -> None:
        """End the wait in `read`."""
        self._poller.interrupt()

    @enable_ki_protection
    async def read(self) -> list[Datagram]:
        """Wait until something can be read, and read in one pass.

        A checkpoint, and none behind the reading.

        Returns:
            The datagrams; none if there was nothing after all.
        """
        try:
            await self._poller.wait()
        except OSError as error:
            await self._look_later(error)
        except trio.ClosedResourceError:
            self._note_end()
            raise
        return self._read_pass(self._queue.room)

    def _expects_something(self) -> bool:
        """Tell whether something can likely be read already, so that there is no need to wait."""
        was_away = time.perf_counter() - self._pass_ended >= _AT_ONCE_SECONDS
        # After a pass that has read nothing it waits, however long that takes to begin: on a slow
        # machine, readers that look by turns would never come to rest.
        return (was_away and not self._found_nothing) or self._expects_more

    @enable_ki_protection
    def read_now(self, room: int) -> list[Datagram]:
        """Read what is there, without waiting.

        Args:
            room: How many datagrams there is room for. A unit may exceed the room.

        Returns:
            The datagrams; none also if the last pass was just now, and more is not expected.
        """
        since = time.perf_counter() - self._pass_ended
        if since < _BACK_AT_ONCE_SECONDS and not self._expects_more:
            return []
        return self._read_pass(room)

    def _read_pass(self, room: int) -> list[Datagram]:
        # The queue is full if a consumer has filled it since the task has waited for room.
        if self._stopped or not room:
            return []
        batch = self._poller.read(room)
        self._expects_more = len(batch) >= _MANY
        if self._sift is not None:
            batch = self._sift(batch, self.interface.name, len(batch) < min(room, _MANY), None)
        self._found_nothing = not batch
        self._pass_ended = time.perf_counter()
        return batch

    def _note_end(self) -> None:
        """Close the queue if the machine itself has gone: nothing can come any more."""
        if not self._stopped:
            self._queue.close()

    async def _look_later(self, error: OSError) -> None:
        """Pause before a look, as the system refuses to tell Trio when there is something."""
        if not self._looks_instead:
            self._looks_instead = True
            logger.warning(
                "interface %s: the system refuses to tell when datagrams come (%s); looking every "
                "%g s instead (see epoll_ctl(2): memory, fs.epoll.max_user_watches)",
                self.interface,
                error,
                _LOOK_SECONDS,
            )
        await trio.sleep(_LOOK_SECONDS)

    @property
    def poller(self) -> Poller:
        """The poller of the sockets."""
        return self._poller

    @enable_ki_protection
    def stop(self) -> None:
        """Read nothing any more, and end `run`; the sockets stay open. Idempotent."""
        self._stopped = True
        self.sockets = dict.fromkeys(self.sockets, False)
        if self._waiting_for_room is not None:
            self._waiting_for_room.cancel()
        self._poller.close()

    @enable_ki_protection
    def close(self) -> None:
        """Stop, and close the sockets. Idempotent.

        The last one goes first. Linux has the groups of an interface in a list, the last one at the
        beginning, and searches it for each group that is left: 4,000 IPv6 groups took 354 ms in the
        order of joining, and 68 ms in this one (measured on 6.18).
        """
        closes = [partial(self._close_one, socket) for socket in reversed(self.sockets)]
        call_each((self.stop, *closes))

    def _close_one(self, socket: McastSocket) -> None:
        socket.close()
        del self.sockets[socket]
