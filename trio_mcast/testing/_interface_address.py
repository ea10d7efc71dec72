"""Addresses as tests give them to virtual interfaces."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Address, IPv6Interface, ip_interface
from typing import TypeAlias, get_args

from .._values.addresses import IPAddress, parse_address, without_zone
from .._values.interface import AddressScope, AddressState, InterfaceAddress, assumed_scope
from .._values.numbers import parse_seconds
from ._arguments import check_flag

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


def link_address(number: int) -> str:
    """Return the link address of the interface that has a number on the network."""
    return f"02:00:00:00:{number >> 8 & 0xFF:02x}:{number & 0xFF:02x}"
