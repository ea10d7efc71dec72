"""What interfaces this machine has. The only user of ifaddr.

ifaddr gives names and addresses; flags, MTU and link address come from ioctls on a socket, which
see the same network namespace as the calling thread does (``/sys`` does not follow a thread).
"""

from __future__ import annotations

import socket
import struct
import sys
from ipaddress import IPv4Interface, IPv6Interface

import ifaddr

from .._errors import McastError
from .._interface import Interface

if sys.platform == "linux":
    import fcntl

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

# An interface that is renamed or removed while they are read makes them be read again: one that was
# renamed would be missing (379 of 2,000 times, measured with another thread that renames it every
# millisecond). The bound is for one that is listed and can never be asked; it is arbitrary.
_ATTEMPTS = 3


def read_interfaces() -> list[Interface]:
    """Every interface of this machine, also those that are down or have no address, by index.

    Raises:
        McastError: Interfaces cannot be read on this platform.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        for _ in range(_ATTEMPTS):
            interfaces, complete = _read_once(query)
            if complete:
                break
    return sorted(interfaces, key=lambda item: item.index)


def _read_once(query: socket.socket) -> tuple[list[Interface], bool]:
    """The interfaces, and whether all whose names were read could be asked by them."""
    interfaces: list[Interface] = []
    adapters: dict[str, ifaddr.Adapter] = {}
    for adapter in ifaddr.get_adapters(include_unconfigured=True):
        # getifaddrs(3) gives an IPv4 address that has a label under its label, such as "eth0:1";
        # no interface of Linux has a colon in its name. The interface itself comes first.
        name = adapter.name.partition(":")[0]
        if name in adapters:
            adapters[name].ips.extend(adapter.ips)
        else:
            adapters[name] = adapter
    for adapter in adapters.values():
        try:
            interfaces.append(_read_interface(query, adapter))
        except OSError:
            continue  # It was removed or renamed between the two looks.
    return interfaces, len(interfaces) == len(adapters)


def _read_interface(query: socket.socket, adapter: ifaddr.Adapter) -> Interface:
    name = adapter.name
    flags = int(struct.unpack_from("=H", _ask(query, _SIOCGIFFLAGS, name), 16)[0])
    ipv4, ipv6 = _addresses_of(adapter)
    return Interface(
        name=name,
        index=socket.if_nametoindex(name),
        description=adapter.nice_name,
        ipv4_addresses=ipv4,
        ipv6_addresses=ipv6,
        link_address=_link_address(_ask(query, _SIOCGIFHWADDR, name)),
        mtu=int(struct.unpack_from("=i", _ask(query, _SIOCGIFMTU, name), 16)[0]),
        is_up=bool(flags & _IFF_UP),
        is_loopback=bool(flags & _IFF_LOOPBACK),
        is_multicast=bool(flags & _IFF_MULTICAST),
    )


def _ask(query: socket.socket, request: int, name: str) -> bytes:
    if sys.platform == "linux":
        return fcntl.ioctl(query, request, struct.pack(f"{_IFREQ_BYTES}s", name.encode()))
    else:
        raise McastError(
            f"this version of trio_mcast reads interfaces on Linux only, not on {sys.platform}"
        )


def _link_address(answer: bytes) -> str | None:
    kind, packed = struct.unpack_from("=H6s", answer, 16)
    return packed.hex(":") if kind == _ARPHRD_ETHER else None


def _addresses_of(
    adapter: ifaddr.Adapter,
) -> tuple[tuple[IPv4Interface, ...], tuple[IPv6Interface, ...]]:
    ipv4, ipv6 = [], []
    for item in adapter.ips:
        if isinstance(item.ip, str):
            ipv4.append(IPv4Interface(f"{item.ip}/{item.network_prefix}"))
        else:
            ipv6.append(IPv6Interface(f"{item.ip[0].partition('%')[0]}/{item.network_prefix}"))
    return tuple(ipv4), tuple(ipv6)
