"""The `Interface` value, and how a user's selector picks interfaces from a list. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address
from typing import TypeAlias

import attrs

from ._addresses import Family, IPAddress, family_of
from ._errors import AmbiguousInterfaceError, InterfaceNotFoundError, printable


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


@attrs.frozen
class Selection:
    """An interface that was selected, and by which of its addresses, if by address.

    An interface named by one of its addresses serves the groups of that address's family, and a
    sender on it sends from that address.
    """

    interface: Interface
    address: IPAddress | None = None

    def serves(self, family: Family) -> bool:
        return self.address is None or family_of(self.address) == family


def describe_interfaces(interfaces: Iterable[Interface]) -> str:
    """One line that lists interfaces for an error message."""
    parts = []
    for item in interfaces:
        addresses = [str(each) for each in (*item.ipv4_addresses, *item.ipv6_addresses)]
        parts.append(f"{item} ({', '.join(addresses)})" if addresses else str(item))
    return ", ".join(parts) or "none"


def is_candidate(interface: Interface) -> bool:
    """Whether an interface is used where the user names none: up, multicast, not loopback."""
    return interface.is_up and interface.is_multicast and not interface.is_loopback


def parse_selectors(value: InterfaceSelectors | None) -> tuple[InterfaceSelector, ...] | None:
    """One or several selectors as a tuple, each of a legal type; `None` stays `None`.

    Raises:
        TypeError: A selector is not a name, index, address or `Interface`.
        ValueError: The iterable is empty.
    """
    if value is None:
        return None
    if isinstance(value, (str, int, IPv4Address, IPv6Address, Interface)):
        selectors: list[InterfaceSelector] = [value]
    elif isinstance(value, (bytes, bytearray)):
        raise TypeError(_selector_type_message(value))  # Iterated, they would be indexes.
    else:
        try:
            selectors = list(value)
        except TypeError:
            raise TypeError(_selector_type_message(value)) from None
        if not selectors:
            raise ValueError("interfaces is empty: name at least one, or leave it out")
    for item in selectors:
        if isinstance(item, bool) or not isinstance(
            item, (str, int, IPv4Address, IPv6Address, Interface)
        ):
            raise TypeError(_selector_type_message(item))
    return tuple(dict.fromkeys(selectors))


def _selector_type_message(value: object) -> str:
    return (
        "interfaces must be a name, an index, an address, an Interface, or an iterable of these, "
        f"not {type(value).__name__}: {value!r}"
    )


def select_interfaces(
    selectors: Sequence[InterfaceSelector] | None, interfaces: Sequence[Interface]
) -> tuple[Selection, ...]:
    """The interfaces that the selectors mean, in the selectors' order; `None` means the candidates.

    Raises:
        InterfaceNotFoundError: A selector matches nothing, or there is no candidate.
        AmbiguousInterfaceError: An address is on two interfaces.
    """
    if selectors is not None:
        return tuple(dict.fromkeys(_select_one(item, interfaces) for item in selectors))
    candidates = tuple(Selection(item) for item in interfaces if is_candidate(item))
    if not candidates:
        raise InterfaceNotFoundError(
            "no interface is up, capable of multicast and not loopback; name the one to use in "
            f"interfaces= (there are: {describe_interfaces(interfaces)})"
        )
    return candidates


def _select_one(selector: InterfaceSelector, interfaces: Sequence[Interface]) -> Selection:
    if isinstance(selector, Interface):
        return Selection(_by_name(selector.name, interfaces))
    if isinstance(selector, int):
        for item in interfaces:
            if item.index == selector:
                return Selection(item)
        raise InterfaceNotFoundError(
            f"no interface has index {selector}; there are: "
            + ", ".join(f"{item.index} ({item})" for item in interfaces)
        )
    if isinstance(selector, str):
        for item in interfaces:
            if selector == item.name:
                return Selection(item)
        for item in interfaces:
            if selector and selector == item.description:
                return Selection(item)
        address = address_or_none(selector)
        if address is None:
            return Selection(_by_name(selector, interfaces))
        return _by_address(address, interfaces)
    return _by_address(selector, interfaces)


def address_or_none(text: str) -> IPAddress | None:
    for kind in (IPv4Address, IPv6Address):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def _by_name(name: str, interfaces: Sequence[Interface]) -> Interface:
    for item in interfaces:
        if item.name == name:
            return item
    raise InterfaceNotFoundError(
        f"no interface is called {name!r}; there are: {describe_interfaces(interfaces)}"
    )


def by_zone(zone: str, interfaces: Sequence[Interface]) -> Interface:
    """The interface that an IPv6 zone means: a name, or an index in digits."""
    for item in interfaces:
        if zone in (item.name, str(item.index)):
            return item
    raise InterfaceNotFoundError(
        f"the zone {zone!r} names no interface; there are: {describe_interfaces(interfaces)}"
    )


def _by_address(address: IPAddress, interfaces: Sequence[Interface]) -> Selection:
    # Also from an IPv4Interface or IPv6Interface, as `Interface` has them: without the network.
    bare = ip_address(address.packed)
    zone = address.scope_id if isinstance(address, IPv6Address) else None
    where = interfaces if zone is None else [by_zone(zone, interfaces)]
    matches = [item for item in where if bare in item.addresses(family_of(bare))]
    if not matches:
        raise InterfaceNotFoundError(
            f"no interface has the address {address}; there are: {describe_interfaces(interfaces)}"
        )
    if len(matches) > 1:
        hint = f" or add a zone, as in {bare}%{zone_of(matches[0])}" if bare.version == 6 else ""
        raise AmbiguousInterfaceError(
            f"the address {address} is on {len(matches)} interfaces: "
            f"{', '.join(map(str, matches))}; name one of them{hint}"
        )
    return Selection(matches[0], bare)
