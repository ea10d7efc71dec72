"""The interfaces that selectors mean. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import attrs

from .._values.addresses import Family, IPAddress, family_of, in_fixed_order
from .._values.errors import AmbiguousInterfaceError, InterfaceNotFoundError
from .._values.interface import (
    ALL_INTERFACES,
    Interface,
    InterfaceSelector,
    InterfaceSelectors,
    ParsedSelectors,
    describe_addresses,
    describe_interfaces,
    zone_of,
)
from .._values.mistakes import about_selector, check_selector_text
from .._values.shown import show_value


class Directory(tuple[Interface, ...]):
    """Interfaces that are looked up many times: by name, index or address. Of several, the first.

    A list is searched in the same way. With a thousand interfaces, each of them named, that takes
    a million steps.
    """

    @classmethod
    def of(cls, interfaces: Iterable[Interface]) -> Directory:
        """Return some interfaces as a directory; a directory as itself."""
        return interfaces if isinstance(interfaces, cls) else cls(interfaces)

    @cached_property
    def by_name(self) -> dict[str, Interface]:
        """The interfaces by name, and by each alternative name."""
        by_name: dict[str, Interface] = {}
        for interface in self:
            by_name.setdefault(interface.name, interface)
            for name in interface.alternative_names:
                by_name.setdefault(name, interface)
        return by_name

    @cached_property
    def by_description(self) -> dict[str, Interface]:
        """The interfaces by description."""
        return {interface.description: interface for interface in reversed(self)}

    @cached_property
    def by_index(self) -> dict[int, Interface]:
        """The interfaces by index."""
        return {interface.index: interface for interface in reversed(self)}

    @cached_property
    def by_index_in_digits(self) -> dict[str, Interface]:
        """The interfaces by index, as text; without those that have none."""
        return {str(index): interface for index, interface in self.by_index.items() if index}

    def having(self, address: IPAddress) -> list[Interface]:
        """Return the interfaces that have an address, whatever the zone of that is."""
        return self._by_address[address.version == 6].get(int(address), [])

    @cached_property
    def _by_address(self) -> tuple[dict[int, list[Interface]], dict[int, list[Interface]]]:
        by_address: tuple[dict[int, list[Interface]], dict[int, list[Interface]]] = {}, {}
        for interface in self:
            both = interface.ipv4_addresses, interface.ipv6_addresses
            for known, addresses in zip(by_address, both, strict=True):
                for number in dict.fromkeys(map(int, addresses)):
                    known.setdefault(number, []).append(interface)
        return by_address


@attrs.frozen
class Selection:
    """An interface that a selector means.

    An interface named by one of its addresses serves the groups of that address's family only, and
    a sender on the interface sends from that address.

    Attributes:
        interface: The interface.
        address: The address that the interface was named by; `None` if named otherwise.
        source: The address to send from that the system's route gives, if any.
    """

    interface: Interface
    address: IPAddress | None = None
    source: IPAddress | None = None

    def serves(self, family: Family) -> bool:
        """Tell whether groups of a family are wanted on the interface."""
        return self.address is None or family_of(self.address) == family


def is_candidate(interface: Interface) -> bool:
    """Tell whether an interface is used where the user names none.

    It is up, capable of multicast, not loopback, and no port of another interface.
    """
    fit = interface.is_up and interface.is_multicast and not interface.is_loopback
    return fit and not is_port(interface)


def why_no_candidate(interface: Interface) -> tuple[str, ...]:
    """Return why an interface is not used where the user names none; nothing if it is."""
    reasons = {
        "switched off": not interface.is_up,
        "loopback": interface.is_loopback,
        "not marked as capable of multicast": not (interface.is_multicast or interface.is_loopback),
        f"port of {interface.master}": is_port(interface),
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


def is_port(interface: Interface) -> bool:
    """Tell whether an interface is a port, such as of a bridge: its master takes what arrives."""
    return interface.master is not None


def parse_selectors(value: InterfaceSelectors | None) -> ParsedSelectors:
    """Return one or several selectors as a tuple, each of a legal type.

    `None` and `ALL_INTERFACES` stay what they are.

    Raises:
        TypeError: A selector is not a name, index, address or `Interface`.
        ValueError: The iterable is empty, or a selector can mean no interface.
    """
    if value is None or value is ALL_INTERFACES:
        return value
    if isinstance(value, (str, int, IPv4Address, IPv6Address, Interface)):
        selectors: list[InterfaceSelector] = [value]
    elif isinstance(value, (bytes, bytearray, IPv4Network, IPv6Network)):
        # Iterated, they would be indexes, or addresses.
        raise TypeError(_selector_type_message(value))
    else:
        try:
            selectors = in_fixed_order(value)
        except TypeError:
            raise TypeError(_selector_type_message(value)) from None
        if not selectors:
            raise ValueError("interfaces is empty: name at least one, or leave it out")
    for selector in selectors:
        if not _is_selector(selector):
            raise TypeError(_selector_type_message(selector))
        if isinstance(selector, int) and selector < 1:
            raise ValueError(
                f"interfaces={show_value(selector)} is no interface's index, as these begin with "
                "1: leave interfaces out, or name an interface"
            )
        if not isinstance(selector, (int, Interface)):
            check_selector_text(text_of(selector))
    return tuple(dict.fromkeys(selectors))


def parse_named(value: InterfaceSelectors | None) -> tuple[InterfaceSelector, ...] | None:
    """Do as `parse_selectors`; `None` also for `ALL_INTERFACES`, as neither names an interface."""
    selectors = parse_selectors(value)
    return None if selectors is ALL_INTERFACES else selectors


def check_selector(value: object, parameter: str) -> None:
    """Raise `TypeError` for what cannot stand for one interface."""
    if not _is_selector(value):
        raise TypeError(
            f"{parameter} must be a name, an index, an address or an Interface, "
            f"not {type(value).__name__}: {value!r}"
        )


def _is_selector(value: object) -> bool:
    kinds = (str, int, IPv4Address, IPv6Address, Interface)
    return isinstance(value, kinds) and not isinstance(value, bool)


def _selector_type_message(value: object) -> str:
    if value is ALL_INTERFACES:
        return "ALL_INTERFACES stands alone, not in an iterable: interfaces=ALL_INTERFACES"
    return (
        "interfaces must be a name, an index, an address, an Interface, or an iterable of these, "
        f"not {type(value).__name__}: {value!r}"
    )


def select_interfaces(
    selectors: Sequence[InterfaceSelector] | None, interfaces: Sequence[Interface]
) -> tuple[Selection, ...]:
    """Return the interfaces that selectors mean, in their order; `None` means the candidates.

    Raises:
        InterfaceNotFoundError: A selector matches nothing, or there is no candidate.
        AmbiguousInterfaceError: An address is on two interfaces.
    """
    if selectors is not None:
        directory = Directory.of(interfaces)
        selections = (select_one(selector, directory) for selector in selectors)
        return tuple(dict.fromkeys(selections))
    candidates = tuple(Selection(interface) for interface in interfaces if is_candidate(interface))
    if not candidates:
        raise InterfaceNotFoundError(
            "no interface is up, capable of multicast and not loopback; name the one to use in "
            f"interfaces= (there are: {describe_interfaces(interfaces)})"
        )
    return candidates


def select_one(selector: InterfaceSelector, interfaces: Directory) -> Selection:
    """Return the interface that one selector means; the errors are those of `select_interfaces`."""
    if isinstance(selector, Interface):
        return Selection(_by_name(selector.name, interfaces))
    if isinstance(selector, int):
        if selector in interfaces.by_index:
            return Selection(interfaces.by_index[selector])
        raise InterfaceNotFoundError(
            f"no interface has index {show_value(selector)}; there are: "
            + describe_addresses([f"{each.index} ({each.name})" for each in interfaces])
        )
    if isinstance(selector, str):
        if selector in interfaces.by_name:
            return Selection(interfaces.by_name[selector])
        if selector and selector in interfaces.by_description:
            return Selection(interfaces.by_description[selector])
        address = address_or_none(selector)
        if address is None:
            return Selection(_by_name(selector, interfaces))
        return _by_address(address, interfaces)
    return _by_address(selector, interfaces)


def address_or_none(text: str) -> IPAddress | None:
    """Return the address that a text is; `None` if it is none."""
    if ":" not in text and text.count(".") != 3:
        return None  # Mostly it is a name, and that is told sooner than by an error.
    try:
        return IPv6Address(text) if ":" in text else IPv4Address(text)
    except ValueError:
        return None


def _by_name(name: str, interfaces: Directory) -> Interface:
    if name in interfaces.by_name:
        return interfaces.by_name[name]
    names = {interface.name for interface in interfaces}
    raise InterfaceNotFoundError(
        f"no interface is called {name!r}{about_selector(name, names)}; there are: "
        f"{describe_interfaces(interfaces)}"
    )


def by_zone(zone: str, interfaces: Sequence[Interface]) -> Interface:
    """Return the interface that a zone means: a name, or an index in digits."""
    directory = Directory.of(interfaces)
    if zone in directory.by_name:
        return directory.by_name[zone]
    if zone in directory.by_index_in_digits:
        return directory.by_index_in_digits[zone]
    raise InterfaceNotFoundError(
        f"the zone {zone!r} names no interface; there are: {describe_interfaces(interfaces)}"
    )


def in_zone(zone: str, interfaces: Iterable[Interface]) -> list[Interface]:
    """Return those of some interfaces that a zone means.

    A name may be digits, and then counts for more than another interface's index, as everywhere
    here, and for the C library of Linux.
    """
    named, numbered = [], []
    for interface in interfaces:
        if interface.name == zone or zone in interface.alternative_names:
            named.append(interface)
        elif str(interface.index or "") == zone:
            numbered.append(interface)
    return named or numbered


def _by_address(address: IPAddress, interfaces: Directory) -> Selection:
    # Also from an IPv4Interface or IPv6Interface, as `Interface` has them: without the network.
    bare = ip_address(address.packed)
    zone = address.scope_id if isinstance(address, IPv6Address) else None
    searched = interfaces if zone is None else Directory([by_zone(zone, interfaces)])
    matches = searched.having(bare)
    if not matches:
        raise InterfaceNotFoundError(
            f"no interface has the address {address}; there are: {describe_interfaces(interfaces)}"
        )
    if len(matches) > 1:
        hint = f" or add a zone, as in {bare}%{zone_of(matches[0])}" if bare.version == 6 else ""
        raise AmbiguousInterfaceError(
            f"the address {address} is on {len(matches)} interfaces: "
            f"{', '.join(interface.name for interface in matches)}; name one of them{hint}"
        )
    return Selection(matches[0], bare)


def family_of_selector(selector: InterfaceSelector) -> Family | None:
    """Return the family of a selector that is an address; `None` for another selector."""
    if isinstance(selector, (IPv4Address, IPv6Address)):
        return family_of(selector)
    # The name of an `Interface` may look like an address.
    address = address_or_none(selector) if isinstance(selector, str) else None
    return None if address is None else family_of(address)


def text_of(selector: InterfaceSelector) -> str:
    """Return a selector as text: the same text for an address, however it is written."""
    text = str(selector)
    if isinstance(selector, (IPv4Address, IPv6Address)):
        text = text.partition("/")[0]  # As `Interface` has them, with their networks.
    address = address_or_none(text)
    return text if address is None else str(address)


def means(selector: InterfaceSelector, interface: Interface) -> bool:
    """Tell whether a selector means an interface, or a placeholder, which has the index 0."""
    if not interface.index:
        return interface.name == text_of(selector)
    try:
        select_interfaces([selector], [interface])
    except InterfaceNotFoundError:
        return False
    return True


def names_of(interface: Interface) -> tuple[str, ...]:
    """Return every text that can stand for an interface in a selector or a zone."""
    names = [interface.name, *interface.alternative_names]
    names += [interface.description, str(interface.index or "")]
    ipv4 = map(str, interface.addresses("ipv4"))
    ipv6 = [str(address) for address in interface.addresses("ipv6")]
    zones = (interface.name, *interface.alternative_names, interface.index)
    zoned = [f"{address}%{zone}" for address in ipv6 for zone in zones]
    return tuple(filter(None, (*names, *ipv6, *ipv4, *zoned)))
