"""`McastReceiverSpec`: the arguments of opening a receiver, as a checked, frozen value."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias, cast

import attrs
import trio

from .._live import Opening, serve_until_closed
from .._plan.receiver import plan_request
from .._plan.selecting import parse_selectors
from .._plan.socket_spec import SocketSpec
from .._plan.wanted import ReceiveRequest, check_sources
from .._platform.current import platform_named
from .._platform.model import PlatformName
from .._receive.opening import open_receiver
from .._receive.receiver import McastReceiver
from .._receive.store import Overflow
from .._values.addresses import Group, IPAddress
from .._values.interface import ALL_INTERFACES, Interface, ParsedSelectors, show_selectors
from . import fields
from .requests import Requests, as_texts, keep

# A unit of datagrams (UDP_GRO) can only be read as a whole, so a queue that does not drop may
# exceed its bound by up to 127 datagrams. With a bound less than some multiple of that, the bound
# counts for more than speed.
_MIN_BUFFERED_FOR_UNITS = 1024

_Parsed: TypeAlias = tuple[
    tuple[Group, ...], "tuple[IPAddress, ...] | None", "tuple[IPAddress, ...] | None"
]


@attrs.frozen
class McastReceiverSpec(Requests[ReceiveRequest]):
    """The arguments of `open_mcast_receiver`, checked and frozen.

    Useful to keep a configuration, to look at its `plan`, and to `open` it later, as often as
    wanted. The fields are the arguments of `open_mcast_receiver` under the same names; addresses
    are kept as text.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, or arguments contradict each other. The message
            names the value and the way out.
    """

    groups: tuple[str, ...] = attrs.field(converter=fields.groups_or_none)
    port: int | tuple[int, ...] = attrs.field(converter=fields.ports)
    interfaces: ParsedSelectors = attrs.field(
        default=None, kw_only=True, converter=parse_selectors, repr=show_selectors
    )
    sources: tuple[str, ...] | None = attrs.field(
        default=None, kw_only=True, converter=fields.sources
    )
    excluded_sources: tuple[str, ...] | None = attrs.field(
        default=None, kw_only=True, converter=fields.excluded_sources
    )
    accept_unicast: bool = fields.flag(False)
    loopback: bool = fields.flag(True)
    follow_interfaces: bool = fields.flag(True)
    allow_missing: bool = fields.flag(False)
    receive_ttl: bool = fields.flag(False)
    receive_timestamp: bool = fields.flag(False)
    receive_traffic_class: bool = fields.flag(False)
    max_buffered: int = attrs.field(default=1024, kw_only=True, converter=fields.max_buffered)
    overflow: Overflow = attrs.field(default="wait", kw_only=True, converter=fields.overflow)
    receive_buffer_size: int | None = attrs.field(
        default=None, kw_only=True, converter=fields.receive_buffer_size
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
            (self.port,) if isinstance(self.port, int) else self.port,
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
        keep(self, "_request", request)
        keep(self, "groups", as_texts(groups))
        keep(self, "sources", as_texts(sources))
        keep(self, "excluded_sources", as_texts(excluded))

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
