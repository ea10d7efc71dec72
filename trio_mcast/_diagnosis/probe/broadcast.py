"""Broadcast, which no group is: sockets of its own, on the real machine only."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Interface, ip_address
from typing import Final

import trio

from ..._host.current import current_host
from ..._host.system import SystemHost
from ..._values.interface import Interface

# Of a network with a longer prefix, no address is for broadcast (RFC 3021).
_LONGEST_PREFIX: Final = 30


def can_broadcast() -> bool:
    """Tell whether this task's machine is a real one, in this thread's network namespace."""
    return type(current_host()) is SystemHost


def broadcast_addresses(interface: Interface) -> list[IPv4Interface]:
    """Return the addresses of an interface whose networks have a broadcast address."""
    return [
        address
        for address in interface.ipv4_addresses
        if not interface.is_loopback and address.network.prefixlen <= _LONGEST_PREFIX
    ]


def broadcast_address(interface: Interface, near: str) -> IPv4Interface | None:
    """Return the address of an interface to send broadcast from; `None` if there is none.

    Args:
        interface: The interface.
        near: An address of the other machine: if it is in the network of one of the addresses,
            then that one; else the first.
    """
    addresses = broadcast_addresses(interface)
    other = ip_address(near.partition("%")[0])
    in_network = [address for address in addresses if other in address.network]
    return next(iter(in_network or addresses), None)


def open_to_receive(interfaces: Iterable[Interface], port: int) -> list[trio.socket.SocketType]:
    """Return a socket for each broadcast address of the interfaces; those refused are left out."""
    addresses = {
        str(address.network.broadcast_address)
        for interface in interfaces
        for address in broadcast_addresses(interface)
    }
    sockets = []
    for address in sorted(addresses):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Bound to this address, the socket takes nothing from other programs on the port.
            sock.bind((address, port))
        except OSError:
            sock.close()
            continue
        sockets.append(trio.socket.from_stdlib_socket(sock))
    return sockets


def open_to_send(address: IPv4Interface) -> trio.socket.SocketType:
    """Return a socket that sends broadcast from an address.

    Raises:
        OSError: The system refuses it.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind((str(address.ip), 0))
    except OSError:
        sock.close()
        raise
    return trio.socket.from_stdlib_socket(sock)
