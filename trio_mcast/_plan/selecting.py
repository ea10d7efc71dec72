"""Which interfaces a selector means. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import attrs

from .._values.addresses import Family, IPAddress, family_of
from .._values.errors import AmbiguousInterfaceError, InterfaceNotFoundError
from .._values.interface import (
    Interface,
    InterfaceSelector,
    InterfaceSelectors,
    describe_interfaces,
    zone_of,
)


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


def family_of_selector(selector: InterfaceSelector) -> Family | None:
    """The family that an address serves; `None` for what is no address."""
    address = address_or_none(text_of(selector))
    return None if address is None else family_of(address)


def text_of(selector: InterfaceSelector) -> str:
    """A selector as text: the same for an address, however it is written."""
    text = selector.name if isinstance(selector, Interface) else str(selector)
    if isinstance(selector, (IPv4Address, IPv6Address)):
        text = text.partition("/")[0]  # As `Interface` has them, with their networks.
    address = address_or_none(text)
    return text if address is None else str(address)


def means(selector: InterfaceSelector, interface: Interface) -> bool:
    if not interface.index:
        return interface.name == text_of(selector)
    try:
        select_interfaces([selector], [interface])
    except InterfaceNotFoundError:
        return False
    return True


def names_of(interface: Interface) -> tuple[str, ...]:
    """All that can stand for an interface as text."""
    names = [interface.name, interface.description, str(interface.index or "")]
    addresses = [str(item) for item in interface.addresses("ipv6")]
    zoned = [f"{item}%{zone}" for item in addresses for zone in (interface.name, interface.index)]
    addresses += map(str, interface.addresses("ipv4"))
    return tuple(filter(None, (*names, *addresses, *zoned)))
