"""The reading of a receiver, or of a sender for its replies: sockets, tasks, counts."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from typing import TypeAlias

import trio
from trio.lowlevel import enable_ki_protection

from .._host.protocols import Host, McastSocket
from .._live import call_each
from .._platform.advice import explain_refusal
from .._values.errors import SocketSetupError
from .._values.interface import Interface
from .._values.statistics import ReceiverStatistics, add_up, fields_of
from .ledger import Ledger
from .outlook import Outlook
from .queue import MOST_LOOKED_AT, DatagramQueue
from .reader import InterfaceReader, Sift

logger = logging.getLogger("trio_mcast")

# A socket that is about to be closed is read to the end. Its group is left before, so there is
# one. Unicast may go on and on: of that no more is read than can have come by then. A datagram
# takes some 800 bytes of the buffer (measured on Linux 6.18), which has twice the size that was
# granted, and a unit of 64 datagrams may take up no more: so at most one for each four bytes.
_BYTES_OF_THE_SMALLEST = 4

# Looking for drops of the kernel where nobody has asked: at most so often, and at so many sockets,
# each of which takes 1 to 2 us. Arbitrary.
_LOOK_FOR_DROPS_SECONDS = 1.0
_LOOKED_AT = 256

# While sockets are closed, other tasks have their turn each time that so much time has passed; so
# many datagrams are read in between at the most, which take a fraction of that.
_TURN_SECONDS = 0.001
_DRAINED_AT_ONCE = 256

OnFailure: TypeAlias = Callable[[McastSocket, SocketSetupError], None]


class Intake:
    """The sockets that one receiver or sender reads, by interface, with their queue and counts.

    Sockets are added and closed at any time. Each interface that has a socket has a reader, and
    each reader has a task from `start` on.

    Reading ends in two ways, for one socket or for all: `stop_socket` and `stop` leave the sockets
    open, `close_socket` and `close` close them.
    """

    def __init__(
        self, host: Host, queue: DatagramQueue, *, buffer_asked: int, sift: Sift | None = None
    ) -> None:
        self.queue = queue
        self._sift = sift
        self._host = host
        # By name and index: one that was removed and made again under its name is another one.
        self._readers: dict[tuple[str, int], InterfaceReader] = {}
        self._buffer_asked = buffer_asked
        self._nursery: trio.Nursery | None = None
        self._stopped = False
        # What is about to be closed or could not be: the end of everything tries once more.
        self._unclosed: dict[McastSocket | InterfaceReader, None] = {}
        self._turn_ended = -math.inf
        self._on_failure: OnFailure | None = None
        self._sockets_failed = 0
        # The time from which drops may be looked for again, and the number of the next socket.
        self._look_from = -math.inf
        self._look_at = 0
        queue.on_full = self.look_for_drops
        # Made when there are more interfaces than are looked at one by one.
        self._outlook: Outlook | None = None
        self._last_statistics: ReceiverStatistics | None = None

    @cached_property
    def _ledger(self) -> Ledger:
        """The counts. Made when first asked for, at the latest when a socket is closed."""
        return Ledger(self._sockets, self.queue, on_first_drop=self._log_drop)

    @property
    def is_stopped(self) -> bool:
        """Whether reading has ended for all sockets."""
        return self._stopped

    def _sockets(self) -> Iterator[McastSocket]:
        """Yield all sockets that are open."""
        return (socket for reader in self._readers.values() for socket in reader.sockets)

    @enable_ki_protection
    async def start(self, nursery: trio.Nursery, on_failure: OnFailure) -> None:
        """Begin to read, with a task for each interface, until stopped or closed.

        Args:
            nursery: Where the tasks run, also those of interfaces that come later.
            on_failure: Called for a socket that the system refuses to read, after the refusal was
                logged and counted; has to call `stop_socket` or `close_socket`.
        """
        self._on_failure = on_failure
        self._nursery = nursery
        for number, (key, reader) in enumerate(list(self._readers.items())):
            if number:
                await self.give_way()  # With a thousand, each takes its first turn by itself.
            if self._readers.get(key) is reader:
                self._start(reader)

    def _start(self, reader: InterfaceReader) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(reader.run, name=f"read {reader.interface}")

    def _fail(self, socket: McastSocket, error: OSError) -> None:
        explained = explain_refusal(
            error,
            step="receive",
            group=socket.socket_spec.group,
            interface=socket.socket_spec.interface.name,
            platform=self._host.platform.name,
        )
        logger.warning("%s", explained)
        self._sockets_failed += 1
        assert self._on_failure is not None
        self._on_failure(socket, explained)

    def _log_drop(self, socket: McastSocket, count: int) -> None:
        group, interface = socket.socket_spec.group, socket.socket_spec.interface
        logger.warning(
            "%s on interface %s: the system has dropped %d datagrams so far, mostly as the receive "
            "buffer was full (%d bytes asked for, %d granted): take them sooner, or make the "
            "buffer larger (receive_buffer_size, and the sysctl net.core.rmem_max)",
            "unicast" if group is None else f"group {group}",
            interface,
            count,
            self._buffer_asked,
            socket.receive_buffer_granted,
        )

    def look_for_drops(self) -> None:
        """See whether the kernel has dropped datagrams, of some of the sockets in turn."""
        now = trio.current_time()
        if now < self._look_from:
            return
        self._look_from = now + _LOOK_FOR_DROPS_SECONDS
        sockets = list(self._sockets())
        start = self._look_at if self._look_at < len(sockets) else 0
        self._look_at = start + _LOOKED_AT
        self._ledger.look_for_drops(sockets[start : start + _LOOKED_AT])

    @enable_ki_protection
    def add(self, socket: McastSocket) -> None:
        """Take over a socket: read from now on, and close it in the end.

        Raises:
            SocketSetupError: The system refused to watch the socket, which is not closed then.
        """
        if self._stopped:
            return
        key = _key(socket.socket_spec.interface)
        reader = self._readers.get(key)
        if reader is None:
            poller = self._host.open_poller(self._fail)
            reader = InterfaceReader(socket.socket_spec.interface, poller, self.queue, self._sift)
            try:
                reader.add(socket)
            except BaseException:
                reader.stop()
                raise
            self._readers[key] = reader
            self._look_out_for(reader)
            self._start(reader)
        else:
            reader.add(socket)

    def _look_out_for(self, reader: InterfaceReader) -> None:
        """Have the one look at all interfaces, once there are many, tell of a new one, too."""
        if self._outlook is not None:
            self._outlook.add(reader)
        elif len(self._readers) > MOST_LOOKED_AT:
            self._outlook = Outlook(self._readers.values())
            self.queue.look = self._outlook.ready

    @enable_ki_protection
    def stop_socket(self, socket: McastSocket) -> None:
        """Read one socket no longer; the socket stays open."""
        reader = self._readers.get(_key(socket.socket_spec.interface))
        if reader is not None:
            reader.stop_socket(socket)

    @enable_ki_protection
    def close_socket(self, socket: McastSocket) -> None:
        """Close one socket; the counts of the socket are kept."""
        self._unclosed[socket] = None
        call_each([partial(self._stop_reading, socket), partial(self._close_unclosed, socket)])

    def _stop_reading(self, socket: McastSocket) -> None:
        key = _key(socket.socket_spec.interface)
        reader = self._readers.get(key)
        if reader is not None and socket in reader.sockets:
            steps = [
                partial(self._ledger.keep_counts, socket),
                partial(reader.close_socket, socket),
            ]
            if len(reader.sockets) == 1:
                self._unclosed[self._readers.pop(key)] = None
                if self._outlook is not None:
                    steps.append(partial(self._outlook.remove, reader))
                steps.append(partial(self._close_unclosed, reader))
            call_each(steps)

    def _close_unclosed(self, unclosed: McastSocket | InterfaceReader) -> None:
        unclosed.close()
        del self._unclosed[unclosed]

    async def drain_and_close(self, socket: McastSocket) -> None:
        """Do as `drain`, then as `close_socket`. Cannot be cancelled."""
        try:
            await self.drain(socket)
        finally:
            self.close_socket(socket)
        await self.give_way()

    async def drain(self, socket: McastSocket) -> None:
        """Leave the group of one socket, and put all that has come into the queue.

        Other tasks have their turns meanwhile. Cannot be cancelled.
        """
        self.stop_socket(socket)
        socket.leave()
        before, failed = -1, False
        end = _taken(socket) + socket.receive_buffer_granted // _BYTES_OF_THE_SMALLEST
        while not self._stopped and before < _taken(socket) < end:
            before = _taken(socket)
            try:
                batch = socket.receive(_DRAINED_AT_ONCE)
                if self._sift is not None:
                    batch = self._sift(batch, socket.socket_spec.interface.name, False, socket)
                self.queue.put_last(batch)
            except OSError:
                if failed:
                    break  # The interface has gone, say. There is nothing more to be had.
                # An error that a socket tells once, before what it has.
                failed, before = True, -1
            await self.give_way()

    def drain_and_close_soon(self, socket: McastSocket) -> None:
        """Have a task do as `drain_and_close`."""
        self.stop_socket(socket)
        assert self._nursery is not None
        self._nursery.start_soon(self.drain_and_close, socket)

    async def give_way(self) -> None:
        """Let other tasks run if they have not for a while. Cannot be cancelled."""
        if time.perf_counter() - self._turn_ended >= _TURN_SECONDS:
            await trio.lowlevel.cancel_shielded_checkpoint()
            self._turn_ended = time.perf_counter()

    def forget_unused(self, keys: Iterable[tuple[str | None, str]]) -> None:
        """Forget memberships that never came to be, of which nothing was counted.

        Args:
            keys: The group of each, and the name of the interface.
        """
        self._ledger.forget_unused(keys)

    def check_open(self) -> None:
        """Raise trio.ClosedResourceError if nothing is read any more."""
        if self._stopped:
            raise trio.ClosedResourceError(f"{self.queue.owner} was closed")

    def statistics(self) -> ReceiverStatistics:
        """Return the counts so far or, once stopped, those at the end."""
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

    @enable_ki_protection
    def stop(self) -> None:
        """Read nothing any more, and end the queue; the sockets stay open. Idempotent."""
        self._stopped = True
        stops = [reader.stop for reader in self._readers.values()]
        # The counts come before the pollers have gone.
        looks = [] if self._outlook is None else [self._outlook.close]
        call_each([self._keep_statistics, *looks, *stops, self.queue.close])

    def _keep_statistics(self) -> None:
        self._last_statistics = self.statistics()

    @enable_ki_protection
    def close(self) -> None:
        """Stop, and close the sockets. Idempotent."""
        closes = [reader.close for reader in self._readers.values()]
        unclosed = [partial(self._close_unclosed, unclosed) for unclosed in self._unclosed]
        call_each([self.stop, *closes, *unclosed])


def _taken(socket: McastSocket) -> int:
    return socket.received + socket.rejected.total()


def _key(interface: Interface) -> tuple[str, int]:
    return interface.name, interface.index
