"""`McastSender`."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import attrs
import trio

from .._host.protocols import McastSocket
from .._live import Closeable, OpenedOnly
from .._plan.socket_spec import BindAddress
from .._platform.advice import explain_refusal
from .._receive.datagram_receiver import DatagramChannel
from .._values.addresses import Endpoint, parse_address
from .._values.errors import SocketSetupError, none_sent
from .._values.interface import Interface
from .._values.statistics import SenderInterfaceStatistics, SenderStatistics
from .destinations import Buffer, Destination, NoWay, Way, checked_payload, checked_payloads
from .outlets import Outlet, Outlets, Refusing
from .turns import Turns

logger = logging.getLogger("trio_mcast")

# How many destinations other than the sender's own groups are remembered with their sockets, so
# that an answer to a known peer needs no parsing. Arbitrary; at the bound it starts afresh.
_REMEMBERED_DESTINATIONS = 1_024

# How many datagrams of a batch are sent before other tasks have their turn. Arbitrary; sent one by
# one they take about a millisecond.
_SENT_AT_ONCE = 256

# How often, and with what pauses, sending is tried again while an interface's queue is full: some
# two seconds in all, from one millisecond on.
_MAX_PAUSES = 11
_FIRST_PAUSE_SECONDS = 0.001


@attrs.define
class _Tally:
    """The counts of one interface."""

    sent: int = 0
    failed: int = 0
    last_error: SocketSetupError | None = None


_Route: TypeAlias = tuple[Outlet, BindAddress, _Tally]


class McastSender(Closeable, trio.abc.SendChannel[bytes], metaclass=OpenedOnly):
    """Sends datagrams to multicast groups; made by `open_mcast_sender`.

    It is a `trio.abc.SendChannel` of bytes. Several tasks may send through one sender: while a send
    buffer is full, they have their turns in the order in which they came.

    A sender follows its interfaces, their addresses, and the routes, as `open_mcast_sender` tells.
    """

    def __init__(self, outlets: Outlets, *, send_buffer_asked: int | None) -> None:
        self._outlets = outlets
        self._intake = outlets.intake
        self._replies = None if self._intake is None else DatagramChannel._create(self._intake)
        self._send_buffer_asked = send_buffer_asked
        # Kept, as it may be used where another machine is current.
        self._tasks = trio.CancelScope()
        self._tallies: dict[str, _Tally] = {}
        # Where `send` sends unless told otherwise; and the same where it is one place only.
        self._everywhere: tuple[_Route, ...] = ()
        self._only: _Route | None = None
        # A pair of a group and a port equals an `Endpoint`, which stands for a peer.
        self._remembered: dict[Destination, tuple[_Route, ...]] = {}
        self._peers: dict[Destination, tuple[_Route, ...]] = {}
        # What was refused last on a group and interface, and logged.
        self._refused: dict[tuple[str | None, str | None], SocketSetupError] = {}
        self._last_statistics: SenderStatistics | None = None
        self._turns = Turns(self._check_open)
        self._renew()

    async def _run(self) -> None:
        """Follow the interfaces and read replies, until closed."""
        with self._tasks:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._outlets.follow, self._renew, name="follow interfaces")
                if self._intake is not None:
                    nursery.start_soon(self._intake.run, self._ignore, name="read replies")

    def _ignore(self, socket: McastSocket, error: SocketSetupError) -> None:
        """A socket can no longer be read: it can still be sent from, so it stays open."""
        assert self._intake is not None
        self._intake.stop_socket(socket)

    def _renew(self) -> None:
        """Send through the sockets that there are now."""
        self._everywhere = self._routes_of(self._outlets.ways.everywhere())
        self._only = self._everywhere[0] if len(self._everywhere) == 1 else None
        self._remembered.clear()
        self._peers.clear()
        # What is not sent to any more cannot recover.
        used = {item.spec.interface.name for item in self._outlets.outlets}
        self._refused = {key: item for key, item in self._refused.items() if key[1] in used}

    def _routes_of(self, ways: Iterable[Way]) -> tuple[_Route, ...]:
        outlets = self._outlets.outlets
        return tuple(
            (outlets[number], address, self._tally(outlets[number].spec.interface.name))
            for number, address in ways
        )

    def _tally(self, interface: str) -> _Tally:
        return self._tallies.setdefault(interface, _Tally())

    async def send(self, data: Buffer, *, to: Destination | None = None) -> None:
        """Send one datagram.

        Args:
            data: The payload, 0 to 65,507 bytes. More than the path's MTU allows is sent in
                fragments, of which each must arrive.
            to: `None`: to every group of this sender, on every interface of it. A group: to that
                group only, on every interface of this sender, be it among its groups or not. A pair
                of group and port: the same, to that port. An `Endpoint`, such as
                ``datagram.source``, or a pair of unicast address and port: to that one peer, from
                this sender's own port. What a datagram says of its source can be forged: to port 0,
                an address that no host has (``0.0.0.0``, ``::``), a broadcast address, or an
                `Endpoint` with a group, nothing is sent, and it is refused as below.

        Raises:
            TypeError: ``data`` is not bytes-like, or ``to`` is none of the above.
            ValueError: ``data`` is too large, ``to`` is a group that cannot be reached from this
                sender's interfaces, or it is no address or port, or a link-local address without
                its zone. Never for ``to=datagram.source``.
            SocketSetupError: It was to go to one group on one interface, or to one peer, and could
                not be sent: the system refused it, the interface or its address is not there now,
                or nobody can be reached there. ``errno`` tells why, and the message what to do
                about it. It is an `OSError`. It counts as failed on the interface that it names.
            ExceptionGroup: It was to go to several groups or on several interfaces, and could not
                be sent anywhere: the `SocketSetupError` of each. Where it could be sent somewhere,
                nothing is raised: the failures are counted in `statistics` and each is logged once,
                until that group and interface works again, which is logged once too.
            trio.ClosedResourceError: The sender was closed.

        Cancellation:
            A checkpoint. If it is cancelled while it waits for room in a send buffer, the datagram
            has gone out to some of the groups and interfaces, or to none.
        """
        await trio.lowlevel.checkpoint()
        only, hindered = self._only, self._refused or self._turns.taken
        if only is not None and to is None and type(data) is bytes and not hindered:
            try:
                only[0].send(data, only[1])
            except OSError:
                pass  # The longer way tries it again, and waits or explains.
            else:
                only[2].sent += 1
                return
        self._check_open()
        payload = checked_payload(data)
        routes = self._everywhere if to is None else self._routes(to)
        done = 0
        try:
            for outlet, address, tally in routes:
                if outlet in self._turns.taken:
                    break
                outlet.send(payload, address)
                tally.sent += 1
                done += 1
        except OSError:
            pass  # As above.
        if self._refused:
            self._note_recovered(routes[:done])
        if done < len(routes):
            await self._deliver([payload], routes[done:], to, served=done)

    async def send_batch(
        self, datagrams: Iterable[Buffer], *, to: Destination | None = None
    ) -> None:
        """Send several datagrams, in order.

        Args:
            datagrams: The payloads, each as for `send`.
            to: As for `send`.

        Raises:
            TypeError: As for `send`; nothing has been sent then.
            ValueError: As for `send`; nothing has been sent then.
            SocketSetupError: As for `send`, if they were not all sent; the message says how many
                had been.
            ExceptionGroup: As for `send`, if no group and interface took all of them; the message
                of each `SocketSetupError` in it says how many had been sent there.
            trio.ClosedResourceError: The sender was closed.

        Cancellation:
            A checkpoint. If it is cancelled, the first few datagrams have been sent.
        """
        self._check_open()
        payloads = checked_payloads(datagrams)
        await trio.lowlevel.checkpoint_if_cancelled()
        routes = self._everywhere if to is None else self._routes(to)
        if payloads:
            await self._deliver(payloads, routes, to)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def _deliver(
        self,
        payloads: Sequence[bytes],
        routes: Sequence[_Route],
        to: Destination | None,
        served: int = 0,
    ) -> None:
        """Send everything on every route; raise only if no route takes all of it.

        Args:
            payloads: What to send.
            routes: Where.
            to: What they were made from, in case that they change meanwhile.
            served: How many other routes have taken all of it already.
        """
        failures = []
        for route in routes:
            failure = await self._send_on(route, payloads, to)
            if failure is not None:
                failures.append(failure)
        if failures and not served and len(failures) == len(routes):
            raise none_sent(failures)
        for failure in failures:
            where = (failure.group, failure.interface)
            if where not in self._refused:
                logger.warning("%s", failure)
            self._refused[where] = failure

    async def _send_on(
        self, route: _Route, payloads: Sequence[bytes], to: Destination | None
    ) -> SocketSetupError | None:
        """Send on one route, in order, until all is sent or one is refused, and tell why."""
        outlet, address, tally = route
        sent, pauses = 0, 0
        while sent < len(payloads):
            try:
                count = await self._turns.hand_over(outlet, address, payloads, sent)
                sent += count
                tally.sent += count
                pauses = 0  # The queue is being emptied, however slowly.
                # Other tasks have their turn whenever another so many have been sent.
                if sent // _SENT_AT_ONCE != (sent - count) // _SENT_AT_ONCE:
                    await trio.lowlevel.checkpoint()
            except OSError as error:
                self._check_open()
                successor = self._successor(route, to)
                if successor is not None:
                    outlet, address, tally = route = successor
                elif (
                    error.errno != errno.ENOBUFS
                    or pauses == _MAX_PAUSES
                    or isinstance(outlet, Refusing)
                ):
                    failure = self._explain(error, route, sent, len(payloads))
                    tally.failed += len(payloads) - sent
                    tally.last_error = failure
                    return failure
                else:
                    # The interface's queue is full, of which readiness does not tell.
                    await trio.sleep(_FIRST_PAUSE_SECONDS * 2**pauses)
                    self._check_open()
                    pauses += 1
        if self._refused:
            self._note_recovered([route])
        return None

    def _successor(self, route: _Route, to: Destination | None) -> _Route | None:
        """What stands for a route whose socket was replaced while something waited to be sent."""
        outlet, address, _ = route
        if outlet in self._outlets.outlets:
            return None
        try:
            routes = self._everywhere if to is None else self._routes(to)
        except ValueError:
            return None  # There is nothing like it any more.
        alike = [item for item in routes if item[1][:2] == address[:2]]
        name = outlet.spec.interface.name
        successor = next(
            (item for item in alike if item[0].spec.interface.name == name), next(iter(alike), None)
        )
        # Where there is no way to a peer, that is what is found again.
        return None if successor is None or successor[0] == outlet else successor

    def _explain(self, error: OSError, route: _Route, sent: int, wanted: int) -> SocketSetupError:
        outlet, address, _ = route
        target = Endpoint(str(address[0]), address[1])
        failure = explain_refusal(
            error,
            step="send",
            detail=f"to {target}",
            group=_group_of(address),
            interface=outlet.spec.interface.name,
            platform=self._outlets.host.platform.name,
            advice=outlet.advice if isinstance(outlet, Refusing) else None,
        )
        if wanted == 1:
            return failure
        return SocketSetupError(
            failure.errno,
            f"{failure}; {sent} of {wanted} datagrams had been sent",
            step=failure.step,
            group=failure.group,
            interface=failure.interface,
        )

    def _note_recovered(self, routes: Iterable[_Route]) -> None:
        for outlet, address, _ in routes:
            group, interface = _group_of(address), outlet.spec.interface
            if self._refused.pop((group, interface.name), None) is not None:
                logger.info("datagrams to group %s go out on interface %s again", group, interface)

    def _routes(self, to: Destination) -> tuple[_Route, ...]:
        """The sockets and addresses for a destination.

        Raises:
            TypeError: It is none of what `send` takes.
            ValueError: As for `send`.
        """
        remembered = self._peers if isinstance(to, Endpoint) else self._remembered
        known = remembered.get(to) if _is_hashable(to) else None
        if known is not None:
            return known
        ways = self._outlets.ways.leading_to(to)
        routes = self._refusal_of(ways) if isinstance(ways, NoWay) else self._routes_of(ways)
        if len(remembered) >= _REMEMBERED_DESTINATIONS:
            remembered.clear()
        remembered[to] = routes
        return routes

    def _refusal_of(self, no_way: NoWay) -> tuple[_Route, ...]:
        spec = self._outlets.outlets[no_way.number].spec
        outlet = Refusing(spec, no_way.errno, no_way.reason)
        return ((outlet, no_way.address, self._tally(spec.interface.name)),)

    @property
    def replies(self) -> DatagramChannel:
        """The unicast datagrams that come to this sender's own address and port, such as answers.

        A `trio.abc.ReceiveChannel` of `Datagram`, whose ``group`` is `None`. Everything that comes
        to the port is given, whoever sent it: nothing in UDP ties an answer to a question. It is
        closed with the sender, and can be closed before.

        Raises:
            RuntimeError: The sender was opened without ``receive_replies=True``.
        """
        if self._replies is None:
            raise RuntimeError(
                "this sender receives no replies: open the sender with receive_replies=True"
            )
        return self._replies

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """The interfaces that this sender sends on, as they are now.

        An interface that has gone is not among them until it is back.
        """
        return tuple(dict.fromkeys(item.spec.interface for item in self._outlets.open_sockets))

    @property
    def local_endpoints(self) -> tuple[Endpoint, ...]:
        """The address and port of each of its sockets, from which its datagrams come now."""
        return tuple(item.local_endpoint for item in self._outlets.open_sockets)

    def statistics(self) -> SenderStatistics:
        """What this sender has counted so far, as a frozen snapshot.

        It can still be asked for after closing: then it tells how things stood at the end.
        """
        if self._last_statistics is not None:
            return self._last_statistics
        tallies = self._tallies.values()
        return SenderStatistics(
            sent=sum(item.sent for item in tallies),
            failed=sum(item.failed for item in tallies),
            send_buffer_asked=self._send_buffer_asked,
            send_buffer_granted=min(
                (item.send_buffer_granted for item in self._outlets.open_sockets), default=0
            ),
            replies=None if self._intake is None else self._intake.statistics(),
            interfaces={
                name: SenderInterfaceStatistics(item.sent, item.failed, item.last_error)
                for name, item in self._tallies.items()
            },
        )

    def _check_open(self) -> None:
        if self._last_statistics is not None:
            raise trio.ClosedResourceError("this sender was closed")

    def close(self) -> None:
        """Close every socket, at once. Idempotent, and not a checkpoint."""
        if self._last_statistics is None:
            self._last_statistics = self.statistics()
            self._tasks.cancel()
            self._outlets.close()

    async def aclose(self) -> None:
        """`close`, then a checkpoint.

        Leaving the ``async with`` block does the same; calling it earlier is allowed. Afterwards,
        sending gives `trio.ClosedResourceError`, and so does receiving replies.

        Cancellation:
            Everything is closed even if it is cancelled.
        """
        self.close()
        await trio.lowlevel.checkpoint()


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _group_of(address: BindAddress) -> str | None:
    """The group of an address that is sent to; `None` if it is that of one peer."""
    host = str(address[0])
    return host if parse_address(host, "address").is_multicast else None
