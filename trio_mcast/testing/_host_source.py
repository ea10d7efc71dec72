"""The address that a host sends from, where neither the socket nor a route names one."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import Final

from .._platform.model import PlatformName
from .._values.addresses import IPAddress, family_of, parse_address
from ._interface import VirtualInterface
from ._interface_address import bare_address
from ._options import refuse
from ._source_address import choose_source

_LOCAL_GROUPS: Final = IPv4Network("224.0.0.0/24")


def source_for(
    platform: PlatformName,
    interfaces: Sequence[VirtualInterface],
    interface: VirtualInterface,
    destination: IPAddress,
    next_hop: IPAddress | None,
) -> IPAddress:
    """Return the address to send from.

    Args:
        platform: The host's platform.
        interfaces: The host's interfaces; the first is the loopback interface.
        interface: The one that the datagram leaves through.
        destination: The group or peer.
        next_hop: The neighbour that it is handed to; `None` for a group.

    Raises:
        OSError: The host has no address for it.
    """
    family = family_of(destination)
    if family == "ipv6":
        others = (
            detail
            for other_interface in interfaces
            if other_interface is not interface and other_interface.is_up
            for detail in other_interface.value.address_details
        )
        chosen = choose_source(destination, interface.value.address_details, others)
        if chosen is None:
            raise refuse(errno.EADDRNOTAVAIL)
        return chosen
    if platform == "linux" and destination.is_multicast:
        return _by_scope(interfaces, interface, destination)
    addresses = list(interface.addresses(family))
    networks = [] if next_hop is None else interface.networks_with(next_hop)
    if networks:  # From the first address of the network that the route is of.
        network = max(networks, key=lambda network: network.prefixlen)
        of_route = [own for own in interface.networks if own.network == network]
        addresses.insert(0, bare_address(of_route[0]))
    for other_interface in interfaces[1:]:
        addresses += other_interface.addresses(family)
    return addresses[0] if addresses else parse_address("0.0.0.0", "address")


def source_here(
    platform: PlatformName, owners: Sequence[VirtualInterface], destination: IPAddress
) -> IPAddress:
    """Return the source of what a host sends to itself: the address itself.

    For a secondary address of IPv4, Linux takes the primary one (fib_add_ifaddr in
    net/ipv4/fib_frontend.c; measured).

    Args:
        platform: The host's platform.
        owners: The interfaces that have the destination.
        destination: The peer.
    """
    if platform == "linux" and destination.version == 4:
        for interface in owners:
            own = interface.detail_of(destination).address.network
            return next(
                bare_address(address) for address in interface.networks if address.network == own
            )
    return destination


def _by_scope(
    interfaces: Sequence[VirtualInterface], interface: VirtualInterface, destination: IPAddress
) -> IPAddress:
    """Choose as inet_select_addr of Linux does, which may take another interface's address."""
    narrow = destination in _LOCAL_GROUPS
    for address in interface.addresses("ipv4"):
        scope = interface.detail_of(address).scope
        if scope == "global" or (scope == "link" and narrow) or interface.is_loopback:
            return address
    for other_interface in interfaces[1:]:
        for address in other_interface.addresses("ipv4"):
            if other_interface.detail_of(address).scope == "global":
                return address
    return parse_address("0.0.0.0", "address")
