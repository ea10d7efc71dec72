"""`McastSender`: datagrams to groups, and to peers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import trio
from trio.lowlevel import enable_ki_protection

from .._live import Closeable, OpenedOnly, call_each
from .._receive.datagram_receiver import DatagramReceiver
from .._values.addresses import Endpoint
from .._values.errors import SocketSetupError, printable
from .._values.interface import Interface, InterfaceSelector
from .._values.shown import first_and_more
from .._values.statistics import SenderInterfaceStatistics, SenderStatistics
from .._values.steps import Steps
from .departure import Departure, only_target
from .destinations import Buffer, Destination, checked_payload, checked_payloads
from .one import count_failed, send_one
from .outlets import Listeners, Outlets
from .targets import Targets
from .transmitter import SenderOverflow, Transmitter


class McastSender(Closeable, trio.abc.SendChannel[bytes], metaclass=OpenedOnly):
    """Sends datagrams to multicast groups; made by `open_mcast_sender`.

    It is a `trio.abc.SendChannel` of bytes. Several tasks may send through one sender. While a send
    buffer is full, they wait and have their turns in the order in which they came. With
    ``overflow="drop"`` nobody waits.

    A sender follows its interfaces, their addresses, and the routes: see `open_mcast_sender`.
    """

    def __init__(
        self, outlets: Outlets, *, send_buffer_asked: int | None, overflow: SenderOverflow
    ) -> None:
        super().__init__()
        self._outlets = outlets
        self._send_buffer_asked = send_buffer_asked
        self._targets = Targets(outlets)
        self._transmitter = Transmitter(self._targets, outlets, self._check_open, overflow)
        outlets.listeners = Listeners(self._targets.hold, self._renew, self._targets.forget)
        self._drops = overflow == "drop"
        self._last_statistics: SenderStatistics | None = None
        # Whether closing has begun; and whether it has come to its end.
        self._closed = self._ended = False

    def __repr__(self) -> str:
        request = self._outlets.request
        what = first_and_more([str(group) for group in request.groups], "no group")
        names = [str(interface) for interface in self.interfaces]
        state = "closed" if self._closed else f"on {first_and_more(names, 'no interface')}"
        return printable(f"<{type(self).__name__} {what}, port {request.port}: {state}>")

    @enable_ki_protection
    async def _run(self, tasks: trio.Nursery) -> None:
        """Follow the interfaces and read replies, until closed."""
        self._tasks = tasks
        if self._drops:
            tasks.start_soon(self._transmitter.full.run, name="wait for room")
        if self._outlets.replies is not None:
            await self._outlets.replies.start(tasks)
        await self._outlets.follow()

    def _renew(self) -> Steps[None]:
        """Send through the sockets that there are now, from the last step on."""
        yield from self._targets.renew()
        self._transmitter.forget_unused(
            {outlet.socket_spec.interface.name for outlet in self._outlets.outlets}
        )

    async def send(
        self,
        data: Buffer,
        *,
        to: Destination | None = None,
        interface: InterfaceSelector | None = None,
    ) -> None:
        """Send one datagram.

        Args:
            data: The payload, 0 to 65,507 bytes. More than the path's MTU allows is sent in
                fragments, and each of these must arrive.
            to: `None`: to every group of this sender, on every interface of this sender. A group:
                to that group only, on every interface; also one that the sender was not opened
                with, of a family of its groups. A pair of group and port: the same, to that port.
                An `Endpoint`, such as ``datagram.source``, or a pair of unicast address and port:
                to that one peer, from this sender's own port. If this sender has several interfaces
                or addresses, the datagram leaves from those that the system's route to the peer
                names, or else from the first that is open. The system is asked once for each peer,
                and again when its routes change. A source can be forged: nothing is sent to port 0,
                to an address that no host has (``0.0.0.0``, ``::``), to a broadcast address, or to
                an `Endpoint` with a group. That raises a `SocketSetupError`, see below.
            interface: The one interface of this sender to send on: its name, alternative name,
                index or address, or an `Interface`, such as ``datagram.interface``. An `Interface`
                means the interface of that name, also after it was made again. To one peer, the
                datagram is sent from that interface's address. Default: every interface of this
                sender.

        Raises:
            TypeError: ``data`` is not bytes-like, or ``to`` or ``interface`` is none of the above.
            ValueError: ``data`` is too large; or ``to`` is a group that cannot be reached from this
                sender's interfaces, is no address or port, or is a link-local address without its
                zone; or ``interface`` or the zone of ``to`` is none of this sender's interfaces,
                which the message lists. ``to=datagram.source`` alone never raises it.
            SocketSetupError: The datagram was to go to one group on one interface, or to one peer,
                and could not be sent: the system refused it, the interface or its address is not
                there now, or nobody can be reached there. ``errno`` tells why, and the message what
                to do about it. The error is an `OSError`. The datagram counts as failed on the
                interface that the error names.
            ExceptionGroup: The datagram was to go to several groups or on several interfaces, and
                could not be sent anywhere. The group has the `SocketSetupError` of each. If the
                datagram could be sent somewhere, nothing is raised: the failures are counted in
                `statistics`. Each is logged once, and once more when that group and interface works
                again. What ``overflow="drop"`` drops is counted as failed, and never raised.
            trio.ClosedResourceError: The sender was closed.

        Cancellation:
            A checkpoint. If the call is cancelled while waiting for room in a send buffer, the
            datagram has gone out to some of the groups and interfaces, or to none.
        """
        await trio.lowlevel.checkpoint()
        only, transmitter = self._targets.only, self._transmitter
        hindered = transmitter.refused or transmitter.turns.taken or transmitter.full.errors
        anywhere = to is None and interface is None
        if only is not None and anywhere and type(data) is bytes and not hindered:
            try:
                only[0].send(data, only[1])
            except OSError:
                pass  # The longer way tries it again, and waits or explains.
            else:
                only[2].sent += 1
                return
        await self._settled()
        payload = checked_payload(data)
        targets = self._targets.of(to, interface)
        remaining = transmitter.send_now(payload, targets)
        if remaining:
            served = len(targets) - len(remaining)
            find = partial(self._targets.of, to, interface)
            await transmitter.send_all([payload], remaining, find, served)

    def send_nowait(
        self,
        data: Buffer,
        *,
        to: Destination | None = None,
        interface: InterfaceSelector | None = None,
    ) -> None:
        """Send one datagram, as far as there is room for it now.

        Where some of the interfaces take the datagram, those without room count as failed, with
        EAGAIN, and nothing is raised for that. With ``overflow="drop"``, what finds no room is
        dropped and counted, as by `send`. While other tasks wait for room, there is none for this
        call: they go first. There is none either while the sockets of many interfaces are changed.

        Args:
            data: As for `send`.
            to: As for `send`.
            interface: As for `send`.

        Raises:
            trio.WouldBlock: Nothing was sent, for lack of room; nothing is counted. `send` would
                wait.
            TypeError: As for `send`; likewise the other errors.
        """
        only, transmitter = self._targets.only, self._transmitter
        hindered = transmitter.refused or transmitter.turns.taken or transmitter.full.errors
        anywhere = to is None and interface is None
        if only is not None and anywhere and type(data) is bytes and not hindered:
            try:
                only[0].send(data, only[1])
            except OSError:
                pass  # The longer way tries it again, and explains.
            else:
                only[2].sent += 1
                return
        self._check_open()
        payload = checked_payload(data)
        find = partial(self._targets.of, to, interface)
        transmitter.send_nowait(payload, find(), find)

    async def send_batch(
        self,
        datagrams: Iterable[Buffer],
        *,
        to: Destination | None = None,
        interface: InterfaceSelector | None = None,
    ) -> None:
        """Send several datagrams, in order.

        Args:
            datagrams: The payloads, each as for `send`.
            to: As for `send`.
            interface: As for `send`.

        Raises:
            TypeError: As for `send`; nothing has been sent then.
            ValueError: As for `send`; nothing has been sent then.
            SocketSetupError: As for `send`, if not all datagrams were sent; the message says how
                many had been.
            ExceptionGroup: As for `send`, if no group and interface took all datagrams; the message
                of each `SocketSetupError` inside says how many had been sent there.
            trio.ClosedResourceError: The sender was closed.

        Cancellation:
            A checkpoint. If the call is cancelled, the first few datagrams have been sent.
        """
        self._check_open()
        payloads = checked_payloads(datagrams)
        await trio.lowlevel.checkpoint_if_cancelled()
        await self._settled()
        find = partial(self._targets.of, to, interface)
        targets = find()
        if payloads:
            await self._transmitter.send_all(payloads, targets, find)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def send_timestamped(
        self,
        data: Buffer,
        *,
        to: Destination | None = None,
        interface: InterfaceSelector | None = None,
    ) -> int:
        """Send one datagram, and return the time at which it left, as the kernel took it.

        That is when the datagram was handed to the driver of the interface, in software. Only Linux
        tells; a virtual network of Linux hosts tells the time of its clock. A sender that is used
        for this takes one more file descriptor for each of its sockets.

        Args:
            data: As for `send`.
            to: As for `send`.
            interface: The one of this sender's interfaces to send on, by name, index or address, or
                an `Interface`. Default: the only one.

        Returns:
            The time in nanoseconds since 1970 (UTC), by the clock of ``Datagram.timestamp_ns``.

        Raises:
            TypeError: As for `send`.
            ValueError: As for `send`; or not exactly one datagram would result: name one group in
                ``to``, and one interface in ``interface``. Then nothing has been sent.
            SocketSetupError: As for `send`. With EOPNOTSUPP: the system takes no such times, and
                nothing has been sent. With ECANCELED: the datagram was sent, but the interface or
                its address changed before the time was known. With EAGAIN: ``overflow="drop"`` has
                dropped the datagram.
            trio.ClosedResourceError: The sender was closed, before or while waiting.

        Cancellation:
            A checkpoint. If the call is cancelled while it waits for room, nothing has been sent;
            if it is cancelled while it waits for the time, the datagram has gone, and the time is
            dropped. What the interface drops on its way has no time: give the wait a limit.
        """
        await trio.lowlevel.checkpoint()
        await self._settled()
        payload = checked_payload(data)
        find = partial(self._targets.of, to, interface)
        target = only_target(find())
        departure = Departure()
        await self._transmitter.send_all([payload], [target], find, take=departure.hand_over)
        try:
            return await departure.wait(target)
        except SocketSetupError:
            self._check_open()
            raise

    def _address_to(self, to: Destination, interface: str) -> str:
        """Return the address that datagrams to a group come from on an interface.

        Raises:
            ValueError: The sender does not have the interface, or not for that family.
        """
        return str(self._targets.of(to, interface)[0][0].socket_spec.bind[0])

    async def _send_one(
        self, data: bytes, to: Destination, interface: str, address: str | None = None
    ) -> None:
        """Send one datagram on one interface; see `send_one`."""
        await self._settled()
        sending = self._outlets, self._targets, self._transmitter
        await send_one(data, to, (interface, address), sending)

    def _count_failed(self, error: SocketSetupError) -> None:
        count_failed(self._targets, error)

    @property
    def replies(self) -> DatagramReceiver:
        """The unicast datagrams that come to this sender's own address and port, such as answers.

        A `trio.abc.ReceiveChannel` of `Datagram`, whose ``group`` is `None`. Everything that comes
        to the port is given, whoever sent it: nothing in UDP ties an answer to a question. This
        receiver is closed with the sender, and can be closed before.

        Raises:
            RuntimeError: The sender was opened without ``receive_replies=True``.
        """
        replies = self._outlets.replies
        if replies is None:
            raise RuntimeError(
                "this sender receives no replies: open the sender with receive_replies=True"
            )
        return replies.receiver

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """The interfaces that this sender sends on, as they are now.

        An interface that has gone is not among them until it is back.
        """
        sockets = self._outlets.open_sockets
        return tuple(dict.fromkeys(socket.socket_spec.interface for socket in sockets))

    @property
    def local_endpoints(self) -> tuple[Endpoint, ...]:
        """The address and port of each of its sockets, from which its datagrams come now."""
        return tuple(socket.local_endpoint for socket in self._outlets.open_sockets)

    def statistics(self) -> SenderStatistics:
        """Return the counts so far, as a frozen snapshot.

        After closing, the counts are those at the end.
        """
        if self._last_statistics is not None:
            return self._last_statistics
        tallies, replies = self._targets.tallies, self._outlets.replies
        sockets = self._outlets.open_sockets
        return SenderStatistics(
            sent=sum(tally.sent for tally in tallies.values()),
            failed=sum(tally.failed for tally in tallies.values()),
            send_buffer_asked=self._send_buffer_asked,
            send_buffer_granted=min((socket.send_buffer_granted for socket in sockets), default=0),
            replies=None if replies is None else replies.statistics(),
            interfaces={
                name: SenderInterfaceStatistics(tally.sent, tally.failed, tally.last_error)
                for name, tally in tallies.items()
            },
        )

    async def _settled(self) -> None:
        """Wait while sockets are changed. A checkpoint only if it waits."""
        self._check_open()
        if self._outlets.change is not None:
            await self._outlets.settled()
            self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError(f"{self._outlets.table.owner} was closed")

    @enable_ki_protection
    def close(self) -> None:
        """Close every socket, at once. Idempotent, and not a checkpoint.

        If a step fails, the others are done all the same; another call does what is left.

        Raises:
            RuntimeError: This is not the thread, or not the run of Trio, of the opening. Then
                nothing has been closed: use `trio.from_thread.run_sync`.
        """
        if not self._ended:
            self._check_run()
            self._closed = True
            self._note_closing()
            call_each((self._cancel_tasks, self._keep_statistics, self._outlets.close))
            self._ended = True

    def _keep_statistics(self) -> None:
        self._last_statistics = self.statistics()

    async def aclose(self) -> None:
        """`close`, then a checkpoint.

        Leaving the ``async with`` block does the same; calling it earlier is allowed. Afterwards,
        sending gives `trio.ClosedResourceError`, and so does receiving replies.

        Cancellation:
            Everything is closed even if the call is cancelled.
        """
        self.close()
        await trio.lowlevel.checkpoint()
