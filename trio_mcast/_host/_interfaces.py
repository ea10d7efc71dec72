"""What interfaces this machine has. The only user of ifaddr.

ifaddr gives names and addresses; what else there is to know comes from a file for each platform.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface

import ifaddr

from .._errors import McastError
from .._interface import Interface
from .._platform._bsd import without_embedded_scope
from ._facts import InterfaceFacts

if sys.platform == "linux":
    from ._linux_interfaces import read_facts
elif sys.platform != "win32":
    from ._bsd_interfaces import LinkFacts

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
    ask = _facts_of(query)
    for adapter in adapters.values():
        try:
            interfaces.append(_read_interface(adapter, ask))
        except OSError:
            continue  # It was removed or renamed between the two looks.
    return interfaces, len(interfaces) == len(adapters)


def _read_interface(
    adapter: ifaddr.Adapter, read_facts: Callable[[str], InterfaceFacts]
) -> Interface:
    facts = read_facts(adapter.name)
    ipv4, ipv6 = _addresses_of(adapter)
    return Interface(
        name=adapter.name,
        index=socket.if_nametoindex(adapter.name),
        description=adapter.nice_name,
        ipv4_addresses=ipv4,
        ipv6_addresses=ipv6,
        **facts._asdict(),
    )


def _facts_of(query: socket.socket) -> Callable[[str], InterfaceFacts]:
    """What tells of an interface, by its name, what ifaddr does not."""
    if sys.platform == "linux":
        return lambda name: read_facts(query, name)
    elif sys.platform != "win32":
        return LinkFacts(query).read_facts
    else:
        raise McastError("this version of trio_mcast does not read interfaces on Windows")


def _addresses_of(
    adapter: ifaddr.Adapter,
) -> tuple[tuple[IPv4Interface, ...], tuple[IPv6Interface, ...]]:
    ipv4, ipv6 = [], []
    for item in adapter.ips:
        if isinstance(item.ip, str):
            ipv4.append(IPv4Interface(f"{item.ip}/{item.network_prefix}"))
        else:
            address = IPv6Address(item.ip[0].partition("%")[0])
            if sys.platform != "linux" and sys.platform != "win32":
                address = without_embedded_scope(address)
            ipv6.append(IPv6Interface(f"{address}/{item.network_prefix}"))
    return tuple(ipv4), tuple(ipv6)
