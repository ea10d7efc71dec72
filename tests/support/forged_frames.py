"""Frames with sources that no system would send from."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address

from tests.lab import Host

_FROM = bytes.fromhex("02000000007f")
_UDP = 17


@contextmanager
def forger(host: Host, interface: str = "eth0") -> Iterator[socket.socket]:
    """Open a socket that sends frames as they are."""
    if sys.platform != "linux":
        raise NotImplementedError("the lab is for Linux only")
    with host.inside():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sock:
        sock.bind((interface, 0))
        yield sock


def forged(
    source: str, source_port: int, group: str, port: int, data: bytes, *, wrong: bool = False
) -> bytes:
    """Make an Ethernet frame with a UDP datagram to a group, from whichever source.

    With ``wrong``, the checksum of the datagram is.
    """
    sender, receiver = ip_address(source), ip_address(group)
    udp = struct.pack("!HHHH", source_port, port, 8 + len(data), 0) + data
    pseudo = sender.packed + receiver.packed + struct.pack("!II", len(udp), _UDP)
    checksum = _checksum(pseudo + udp) or 0xFFFF
    if wrong:
        checksum = checksum ^ 0x1234 or 0xFFFF
    udp = udp[:6] + struct.pack("!H", checksum) + udp[8:]
    if isinstance(receiver, IPv6Address):
        header = struct.pack("!IHBB", 6 << 28, len(udp), _UDP, 1)
        return _ethernet(receiver, 0x86DD) + header + sender.packed + receiver.packed + udp
    header = struct.pack("!BBHIBB", 0x45, 0, 20 + len(udp), 0, 1, _UDP)
    addresses = sender.packed + receiver.packed
    of_header = struct.pack("!H", _checksum(header + bytes(2) + addresses))
    return _ethernet(receiver, 0x0800) + header + of_header + addresses + udp


def _ethernet(group: IPv4Address | IPv6Address, kind: int) -> bytes:
    """Make the header of a frame to a group (RFC 1112 and RFC 2464)."""
    if group.version == 6:
        to = b"\x33\x33" + group.packed[-4:]
    else:
        to = b"\x01\x00\x5e" + bytes([group.packed[1] & 0x7F]) + group.packed[2:]
    return to + _FROM + struct.pack("!H", kind)


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
