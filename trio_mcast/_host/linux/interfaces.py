"""The interfaces of Linux, as rtnetlink(7) lists them.

Decision: not through ifaddr
============================

ifaddr asks getifaddrs(3), and takes each name for UTF-8. In Linux a name is any bytes but white
space, "/" and ":" (dev_valid_name in net/core/dev.c), and where a name is no UTF-8, ifaddr raises
`UnicodeDecodeError`: an interface that nobody uses then ends every program that looks. Netlink,
which getifaddrs itself asks, gives the bytes. Netlink also goes by index: a name that changes while
the interfaces are read takes nothing away, and the label of an address, such as "eth0:1", is not
taken for an interface. Like a socket, the list is that of the calling thread's network namespace.
"""

from __future__ import annotations

import os
import socket
import sys
from ipaddress import IPv4Interface, IPv6Interface
from typing import TYPE_CHECKING, Final

from ..._values.interface import Interface

if not TYPE_CHECKING or sys.platform == "linux":
    from .netlink import (
        ADDRESS,
        LINK,
        RTM_GETADDR,
        RTM_GETLINK,
        dump,
        open_netlink,
        read_attributes,
    )

assert not TYPE_CHECKING or sys.platform == "linux"

# linux/if_link.h
_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_OF_LINKS: Final = frozenset({_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU})
# linux/if_addr.h
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2  # Where there is one, IFA_ADDRESS is the other end's.
_OF_ADDRESSES: Final = frozenset({_IFA_ADDRESS, _IFA_LOCAL})
# linux/if.h, and linux/if_arp.h: the hardware type whose address is six bytes of Ethernet.
_IFF_UP: Final = 0x1
_IFF_LOOPBACK: Final = 0x8
_IFF_MULTICAST: Final = 0x1000
_ARPHRD_ETHER: Final = 1

# The kernel tells when something changed while it listed. Then it is asked again; the bound is for
# a machine on which something always changes. It is arbitrary.
_ATTEMPTS: Final = 3


def read_linux_interfaces() -> list[Interface]:
    """Return every interface, also those that are down or have no address, by index.

    Raises:
        OSError: The system refuses to tell.
    """
    with open_netlink() as query:
        for _ in range(_ATTEMPTS):
            links, links_whole = dump(query, RTM_GETLINK)
            addresses, addresses_whole = dump(query, RTM_GETADDR)
            if links_whole and addresses_whole:
                break
    ipv4: dict[int, list[IPv4Interface]] = {}
    ipv6: dict[int, list[IPv6Interface]] = {}
    for message in addresses:
        family, prefix, _flags, _scope, index = ADDRESS.unpack_from(message)
        attributes = read_attributes(message, ADDRESS.size, _OF_ADDRESSES)
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
    _family, hardware, index, flags, _changed = LINK.unpack_from(message)
    attributes = read_attributes(message, LINK.size, _OF_LINKS)
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
