"""`McastChannel`: receives from groups on a port, sends from that port, and answers."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs
import trio
from trio.lowlevel import enable_ki_protection

from .._host.protocols import McastSocket
from .._live import call_each
from .._plan.wanted import ReceiveRequest
from .._receive.intake import Intake
from .._receive.memberships import Memberships
from .._receive.receiver import McastReceiver
from .._send.destinations import (
    Buffer,
    Destination,
    checked_payload,
    is_group,
    parse_destination,
)
from .._send.opening import settle
from .._send.sender import McastSender
from .._values.addresses import Endpoint
from .._values.datagram import Datagram
from .._values.errors import SocketSetupError
from .._values.interface import Interface, InterfaceSelector
from .._values.statistics import ChannelStatistics, add_up_sent
from .echoes import Echoes
from .unicast import SharedReplies

logger = logging.getLogger("trio_mcast")

# The reasons of refused answers that were logged. With so many it starts afresh. Arbitrary.
_REMEMBERED_REASONS: Final = 256


# The types of what an answer needs of its question, for people.
_KINDS: Final = {
    "source": "an Endpoint of a str and an int",
    "destination": "an Endpoint of a str and an int",
    "interface": "an Interface",
    "group": "a str or None",
}


class McastChannel(McastReceiver, trio.abc.SendChannel[bytes]):
    """Receives from groups on a port and sends from that port; made by `open_mcast_channel`.

    A channel is a `McastReceiver`, and sends like a `McastSender`: by default to its groups, on
    each of its interfaces. It never delivers what it has sent itself.
    """

    def __init__(
        self,
        request: ReceiveRequest,
        intake: Intake,
        memberships: Memberships,
        *,
        allow_missing: bool,
        senders: Mapping[int, McastSender],
        echoes: Echoes,
        shared: Sequence[SharedReplies],
    ) -> None:
        super().__init__(request, intake, memberships, allow_missing=allow_missing)
        echoes.listen(memberships, request.ports)
        # By the port that each sends from; the first is the one to send from by default.
        self._senders = senders
        self._sender = next(iter(senders.values()))
        self._shared = shared
        self._logged: set[object] = set()

    @enable_ki_protection
    async def _run(self, tasks: trio.Nursery) -> None:
        for sender in self._senders.values():
            tasks.start_soon(sender._run, tasks)
        await super()._run(tasks)

    async def _settle(self) -> None:
        """Wait, if nothing can be sent anywhere, for an address that is still being checked."""
        for sender in self._senders.values():
            await settle(sender._outlets)

    def _socket_failed(self, socket: McastSocket, error: SocketSetupError) -> None:
        if not any(shared.fail(socket) for shared in self._shared):
            super()._socket_failed(socket, error)

    async def send(
        self,
        data: Buffer,
        *,
        to: Destination | None = None,
        interface: InterfaceSelector | None = None,
    ) -> None:
        """Send one datagram, from the channel's port; of several ports, from the first.

        Args:
            data: As for `McastSender.send`.
            to: As for `McastSender.send`. A pair of a group and one of the channel's ports leaves
                from that port. Default: to the groups that the channel was opened with.
            interface: As for `McastSender.send`.

        Raises:
            TypeError: As for `McastSender.send`; likewise the other errors.

        Cancellation:
            As for `McastSender.send`.
        """
        await self._sender_to(to).send(data, to=to, interface=interface)

    def send_nowait(
        self,
        data: Buffer,
        *,
        to: Destination | None = None,
        interface: InterfaceSelector | None = None,
    ) -> None:
        """Send one datagram as far as there is room: `send`, as `McastSender.send_nowait` does it.

        Raises:
            trio.WouldBlock: Nothing was sent, for lack of room.
            TypeError: As for `McastSender.send`; likewise the other errors.
        """
        self._sender_to(to).send_nowait(data, to=to, interface=interface)

    async def send_batch(
        self,
        datagrams: Iterable[Buffer],
        *,
        to: Destination | None = None,
        interface: InterfaceSelector | None = None,
    ) -> None:
        """Send several datagrams, in order: `send`, as `McastSender.send_batch` does it.

        Raises:
            TypeError: As for `McastSender.send_batch`; likewise the other errors.

        Cancellation:
            As for `McastSender.send_batch`.
        """
        await self._sender_to(to).send_batch(datagrams, to=to, interface=interface)

    async def send_timestamped(
        self,
        data: Buffer,
        *,
        to: Destination | None = None,
        interface: InterfaceSelector | None = None,
    ) -> int:
        """Send one datagram, and return the time at which it left: `McastSender.send_timestamped`.

        Raises:
            TypeError: As for `McastSender.send_timestamped`; likewise the other errors.

        Cancellation:
            As for `McastSender.send_timestamped`.
        """
        sender = self._sender_to(to)
        return await sender.send_timestamped(data, to=to, interface=interface)

    def _sender_to(self, to: Destination | None) -> McastSender:
        """Return the sender for a destination: a group on one of the ports has that port's."""
        if len(self._senders) > 1 and isinstance(to, tuple):
            address, port = parse_destination(to, 0)
            if is_group(to, address):
                return self._senders.get(port, self._sender)
        return self._sender

    async def answer(self, datagram: Datagram, data: Buffer, *, to_group: bool = False) -> None:
        """Answer a datagram: to its source alone, or to its group where it came from.

        A question that came by unicast is answered from the address and port that were asked. A
        question to a group is answered from the address that the channel sends from on that
        interface. The source of a question can be forged, and its interface can have gone: an
        answer that cannot be sent is counted as failed in ``statistics().sending``, logged once for
        each reason, and raises nothing.

        Args:
            datagram: The question.
            data: The payload of the answer, 0 to 65,507 bytes.
            to_group: Whether to send the answer to the group of the question, on its interface.

        Raises:
            TypeError: ``datagram`` is no `Datagram`, or has a source, destination, group or
                interface of another type, as only a program can make it; or ``data`` is not
                bytes-like.
            ValueError: ``data`` is too large; or with ``to_group``, the question came by unicast.
            trio.ClosedResourceError: The channel was closed.

        Cancellation:
            A checkpoint. If the call is cancelled while waiting for room in a send buffer, the
            answer has not been sent.
        """
        _check_question(datagram)
        payload = checked_payload(data)
        await trio.lowlevel.checkpoint()
        self._memberships.check_open()
        if to_group and datagram.group is None:
            raise ValueError(
                f"the datagram from {datagram.source} came by unicast, so there is no group to "
                "answer to: leave out to_group, or send() to a group of the channel"
            )
        sender = self._senders.get(datagram.destination.port, self._sender)
        port = datagram.destination.port or self._request.ports[0]
        name, address = datagram.interface.name, datagram.destination.host.partition("%")[0]
        try:
            if datagram.group is None:
                await sender._send_one(payload, datagram.source, name, address or None)
            elif to_group:
                await sender._send_one(payload, (datagram.group, port), name)
            else:
                address = sender._address_to((datagram.group, port), name)
                await sender._send_one(payload, datagram.source, name, address)
        except SocketSetupError as error:
            self._log_refusal(error)
        except ValueError as error:
            # The interface is none of the sender's any more, or not for that family.
            refusal = SocketSetupError(
                errno.ENODEV,
                f"an answer could not be sent: {error}",
                step="send",
                interface=datagram.interface.name,
            )
            sender._count_failed(refusal)
            self._log_refusal(refusal)

    def _log_refusal(self, error: SocketSetupError) -> None:
        reason = error.errno, error.interface
        if reason not in self._logged:
            if len(self._logged) >= _REMEMBERED_REASONS:
                self._logged.clear()
            self._logged.add(reason)
            logger.warning(
                "an answer was refused, and others may be for the same reason: %s", error
            )

    @property
    def local_endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses and ports from which datagrams come now, as `McastSender.local_endpoints`.

        Those of the first port come first.
        """
        return tuple(
            endpoint for sender in self._senders.values() for endpoint in sender.local_endpoints
        )

    def statistics(self) -> ChannelStatistics:
        """Return the counts so far, as a frozen snapshot, as `McastReceiver.statistics` does.

        After closing, the call returns the counts at the end.
        """
        received = super().statistics()
        fields = {
            field.alias: getattr(received, field.name) for field in attrs.fields(type(received))
        }
        sending = add_up_sent([sender.statistics() for sender in self._senders.values()])
        return ChannelStatistics(**fields, sending=sending)

    @enable_ki_protection
    def close(self) -> None:
        """Leave every group and close every socket, at once. Idempotent, and not a checkpoint.

        Raises:
            RuntimeError: This is not the thread, or not the run of Trio, of the opening. Then
                nothing has been closed: use `trio.from_thread.run_sync`.
        """
        if self._ended and all(sender._ended for sender in self._senders.values()):
            return
        self._check_run()
        call_each((super().close, *(sender.close for sender in self._senders.values())))


def _check_question(datagram: object) -> None:
    """Raise `TypeError` for what is no datagram; a program can make one of anything."""
    if not isinstance(datagram, Datagram):
        raise TypeError(
            f"datagram must be a Datagram, not {type(datagram).__name__}: {datagram!r:.100}"
        )
    kinds: dict[str, tuple[type, ...]] = {
        "source": (Endpoint,),
        "destination": (Endpoint,),
        "interface": (Interface,),
        "group": (str, type(None)),
    }
    for name, allowed in kinds.items():
        value: object = getattr(datagram, name)
        if not isinstance(value, allowed) or not _has_text(value):
            raise TypeError(
                f"datagram.{name} must be {_KINDS[name]}, "
                f"not {type(value).__name__}: {value!r:.100}"
            )


def _has_text(value: object) -> bool:
    """Tell whether an endpoint or interface has a name that is text; of all else, yes."""
    if isinstance(value, Endpoint):
        return isinstance(value.host, str) and type(value.port) is int
    return not isinstance(value, Interface) or isinstance(value.name, str)
