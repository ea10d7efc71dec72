"""`McastReceiver`, and the task that each of its interfaces has."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import attrs
import trio

from ._addresses import parse_int
from ._datagram import Datagram
from ._errors import SocketSetupError, explain_refusal
from ._host import McastSocket, Poller
from ._interface import Interface
from ._live import OpenedOnly
from ._plan import DEFAULT_RECEIVE_BUFFER_BYTES, MembershipPlan
from ._queue import DatagramQueue
from ._statistics import ReceiverStatistics

logger = logging.getLogger("trio_mcast")

# How many datagrams are read, from all sockets of an interface together, before other tasks have
# their turn. A pass through selector, channel and scheduler costs about 15 us (measured: 1,766 ns
# per datagram with 32 a pass, 1,157 with 512), so many are better; 512 take about half a
# millisecond, which is fair.
_READ_AT_ONCE = 512

# A pass that begins sooner than this after the last one follows it at once: nothing was waited for.
# Some two or three passes through an otherwise idle scheduler.
_AT_ONCE_SECONDS = 100e-6


@attrs.frozen
class Membership:
    """A group on an interface, and how it stands.

    Attributes:
        group: The group, as text.
        interface: The interface.
        sources: The only sources that are received, as text; empty for any source.
        excluded_sources: The sources that are left out.
        state: ``"joined"``, or ``"failed"`` if the system refused it.
        error: Why it failed; else `None`.
    """

    group: str
    interface: Interface
    sources: tuple[str, ...]
    excluded_sources: tuple[str, ...]
    state: Literal["joined", "failed"]
    error: SocketSetupError | None = None


def describe_membership(plan: MembershipPlan, error: SocketSetupError | None = None) -> Membership:
    state: Literal["joined", "failed"] = "joined" if error is None else "failed"
    return Membership(plan.group, plan.interface, plan.sources, plan.excluded_sources, state, error)


class InterfaceReader:
    """What one interface of a receiver has: its sockets, their poller, and the task that reads."""

    def __init__(self, interface: Interface, poller: Poller) -> None:
        self.interface = interface
        self.sockets: dict[McastSocket, MembershipPlan] = {}
        self._poller = poller

    def add(self, socket: McastSocket, membership: MembershipPlan) -> None:
        """Take over a socket; it is closed with this reader."""
        self.sockets[socket] = membership
        self._poller.add(socket)

    def discard(self, socket: McastSocket) -> None:
        """Close one socket, the others stay."""
        if self.sockets.pop(socket, None) is not None:
            self._poller.remove(socket)
            socket.close()

    async def run(self, receiver: McastReceiver, queue: DatagramQueue) -> None:
        """Read what arrives, in batches, and feed the queue, until closed."""
        busy_since = ended = -math.inf
        while True:
            try:
                ready = await self._poller.wait()
            except trio.ClosedResourceError:
                return
            # As long as one pass follows the other at once, sockets that have been read are busy.
            now = time.perf_counter()
            if now - ended >= _AT_ONCE_SECONDS:
                busy_since = now
            share = max(1, _READ_AT_ONCE // len(ready))
            batch: list[Datagram] = []
            room = queue.room
            for socket in ready:
                if room <= 0:
                    # Backpressure: without room nothing is read, and the kernel's buffers fill.
                    if batch:
                        queue.put(batch)
                        batch = []
                    await queue.wait_for_room()
                    room = queue.room
                if socket not in self.sockets:
                    continue
                try:
                    found = socket.receive(share if share < room else room, busy_since)
                except OSError as error:
                    receiver._fail(self, socket, error)
                else:
                    room -= len(found)
                    batch += found
            if batch:
                queue.put(batch)
            ended = time.perf_counter()

    def close(self) -> None:
        self._poller.close()
        for socket in self.sockets:
            socket.close()
        # The task may be about to read one of them: it looks here first.
        self.sockets.clear()


class McastReceiver(trio.abc.ReceiveChannel[Datagram], metaclass=OpenedOnly):
    """Receives datagrams of multicast groups; made by `open_mcast_receiver`.

    It is a `trio.abc.ReceiveChannel`: ``async for datagram in receiver`` and ``await
    receiver.receive()`` give one datagram at a time, `receive_batch` and `batches` lists of them,
    which costs less. Several tasks may receive from one receiver: each datagram goes to one of
    them. A receiver never ends by itself, so there is no `trio.EndOfChannel`.
    """

    def __init__(
        self,
        readers: Sequence[InterfaceReader],
        memberships: Sequence[Membership],
        *,
        max_buffered: int,
        receive_buffer_asked: int | None,
    ) -> None:
        self._readers = tuple(readers)
        self._memberships = list(memberships)
        self._queue = DatagramQueue(max_buffered)
        self._receive_buffer_asked = receive_buffer_asked or DEFAULT_RECEIVE_BUFFER_BYTES
        self._tasks = trio.CancelScope()
        self._last_statistics: ReceiverStatistics | None = None
        # What sockets that failed while running had counted: (rejected, dropped by the kernel).
        self._counted_before = [0, 0]

    async def _run(self) -> None:
        """The interface tasks, until the receiver is closed."""
        with self._tasks:
            async with trio.open_nursery() as nursery:
                for reader in self._readers:
                    nursery.start_soon(
                        reader.run, self, self._queue, name=f"read {reader.interface.name}"
                    )

    def _fail(self, reader: InterfaceReader, socket: McastSocket, error: OSError) -> None:
        """A socket can no longer be read: its membership failed, the others go on."""
        plan = reader.sockets[socket]
        explained = explain_refusal(
            error, step="receive", group=plan.group, interface=plan.interface.name
        )
        logger.warning("%s", explained)
        self._memberships = [
            describe_membership(plan, explained)
            if (item.group, item.interface) == (plan.group, plan.interface)
            else item
            for item in self._memberships
        ]
        for other, its_plan in list(reader.sockets.items()):
            if its_plan is plan:
                self._counted_before[0] += other.rejected
                self._counted_before[1] += other.dropped() or 0
                reader.discard(other)

    async def receive(self) -> Datagram:
        """The next datagram.

        Returns:
            A `Datagram`. Those from one source to one group on one interface come in the order in
            which the kernel took them in.

        Raises:
            trio.ClosedResourceError: The receiver was closed, before or while waiting.

        Cancellation:
            A checkpoint. If it is cancelled, no datagram has been taken: the next call gives what
            this one would have.
        """
        return await self._queue.get()

    # The inherited one would wait for the end of the channel, and there is none.
    __anext__ = receive

    def receive_nowait(self) -> Datagram:
        """The next datagram, if one has been read already.

        Raises:
            trio.WouldBlock: There is none right now.
            trio.ClosedResourceError: The receiver was closed.
        """
        return self._queue.get_nowait()

    async def receive_batch(self, max_datagrams: int | None = None) -> list[Datagram]:
        """At least one datagram, and what else has been read already; does not wait for more.

        Args:
            max_datagrams: How many at the most, from 1; `None` for as many as were read in one go.

        Raises:
            TypeError: ``max_datagrams`` is not an int.
            ValueError: ``max_datagrams`` is less than 1.
            trio.ClosedResourceError: The receiver was closed, before or while waiting.

        Cancellation:
            A checkpoint. If it is cancelled, no datagram has been taken.
        """
        if max_datagrams is not None:
            parse_int(max_datagrams, "max_datagrams", 1)
        return await self._queue.get_batch(max_datagrams)

    def batches(self) -> AsyncIterator[list[Datagram]]:
        """Iterate over lists of datagrams: ``async for batch in receiver.batches()``.

        Each step is a `receive_batch`, with its errors and its cancellation promise.
        """
        return _Batches(self)

    @property
    def memberships(self) -> tuple[Membership, ...]:
        """Every group on every interface that was asked for, and how it stands.

        Ordered by group as given, then by interface.
        """
        return tuple(self._memberships)

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """The interfaces with at least one membership that is joined."""
        joined = (item.interface for item in self._memberships if item.state == "joined")
        return tuple(dict.fromkeys(joined))

    def statistics(self) -> ReceiverStatistics:
        """What this receiver has counted so far, as a frozen snapshot.

        It can still be asked for after closing: then it tells how things stood at the end.
        """
        if self._last_statistics is not None:
            return self._last_statistics
        sockets = [socket for reader in self._readers for socket in reader.sockets]
        rejected, dropped = self._counted_before
        drops = [socket.dropped() for socket in sockets]
        known = [count for count in drops if count is not None]
        return ReceiverStatistics(
            received=self._queue.received,
            delivered=self._queue.delivered,
            waiting=self._queue.waiting,
            rejected=rejected + sum(socket.rejected for socket in sockets),
            dropped_by_kernel=dropped + sum(known) if known or dropped or not drops else None,
            receive_buffer_asked=self._receive_buffer_asked,
            receive_buffer_granted=min(
                (socket.receive_buffer_granted for socket in sockets), default=0
            ),
        )

    def close(self) -> None:
        """Leave every group and close every socket, at once. Idempotent, and not a checkpoint.

        The kernel sends an IGMP or MLD report for each group that nobody else on this machine has
        joined. Datagrams that were read and not received are discarded.
        """
        if self._last_statistics is None:
            self._last_statistics = self.statistics()
            self._tasks.cancel()
            for reader in self._readers:
                reader.close()
            self._queue.close()

    async def aclose(self) -> None:
        """`close`, then a checkpoint.

        Leaving the ``async with`` block does the same; calling it earlier is allowed. Afterwards,
        receiving gives `trio.ClosedResourceError`.

        Cancellation:
            Everything is closed even if it is cancelled.
        """
        self.close()
        await trio.lowlevel.checkpoint()


class _Batches:
    """The iterator behind `McastReceiver.batches`."""

    def __init__(self, receiver: McastReceiver) -> None:
        self._receiver = receiver

    def __aiter__(self) -> _Batches:
        return self

    async def __anext__(self) -> list[Datagram]:
        return await self._receiver.receive_batch()
