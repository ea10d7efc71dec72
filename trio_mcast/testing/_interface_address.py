"""Addresses as tests give them to virtual interfaces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface, ip_interface
from typing import Final, TypeAlias, get_args

from .._values.addresses import Family, IPAddress, family_of, parse_address, without_zone
from .._values.interface import AddressScope, AddressState, InterfaceAddress, assumed_scope
from .._values.numbers import parse_seconds
from ._arguments import check_flag

# From the widest to the narrowest, as Linux numbers the scopes (rtnetlink(7)).
_SCOPES: Final = get_args(AddressScope)

# The forms in which users may give an interface an address.
AddressWithPrefix: TypeAlias = str | IPv4Interface | IPv6Interface


def check_among(value: str | None, values: object, what: str) -> None:
    """Raise ValueError for a value that is none of a Literal's."""
    if value is not None and value not in get_args(values):
        raise ValueError(f"{what} must be one of {get_args(values)}, not {value!r}")


def parse_interface_address(value: AddressWithPrefix) -> IPv4Interface | IPv6Interface:
    """Parse an address with a prefix length.

    Raises:
        TypeError: The value is not text and no interface address.
        ValueError: The text is no interface address, or an interface cannot have the address.
    """
    if not isinstance(value, (str, IPv4Interface, IPv6Interface)):
        raise TypeError(
            "an interface's address must be a str, IPv4Interface or IPv6Interface, "
            f"not {type(value).__name__}: {value!r}"
        )
    try:
        parsed = ip_interface(value)
    except ValueError:
        raise ValueError(
            f"{value!r} is not an interface address, such as '10.0.0.1/24' or 'fe80::1/64'"
        ) from None
    if isinstance(value, str) and "/" not in value:
        raise ValueError(f"{value!r} has no prefix length: write it as in '{value}/24'")
    bare = parsed.ip
    if bare.is_multicast or bare.is_unspecified:
        raise ValueError(f"{str(value)!r} is not an address that an interface can have")
    if isinstance(parsed, IPv6Interface) and parsed.scope_id is not None:
        raise ValueError(f"{str(value)!r} has a zone, which its interface is already")
    return parsed


def parse_details(
    address: AddressWithPrefix,
    scope: AddressScope | None,
    state: AddressState | None,
    check_seconds: float | None,
    *,
    temporary: bool,
) -> InterfaceAddress:
    """Check and parse what `VirtualInterface.add_address` is given for a Linux host.

    Raises:
        TypeError: The address is not text and no interface address, or the time is no number.
        ValueError: A value is not possible, or values contradict each other.
    """
    parsed = parse_interface_address(address)
    check_among(scope, AddressScope, "scope")
    check_among(state, AddressState, "state")
    if temporary and parsed.version == 4:
        raise ValueError(f"{parsed} is not IPv6, and only IPv6 has temporary addresses")
    check_flag(temporary, "temporary")
    if check_seconds is not None:
        parse_seconds(check_seconds, "check_seconds", above=True)
        if parsed.version == 4 or state == "tentative":
            raise ValueError(
                f"check_seconds={check_seconds!r}: only IPv6 addresses are checked, and state is "
                "the one after that, so not 'tentative'"
            )
    now = state if check_seconds is None else "tentative"
    return InterfaceAddress(parsed, scope or assumed_scope(parsed), now or "preferred", temporary)


def parse_bare_address(value: AddressWithPrefix) -> IPAddress:
    """Parse an address of an interface; a prefix length makes no difference.

    Raises:
        TypeError: The value is not text and no address object.
        ValueError: The text is no address.
    """
    if isinstance(value, str) and "/" in value:
        value = parse_interface_address(value)
    if isinstance(value, (IPv4Interface, IPv6Interface)):
        return bare_address(value)
    return without_zone(parse_address(value, "address"))


def bare_address(address: IPv4Interface | IPv6Interface) -> IPAddress:
    """Return an address without its network."""
    return IPv6Address(address.packed) if isinstance(address, IPv6Interface) else address.ip


def without_family(details: Iterable[InterfaceAddress], family: Family) -> list[InterfaceAddress]:
    """Return the addresses that are left on Linux when a family is taken off for a time.

    Link-local IPv6 addresses are made again with the family, so they stay.
    """
    return [
        detail
        for detail in details
        if family_of(detail.address) != family
        or (family == "ipv6" and detail.address.is_link_local)
    ]


def link_address(number: int) -> str:
    """Return the link address of the interface that has a number on the network."""
    return f"02:00:00:00:{number >> 8 & 0xFF:02x}:{number & 0xFF:02x}"


def place_of_ipv6(details: Sequence[InterfaceAddress], new: InterfaceAddress) -> int:
    """Return where Linux lists a new IPv6 address: before others of its scope or a narrower one.

    ipv6_link_dev_addr in net/ipv6/addrconf.c.
    """
    return next(
        (
            place
            for place, detail in enumerate(details)
            if detail.address.version == 6
            and (detail.address.is_link_local or not new.address.is_link_local)
        ),
        len(details),
    )


def place_of_ipv4(details: Sequence[InterfaceAddress], new: InterfaceAddress) -> int:
    """Return where Linux lists a new IPv4 address.

    A secondary address, of a network that is there already, comes after all others. Another one
    comes after the primary ones of its scope or a narrower one, or before all (__inet_insert_ifa in
    net/ipv4/devinet.c; measured on 6.18).
    """
    if _is_secondary(details, new):
        return len(details)
    wider = [
        place
        for place, detail in enumerate(details)
        if detail.address.version == 4
        and _SCOPES.index(new.scope) <= _SCOPES.index(detail.scope)
        and not _is_secondary(details[:place], detail)
    ]
    return wider[-1] + 1 if wider else 0


def promote(
    details: Sequence[InterfaceAddress], removed: InterfaceAddress
) -> list[InterfaceAddress]:
    """Return the addresses after an IPv4 address was removed.

    The first secondary address of the same network takes its part, and stands after the other
    primary ones. That is how it is where systemd sets net.ipv4.conf.all.promote_secondaries.
    """
    remaining: list[InterfaceAddress] = []
    of_network = removed.address.network
    heirs = [detail for detail in details if detail.address.network == of_network]
    for detail in details:
        if detail not in heirs[:1]:
            remaining.append(detail)
    if heirs:
        others = [detail for detail in remaining if detail not in heirs]
        place = place_of_ipv4(others, heirs[0])
        remaining = [*others[:place], heirs[0], *others[place:], *heirs[1:]]
    return remaining


def _is_secondary(details: Iterable[InterfaceAddress], address: InterfaceAddress) -> bool:
    network = address.address.network
    return any(detail.address.network == network for detail in details)
