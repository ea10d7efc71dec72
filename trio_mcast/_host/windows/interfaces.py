"""The interfaces of a Windows machine, and the one to which the machine routes a group.

Decision: not through ifaddr
============================

ifaddr asks the same function, GetAdaptersAddresses, and keeps only names and addresses of the
answer. Flags, MTU, link address and state stand in the same answer. To get these as well, a program
would have to call the function a second time, and put the two answers, between which interfaces
come and go, together by name. One answer shows everything at one time.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import TYPE_CHECKING, Final

from ..._platform.windows import WINDOWS
from ..._values.addresses import IPAddress, decode_sockaddr, encode_sockaddr
from ..._values.interface import AddressState, Interface, InterfaceAddress, assumed_scope
from .api import (
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
    from .api import get_adapters_addresses, get_best_interface

_FLAGS: Final = GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_DNS_SERVER

# The first size, which Microsoft's documentation of the function recommends; and the number of
# tries with the size that the function asks for, which new interfaces make too small again. The
# second number is arbitrary.
_FIRST_BYTES: Final = 15 * 1024
_ATTEMPTS: Final = 5

# NL_DAD_STATE: what has become of the search for another host with the address. One whose state is
# invalid cannot be bound to, no more than one that is still looked for.
_STATES: Final[dict[int, AddressState]] = {
    0: "tentative",
    1: "tentative",
    2: "failed",
    3: "deprecated",
    4: "preferred",
}


def read_windows_interfaces() -> list[Interface]:
    """Return every interface of this machine with IPv4 or IPv6, by index. OSError if refused.

    An interface that is disabled in Windows is not in the list. An unconnected interface is in the
    list, but not up.
    """
    size = ctypes.c_uint32(_FIRST_BYTES)
    for _ in range(_ATTEMPTS):
        # An array of eight-byte integers, so that the structures inside are aligned.
        answer = (ctypes.c_uint64 * (size.value // 8 + 1))()
        error = get_adapters_addresses(AF_UNSPEC, _FLAGS, None, answer, ctypes.byref(size))
        if error != ERROR_BUFFER_OVERFLOW:
            break
    if error == ERROR_NO_DATA:
        return []
    if error:
        raise ctypes.WinError(error)
    adapters = _linked(AdapterAddresses, ctypes.addressof(answer))
    interfaces = [_interface(adapter) for adapter in adapters]
    return sorted(interfaces, key=lambda interface: interface.index)


def _linked(kind: type[ctypes.Structure], address: int | None) -> Iterator[ctypes.Structure]:
    """Yield the structures of a linked list, which has to stay in memory meanwhile."""
    while address:
        structure = kind.from_address(address)
        yield structure
        address = structure.Next


def read_addresses(first: int | None) -> list[InterfaceAddress]:
    """Return the addresses of an interface, those of IPv4 first, from a list in memory.

    Args:
        first: The place of the first ``IP_ADAPTER_UNICAST_ADDRESS``; `None` for no address.
    """
    details = []
    for unicast in _linked(UnicastAddress, first):
        raw = ctypes.string_at(unicast.Address.lpSockaddr, unicast.Address.iSockaddrLength)
        host = decode_sockaddr(WINDOWS.sockaddr, raw).host.partition("%")[0]
        address = ip_interface(f"{host}/{unicast.OnLinkPrefixLength}")
        state = _STATES.get(unicast.DadState)
        details.append(InterfaceAddress(address, assumed_scope(address), state))
    return sorted(details, key=lambda detail: detail.address.version)


def _interface(adapter: ctypes.Structure) -> Interface:
    details = tuple(read_addresses(adapter.FirstUnicastAddress))
    addresses = [detail.address for detail in details]
    link_address = bytes(adapter.PhysicalAddress)[: adapter.PhysicalAddressLength]
    return Interface(
        name=adapter.FriendlyName,
        # Both families have the same index; a family that is switched off has 0.
        index=adapter.IfIndex or adapter.Ipv6IfIndex,
        description=adapter.Description,
        ipv4_addresses=tuple(each for each in addresses if isinstance(each, IPv4Interface)),
        ipv6_addresses=tuple(each for each in addresses if isinstance(each, IPv6Interface)),
        address_details=details,
        link_address=link_address.hex(":") if len(link_address) == 6 else None,
        mtu=adapter.Mtu,
        is_up=adapter.OperStatus == IF_OPER_STATUS_UP,
        is_loopback=adapter.IfType == IF_TYPE_SOFTWARE_LOOPBACK,
        is_multicast=not adapter.Flags & IP_ADAPTER_NO_MULTICAST,
    )


def best_interface(group: IPAddress, interfaces: Sequence[Interface]) -> Interface | None:
    """Return the interface, of some, to which this machine routes a group; `None` if none."""
    index = ctypes.c_uint32()
    error = get_best_interface(encode_sockaddr(WINDOWS.sockaddr, group), ctypes.byref(index))
    # Several errors mean that there is no route, and no error means anything else.
    if error:
        return None
    return next((interface for interface in interfaces if interface.index == index.value), None)
