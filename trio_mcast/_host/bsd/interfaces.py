"""The interfaces of macOS and FreeBSD. The only user of ifaddr.

ifaddr gives names and addresses; `link_facts` gives the remaining facts. Linux and Windows are
asked for everything at once: see `linux.interfaces` and `windows.interfaces`.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface
from typing import TYPE_CHECKING, TypeAlias

import ifaddr

from ..._platform.bsd import without_embedded_scope
from ..._values.interface import Interface, assumed_details

if not TYPE_CHECKING or sys.platform != "win32":
    from .link_facts import INTERFACE_GONE, InterfaceFacts, LinkFacts

assert not TYPE_CHECKING or sys.platform != "win32"

# If an interface is renamed or removed while all are read, all are read again: a renamed one would
# be missing (379 of 2,000 times, measured with another thread that renames it every millisecond).
# The bound is for an interface that is listed and can never be asked; it is arbitrary.
_ATTEMPTS = 3

# A function from an interface's name to the facts that ifaddr does not give.
FactsReader: TypeAlias = Callable[[str], InterfaceFacts]


def _link_facts(query: socket.socket) -> FactsReader:
    return LinkFacts(query).read_facts


def read_bsd_interfaces(
    facts_with: Callable[[socket.socket], FactsReader] = _link_facts,
) -> list[Interface]:
    """Return every interface, also those that are down or have no address, by index.

    Args:
        facts_with: Makes the reader of facts, with any socket.

    Raises:
        OSError: The system refuses to tell.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        for _ in range(_ATTEMPTS):
            interfaces, complete = _read_once(query, facts_with)
            if complete:
                break
    return sorted(interfaces, key=lambda interface: interface.index)


def _read_once(
    query: socket.socket, facts_with: Callable[[socket.socket], FactsReader]
) -> tuple[list[Interface], bool]:
    """Return the interfaces, and whether every interface that was listed could be asked."""
    interfaces: list[Interface] = []
    adapters = list(ifaddr.get_adapters(include_unconfigured=True))
    read_facts = facts_with(query)
    for adapter in adapters:
        try:
            interfaces.append(_read_interface(adapter, read_facts))
        except OSError as error:
            # `socket.if_nametoindex` gives no number (Python up to 3.13): it knows no such name.
            if error.errno is not None and error.errno not in INTERFACE_GONE:
                raise
            continue  # It was removed or renamed between the two looks.
    return interfaces, len(interfaces) == len(adapters)


def _read_interface(adapter: ifaddr.Adapter, read_facts: FactsReader) -> Interface:
    facts = read_facts(adapter.name)
    ipv4, ipv6 = _addresses_of(adapter)
    return Interface(
        name=adapter.name,
        index=socket.if_nametoindex(adapter.name),
        description=adapter.nice_name,
        ipv4_addresses=ipv4,
        ipv6_addresses=ipv6,
        address_details=assumed_details((*ipv4, *ipv6)),
        **facts._asdict(),
    )


def _addresses_of(
    adapter: ifaddr.Adapter,
) -> tuple[tuple[IPv4Interface, ...], tuple[IPv6Interface, ...]]:
    ipv4, ipv6 = [], []
    for ip in adapter.ips:
        if isinstance(ip.ip, str):
            ipv4.append(IPv4Interface(f"{ip.ip}/{ip.network_prefix}"))
        else:
            address = without_embedded_scope(IPv6Address(ip.ip[0].partition("%")[0]))
            ipv6.append(IPv6Interface(f"{address}/{ip.network_prefix}"))
    return tuple(ipv4), tuple(ipv6)
