"""`McastSender`."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias, cast

import trio

from ._addresses import (
    MAX_DATAGRAM_BYTES,
    AddressLike,
    Endpoint,
    Group,
    IPAddress,
    family_of,
    parse_address,
    parse_group,
    parse_port,
    without_zone,
)
from ._channel import DatagramChannel
from ._errors import SocketSetupError, all_failed, explain_refusal
from ._host import McastSocket, current_host
from ._intake import Intake
from ._interface import Interface
from ._live import OpenedOnly
from ._plan import BindAddress, bind_address
from ._plan_sender import SenderPlan
from ._statistics import SenderStatistics

logger = logging.getLogger("trio_mcast")

Buffer: TypeAlias = bytes | bytearray | memoryview
Destination: TypeAlias = AddressLike | tuple[AddressLike, int]
_Route: TypeAlias = tuple[McastSocket, BindAddress]

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


class McastSender(trio.abc.SendChannel[bytes], metaclass=OpenedOnly):
    """Sends datagrams to multicast groups; made by `open_mcast_sender`.

    It is a `trio.abc.SendChannel` of bytes. Several tasks may send through one sender.
    """

    def __init__(
        self,
        sockets: Sequence[McastSocket],
        plan: SenderPlan,
        *,
        port: int,
        send_buffer_asked: int | None,
        intake: Intake | None,
    ) -> None:
        self._sockets = tuple(sockets)
        self._intake = intake
        self._replies = None if intake is None else DatagramChannel._create(intake)
        self._port = port
        self._send_buffer_asked = send_buffer_asked
        self._targets = [
            (group, (sockets[number], self._address(sockets[number], group.address, port)))
            for group, number in plan.targets
        ]
        self._everywhere: tuple[_Route, ...] = tuple(route for _, route in self._targets)
        self._remembered: dict[Destination, tuple[_Route, ...]] = {}
        self._sent = 0
        self._failed = 0
        self._logged: set[tuple[str | None, str | None]] = set()
        self._last_statistics: SenderStatistics | None = None

    async def _run(self) -> None:
        """Read replies, if they are wanted, until they or the sender are closed."""
        if self._intake is not None:
            await self._intake.run(self._ignore)

    def _ignore(self, socket: McastSocket, error: SocketSetupError) -> None:
        """A socket can no longer be read: it can still be sent from, so it stays open."""
        assert self._intake is not None
        self._intake.ignore(socket)

    @staticmethod
    def _address(socket: McastSocket, address: IPAddress, port: int) -> BindAddress:
        scoped = address.is_multicast or address.is_link_local
        return bind_address(address, port, socket.spec.interface.index if scoped else 0)

    async def send(self, data: Buffer, *, to: Destination | None = None) -> None:
        """Send one datagram.

        Args:
            data: The payload, 0 to 65,507 bytes. More than the path's MTU allows is sent in
                fragments, of which each must arrive.
            to: `None`: to every group of this sender, on every interface of it. A group: to that
                group only, on every interface of this sender, be it among its groups or not. A pair
                of group and port: the same, to that port. An `Endpoint`, such as
                ``datagram.source``, or a pair of unicast address and port: to that one peer, from
                this sender's own port.

        Raises:
            TypeError: ``data`` is not bytes-like, or ``to`` is none of the above.
            ValueError: ``data`` is too large, or ``to`` cannot be reached from this sender's
                interfaces.
            SocketSetupError: The system refused it for every group and interface; ``errno`` tells
                why, and the message what to do about it. Where only some refuse, the others are
                served, the failures are counted in `statistics`, and each is logged once.
            trio.ClosedResourceError: The sender was closed.

        Cancellation:
            A checkpoint. If it is cancelled while it waits for room in a send buffer, the datagram
            has gone out to some of the groups and interfaces, or to none.
        """
        self._check_open()
        payload = _checked_payload(data)
        routes = self._everywhere if to is None else self._routes(to)
        await trio.lowlevel.checkpoint()
        self._check_open()
        done = 0
        try:
            for socket, address in routes:
                socket.send(payload, address)
                done += 1
        except OSError:
            pass  # The longer way tries it again, and waits or explains.
        self._sent += done
        if done < len(routes):
            await self._deliver([payload], routes[done:], done)

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
            SocketSetupError: As for `send`, if no group and interface took all of them; the message
                says how many had been sent.
            trio.ClosedResourceError: The sender was closed.

        Cancellation:
            A checkpoint. If it is cancelled, the first few datagrams have been sent.
        """
        self._check_open()
        payloads = _checked_payloads(datagrams)
        routes = self._everywhere if to is None else self._routes(to)
        await trio.lowlevel.checkpoint_if_cancelled()
        if payloads:
            await self._deliver(payloads, routes)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def _deliver(
        self, payloads: Sequence[bytes], routes: Sequence[_Route], served: int = 0
    ) -> None:
        """Send everything on every route; raise only if no route takes all of it.

        Args:
            payloads: What to send.
            routes: Where.
            served: How many other routes have taken all of it already.
        """
        failures: list[SocketSetupError] = []
        most = 0
        for route in routes:
            sent, error = await self._send_on(route, payloads)
            most = max(most, sent)
            if error is not None:
                self._failed += len(payloads) - sent
                failures.append(self._explain(error, route))
        if not served and len(failures) == len(routes):
            raise self._all_refused(failures, most, len(payloads))
        for failure in failures:
            self._log_once(failure)

    async def _send_on(
        self, route: _Route, payloads: Sequence[bytes]
    ) -> tuple[int, OSError | None]:
        """Send on one route, in order, until all is sent or one is refused."""
        socket, address = route
        sent, pauses = 0, 0
        while sent < len(payloads):
            try:
                if len(payloads) == 1:
                    socket.send(payloads[0], address)
                    count = 1
                else:
                    count = socket.send_batch(payloads, sent, address)
                sent += count
                self._sent += count
                pauses = 0  # The queue is being emptied, however slowly.
                # Other tasks have their turn whenever another so many have been sent.
                if sent // _SENT_AT_ONCE != (sent - count) // _SENT_AT_ONCE:
                    await trio.lowlevel.checkpoint()
            except BlockingIOError:
                # Closed may be the replies only, which wakes whoever waits for the same socket.
                with suppress(trio.ClosedResourceError):
                    await socket.wait_writable()
                self._check_open()
            except OSError as error:
                if error.errno != errno.ENOBUFS or pauses == _MAX_PAUSES:
                    return sent, error
                # The interface's queue is full, of which readiness does not tell.
                await trio.sleep(_FIRST_PAUSE_SECONDS * 2**pauses)
                self._check_open()
                pauses += 1
        return sent, None

    def _all_refused(
        self, failures: Sequence[SocketSetupError], sent: int, wanted: int
    ) -> SocketSetupError:
        error = all_failed("the datagram could not be sent anywhere", tuple(failures))
        if wanted == 1:
            return error
        return SocketSetupError(
            error.errno,
            f"{error}; {sent} of {wanted} datagrams had been sent",
            step=error.step,
            group=error.group,
            interface=error.interface,
            causes=error.causes,
        )

    def _explain(self, error: OSError, route: _Route) -> SocketSetupError:
        socket, address = route
        target = Endpoint(str(address[0]), address[1])
        is_group = parse_address(target.host, "address").is_multicast
        return explain_refusal(
            error,
            step="send",
            detail=f"to {target}",
            group=target.host if is_group else None,
            interface=socket.spec.interface.name,
            system=current_host().platform.name,
        )

    def _log_once(self, failure: SocketSetupError) -> None:
        where = (failure.group, failure.interface)
        if where not in self._logged:
            self._logged.add(where)
            logger.warning("%s", failure)

    def _routes(self, to: Destination) -> tuple[_Route, ...]:
        """The sockets and addresses for a destination.

        Raises:
            TypeError: It is none of what `send` takes.
            ValueError: It cannot be reached from this sender's interfaces.
        """
        known = self._remembered.get(to) if _is_hashable(to) else None
        if known is not None:
            return known
        address, port = self._parse_destination(to)
        if address.is_multicast:
            routes = self._group_routes(parse_group(address), port)
        else:
            routes = (self._unicast_route(address, port),)
        if len(self._remembered) >= _REMEMBERED_DESTINATIONS:
            self._remembered.clear()
        self._remembered[to] = routes
        return routes

    def _parse_destination(self, to: Destination) -> tuple[IPAddress, int]:
        if isinstance(to, tuple):
            if len(to) != 2:
                raise TypeError(f"to must be a group, or a pair of address and port, not {to!r}")
            return parse_address(to[0], "to"), parse_port(to[1], "the port of to")
        if isinstance(to, (str, IPv4Address, IPv6Address)):
            address = parse_address(to, "to")
            if not address.is_multicast:
                raise ValueError(
                    f"to={str(to)!r} is not a group; for unicast give a pair of address and port"
                )
            return address, self._port
        raise TypeError(
            "to must be a group, a pair of address and port, or an Endpoint, "
            f"not {type(to).__name__}: {to!r}"
        )

    def _group_routes(self, group: Group, port: int) -> tuple[_Route, ...]:
        listed = [route for item, route in self._targets if item.address == group.address]
        sockets = [socket for socket, _ in listed] or self._sockets_of(group.address)
        if group.zone is not None:
            here = [item for item in sockets if _is_zone_of(item.spec.interface, group.zone)]
            if not here:
                raise ValueError(
                    f"to={str(group)!r}: {group.zone} is not an interface of this sender, which "
                    f"has {', '.join(item.name for item in self.interfaces)}"
                )
            sockets = here
        return tuple((item, self._address(item, group.address, port)) for item in sockets)

    def _sockets_of(self, address: IPAddress) -> list[McastSocket]:
        """One socket for each interface, of the address's family."""
        by_interface = {
            item.spec.interface.name: item
            for item in reversed(self._sockets)
            if item.spec.family == family_of(address)
        }
        if not by_interface:
            kind = "IPv4" if address.version == 4 else "IPv6"
            raise ValueError(f"to={str(address)!r}: none of this sender's groups is {kind}")
        return list(reversed(by_interface.values()))

    def _unicast_route(self, address: IPAddress, port: int) -> _Route:
        sockets = self._sockets_of(address)
        bare = without_zone(address)
        zone = address.scope_id if isinstance(address, IPv6Address) else None
        if zone is not None:
            sockets = [item for item in sockets if _is_zone_of(item.spec.interface, zone)]
            if not sockets:
                raise ValueError(
                    f"to={str(address)!r}: {zone} is not an interface of this sender, which has "
                    f"{', '.join(item.name for item in self.interfaces)}"
                )
        elif address.is_link_local and isinstance(address, IPv6Address) and len(sockets) > 1:
            raise ValueError(
                f"to={str(address)!r} needs a zone, as in {address}%{sockets[0].spec.interface}: "
                "a link-local address means another machine on each interface"
            )
        chosen = next((item for item in sockets if _is_on_link(item.spec.interface, bare)), None)
        socket = chosen or sockets[0]
        return socket, self._address(socket, bare, port)

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
        """The interfaces that this sender sends on."""
        return tuple(dict.fromkeys(item.spec.interface for item in self._sockets))

    @property
    def local_endpoints(self) -> tuple[Endpoint, ...]:
        """The address and port of each of its sockets, from which its datagrams come."""
        return tuple(item.local_endpoint for item in self._sockets)

    def statistics(self) -> SenderStatistics:
        """What this sender has counted so far, as a frozen snapshot.

        It can still be asked for after closing: then it tells how things stood at the end.
        """
        if self._last_statistics is not None:
            return self._last_statistics
        return SenderStatistics(
            sent=self._sent,
            failed=self._failed,
            send_buffer_asked=self._send_buffer_asked,
            send_buffer_granted=min(item.send_buffer_granted for item in self._sockets),
            replies=None if self._intake is None else self._intake.statistics(),
        )

    def _check_open(self) -> None:
        if self._last_statistics is not None:
            raise trio.ClosedResourceError("this sender was closed")

    def close(self) -> None:
        """Close every socket, at once. Idempotent, and not a checkpoint."""
        if self._last_statistics is None:
            self._last_statistics = self.statistics()
            if self._intake is not None:
                self._intake.close()
            for socket in self._sockets:
                socket.close()

    async def aclose(self) -> None:
        """`close`, then a checkpoint.

        Leaving the ``async with`` block does the same; calling it earlier is allowed. Afterwards,
        sending gives `trio.ClosedResourceError`, and so does receiving replies.

        Cancellation:
            Everything is closed even if it is cancelled.
        """
        self.close()
        await trio.lowlevel.checkpoint()


def _checked_payload(data: Buffer) -> bytes:
    """The payload as bytes: a buffer that can change is copied, as sending may have to wait."""
    if not isinstance(data, bytes):
        if not isinstance(data, (bytearray, memoryview)):
            raise TypeError(f"data must be bytes-like, not {type(data).__name__}: {data!r:.100}")
        data = bytes(data)
    if len(data) > MAX_DATAGRAM_BYTES:
        raise ValueError(
            f"data of {len(data)} bytes does not fit a UDP datagram, which takes "
            f"{MAX_DATAGRAM_BYTES}: send it in parts"
        )
    return data


def _checked_payloads(datagrams: Iterable[Buffer]) -> list[bytes]:
    found = list(datagrams)
    # All at once where that will do: one by one costs more than sending does.
    if {*map(type, found)} == {bytes} and max(map(len, found)) <= MAX_DATAGRAM_BYTES:
        return cast("list[bytes]", found)
    return [_checked_payload(data) for data in found]


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _is_zone_of(interface: Interface, zone: str) -> bool:
    return zone in (interface.name, str(interface.index))


def _is_on_link(interface: Interface, address: IPAddress) -> bool:
    if isinstance(address, IPv4Address):
        return any(address in item.network for item in interface.ipv4_addresses)
    return any(address in item.network for item in interface.ipv6_addresses)
