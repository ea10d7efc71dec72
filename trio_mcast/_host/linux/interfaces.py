"""The interfaces of Linux, as rtnetlink(7) lists them.

Decision: not through ifaddr
============================

ifaddr asks getifaddrs(3), and takes each name for UTF-8. In Linux a name is any bytes but white
space, "/" and ":" (dev_valid_name in net/core/dev.c), and where one is no UTF-8, ifaddr raises
`UnicodeDecodeError`: an interface that nobody uses then ends whoever looks. Netlink, which
getifaddrs itself asks, gives the bytes. It also goes by index: a name that changes while the
interfaces are read takes nothing away, and the label of an address, such as "eth0:1", is not taken
for an interface. Like a socket, the list is that of the calling thread's network namespace.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface
from typing import TYPE_CHECKING, Final

from ..._values.interface import Interface

assert not TYPE_CHECKING or sys.platform == "linux"

# linux/netlink.h
_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_NLM_F_REQUEST: Final = 0x1
_NLM_F_DUMP: Final = 0x300
_NLM_F_DUMP_INTR: Final = 0x10
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
# linux/rtnetlink.h
_RTM_NEWLINK: Final = 16
_RTM_GETLINK: Final = 18
_RTM_NEWADDR: Final = 20
_RTM_GETADDR: Final = 22
# linux/if_link.h: struct ifinfomsg is family, hardware type, index, flags, changed flags.
_LINK: Final = struct.Struct("=BxHiII")
_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_OF_LINKS: Final = frozenset({_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU})
# linux/if_addr.h: struct ifaddrmsg is family, prefix length, flags, scope, index.
_ADDRESS: Final = struct.Struct("=BBBBI")
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2  # Where there is one, IFA_ADDRESS is the other end's.
_OF_ADDRESSES: Final = frozenset({_IFA_ADDRESS, _IFA_LOCAL})
# linux/if.h, and linux/if_arp.h: the hardware type whose address is six bytes of Ethernet.
_IFF_UP: Final = 0x1
_IFF_LOOPBACK: Final = 0x8
_IFF_MULTICAST: Final = 0x1000
_ARPHRD_ETHER: Final = 1

# The kernel fills answers of up to 32 KiB, when there is room for that (netlink_recvmsg).
_ANSWER_BYTES: Final = 65_536
# The kernel tells when something changed while it listed. Then it is asked again; the bound is for
# a machine on which something always does. It is arbitrary.
_ATTEMPTS: Final = 3


def read_linux_interfaces() -> list[Interface]:
    """Return every interface, also those that are down or have no address, by index.

    Raises:
        OSError: The system refuses to tell.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as query:
        for _ in range(_ATTEMPTS):
            links, links_whole = _dump(query, _RTM_GETLINK)
            addresses, addresses_whole = _dump(query, _RTM_GETADDR)
            if links_whole and addresses_whole:
                break
    ipv4: dict[int, list[IPv4Interface]] = {}
    ipv6: dict[int, list[IPv6Interface]] = {}
    for message in addresses:
        family, prefix, _flags, _scope, index = _ADDRESS.unpack_from(message)
        attributes = _attributes(message, _ADDRESS.size, _OF_ADDRESSES)
        packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
        if packed is not None and family == socket.AF_INET:
            ipv4.setdefault(index, []).append(IPv4Interface((packed, prefix)))
        elif packed is not None and family == socket.AF_INET6:
            ipv6.setdefault(index, []).append(IPv6Interface((packed, prefix)))
    interfaces = [_interface(message, ipv4, ipv6) for message in links]
    return sorted(interfaces, key=lambda interface: interface.index)


def _interface(
    message: bytes,
    ipv4: dict[int, list[IPv4Interface]],
    ipv6: dict[int, list[IPv6Interface]],
) -> Interface:
    _family, hardware, index, flags, _changed = _LINK.unpack_from(message)
    attributes = _attributes(message, _LINK.size, _OF_LINKS)
    name = os.fsdecode(attributes[_IFLA_IFNAME].partition(b"\0")[0])
    link_address = attributes.get(_IFLA_ADDRESS) if hardware == _ARPHRD_ETHER else None
    return Interface(
        name=name,
        index=index,
        description=name,
        ipv4_addresses=tuple(ipv4.get(index, ())),
        ipv6_addresses=tuple(ipv6.get(index, ())),
        link_address=None if link_address is None else link_address.hex(":"),
        mtu=int.from_bytes(attributes.get(_IFLA_MTU, b""), sys.byteorder),
        is_up=bool(flags & _IFF_UP),
        is_loopback=bool(flags & _IFF_LOOPBACK),
        is_multicast=bool(flags & _IFF_MULTICAST),
    )


def _dump(query: socket.socket, question: int) -> tuple[list[bytes], bool]:
    """Ask for a list; return its messages without headers, and whether nothing changed meanwhile.

    Raises:
        OSError: It is refused.
    """
    # With a struct rtgenmsg, which is the family, 0 for any, and three bytes of padding.
    size = _HEADER.size + 4
    query.send(_HEADER.pack(size, question, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0) + bytes(4))
    messages: list[bytes] = []
    whole = True
    while True:
        for kind, flags, message in _messages(query.recv(_ANSWER_BYTES)):
            whole = whole and not flags & _NLM_F_DUMP_INTR
            if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                # Both begin with a negative errno, or 0.
                number = -int.from_bytes(message[:4], sys.byteorder, signed=True)
                if number:
                    raise OSError(number, os.strerror(number))
                return messages, whole
            if kind in (_RTM_NEWLINK, _RTM_NEWADDR):
                messages.append(message)


def _messages(answer: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, flags and content of each message in an answer."""
    position = 0
    while position + _HEADER.size <= len(answer):
        size, kind, flags, _sequence, _port = _HEADER.unpack_from(answer, position)
        yield kind, flags, answer[position + _HEADER.size : position + size]
        position += max(_HEADER.size, (size + 3) & ~3)


def _attributes(message: bytes, start: int, wanted: frozenset[int]) -> dict[int, bytes]:
    """Some attributes of a message that begins with a structure, by type, as far as it has them."""
    attributes: dict[int, bytes] = {}
    position = start
    # A link has some 40 attributes, and what is wanted of them is among the first.
    while len(attributes) < len(wanted) and position + _ATTRIBUTE.size <= len(message):
        size, kind = _ATTRIBUTE.unpack_from(message, position)
        if kind in wanted:
            attributes[kind] = message[position + _ATTRIBUTE.size : position + size]
        position += max(_ATTRIBUTE.size, (size + 3) & ~3)
    return attributes
