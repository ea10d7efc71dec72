"""`McastReceiverSpec` and `McastSenderSpec`: the arguments of opening, as checked, frozen values.

Everything that can be known to be wrong without asking the operating system is an error here,
before anything is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar, cast

import attrs
import trio

from ._live import Opening, serve_until_closed
from ._plan.receiver import plan_request
from ._plan.selecting import parse_selectors
from ._plan.sender import plan_sender
from ._plan.socket_spec import SocketSpec
from ._plan.wanted import ReceiveRequest, SendRequest, check_source_address, check_sources
from ._platform.current import platform_named
from ._platform.model import PlatformName
from ._receive.opening import open_receiver
from ._receive.queue import OVERFLOWS, Overflow
from ._receive.receiver import McastReceiver
from ._send.opening import open_sender
from ._send.sender import McastSender
from ._send.transmitter import SENDER_OVERFLOWS, SenderOverflow
from ._values.addresses import (
    AddressLike,
    Group,
    IPAddress,
    parse_address,
    parse_groups,
    parse_int,
    parse_port,
    parse_ports,
    parse_sources,
)
from ._values.interface import ALL_INTERFACES, Interface, ParsedSelectors, show_selectors


def _groups(value: AddressLike | Iterable[AddressLike]) -> Any:
    """Parse groups; the spec keeps them as text once its request is made."""
    return parse_groups(value)


def _groups_or_none(value: AddressLike | Iterable[AddressLike]) -> Any:
    """Parse the groups of a receiver, which may have none to begin with."""
    return parse_groups(value, may_be_none=True)


def _port(value: int) -> int:
    return parse_port(value, "port")


def _ports(value: int | Iterable[int]) -> int | tuple[int, ...]:
    """Parse ports; the spec keeps one as an int."""
    ports = parse_ports(value)
    return ports[0] if len(ports) == 1 else ports


def _source_port(value: int) -> int:
    return parse_port(value, "source_port", lowest=0)


def _sources(value: AddressLike | Iterable[AddressLike] | None) -> Any:
    return parse_sources(value, "sources")


def _excluded(value: AddressLike | Iterable[AddressLike] | None) -> Any:
    return parse_sources(value, "excluded_sources")


def _source_address(value: AddressLike | None) -> Any:
    if value is None:
        return None
    address = parse_address(value, "source_address")
    if address.is_multicast or address.is_unspecified:
        raise ValueError(
            f"source_address {str(value)!r} is not an address that datagrams can come from: "
            "give one of the interface's own addresses"
        )
    return address


def _ttl(value: int) -> int:
    return parse_int(value, "ttl", 0, 255)


def _unicast_ttl(value: int | None) -> int | None:
    return None if value is None else parse_int(value, "unicast_ttl", 1, 255)


def _traffic_class(value: int | None) -> int | None:
    return None if value is None else parse_int(value, "traffic_class", 0, 255)


def _max_buffered(value: int) -> int:
    return parse_int(value, "max_buffered", 1)


def _check_overflow(value: object, policies: Sequence[str]) -> None:
    if not isinstance(value, str):
        raise TypeError(f"overflow must be text, not {type(value).__name__}: {value!r}")
    if value not in policies:
        choices = ", ".join(map(repr, policies))
        raise ValueError(f"overflow must be one of {choices}, not {value!r}")


def _overflow(value: Overflow) -> Overflow:
    _check_overflow(value, OVERFLOWS)
    return value


def _sender_overflow(value: SenderOverflow) -> SenderOverflow:
    _check_overflow(value, SENDER_OVERFLOWS)
    return value


# A unit of datagrams (UDP_GRO) can only be read as a whole, so a queue that does not drop may
# exceed its bound by up to 127 datagrams. With a bound less than some multiple of that, the bound
# counts for more than speed.
_MIN_BUFFERED_FOR_UNITS = 1024

# SO_RCVBUF and SO_SNDBUF take a C int, which Linux doubles.
_MAX_BUFFER_BYTES = 2**30 - 1


def _receive_buffer_size(value: int | None) -> int | None:
    return None if value is None else parse_int(value, "receive_buffer_size", 1, _MAX_BUFFER_BYTES)


def _send_buffer_size(value: int | None) -> int | None:
    return None if value is None else parse_int(value, "send_buffer_size", 1, _MAX_BUFFER_BYTES)


def _check_flag(spec: object, attribute: attrs.Attribute[bool], value: bool) -> None:
    if not isinstance(value, bool):
        raise TypeError(
            f"{attribute.name} must be True or False, not {type(value).__name__}: {value!r}"
        )


def _flag(default: bool) -> bool:
    field: bool = attrs.field(default=default, kw_only=True, validator=_check_flag)
    return field


_Parsed: TypeAlias = tuple[
    tuple[Group, ...], "tuple[IPAddress, ...] | None", "tuple[IPAddress, ...] | None"
]


_Request = TypeVar("_Request")


def _as_texts(values: Iterable[Group | IPAddress] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(map(str, values))


def _keep(spec: object, name: str, value: object) -> None:
    """Set a field of a frozen spec that is being made."""
    object.__setattr__(spec, name, value)


class _Requests(Generic[_Request]):
    """A spec that keeps its request: parsed once, and not a field, as it says nothing new."""

    __slots__ = ("_request",)

    _request: _Request

    def __reduce__(self) -> tuple[object, ...]:
        fields: tuple[attrs.Attribute[object], ...] = attrs.fields(cast("Any", type(self)))
        arguments = {field.name: getattr(self, field.name) for field in fields}
        return partial(type(self), **arguments), ()


@attrs.frozen
class McastReceiverSpec(_Requests[ReceiveRequest]):
    """The arguments of `open_mcast_receiver`, checked and frozen.

    Useful to keep a configuration, to look at its `plan`, and to `open` it later, as often as
    wanted. The fields are the arguments of `open_mcast_receiver` under the same names; addresses
    are kept as text.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, or arguments contradict each other. The message
            names the value and the way out.
    """

    groups: tuple[str, ...] = attrs.field(converter=_groups_or_none)
    port: int | tuple[int, ...] = attrs.field(converter=_ports)
    interfaces: ParsedSelectors = attrs.field(
        default=None, kw_only=True, converter=parse_selectors, repr=show_selectors
    )
    sources: tuple[str, ...] | None = attrs.field(default=None, kw_only=True, converter=_sources)
    excluded_sources: tuple[str, ...] | None = attrs.field(
        default=None, kw_only=True, converter=_excluded
    )
    accept_unicast: bool = _flag(False)
    loopback: bool = _flag(True)
    follow_interfaces: bool = _flag(True)
    allow_missing: bool = _flag(False)
    receive_ttl: bool = _flag(False)
    receive_timestamp: bool = _flag(False)
    receive_traffic_class: bool = _flag(False)
    max_buffered: int = attrs.field(default=1024, kw_only=True, converter=_max_buffered)
    overflow: Overflow = attrs.field(default="wait", kw_only=True, converter=_overflow)
    receive_buffer_size: int | None = attrs.field(
        default=None, kw_only=True, converter=_receive_buffer_size
    )

    def __attrs_post_init__(self) -> None:
        # Parsed once: the converters have left values, of which the request is made.
        groups, sources, excluded = cast(
            "_Parsed", (self.groups, self.sources, self.excluded_sources)
        )
        if groups or not self.accept_unicast:  # Unicast alone is of both families.
            check_sources(groups, sources, excluded)
        if self.allow_missing and not self.follow_interfaces:
            raise ValueError(
                "allow_missing waits for interfaces to come, which needs follow_interfaces=True"
            )
        request = ReceiveRequest(
            groups,
            parse_ports(self.port),
            None if self.interfaces is ALL_INTERFACES else self.interfaces,
            sources=sources,
            excluded_sources=excluded,
            accept_unicast=self.accept_unicast,
            loopback=self.loopback,
            receive_ttl=self.receive_ttl,
            receive_timestamp=self.receive_timestamp,
            receive_traffic_class=self.receive_traffic_class,
            receive_buffer_size=self.receive_buffer_size,
            receive_units=self.overflow != "wait" or self.max_buffered >= _MIN_BUFFERED_FOR_UNITS,
        )
        _keep(self, "_request", request)
        _keep(self, "groups", _as_texts(groups))
        _keep(self, "sources", _as_texts(sources))
        _keep(self, "excluded_sources", _as_texts(excluded))

    def plan(
        self, interfaces: Sequence[Interface], platform: PlatformName | None = None
    ) -> tuple[SocketSpec, ...]:
        """Return the sockets that `open` would open, with every option in order. Opens nothing.

        Args:
            interfaces: The interfaces that there are, as from `list_interfaces`.
            platform: ``"linux"``, ``"darwin"``, ``"freebsd"`` or ``"windows"``; `None` for the
                current one.

        Raises:
            InterfaceNotFoundError: The spec names an interface that is not among ``interfaces``, or
                names none and no interface is up, multicast-capable and not loopback.
            AmbiguousInterfaceError: The spec names an address that two interfaces have.
            ValueError: Groups and interfaces do not go together, or the platform is unknown.
        """
        machine = platform_named(platform)
        plans = plan_request(self._request, (), interfaces, machine, strict=True)
        return tuple(socket_spec for plan in plans for socket_spec in plan.sockets)

    def open(self) -> AbstractAsyncContextManager[McastReceiver]:
        """Open the receiver: ``async with spec.open() as receiver``; see `open_mcast_receiver`."""
        return self._open("spec.open() as receiver")

    async def serve(
        self, *, task_status: trio.TaskStatus[McastReceiver] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Open the receiver in a nursery: ``receiver = await nursery.start(spec.serve)``.

        For a receiver that is kept longer than one block, by an object for instance. The receiver
        lives in that nursery until its ``close()`` or ``aclose()`` is called; then this returns.
        `open` is simpler where a block will do.

        Args:
            task_status: Given by `trio.Nursery.start`, which returns the receiver.

        Raises:
            McastError: The opening was refused, as by `open_mcast_receiver`. It comes out of
                ``start()`` as itself; nothing stays open then.

        Cancellation:
            When the nursery is cancelled, the receiver is closed.
        """
        await serve_until_closed(self.open(), task_status)

    def _open(self, usage: str) -> Opening[McastReceiver]:
        block = open_receiver(
            self._request,
            follow_interfaces=self.follow_interfaces,
            allow_missing=self.allow_missing,
            max_buffered=self.max_buffered,
            overflow=self.overflow,
        )
        return Opening(block, usage)


@attrs.frozen
class McastSenderSpec(_Requests[SendRequest]):
    """The arguments of `open_mcast_sender`, checked and frozen.

    The fields are the arguments of `open_mcast_sender` under the same names; addresses are kept as
    text.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, or arguments contradict each other. The message
            names the value and the way out.
    """

    groups: tuple[str, ...] = attrs.field(converter=_groups)
    port: int = attrs.field(converter=_port)
    interfaces: ParsedSelectors = attrs.field(
        default=None, kw_only=True, converter=parse_selectors, repr=show_selectors
    )
    allow_missing: bool = _flag(False)
    ttl: int = attrs.field(default=1, kw_only=True, converter=_ttl)
    unicast_ttl: int | None = attrs.field(default=None, kw_only=True, converter=_unicast_ttl)
    loopback: bool = _flag(True)
    traffic_class: int | None = attrs.field(default=None, kw_only=True, converter=_traffic_class)
    source_address: str | None = attrs.field(default=None, kw_only=True, converter=_source_address)
    source_port: int = attrs.field(default=0, kw_only=True, converter=_source_port)
    receive_replies: bool = _flag(False)
    receive_ttl: bool = _flag(False)
    receive_timestamp: bool = _flag(False)
    receive_traffic_class: bool = _flag(False)
    overflow: SenderOverflow = attrs.field(default="wait", kw_only=True, converter=_sender_overflow)
    send_buffer_size: int | None = attrs.field(
        default=None, kw_only=True, converter=_send_buffer_size
    )

    def __attrs_post_init__(self) -> None:
        groups = cast("tuple[Group, ...]", self.groups)
        source_address = cast("IPAddress | None", self.source_address)
        check_source_address(groups, source_address)
        for name in ("receive_ttl", "receive_timestamp", "receive_traffic_class"):
            if getattr(self, name) and not self.receive_replies:
                raise ValueError(f"{name} is about replies: it needs receive_replies=True")
        request = SendRequest(
            groups,
            self.port,
            self.interfaces,
            allow_missing=self.allow_missing,
            ttl=self.ttl,
            unicast_ttl=self.unicast_ttl,
            loopback=self.loopback,
            traffic_class=self.traffic_class,
            source_address=source_address,
            source_port=self.source_port,
            send_buffer_size=self.send_buffer_size,
            receive_replies=self.receive_replies,
            receive_ttl=self.receive_ttl,
            receive_timestamp=self.receive_timestamp,
            receive_traffic_class=self.receive_traffic_class,
        )
        _keep(self, "_request", request)
        _keep(self, "groups", _as_texts(groups))
        _keep(self, "source_address", None if source_address is None else str(source_address))

    def plan(
        self, interfaces: Sequence[Interface], platform: PlatformName | None = None
    ) -> tuple[SocketSpec, ...]:
        """Return the sockets that `open` would open, with every option in order. Opens nothing.

        Where the spec names no interface, `open` asks the system's routing; a plan cannot, and
        takes the only candidate. With ``allow_missing``, what is missing is left out.

        Args:
            interfaces: The interfaces that there are, as from `list_interfaces`.
            platform: ``"linux"``, ``"darwin"``, ``"freebsd"`` or ``"windows"``; `None` for the
                current one.

        Raises:
            InterfaceNotFoundError: The spec names an interface that is not among ``interfaces``, or
                there is no candidate.
            AmbiguousInterfaceError: The spec names no interface and there are several candidates,
                or it names an address that two interfaces have.
            SocketSetupError: No interface has an address of a group's family to send from.
            ValueError: Groups, interfaces and source address do not go together, the platform
                is unknown, or it cannot keep ``ttl=0``.
        """
        return plan_sender(self._request, interfaces, platform_named(platform)).sockets

    def open(self) -> AbstractAsyncContextManager[McastSender]:
        """Open the sender: ``async with spec.open() as sender``; see `open_mcast_sender`."""
        return self._open("spec.open() as sender")

    async def serve(
        self, *, task_status: trio.TaskStatus[McastSender] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Open the sender in a nursery: ``sender = await nursery.start(spec.serve)``.

        For a sender that is kept longer than one block, by an object for instance. The sender lives
        in that nursery until its ``close()`` or ``aclose()`` is called; then this returns.
        `open` is simpler where a block will do.

        Args:
            task_status: Given by `trio.Nursery.start`, which returns the sender.

        Raises:
            McastError: The opening was refused, as by `open_mcast_sender`. It comes out of
                ``start()`` as itself; nothing stays open then.

        Cancellation:
            When the nursery is cancelled, the sender is closed.
        """
        await serve_until_closed(self.open(), task_status)

    def _open(self, usage: str) -> Opening[McastSender]:
        return Opening(open_sender(self._request, overflow=self.overflow), usage)
