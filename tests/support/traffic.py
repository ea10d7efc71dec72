"""Traffic in the lab: receivers and senders on its hosts, and plain sockets as other programs.

To show that something is *not* delivered, a test does two things. Another program on the same host,
which did ask for it, gets it. Then markers are sent, which are delivered, with nothing before them.
"""

from __future__ import annotations

import ipaddress
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
import trio

from tests.lab import Host, Subscription, Switch
from tests.lab.fixtures import TwoHosts, TwoLans
from tests.lab.machine import on
from trio_mcast import (
    Datagram,
    McastReceiver,
    McastSender,
    Membership,
    SocketSetupError,
    open_mcast_receiver,
    open_mcast_sender,
)

Family = Literal["ipv4", "ipv6"]
Network = TwoHosts | TwoLans

# Every test has namespaces of its own, so a fixed port collides with nothing.
PORT = 5000
MARKER = b"marker "
TIMEOUT_SECONDS = 5
BOTH = ["eth0", "eth1"]

_marker_numbers = itertools.count()

EACH_FAMILY: tuple[Family, ...] = ("ipv4", "ipv6")
FAMILIES = pytest.mark.parametrize("family", EACH_FAMILY)
# One for each way in which the kernel treats groups: IPv4 link-local, IPv4, and three IPv6 scopes.
GROUPS = ["224.0.0.77", "239.1.2.1", "ff02::1:2:1", "ff05::1:2:1", "ff0e::1:2:1"]
EVERY_GROUP = pytest.mark.parametrize("group", GROUPS)


def group_of(family: Family, number: int = 1) -> str:
    return f"239.1.2.{number}" if family == "ipv4" else f"ff05::1:2:{number:x}"


def address_of(family: Family, host_number: int, lan: int = 1) -> str:
    """Return the address that the lab's fixtures give to the first or second host on a LAN."""
    if family == "ipv4":
        return f"10.0.{lan}.{host_number}"
    return f"fd00:{lan}::{host_number:x}"


def with_prefix(addresses: Iterable[str]) -> list[str]:
    return [f"{address}/64" if ":" in address else f"{address}/24" for address in addresses]


def family_of(address: str) -> Family:
    return "ipv6" if ":" in address else "ipv4"


def add_sources(host: Host, family: Family, count: int, lan: int = 1) -> list[str]:
    """Give a host more addresses on a LAN, to send from."""
    addresses = [address_of(family, number, lan) for number in range(21, 21 + count)]
    host.address(BOTH[lan - 1], add=with_prefix(addresses))
    return addresses


# --- The library on a lab host ---------------------------------------------------------------


@asynccontextmanager
async def receiver_on(
    network: Network,
    host: Host,
    groups: str | Iterable[str],
    *,
    port: int = PORT,
    **options: Any,
) -> AsyncIterator[McastReceiver]:
    """Open a receiver on a host, about whose memberships the switches know already."""
    with on(host):
        async with open_mcast_receiver(groups, port, **options) as receiver:
            for membership in receiver.memberships:
                if membership.state == "joined":
                    await _announced(_switch(network, membership), host, membership)
            yield receiver


@asynccontextmanager
async def sender_on(
    host: Host, groups: str | Iterable[str], **options: Any
) -> AsyncIterator[McastSender]:
    """Open a sender on a host."""
    with on(host):
        async with open_mcast_sender(groups, PORT, **options) as sender:
            yield sender


def _switch(network: Network, membership: Membership) -> Switch | None:
    if membership.interface.is_loopback:
        return None
    if isinstance(network, TwoHosts):
        return network.lan
    return {"eth0": network.lan1, "eth1": network.lan2}[membership.interface.name]


async def _announced(switch: Switch | None, host: Host, membership: Membership) -> None:
    """Return when the switch forwards the membership's datagrams to the host."""
    # Switches send 224.0.0.x everywhere (RFC 4541 section 2.1.2), and know nothing of unicast.
    if switch is None or (membership.group or "224.0.0.").startswith("224.0.0."):
        return

    def satisfies(subscription: Subscription) -> bool:
        return (subscription.group, subscription.host, subscription.interface) == (
            membership.group,
            host.name,
            membership.interface.name,
        ) and (
            subscription.filter_mode == "exclude" or set(membership.sources) <= subscription.sources
        )

    await switch.wait_for_async(lambda subscriptions: any(map(satisfies, subscriptions)))


async def delivered(
    receiver: McastReceiver, marking: McastSender, *, port: int = PORT
) -> list[Datagram]:
    """Return what the receiver gives before the markers that are now sent to its groups.

    Markers that were sent for other receivers are left out.
    """
    marker = MARKER + b"%d" % next(_marker_numbers)
    missing = {
        (membership.group, membership.interface.name)
        for membership in receiver.memberships
        if membership.group is not None and membership.state == "joined"
    }
    datagrams = []
    for group in dict.fromkeys(group for group, _ in missing):
        await marking.send(marker, to=(group, port))
    while missing:
        datagram = await receive(receiver)
        if datagram.data == marker:
            missing.remove((str(datagram.group), datagram.interface.name))
        elif not datagram.data.startswith(MARKER):
            datagrams.append(datagram)
    return datagrams


def places(datagrams: Iterable[Datagram]) -> list[tuple[str, str, bytes]]:
    """Return group, interface and payload of each, in an order in which they can be compared."""
    return sorted(
        (str(datagram.group), datagram.interface.name, datagram.data) for datagram in datagrams
    )


def refusals_in(error: BaseException) -> list[SocketSetupError]:
    """Return what is in the group that is raised where nothing could be sent anywhere."""
    assert type(error).__name__ == "ExceptionGroup"
    refusals: list[SocketSetupError] = getattr(error, "exceptions", None) or []
    assert all(isinstance(refusal, SocketSetupError) for refusal in refusals)
    return list(refusals)


async def receive(receiver: McastReceiver) -> Datagram:
    with trio.fail_after(TIMEOUT_SECONDS):
        return await receiver.receive()


# --- Plain sockets -----------------------------------------------------------------------------


def plain_socket(host: Host, family: Family, address: str = "", port: int = 0) -> socket.socket:
    """Open a UDP socket that shares its port, bound to the wildcard address by default."""
    number = socket.AF_INET6 if family == "ipv6" else socket.AF_INET
    with host.inside():
        sock = socket.socket(number, socket.SOCK_DGRAM)
        sock.settimeout(TIMEOUT_SECONDS)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == "ipv6":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
    return sock


def member(host: Host, group: str, *interfaces: str) -> socket.socket:
    """Open the socket of another program, which has joined the group in the usual naive way."""
    sock = plain_socket(host, family_of(group), port=PORT)
    packed = ipaddress.ip_address(group).packed
    for interface in interfaces:
        index = host.index(interface)
        if family_of(group) == "ipv6":
            request = struct.pack("=16sI", packed, index)  # struct ipv6_mreq
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        else:
            request = struct.pack("=4s4xi", packed, index)  # struct ip_mreqn
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    return sock


def plain_sender(host: Host, group: str, interface: str, address: str = "") -> socket.socket:
    """Open the socket of another program, which sends to groups on an interface."""
    sock = plain_socket(host, family_of(group), address)
    index = host.index(interface)
    if family_of(group) == "ipv6":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=8xi", index))
    return sock


def await_payload(sock: socket.socket, *payloads: bytes) -> None:
    """Read until each of these payloads has come; others are passed over."""
    missing = set(payloads)
    while missing:
        missing.discard(sock.recv(65_536))
