"""Virtual hosts on a LAN, and sockets on them by handwritten plans.

Such a plan is one that a program would make which knows nothing of this library's planner.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from ipaddress import ip_address

import attrs
import trio
import trio.testing

from trio_mcast import (
    Datagram,
    DatagramReceiver,
    McastReceiver,
    McastSender,
    SocketOption,
    SocketSpec,
    open_mcast_receiver,
    open_mcast_sender,
)
from trio_mcast._host.protocols import McastSocket
from trio_mcast._plan.socket_spec import bind_address
from trio_mcast._platform import options as layout
from trio_mcast._values.addresses import Family, family_of
from trio_mcast.testing import VirtualHost, VirtualNetwork, VirtualSwitch

PLATFORMS = ("linux", "darwin", "freebsd", "windows")
GROUP4, GROUP6, PORT = "239.1.2.3", "ff05::1234", 5000


@attrs.frozen
class Lan:
    """A network with two hosts on one switch."""

    network: VirtualNetwork
    switch: VirtualSwitch
    a: VirtualHost
    b: VirtualHost

    def events(self, what: str, where: str | None = None) -> list[str]:
        """Return the payloads, else the destinations, of the events of one kind."""
        return [
            str(event.destination) if event.data is None else event.data.decode()
            for event in self.network.trace
            if event.what == what and where in (None, event.where)
        ]


@asynccontextmanager
async def two_on_lan(
    platform: str = "linux", *, seed: int = 0, **settings: object
) -> AsyncIterator[Lan]:
    """Open a network with Linux host a and, on the platform asked for, host b."""
    async with VirtualNetwork(seed=seed) as network:
        lan = network.switch("lan", **settings)  # type: ignore[arg-type]  # As the test says.
        a = network.host("a")
        b = network.host("b", platform=platform)  # type: ignore[arg-type]
        a.plug("eth0", lan, "10.0.0.1/24", "fd00::1/64", "fe80::1/64")
        b.plug("eth0", lan, "10.0.0.2/24", "fd00::2/64", "fe80::2/64")
        yield Lan(network, lan, a, b)


def add_second_lan(lan: Lan) -> None:
    """Connect both hosts by another switch, as eth1."""
    other = lan.network.switch("lan1")
    lan.a.plug("eth1", other, "10.0.1.1/24", "fd00:1::1/64")
    lan.b.plug("eth1", other, "10.0.1.2/24", "fd00:1::2/64")


def option(host: VirtualHost, symbol: str, value: int | bytes, family: Family) -> SocketOption:
    return layout.option(host.platform, symbol, value, "as the test says", family=family)


def group_option(
    host: VirtualHost,
    symbol: str,
    index: int,
    group: str,
    source: str | None = None,
) -> SocketOption:
    address = ip_address(group)
    if source is None:
        value = layout.group_req(host.platform, index, address)
    else:
        value = layout.group_source_req(host.platform, index, address, ip_address(source))
    return option(host, symbol, value, family_of(address))


def joining(host: VirtualHost, index: int, group: str, *sources: str) -> list[SocketOption]:
    if not sources:
        return [group_option(host, "MCAST_JOIN_GROUP", index, group)]
    return [
        group_option(host, "MCAST_JOIN_SOURCE_GROUP", index, group, source) for source in sources
    ]


def blocking(host: VirtualHost, index: int, group: str, *sources: str) -> list[SocketOption]:
    return [group_option(host, "MCAST_BLOCK_SOURCE", index, group, source) for source in sources]


def open_plain(
    host: VirtualHost,
    bind: str,
    *options: SocketOption | Iterable[SocketOption],
    port: int = PORT,
    shared: bool = True,
    scope_id: int = 0,
    interface: str | None = None,
) -> McastSocket:
    """Open a handwritten plan: nothing is set but what the test says and what shares the port."""
    address = ip_address(bind)
    family = family_of(address)
    plan: list[SocketOption] = []
    if shared:
        plan += [option(host, symbol, 1, family) for symbol in host.platform.port_sharing]
    for one_or_some in options:
        plan += [one_or_some] if isinstance(one_or_some, SocketOption) else list(one_or_some)
    if not host.platform.joins_before_bind:
        plan = [attrs.evolve(each, after_bind=each.symbol.startswith("MCAST_")) for each in plan]
    by_name = {each.name: each for each in host.list_interfaces()}
    where = by_name.get(interface or "eth0", next(iter(by_name.values())))
    where_bound = bind_address(address, port, scope_id)
    return host.open_socket(SocketSpec(family, where, None, (), where_bound, tuple(plan)))


def send_from(host: VirtualHost, group: str, data: bytes, *, interface: str = "eth0") -> None:
    """Send one datagram from an address of an interface, with ttl 1."""
    family = family_of(ip_address(group))
    (outgoing,) = (each for each in host.list_interfaces() if each.name == interface)
    out = layout.multicast_interface(host.platform, family, outgoing.index)
    sender = open_plain(host, str(outgoing.addresses(family)[0]), out, port=0)
    sender.send(data, bind_address(ip_address(group), PORT, outgoing.index))
    sender.close()


def payloads(socket: McastSocket) -> list[bytes]:
    return [datagram.data for datagram in socket.receive(1000)]


@asynccontextmanager
async def receiving(
    host: VirtualHost, groups: str | Iterable[str] = GROUP4, **arguments: object
) -> AsyncIterator[McastReceiver]:
    with host:
        async with open_mcast_receiver(groups, PORT, **arguments) as receiver:  # type: ignore[arg-type]
            yield receiver


@asynccontextmanager
async def sending(
    host: VirtualHost, groups: str | Iterable[str] = GROUP4, **arguments: object
) -> AsyncIterator[McastSender]:
    with host:
        async with open_mcast_sender(groups, PORT, **arguments) as sender:  # type: ignore[arg-type]
            yield sender


async def drain(receiver: DatagramReceiver) -> list[Datagram]:
    """Return all that a receiver has, once everything that has arrived is read."""
    await trio.testing.wait_all_tasks_blocked()
    datagrams = []
    try:
        while True:
            datagrams.append(receiver.receive_nowait())
    except trio.WouldBlock:
        return datagrams
