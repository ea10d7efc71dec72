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
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Interface, IPv6Interface
from typing import TYPE_CHECKING, Final

from ..._values.interface import AddressScope, AddressState, Interface, InterfaceAddress

if not TYPE_CHECKING or sys.platform == "linux":
    from .netlink import (
        ADDRESS,
        LINK,
        RTM_GETADDR,
        RTM_GETLINK,
        dump,
        open_netlink,
        read_attributes,
        read_list,
    )

assert not TYPE_CHECKING or sys.platform == "linux"

# linux/if_link.h
_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_MASTER: Final = 10
_IFLA_LINKINFO: Final = 18
_IFLA_INFO_SLAVE_KIND: Final = 4
_IFLA_PROP_LIST: Final = 52
_IFLA_ALT_IFNAME: Final = 53
_OF_LINKS: Final = frozenset(
    {_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_PROP_LIST}
)
# linux/if_addr.h
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2  # Where there is one, IFA_ADDRESS is the other end's.
_OF_ADDRESSES: Final = frozenset({_IFA_ADDRESS, _IFA_LOCAL})
# The flags of an address that count here are among the first eight, which need no IFA_FLAGS.
_IFA_F_TEMPORARY: Final = 0x01  # Of IPv6; of IPv4 it means another address of the same network.
_IFA_F_OPTIMISTIC: Final = 0x04
_IFA_F_DADFAILED: Final = 0x08
_IFA_F_DEPRECATED: Final = 0x20
_IFA_F_TENTATIVE: Final = 0x40
# linux/rtnetlink.h
_RT_SCOPE_LINK: Final = 253
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
    return interfaces_in(links, addresses)


def interfaces_in(links: Iterable[bytes], addresses: Iterable[bytes]) -> list[Interface]:
    """Return the interfaces that the messages of both lists tell of, by index."""
    by_index: dict[int, list[InterfaceAddress]] = {}
    for message in addresses:
        family, prefix, flags, scope, index = ADDRESS.unpack_from(message)
        attributes = read_attributes(message, ADDRESS.size, _OF_ADDRESSES)
        packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
        if packed is None or family not in (socket.AF_INET, socket.AF_INET6):
            continue
        is_ipv6 = family == socket.AF_INET6
        by_index.setdefault(index, []).append(
            InterfaceAddress(
                IPv6Interface((packed, prefix)) if is_ipv6 else IPv4Interface((packed, prefix)),
                _scope(scope, is_ipv6),
                _state(flags),
                temporary=is_ipv6 and bool(flags & _IFA_F_TEMPORARY),
            )
        )
    links_by_index = {LINK.unpack_from(message)[2]: message for message in links}
    attributes_by_index = {
        index: read_attributes(message, LINK.size, _OF_LINKS)
        for index, message in links_by_index.items()
    }
    names = {
        index: _text(attributes[_IFLA_IFNAME]) for index, attributes in attributes_by_index.items()
    }
    return [
        _interface(
            links_by_index[index], attributes_by_index[index], names, by_index.get(index, ())
        )
        for index in sorted(names)
    ]


def _scope(number: int, is_ipv6: bool) -> AddressScope:
    # Between the whole world, 0, and the link there are numbers that an administrator may give to
    # IPv4 addresses. Linux does not use such an address beyond the link by itself (inet_select_addr
    # in net/ipv4/devinet.c). IPv6 has the site-local addresses there, which routers do forward.
    if not number or (is_ipv6 and number < _RT_SCOPE_LINK):
        return "global"
    return "link" if number <= _RT_SCOPE_LINK else "host"


def _state(flags: int) -> AddressState:
    if flags & _IFA_F_DADFAILED:
        return "failed"
    if flags & _IFA_F_DEPRECATED or (flags & _IFA_F_OPTIMISTIC and flags & _IFA_F_TENTATIVE):
        return "deprecated"
    return "tentative" if flags & _IFA_F_TENTATIVE else "preferred"


def _master(attributes: Mapping[int, bytes], names: Mapping[int, str]) -> str | None:
    """Return the name of the master that takes what arrives on an interface.

    Masters of every kind have a handler that takes the packets of their ports, but for a VRF: what
    arrives on a member is the member's, and only routed in another table.
    """
    index = attributes.get(_IFLA_MASTER)
    if index is None:
        return None
    kinds = read_list(attributes.get(_IFLA_LINKINFO, b""), _IFLA_INFO_SLAVE_KIND)
    if any(_text(kind) == "vrf" for kind in kinds):
        return None
    return names.get(int.from_bytes(index, sys.byteorder))


def _text(value: bytes) -> str:
    return os.fsdecode(value.partition(b"\0")[0])


def _interface(
    message: bytes,
    attributes: Mapping[int, bytes],
    names: Mapping[int, str],
    addresses: Iterable[InterfaceAddress],
) -> Interface:
    _family, hardware, index, flags, _changed = LINK.unpack_from(message)
    name = names[index]
    details = tuple(sorted(addresses, key=lambda detail: detail.address.version))
    alternative_names = read_list(attributes.get(_IFLA_PROP_LIST, b""), _IFLA_ALT_IFNAME)
    link_address = attributes.get(_IFLA_ADDRESS) if hardware == _ARPHRD_ETHER else None
    return Interface(
        name=name,
        index=index,
        description=name,
        ipv4_addresses=tuple(
            detail.address for detail in details if isinstance(detail.address, IPv4Interface)
        ),
        ipv6_addresses=tuple(
            detail.address for detail in details if isinstance(detail.address, IPv6Interface)
        ),
        link_address=None if link_address is None else link_address.hex(":"),
        mtu=int.from_bytes(attributes.get(_IFLA_MTU, b""), sys.byteorder),
        is_up=bool(flags & _IFF_UP),
        is_loopback=bool(flags & _IFF_LOOPBACK),
        is_multicast=bool(flags & _IFF_MULTICAST),
        address_details=details,
        master=_master(attributes, names),
        alternative_names=tuple(map(_text, alternative_names)),
    )
