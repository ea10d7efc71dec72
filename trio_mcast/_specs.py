"""`McastReceiverSpec` and `McastSenderSpec`: what is wanted, as checked, frozen values.

Everything that can be known to be wrong without asking the operating system is an error here,
before anything is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import attrs

from ._addresses import (
    AddressLike,
    Group,
    parse_address,
    parse_group,
    parse_groups,
    parse_int,
    parse_port,
    parse_sources,
)
from ._interface import Interface, InterfaceSelector, parse_selectors
from ._plan import (
    MembershipPlan,
    ReceiverWishes,
    SocketSpec,
    check_source_families,
)
from ._plan_sender import Router, SenderPlan, SenderWishes, check_source_address, plan_sender
from ._platform import Platform, PlatformName, platform_named
from ._requests import Request, plan_request

if TYPE_CHECKING:
    from ._receiver import McastReceiver
    from ._sender import McastSender


# What becomes of datagrams when `max_buffered` of them wait.
Overflow: TypeAlias = Literal["wait", "drop_oldest", "drop_newest"]
_OVERFLOWS: Final[tuple[Overflow, ...]] = get_args(Overflow)


def _groups(value: AddressLike | Iterable[AddressLike]) -> tuple[str, ...]:
    return tuple(str(group) for group in parse_groups(value))


def _port(value: int) -> int:
    return parse_port(value, "port")


def _source_port(value: int) -> int:
    return parse_port(value, "source_port", lowest=0)


def _sources(value: AddressLike | Iterable[AddressLike] | None) -> tuple[str, ...] | None:
    parsed = parse_sources(value, "sources")
    return None if parsed is None else tuple(str(item) for item in parsed)


def _excluded(value: AddressLike | Iterable[AddressLike] | None) -> tuple[str, ...] | None:
    parsed = parse_sources(value, "excluded_sources")
    return None if parsed is None else tuple(str(item) for item in parsed)


def _source_address(value: AddressLike | None) -> str | None:
    if value is None:
        return None
    address = parse_address(value, "source_address")
    if address.is_multicast or address.is_unspecified:
        raise ValueError(
            f"source_address {str(value)!r} is not an address that datagrams can come from: "
            "give one of the interface's own addresses"
        )
    return str(address)


def _ttl(value: int) -> int:
    return parse_int(value, "ttl", 0, 255)


def _traffic_class(value: int | None) -> int | None:
    return None if value is None else parse_int(value, "traffic_class", 0, 255)


def _max_buffered(value: int) -> int:
    return parse_int(value, "max_buffered", 1)


def _overflow(value: Overflow) -> Overflow:
    if not isinstance(value, str):
        raise TypeError(f"overflow must be text, not {type(value).__name__}: {value!r}")
    if value not in _OVERFLOWS:
        choices = ", ".join(map(repr, _OVERFLOWS))
        raise ValueError(f"overflow must be one of {choices}, not {value!r}")
    return value


# A unit of datagrams (UDP_GRO) can only be read as a whole, so one may exceed the bound of a queue
# that does not drop by up to 127. Where the bound is less than some multiple of that, it counts for
# more than speed.
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


@attrs.frozen
class McastReceiverSpec:
    """What a receiver is to receive: the arguments of `open_mcast_receiver`, checked and frozen.

    Useful to keep a configuration, to look at its `plan`, and to `open` it later, as often as
    wanted. The fields are the arguments of `open_mcast_receiver` under the same names; addresses
    are kept as text.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, or arguments contradict each other. The message
            names the value and the way out.
    """

    groups: tuple[str, ...] = attrs.field(converter=_groups)
    port: int = attrs.field(converter=_port)
    interfaces: tuple[InterfaceSelector, ...] | None = attrs.field(
        default=None, kw_only=True, converter=parse_selectors
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
    max_buffered: int = attrs.field(default=1024, kw_only=True, converter=_max_buffered)
    overflow: Overflow = attrs.field(default="wait", kw_only=True, converter=_overflow)
    receive_buffer_size: int | None = attrs.field(
        default=None, kw_only=True, converter=_receive_buffer_size
    )

    def __attrs_post_init__(self) -> None:
        if self.sources is not None and self.excluded_sources is not None:
            raise ValueError(
                "sources and excluded_sources contradict each other: give those to receive from, "
                "or those to leave out, not both"
            )
        if self.allow_missing and not self.follow_interfaces:
            raise ValueError(
                "allow_missing waits for interfaces to come, which needs follow_interfaces=True"
            )
        groups = self._parsed_groups()
        wishes = self._wishes()
        check_source_families(groups, wishes.sources, "sources")
        check_source_families(groups, wishes.excluded_sources, "excluded_sources")

    def _parsed_groups(self) -> tuple[Group, ...]:
        return tuple(parse_group(text) for text in self.groups)

    def _wishes(self) -> ReceiverWishes:
        return ReceiverWishes(
            port=self.port,
            sources=parse_sources(self.sources, "sources"),
            excluded_sources=parse_sources(self.excluded_sources, "excluded_sources"),
            accept_unicast=self.accept_unicast,
            loopback=self.loopback,
            receive_ttl=self.receive_ttl,
            receive_timestamp=self.receive_timestamp,
            receive_buffer_size=self.receive_buffer_size,
            receive_units=(self.overflow != "wait" or self.max_buffered >= _MIN_BUFFERED_FOR_UNITS),
        )

    def plan_memberships(
        self, interfaces: Sequence[Interface], platform: Platform
    ) -> tuple[MembershipPlan, ...]:
        """The sockets of `plan`, by membership."""
        return tuple(plan_request(self.request(0), (), interfaces, platform, tolerant=False))

    def request(self, number: int) -> Request:
        """The memberships that it asks for, as a request with this number."""
        return Request(number, self._parsed_groups(), self.interfaces, self._wishes())

    def plan(
        self, interfaces: Sequence[Interface], platform: PlatformName | None = None
    ) -> tuple[SocketSpec, ...]:
        """The sockets that `open` would open, with every option in order. Opens nothing.

        Args:
            interfaces: The interfaces that there are, as from `list_interfaces`.
            platform: ``"linux"``, ``"darwin"``, ``"freebsd"`` or ``"windows"``; `None` for the one
                this runs on.

        Raises:
            InterfaceNotFoundError: The spec names an interface that is not among them, or names
                none and none of them is up, multicast-capable and not loopback.
            AmbiguousInterfaceError: The spec names an address that two of them have.
            ValueError: Groups and interfaces do not go together, or the platform is unknown.
        """
        memberships = self.plan_memberships(interfaces, platform_named(platform))
        return tuple(socket for item in memberships for socket in item.sockets)

    def open(self) -> AbstractAsyncContextManager[McastReceiver]:
        """Open the receiver: ``async with spec.open() as receiver``; see `open_mcast_receiver`."""
        from ._open import open_receiver

        return open_receiver(self)


@attrs.frozen
class McastSenderSpec:
    """What a sender is to send to: the arguments of `open_mcast_sender`, checked and frozen.

    The fields are the arguments of `open_mcast_sender` under the same names; addresses are kept as
    text.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, or arguments contradict each other. The message
            names the value and the way out.
    """

    groups: tuple[str, ...] = attrs.field(converter=_groups)
    port: int = attrs.field(converter=_port)
    interfaces: tuple[InterfaceSelector, ...] | None = attrs.field(
        default=None, kw_only=True, converter=parse_selectors
    )
    ttl: int = attrs.field(default=1, kw_only=True, converter=_ttl)
    loopback: bool = _flag(True)
    traffic_class: int | None = attrs.field(default=None, kw_only=True, converter=_traffic_class)
    source_address: str | None = attrs.field(default=None, kw_only=True, converter=_source_address)
    source_port: int = attrs.field(default=0, kw_only=True, converter=_source_port)
    receive_replies: bool = _flag(False)
    send_buffer_size: int | None = attrs.field(
        default=None, kw_only=True, converter=_send_buffer_size
    )

    def __attrs_post_init__(self) -> None:
        check_source_address(self._parsed_groups(), self._wishes().source_address)

    def _parsed_groups(self) -> tuple[Group, ...]:
        return tuple(parse_group(text) for text in self.groups)

    def _wishes(self) -> SenderWishes:
        source = self.source_address
        return SenderWishes(
            ttl=self.ttl,
            loopback=self.loopback,
            traffic_class=self.traffic_class,
            source_address=None if source is None else parse_address(source, "source_address"),
            source_port=self.source_port,
            send_buffer_size=self.send_buffer_size,
            receive_replies=self.receive_replies,
        )

    def plan_targets(
        self,
        interfaces: Sequence[Interface],
        platform: Platform,
        route: Router = lambda group: None,
    ) -> SenderPlan:
        """The sockets of `plan`, and which group goes out through which."""
        groups = self._parsed_groups()
        return plan_sender(groups, self.interfaces, self._wishes(), interfaces, platform, route)

    def plan(
        self, interfaces: Sequence[Interface], platform: PlatformName | None = None
    ) -> tuple[SocketSpec, ...]:
        """The sockets that `open` would open, with every option in order. Opens nothing.

        Where the spec names no interface, `open` asks the system's routing; a plan cannot, and
        takes the only candidate.

        Args:
            interfaces: The interfaces that there are, as from `list_interfaces`.
            platform: ``"linux"``, ``"darwin"``, ``"freebsd"`` or ``"windows"``; `None` for the one
                this runs on.

        Raises:
            InterfaceNotFoundError: The spec names an interface that is not among them, or there is
                no candidate.
            AmbiguousInterfaceError: The spec names no interface and there are several candidates,
                or it names an address that two interfaces have.
            ValueError: Groups, interfaces and source address do not go together, or the platform
                is unknown.
        """
        return self.plan_targets(interfaces, platform_named(platform)).sockets

    def open(self) -> AbstractAsyncContextManager[McastSender]:
        """Open the sender: ``async with spec.open() as sender``; see `open_mcast_sender`."""
        from ._open import open_sender

        return open_sender(self)
