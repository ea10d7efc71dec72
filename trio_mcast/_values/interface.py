"""The `Interface` value, and how a user's selector picks interfaces from a list. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import TypeAlias

import attrs

from .addresses import FAMILY_LABEL, Family, IPAddress
from .errors import printable


@attrs.frozen
class Interface:
    """A network interface of this machine, as it was when it was listed.

    Attributes:
        name: The system's name for it, such as ``"eth0"``. Bytes of it that are no UTF-8 are lone
            surrogates, as `os.fsdecode` makes them and ``sys.argv`` has them: so it still means the
            interface, but cannot be printed. ``str()`` of the interface can: it escapes them.
        index: The system's number for it, from 1.
        description: A name for people; the same as ``name`` where the system has no other.
        ipv4_addresses: Its IPv4 addresses with their networks; the first is the one senders use.
        ipv6_addresses: Its IPv6 addresses with their networks.
        link_address: Its hardware address as ``"02:00:00:00:00:01"``, or `None` if it has none.
        mtu: The largest packet it takes, in bytes, IP header included; 0 if unknown.
        is_up: Whether it is switched on.
        is_loopback: Whether it is the loopback interface.
        is_multicast: Whether the system marks it as capable of multicast. Linux does not mark its
            loopback interface, though IPv4 multicast works there.
    """

    name: str
    index: int
    description: str = ""
    ipv4_addresses: tuple[IPv4Interface, ...] = ()
    ipv6_addresses: tuple[IPv6Interface, ...] = ()
    link_address: str | None = None
    mtu: int = 0
    is_up: bool = True
    is_loopback: bool = False
    is_multicast: bool = True

    def addresses(self, family: Family) -> tuple[IPAddress, ...]:
        """Its addresses of one family, without networks and zones, in the system's order."""
        if family == "ipv4":
            return tuple(IPv4Address(item.packed) for item in self.ipv4_addresses)
        return tuple(IPv6Address(item.packed) for item in self.ipv6_addresses)

    def __str__(self) -> str:
        return printable(self.name)


def zone_of(interface: Interface) -> str:
    """Return the zone that stands for an interface in an IPv6 address, as `by_zone` takes it.

    That is its name. `ipaddress` takes no zone with a "%" in it: then it is the index.
    """
    return str(interface.index) if "%" in interface.name else interface.name


InterfaceSelector: TypeAlias = str | int | IPv4Address | IPv6Address | Interface
InterfaceSelectors: TypeAlias = InterfaceSelector | Iterable[InterfaceSelector]


def describe_interfaces(interfaces: Iterable[Interface]) -> str:
    """One line that lists interfaces for an error message."""
    parts = []
    for item in interfaces:
        addresses = [str(each) for each in (*item.ipv4_addresses, *item.ipv6_addresses)]
        parts.append(f"{item} ({', '.join(addresses)})" if addresses else str(item))
    return ", ".join(parts) or "none"


def all_addresses(interfaces: Iterable[Interface]) -> frozenset[str]:
    """This machine's addresses, as text."""
    return frozenset(
        str(address)
        for item in interfaces
        for family in FAMILY_LABEL
        for address in item.addresses(family)
    )
