"""`McastChannelSpec`: the arguments of opening a channel, as a checked, frozen value."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs
import trio

from .._channel.channel import McastChannel
from .._channel.opening import open_channel
from .._channel.unicast import request_for
from .._live import Opening, serve_until_closed
from .._plan.sender import plan_sender
from .._plan.socket_spec import SocketSpec
from .._platform.current import platform_named
from .._platform.model import PlatformName
from .._values.addresses import AddressLike
from .._values.interface import ALL_INTERFACES, Interface
from .receiver import McastReceiverSpec
from .sender import McastSenderSpec


def _address_like(value: AddressLike | None) -> Any:
    """Return the value as it is, which the spec of the sending checks."""
    return value


@attrs.frozen
class McastChannelSpec(McastReceiverSpec):
    """The arguments of `open_mcast_channel`, checked and frozen.

    The fields are the arguments of `open_mcast_channel` under the same names; addresses are kept as
    text.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, or arguments contradict each other. The message
            names the value and the way out.
    """

    ttl: int = attrs.field(default=1, kw_only=True)
    unicast_ttl: int | None = attrs.field(default=None, kw_only=True)
    traffic_class: int | None = attrs.field(default=None, kw_only=True)
    source_address: str | None = attrs.field(default=None, kw_only=True, converter=_address_like)
    send_buffer_size: int | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        (sending, *_) = self._sending()  # Which checks what is for sending.
        object.__setattr__(self, "source_address", sending.source_address)

    def _sending(self) -> list[McastSenderSpec]:
        """Return a sender's spec for each port."""
        return [
            McastSenderSpec(
                self.groups,
                port,
                interfaces=ALL_INTERFACES if self.interfaces is None else self.interfaces,
                allow_missing=self.allow_missing,
                ttl=self.ttl,
                unicast_ttl=self.unicast_ttl,
                loopback=self.loopback,
                traffic_class=self.traffic_class,
                source_address=self.source_address,
                source_port=port,
                send_buffer_size=self.send_buffer_size,
            )
            for port in self._request.ports
        ]

    def plan(
        self, interfaces: Sequence[Interface], platform: PlatformName | None = None
    ) -> tuple[SocketSpec, ...]:
        """Return the sockets that `open` would open, with every option in order. Opens nothing.

        Those to receive come first, then those to send.

        Args:
            interfaces: The interfaces that there are, as from `list_interfaces`.
            platform: ``"linux"``, ``"darwin"``, ``"freebsd"`` or ``"windows"``; `None` for the
                current one.

        Raises:
            InterfaceNotFoundError: As for `McastReceiverSpec.plan` and `McastSenderSpec.plan`;
                likewise the other errors.
        """
        planned, machine = super().plan(interfaces, platform), platform_named(platform)
        for spec in self._sending():
            request = request_for(spec._request, self._request, machine)
            planned += plan_sender(request, interfaces, machine).sockets
        return planned

    def open(self) -> AbstractAsyncContextManager[McastChannel]:
        """Open the channel: ``async with spec.open() as channel``; see `open_mcast_channel`."""
        return self._open("spec.open() as channel")

    async def serve(
        self, *, task_status: trio.TaskStatus[McastChannel] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Open the channel in a nursery: ``channel = await nursery.start(spec.serve)``.

        As `McastReceiverSpec.serve` does it.

        Args:
            task_status: Given by `trio.Nursery.start`, which returns the channel.

        Raises:
            McastError: The opening was refused, as by `open_mcast_channel`. It comes out of
                ``start()`` as itself; nothing stays open then.

        Cancellation:
            When the nursery is cancelled, the channel is closed.
        """
        await serve_until_closed(self.open(), task_status)

    def _open(self, usage: str) -> Opening[McastChannel]:
        block = open_channel(
            self._request,
            [spec._request for spec in self._sending()],
            follow_interfaces=self.follow_interfaces,
            allow_missing=self.allow_missing,
            max_buffered=self.max_buffered,
            overflow=self.overflow,
        )
        return Opening(block, usage)
