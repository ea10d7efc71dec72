"""Flags, MTU and link address of Linux interfaces.

By ioctls on a socket, which see the same network namespace as the calling thread does (``/sys``
does not follow a thread).
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
from typing import TYPE_CHECKING

from ._facts import InterfaceFacts

assert not TYPE_CHECKING or sys.platform == "linux"

# linux/sockios.h and linux/if.h: struct ifreq is a name of 16 bytes and a union of 24 (16 on
# 32-bit); 40 bytes serve both. The numbers are the same on every Linux architecture.
_SIOCGIFFLAGS = 0x8913
_SIOCGIFMTU = 0x8921
_SIOCGIFHWADDR = 0x8927
_IFREQ_BYTES = 40
_IFF_UP = 0x1
_IFF_LOOPBACK = 0x8
_IFF_MULTICAST = 0x1000
# linux/if_arp.h: hardware types whose address is six bytes of Ethernet.
_ARPHRD_ETHER = 1


def read_facts(query: socket.socket, name: str) -> InterfaceFacts:
    """What the system says of the interface of that name.

    Args:
        query: Any socket.
        name: The interface's name.

    Raises:
        OSError: There is none.
    """
    flags = int(struct.unpack_from("=H", _ask(query, _SIOCGIFFLAGS, name), 16)[0])
    return InterfaceFacts(
        link_address=_link_address(_ask(query, _SIOCGIFHWADDR, name)),
        mtu=int(struct.unpack_from("=i", _ask(query, _SIOCGIFMTU, name), 16)[0]),
        is_up=bool(flags & _IFF_UP),
        is_loopback=bool(flags & _IFF_LOOPBACK),
        is_multicast=bool(flags & _IFF_MULTICAST),
    )


def _ask(query: socket.socket, request: int, name: str) -> bytes:
    return fcntl.ioctl(query, request, struct.pack(f"{_IFREQ_BYTES}s", name.encode()))


def _link_address(answer: bytes) -> str | None:
    kind, packed = struct.unpack_from("=H6s", answer, 16)
    return packed.hex(":") if kind == _ARPHRD_ETHER else None
