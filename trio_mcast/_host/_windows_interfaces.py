"""What interfaces a Windows machine has, and to which of them it routes a group.

Decision: not through ifaddr
============================

ifaddr asks the same function, GetAdaptersAddresses, and keeps names and addresses of its answer.
Flags, MTU, link address and state stand in the same answer. To get them, the function would have to
be called a second time, and its two answers, between which interfaces come and go, be put together
by name. One answer has everything as it was at one time.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Interface, IPv6Interface
from typing import TYPE_CHECKING, Final

from .._addresses import Group, decode_sockaddr, encode_sockaddr
from .._interface import Interface
from .._platform.windows import WINDOWS
from ._windows_api import (
    AF_UNSPEC,
    ERROR_BUFFER_OVERFLOW,
    ERROR_NO_DATA,
    GAA_FLAG_SKIP_ANYCAST,
    GAA_FLAG_SKIP_DNS_SERVER,
    GAA_FLAG_SKIP_MULTICAST,
    IF_OPER_STATUS_UP,
    IF_TYPE_SOFTWARE_LOOPBACK,
    IP_ADAPTER_NO_MULTICAST,
    AdapterAddresses,
    UnicastAddress,
)

assert not TYPE_CHECKING or sys.platform == "win32"

if sys.platform == "win32":
    from ._windows_api import get_adapters_addresses, get_best_interface

_FLAGS: Final = GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_DNS_SERVER

# What Microsoft's documentation of the function recommends to begin with; and how often it is tried
# with the size that it asks for, which interfaces that come in between make too small again. The
# second number is arbitrary.
_FIRST_BYTES: Final = 15 * 1024
_ATTEMPTS: Final = 5


def read_windows_interfaces() -> list[Interface]:
    """Every interface of this machine with IPv4 or IPv6, by index. OSError if refused.

    One that is disabled in Windows is not among them; one that is not connected is, and not up.
    """
    size = ctypes.c_uint32(_FIRST_BYTES)
    for _ in range(_ATTEMPTS):
        # Of eight-byte integers, so that the structures in it are aligned.
        answer = (ctypes.c_uint64 * (size.value // 8 + 1))()
        error = get_adapters_addresses(AF_UNSPEC, _FLAGS, None, answer, ctypes.byref(size))
        if error != ERROR_BUFFER_OVERFLOW:
            break
    if error == ERROR_NO_DATA:
        return []
    if error:
        raise ctypes.WinError(error)
    found = [_interface(item) for item in _linked(AdapterAddresses, ctypes.addressof(answer))]
    return sorted(found, key=lambda item: item.index)


def _linked(kind: type[ctypes.Structure], address: int | None) -> Iterator[ctypes.Structure]:
    """The structures of a linked list, which has to stay in memory meanwhile."""
    while address:
        item = kind.from_address(address)
        yield item
        address = item.Next


def _interface(adapter: ctypes.Structure) -> Interface:
    ipv4, ipv6 = [], []
    for item in _linked(UnicastAddress, adapter.FirstUnicastAddress):
        raw = ctypes.string_at(item.Address.lpSockaddr, item.Address.iSockaddrLength)
        host = decode_sockaddr(WINDOWS.sockaddr, raw).host.partition("%")[0]
        text = f"{host}/{item.OnLinkPrefixLength}"
        if ":" in host:
            ipv6.append(IPv6Interface(text))
        else:
            ipv4.append(IPv4Interface(text))
    link_address = bytes(adapter.PhysicalAddress)[: adapter.PhysicalAddressLength]
    return Interface(
        name=adapter.FriendlyName,
        # Both families have the same; one that is switched off has 0.
        index=adapter.IfIndex or adapter.Ipv6IfIndex,
        description=adapter.Description,
        ipv4_addresses=tuple(ipv4),
        ipv6_addresses=tuple(ipv6),
        link_address=link_address.hex(":") if len(link_address) == 6 else None,
        mtu=adapter.Mtu,
        is_up=adapter.OperStatus == IF_OPER_STATUS_UP,
        is_loopback=adapter.IfType == IF_TYPE_SOFTWARE_LOOPBACK,
        is_multicast=not adapter.Flags & IP_ADAPTER_NO_MULTICAST,
    )


def best_interface(group: Group, interfaces: Sequence[Interface]) -> Interface | None:
    """The one of these interfaces to which this machine routes a group; `None` without a route."""
    index = ctypes.c_uint32()
    error = get_best_interface(
        encode_sockaddr(WINDOWS.sockaddr, group.address), ctypes.byref(index)
    )
    # Several errors mean that there is no route, and none means anything else that could be had.
    if error:
        return None
    return next((item for item in interfaces if item.index == index.value), None)
