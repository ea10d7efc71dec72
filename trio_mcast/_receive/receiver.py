"""`McastReceiver` and its memberships."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import IPv4Address, IPv6Address

import trio
from trio.lowlevel import enable_ki_protection

from .._host.protocols import McastSocket
from .._live import Opening, call_each, raise_together
from .._plan.selecting import parse_named
from .._plan.wanted import ReceiveRequest
from .._values.addresses import AddressLike, parse_groups, parse_sources
from .._values.errors import SocketSetupError, printable
from .._values.interface import Interface, InterfaceSelectors
from .._values.shown import first_and_more
from .._values.statistics import ReceiverStatistics
from .blocking import Blocking
from .datagram_receiver import DatagramReceiver
from .intake import Intake
from .joining import Joining
from .keeping_up import KeepingUp
from .membership import SEEN_STATES, Membership
from .memberships import Memberships
from .watching import MembershipChange, wait_joined, watch_memberships


class McastReceiver(DatagramReceiver):
    """Receives datagrams of multicast groups; made by `open_mcast_receiver`.

    A `trio.abc.ReceiveChannel`: ``async for datagram in receiver`` and ``await receiver.receive()``
    give one datagram at a time; `receive_batch` and `batches` give lists, at less cost. Several
    tasks may receive from one receiver: each datagram goes to one task. A receiver never ends by
    itself, so there is no `trio.EndOfChannel`.
    """

    def __init__(
        self,
        request: ReceiveRequest,
        intake: Intake,
        memberships: Memberships,
        *,
        allow_missing: bool,
    ) -> None:
        super().__init__(intake)
        self._request = request
        self._allow_missing = allow_missing
        self._memberships = memberships

    def __repr__(self) -> str:
        groups = dict.fromkeys(group for group, _ in self._memberships.live if group is not None)
        asked = map(str, self._request.groups)
        what = first_and_more(list(groups or asked), "no group")
        if self._intake.is_stopped:
            state = "closed"
        else:
            states = Counter(membership.state for membership in self.memberships)
            counts = [f"{states[state]:,} {state}" for state in SEEN_STATES if states[state]]
            state = ", ".join(counts) or "nothing joined"
        ports = self._request.ports
        label = "port" if len(ports) == 1 else "ports"
        listed = first_and_more(list(map(str, ports)), "")
        return printable(f"<{type(self).__name__} {what}, {label} {listed}: {state}>")

    @enable_ki_protection
    async def _run(self, tasks: trio.Nursery) -> None:
        """Read the interfaces and follow them, until the receiver is closed."""
        self._tasks = tasks
        await self._intake.start(tasks, self._socket_failed)
        await KeepingUp(self._memberships).follow()

    def _socket_failed(self, socket: McastSocket, error: SocketSetupError) -> None:
        self._memberships.socket_failed(socket, error)

    async def join(
        self,
        groups: AddressLike | Iterable[AddressLike],
        *,
        interfaces: InterfaceSelectors | None = None,
        sources: AddressLike | Iterable[AddressLike] | None = None,
        excluded_sources: AddressLike | Iterable[AddressLike] | None = None,
    ) -> None:
        """Join more groups, on the receiver's ports and with its other options.

        When the call returns, the joins are done: all that is sent from then on is received. The
        memberships are kept up as interfaces come and go, like those of the opening.

        Args:
            groups: One group or several, as for `open_mcast_receiver`.
            interfaces: Where to join, as for `open_mcast_receiver`. Default: the interfaces that
                the receiver was opened with.
            sources: Receive from these addresses only, as for `open_mcast_receiver`.
            excluded_sources: Receive from all but these.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: An argument is out of range or not a group, arguments contradict each other,
                or a group is joined on one of the interfaces already: leave it there first.
            InterfaceNotFoundError: An interface that was named does not exist, and the receiver was
                opened without ``allow_missing``.
            AmbiguousInterfaceError: An address was named that two interfaces have.
            SocketSetupError: The system refused a step, as for `open_mcast_receiver`.
            trio.ClosedResourceError: The receiver was closed, before or meanwhile.

        After an error nothing has been joined.

        Cancellation:
            A checkpoint. If joining is cancelled, nothing has been joined.
        """
        await self._join(groups, interfaces, sources, excluded_sources)

    async def _join(
        self,
        groups: AddressLike | Iterable[AddressLike],
        interfaces: InterfaceSelectors | None,
        sources: AddressLike | Iterable[AddressLike] | None,
        excluded_sources: AddressLike | Iterable[AddressLike] | None,
    ) -> int:
        """Join, and return the number of the request."""
        self._memberships.check_open()
        opening = self._request
        request = opening.another(
            self._memberships.next_number(),
            parse_groups(groups),
            opening.selectors if interfaces is None else parse_named(interfaces),
            parse_sources(sources, "sources"),
            parse_sources(excluded_sources, "excluded_sources"),
        )
        await trio.lowlevel.checkpoint()
        await Joining(self._memberships).join(request, strict=not self._allow_missing)
        return request.number

    async def leave(
        self,
        groups: AddressLike | Iterable[AddressLike],
        *,
        interfaces: InterfaceSelectors | None = None,
    ) -> None:
        """Leave groups, whichever call joined them.

        Datagrams that have come before are still delivered, as far as ``max_buffered`` leaves room:
        the kernel's buffers are read to their end now. The others are counted in
        ``dropped_by_policy``. Other tasks have their turns meanwhile.

        Args:
            groups: One group or several. A zone narrows a group to that interface.
            interfaces: The interfaces to leave the groups on. Default: wherever a group is joined,
                waiting, failed, or asked for without an interface being there. With the default,
                the group is not joined on interfaces that come later, either.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: An argument is not a group, one of the groups is not joined, or one of the
                interfaces has none of the groups. Then nothing has been left.
            trio.ClosedResourceError: The receiver was closed.

        Cancellation:
            A checkpoint. If leaving is cancelled, nothing has been left.
        """
        self._memberships.check_open()
        parsed, selectors = parse_groups(groups), parse_named(interfaces)
        await trio.lowlevel.checkpoint()
        await Joining(self._memberships).leave(parsed, selectors)

    def joined(
        self,
        groups: AddressLike | Iterable[AddressLike],
        *,
        interfaces: InterfaceSelectors | None = None,
        sources: AddressLike | Iterable[AddressLike] | None = None,
        excluded_sources: AddressLike | Iterable[AddressLike] | None = None,
    ) -> AbstractAsyncContextManager[None]:
        """Join for the length of an ``async with`` block, and leave at the end.

        The memberships of the block are left when the block is left, in whatever way: by an
        exception or a cancellation as well. Memberships that were left before, by `leave` or by
        closing, are left alone. The body's exceptions leave the block as they are; if leaving the
        groups fails as well, in an exception group with its error.

        Args:
            groups: As for `join`.
            interfaces: As for `join`.
            sources: As for `join`.
            excluded_sources: As for `join`.

        Raises:
            TypeError: On entering, as `join`; likewise the other errors.

        Cancellation:
            Entering and leaving are checkpoints. If entering is cancelled, nothing has been joined;
            if leaving is cancelled, everything has been left all the same.
        """
        block = self._joined(groups, interfaces, sources, excluded_sources)
        return Opening(block, "receiver.joined(...)")

    @asynccontextmanager
    async def _joined(
        self,
        groups: AddressLike | Iterable[AddressLike],
        interfaces: InterfaceSelectors | None,
        sources: AddressLike | Iterable[AddressLike] | None,
        excluded_sources: AddressLike | Iterable[AddressLike] | None,
    ) -> AsyncIterator[None]:
        number = await self._join(groups, interfaces, sources, excluded_sources)
        failures: list[BaseException] = []
        try:
            yield
        except BaseException as error:
            failures.append(error)
        try:
            await Joining(self._memberships).undo(number)
        except BaseException as error:
            failures.append(error)
        if failures:
            raise_together(failures)
        await trio.lowlevel.checkpoint()

    async def block_source(
        self,
        source: AddressLike,
        *,
        groups: AddressLike | Iterable[AddressLike] | None = None,
        interfaces: InterfaceSelectors | None = None,
    ) -> None:
        """Receive nothing more from a source, in groups that are joined from any source.

        Where the source is blocked already, nothing changes.

        The kernel leaves the source out, as far as the kernel takes sources (10 per IPv4 group on
        Linux, 64 per IPv6 group); beyond that, and on macOS and FreeBSD always, the datagrams are
        rejected after reading and counted. Datagrams that were read before are still delivered.

        Args:
            source: The address of the source.
            groups: The groups to block the source in. Default: every group of the same family,
                also groups that are joined later.
            interfaces: The interfaces to block the source on. Default: every interface, also
                interfaces that come later.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: The source is not the address of a machine; or no membership that was joined
                without ``sources`` is meant.
            SocketSetupError: The system refused. Then nothing has changed.
            trio.ClosedResourceError: The receiver was closed.

        Cancellation:
            A checkpoint. If the call is cancelled, nothing has changed.
        """
        await self._change_source(source, True, groups, interfaces)

    async def unblock_source(
        self,
        source: AddressLike,
        *,
        groups: AddressLike | Iterable[AddressLike] | None = None,
        interfaces: InterfaceSelectors | None = None,
    ) -> None:
        """Receive from a source again that `block_source` or ``excluded_sources`` left out.

        Where the source is not blocked, nothing changes.

        Args:
            source: The address of the source.
            groups: Some of the groups that are joined now. Default: every group of the same family.
            interfaces: The interfaces to let the source in on. Default: every interface, also
                interfaces that come later.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: The source is not the address of a machine; or no membership that was joined
                without ``sources`` is meant.
            SocketSetupError: The system refused. Then nothing has changed.
            trio.ClosedResourceError: The receiver was closed.

        Cancellation:
            A checkpoint. If the call is cancelled, nothing has changed.
        """
        await self._change_source(source, False, groups, interfaces)

    async def _change_source(
        self,
        source: AddressLike,
        blocked: bool,
        groups: AddressLike | Iterable[AddressLike] | None,
        interfaces: InterfaceSelectors | None,
    ) -> None:
        self._memberships.check_open()
        if not isinstance(source, (str, IPv4Address, IPv6Address)):
            raise TypeError(f"source must be one address, not {type(source).__name__}: {source!r}")
        (address,) = parse_sources(source, "source") or ()
        parsed = None if groups is None else parse_groups(groups)
        selectors = parse_named(interfaces)
        await trio.lowlevel.checkpoint()
        await Blocking(self._memberships).change(address, blocked, parsed, selectors)

    def watch_memberships(
        self,
    ) -> AbstractAsyncContextManager[trio.abc.ReceiveChannel[MembershipChange]]:
        """Follow the memberships as they come, go and change their state.

        ``async with receiver.watch_memberships() as changes``: once the block has been entered,
        each change comes as a `MembershipChange`: a group was joined or left on an interface, or
        the state, the error, the interface or the sources of a membership have changed.
        `memberships` inside the block lists the memberships of that moment.

        ``changes.receive()`` and ``async for`` give one change at a time; of several at the
        same time, ended memberships come first, then changed, then new ones. The changes lead from
        how the memberships were to how they are. They are not a record of everything that happened:
        what lasts too briefly is not given, and of what happens while nobody receives, only the
        result is. So nothing piles up. Several tasks may receive: each change goes to one of the
        tasks. No task of its own is needed.

        Returns:
            An asynchronous context manager that gives a `trio.abc.ReceiveChannel` of
            `MembershipChange`.

        Raises:
            trio.ClosedResourceError: On entering: the receiver was closed. When receiving: the
                block was left or ``changes`` was closed.
            trio.EndOfChannel: When receiving: the receiver was closed, and all changes have been
                received. ``async for`` ends then.

        Cancellation:
            Entering, leaving and receiving are checkpoints. If receiving is cancelled, no change
            has been taken: the next call gives it.
        """
        block = watch_memberships(self._memberships)
        return Opening(block, "receiver.watch_memberships() as changes")

    async def wait_joined(self) -> None:
        """Wait until each group is joined on at least one interface.

        A group with a zone has to be joined on the interface of the zone. Groups that are joined or
        left while the call waits count too; without any group there is nothing to wait for.

        Raises:
            trio.ClosedResourceError: The receiver was closed, before or while waiting.

        Cancellation:
            A checkpoint. Use a cancel scope to wait for some time only: a membership that was
            refused or whose interface is missing may take for ever.
        """
        await wait_joined(self._memberships)

    @property
    def memberships(self) -> tuple[Membership, ...]:
        """Every group on every interface that was asked for, with the state right now.

        Ordered by group as given, then by interface in the order of coming. With
        ``accept_unicast``, one with a group of `None` follows for each interface that has an
        address.
        """
        return tuple(membership.describe() for membership in self._memberships.live.values())

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """The interfaces with at least one membership that is joined."""
        joined = [membership for membership in self.memberships if membership.state == "joined"]
        return tuple(dict.fromkeys(membership.interface for membership in joined))

    def statistics(self) -> ReceiverStatistics:
        """Return the counts so far, as a frozen snapshot.

        Each call looks at each socket and at each datagram that waits: enough for every second, too
        much for every datagram.

        After closing, the call returns the counts at the end.
        """
        return self._intake.statistics()

    @enable_ki_protection
    def close(self) -> None:
        """Leave every group and close every socket, at once. Idempotent, and not a checkpoint.

        The kernel sends an IGMP or MLD report for each group that nobody else on this machine has
        joined. Datagrams that were read and not received are discarded.

        If a step fails, the others are done all the same; another call does what is left.

        Raises:
            RuntimeError: This is not the thread, or not the run of Trio, of the opening. Then
                nothing has been closed: use `trio.from_thread.run_sync`.
        """
        if not self._ended:
            self._check_run()
            self._note_closing()
            call_each((self._cancel_tasks, self._memberships.close, self._intake.close))
            self._ended = True
