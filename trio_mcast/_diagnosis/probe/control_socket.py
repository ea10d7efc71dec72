"""The control port of one end: unicast, and the groups that every switch floods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

import trio

from ..._channel.channel import McastChannel
from ..._host.current import current_host
from ..._specs.channel import McastChannelSpec
from ..._specs.receiver import McastReceiverSpec
from ..._values.addresses import Endpoint
from ..._values.datagram import Datagram
from ..._values.errors import McastError
from ..._values.interface import Interface

# Groups that reach every machine of a network, whatever the switches know: 224.0.0.254 is for
# experiments (RFC 4727, 2.4.2), and switches flood 224.0.0.x (RFC 4541, 2.1.2); of ff02::, switches
# that snoop flood ff02::1 only (measured: not ff02::114, which is for experiments).
LOCAL_GROUPS: Final = {4: "224.0.0.254", 6: "ff02::1"}

# What the sockets for unicast are opened with: their source addresses are fit for a router, unlike
# those for ff02::1. Both are for experiments (RFC 4727).
_GROUPS: Final = ("224.0.0.254", "ff05::114")

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
                    nursery.start_soon(self._read_local, channel)
                task_status.started()
        if refusal is not None:
            raise refusal

    def _spec(self, interfaces: list[Interface] | None) -> McastChannelSpec:
        return McastChannelSpec(
            _GROUPS,
            self._port,
            interfaces=interfaces,
            accept_unicast=True,
            receive_ttl=True,
            unicast_ttl=UNICAST_TTL,
        )

    async def _read(self, channel: McastChannel) -> None:
        async for datagram in channel:
            await self._take(channel, datagram)

    async def _read_local(self, channel: McastChannel) -> None:
        interfaces = None if channel is self._channel else list(channel.interfaces)
        spec = McastReceiverSpec(
            LOCAL_GROUPS[6], self._port, interfaces=interfaces, receive_ttl=True
        )
        with suppress(McastError):  # There is no IPv6 here.
            async with spec.open() as receiver:
                async for datagram in receiver:
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
        asked = self._asked_by(channel, to)
        if asked is None:
            await channel.send(data, to=to)
        else:
            await channel.answer(asked, data)

    def _asked_by(self, channel: McastChannel, to: Endpoint) -> Datagram | None:
        """Return a question to the address to send from; `None` if it is the channel's own choice.

        The channel sends from the first address of an interface. The other machine may be in the
        network of another one, and have no way back to the first.
        """
        other = ip_address(to.host.partition("%")[0])
        for interface in channel.interfaces:
            addresses = interface.ipv4_addresses if other.version == 4 else ()
            for address in addresses[1:]:
                if other in address.network and other not in addresses[0].network:
                    own = Endpoint(str(address.ip), self._port)
                    return Datagram(b"", to, None, interface, destination=own)
        return None


def _is_loopback(interface: Interface) -> bool:
    return interface.is_loopback and interface.is_up
