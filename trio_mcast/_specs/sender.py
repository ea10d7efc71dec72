"""`McastSenderSpec`: the arguments of opening a sender, as a checked, frozen value."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import cast

import attrs
import trio

from .._live import Opening, serve_until_closed
from .._plan.selecting import parse_selectors
from .._plan.sender import plan_sender
from .._plan.socket_spec import SocketSpec
from .._plan.wanted import SendRequest, check_source_address
from .._platform.current import platform_named
from .._platform.model import PlatformName
from .._send.opening import open_sender
from .._send.sender import McastSender
from .._send.transmitter import SenderOverflow
from .._values.addresses import Group, IPAddress
from .._values.interface import Interface, ParsedSelectors, show_selectors
from . import fields
from .requests import Requests, as_texts, keep


@attrs.frozen
class McastSenderSpec(Requests[SendRequest]):
    """The arguments of `open_mcast_sender`, checked and frozen.

    The fields are the arguments of `open_mcast_sender` under the same names; addresses are kept as
    text.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, or arguments contradict each other. The message
            names the value and the way out.
    """

    groups: tuple[str, ...] = attrs.field(converter=fields.groups)
    port: int = attrs.field(converter=fields.port)
    interfaces: ParsedSelectors = attrs.field(
        default=None, kw_only=True, converter=parse_selectors, repr=show_selectors
    )
    allow_missing: bool = fields.flag(False)
    ttl: int = attrs.field(default=1, kw_only=True, converter=fields.ttl)
    unicast_ttl: int | None = attrs.field(default=None, kw_only=True, converter=fields.unicast_ttl)
    loopback: bool = fields.flag(True)
    traffic_class: int | None = attrs.field(
        default=None, kw_only=True, converter=fields.traffic_class
    )
    source_address: str | None = attrs.field(
        default=None, kw_only=True, converter=fields.source_address
    )
    source_port: int = attrs.field(default=0, kw_only=True, converter=fields.source_port)
    receive_replies: bool = fields.flag(False)
    receive_ttl: bool = fields.flag(False)
    receive_timestamp: bool = fields.flag(False)
    receive_traffic_class: bool = fields.flag(False)
    overflow: SenderOverflow = attrs.field(
        default="wait", kw_only=True, converter=fields.sender_overflow
    )
    send_buffer_size: int | None = attrs.field(
        default=None, kw_only=True, converter=fields.send_buffer_size
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
        keep(self, "_request", request)
        keep(self, "groups", as_texts(groups))
        keep(self, "source_address", None if source_address is None else str(source_address))

    def plan(
        self, interfaces: Sequence[Interface], platform: PlatformName | None = None
    ) -> tuple[SocketSpec, ...]:
        """Return the sockets that `open` would open, with every option in order. Opens nothing.

        Where the spec names no interface, `open` asks the system's routing; a plan cannot, and
        takes the only candidate. An interface without an address of the family is left out; with
        ``allow_missing``, whatever is missing is.

        Args:
            interfaces: The interfaces that there are, as from `list_interfaces`.
            platform: ``"linux"``, ``"darwin"``, ``"freebsd"`` or ``"windows"``; `None` for the
                current one.

        Raises:
            InterfaceNotFoundError: The spec names an interface that is not among ``interfaces``, or
                there is no candidate.
            AmbiguousInterfaceError: The spec names no interface and there are several candidates,
                or it names an address that two interfaces have.
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
