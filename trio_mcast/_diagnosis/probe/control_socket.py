"""The control port of one end: unicast, and the groups that every switch floods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Final

import trio

from ..._channel.channel import McastChannel
from ..._host.current import current_host
from ..._specs.channel import McastChannelSpec
from ..._values.addresses import Endpoint
from ..._values.datagram import Datagram
from ..._values.errors import McastError
from ..._values.interface import Interface

# Groups that reach every machine of a network, whatever the switches know: 224.0.0.254 is for
# experiments (RFC 4727, 2.4.2), and switches flood 224.0.0.x (RFC 4541, 2.1.2); of ff02::, switches
# that snoop flood ff02::1 only (measured: not ff02::114, which is for experiments).
LOCAL_GROUPS: Final = {4: "224.0.0.254", 6: "ff02::1"}

UNICAST_TTL: Final = 64
"""The ttl of all unicast of both ends: what is missing of it on arrival are the routers."""

Take = Callable[[McastChannel, Datagram], Awaitable[None]]


class ControlSocket:
    """The control port on every interface, followed as they come and go, and on loopback.

    Args:
        port: The port.
        take: Called for each datagram, with the channel to answer by.
    """

    def __init__(self, port: int, take: Take) -> None:
        self._port = port
        self._take = take
        self._channel: McastChannel | None = None
        self._on_loopback: McastChannel | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled.

        Raises:
            McastError: No interface can have the port.
        """
        refusal: McastError | None = None
        async with trio.open_nursery() as nursery:
            try:
                self._channel = await nursery.start(self._spec(None).serve)
            except McastError as error:
                refusal = error
            loopback = [one for one in current_host().list_interfaces() if _is_loopback(one)]
            try:
                if loopback:
                    self._on_loopback = await nursery.start(self._spec(loopback).serve)
            except McastError as error:
                refusal = refusal or error
            channels = [one for one in (self._channel, self._on_loopback) if one is not None]
            if channels:
                for channel in channels:
                    nursery.start_soon(self._read, channel)
                task_status.started()
        if refusal is not None:
            raise refusal

    def _spec(self, interfaces: list[Interface] | None) -> McastChannelSpec:
        return McastChannelSpec(
            tuple(LOCAL_GROUPS.values()),
            self._port,
            interfaces=interfaces,
            accept_unicast=True,
            receive_ttl=True,
            unicast_ttl=UNICAST_TTL,
        )

    async def _read(self, channel: McastChannel) -> None:
        async for datagram in channel:
            await self._take(channel, datagram)

    async def send(self, data: bytes, to: Endpoint) -> None:
        """Send a datagram to one address.

        Raises:
            McastError: The system refuses it.
            ValueError: No interface leads there.
        """
        is_loopback = ip_address(to.host.partition("%")[0]).is_loopback
        first, second = self._channel, self._on_loopback
        channel = (second or first) if is_loopback else (first or second)
        assert channel is not None, "the control port is not open"
        await channel.send(data, to=to)


def _is_loopback(interface: Interface) -> bool:
    return interface.is_loopback and interface.is_up
