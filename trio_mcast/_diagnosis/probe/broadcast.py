"""Broadcast, which no group is: sockets of its own, on the real machine only."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Interface
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


def broadcast_address(interface: Interface) -> IPv4Interface | None:
    """Return the first address of an interface whose network has a broadcast address."""
    for address in interface.ipv4_addresses:
        if not interface.is_loopback and address.network.prefixlen <= _LONGEST_PREFIX:
            return address
    return None


def open_to_receive(interfaces: Iterable[Interface], port: int) -> list[trio.socket.SocketType]:
    """Return a socket for each broadcast address of the interfaces; those refused are left out."""
    addresses = {
        str(address.network.broadcast_address)
        for address in map(broadcast_address, interfaces)
        if address is not None
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
