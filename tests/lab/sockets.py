"""Plain sockets in lab hosts, with which the lab itself is tested: no library in between."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from . import Host

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

PORT = 5000
# linux/in.h
MCAST_JOIN_GROUP = 42
MCAST_BLOCK_SOURCE = 43
MCAST_JOIN_SOURCE_GROUP = 46
# linux/if_ether.h
ETH_P_ALL = 3
# linux/sockios.h
SIOCGIFINDEX = 0x8933


def is_ipv6(address: str) -> bool:
    return ipaddress.ip_address(address).version == 6


def socket_address(address: str, port: int = 0) -> bytes:
    """Return a sockaddr_storage."""
    if is_ipv6(address):
        packed = socket.inet_pton(socket.AF_INET6, address)
        return struct.pack("=HHI16sI100x", socket.AF_INET6, socket.htons(port), 0, packed, 0)
    packed = socket.inet_pton(socket.AF_INET, address)
    return struct.pack("=HH4s120x", socket.AF_INET, socket.htons(port), packed)


def join(
    sock: socket.socket, option: int, index: int, group: str, source: str | None = None
) -> None:
    """Set one of the MCAST_* options of RFC 3678."""
    level = socket.IPPROTO_IPV6 if is_ipv6(group) else socket.IPPROTO_IP
    value = struct.pack("=I4x", index) + socket_address(group)
    if source is not None:
        value += socket_address(source)
    sock.setsockopt(level, option, value)


class Sockets:
    """Opens sockets in hosts, and closes them all in the end."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def plain(self, host: Host, group: str) -> socket.socket:
        """Open a UDP socket of the group's family."""
        family = socket.AF_INET6 if is_ipv6(group) else socket.AF_INET
        with host.inside():
            sock = self._stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        sock.settimeout(5)
        return sock

    def receiver(self, host: Host, group: str, interface: str = "eth0") -> socket.socket:
        """Open a socket that has joined a group."""
        sock = self.plain(host, group)
        sock.bind((group, PORT))
        join(sock, MCAST_JOIN_GROUP, host.index(interface), group)
        return sock

    def sender(self, host: Host, group: str, ttl: int = 1) -> socket.socket:
        """Open a socket that sends to a group on eth0."""
        sock = self.plain(host, group)
        index = host.index("eth0")
        if is_ipv6(group):
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
        else:
            request = struct.pack("=4s4sI", bytes(4), bytes(4), index)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
        return sock

    def sniffer(self, host: Host) -> socket.socket:
        """Open a socket that gets every frame which arrives at eth0, wanted or not."""
        with host.inside():
            sock = self._stack.enter_context(
                socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            )
            sock.bind(("eth0", ETH_P_ALL))
        sock.settimeout(5)
        return sock


def frames_before(sniffer: socket.socket, marker: bytes) -> list[bytes]:
    """Return the frames which arrive before the one that ends with the marker."""
    frames: list[bytes] = []
    while True:
        frame = sniffer.recv(65536)
        if frame.endswith(marker):
            return frames
        frames.append(frame)


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    """Give something that opens sockets."""
    with ExitStack() as stack:
        yield Sockets(stack)
