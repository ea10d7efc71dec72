"""Addresses: groups, sources, endpoints, and socket addresses as bytes. Pure: no I/O, no OS.

The bytes of a socket address differ between systems (the family's number, and whether a length
byte comes first), so the functions in this module take a `SockaddrFormat`; each platform table has
one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Set
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal, NamedTuple, TypeAlias, TypeVar, cast

import attrs

from .errors import printable
from .mistakes import about_address, about_address_type
from .numbers import parse_int
from .shown import show_value

# The largest payload of a UDP datagram over IPv4: 65,535 bytes of IPv4 packet less 20 bytes of IPv4
# header and 8 of UDP header. (IPv6 could carry 20 bytes more; one limit for both families
# means that a program does not break when its groups change.)
MAX_DATAGRAM_BYTES = 65_507

_T = TypeVar("_T")

Family: TypeAlias = Literal["ipv4", "ipv6"]
IPAddress: TypeAlias = IPv4Address | IPv6Address

# The forms in which users may name a group, a source or an address.
AddressLike: TypeAlias = str | IPv4Address | IPv6Address

# IPv6 multicast scopes (RFC 7346): the low four bits of the second byte.
LINK_LOCAL_SCOPE = 2


class Endpoint(NamedTuple):
    """A unicast address and a UDP port: where a datagram came from, or can be sent to.

    It can be given as it is to ``McastSender.send(to=...)``, and, being a tuple of host and port,
    to the ``sendto`` of a socket. What a datagram says of its source can be forged, or be nothing
    that can be answered: `McastSender.send` refuses it then. There is one trap: a plain Python
    socket drops the zone of a link-local host; resolve it first,
    ``socket.getaddrinfo(*endpoint)[0][4]``.
    """

    host: str
    """The address as text. A link-local IPv6 address carries its zone: ``"fe80::1%eth0"``. The zone
    is the interface's name, or its index if there is a "%" in the name.
    """
    port: int
    """The UDP port, 0 to 65535."""

    def __str__(self) -> str:
        host = printable(self.host)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


@attrs.frozen
class Group:
    """A multicast group: an address, and the zone that was written with it, if any."""

    address: IPAddress
    zone: str | None = None
    # The family, and the address as text, made once: both stand in every plan for the group.
    family: Family = attrs.field(init=False, eq=False, repr=False)
    text: str = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "family", family_of(self.address))
        object.__setattr__(self, "text", str(self.address))

    def __str__(self) -> str:
        return self.text if self.zone is None else f"{self.text}%{self.zone}"


def family_of(address: IPAddress) -> Family:
    return "ipv4" if address.version == 4 else "ipv6"


def is_link_scoped(address: IPAddress) -> bool:
    """Tell whether a group's datagrams stay on one link, so that the source is link-local.

    For IPv6 that means scopes up to 2 (RFC 7346); an IPv4 group has no such consequence.
    """
    return isinstance(address, IPv6Address) and (address.packed[1] & 0x0F) <= LINK_LOCAL_SCOPE


def without_zone(address: IPAddress) -> IPAddress:
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return IPv6Address(address.packed)
    return address


def parse_address(value: AddressLike, what: str) -> IPAddress:
    """Parse an address from text or an address object; the zone of an IPv6 address is kept.

    Raises:
        TypeError: The value is neither text nor an address object.
        ValueError: The text is not an IPv4 or IPv6 address.
    """
    if isinstance(value, (IPv4Address, IPv6Address)):
        # IPv4Interface is a subclass of IPv4Address, and str() of it has a prefix length.
        if hasattr(value, "network"):
            raise TypeError(f"{what} must be an address, not the interface address {value}")
        return value
    if not isinstance(value, str):
        raise TypeError(
            f"{what} must be a str, IPv4Address or IPv6Address, "
            f"not {type(value).__name__}: {show_value(value)}"
            f"{about_address_type(value, what)}"
        )
    try:
        return ip_address(value)
    except ValueError:
        raise ValueError(
            f"{what} {value!r} is not an IPv4 or IPv6 address"
            + (about_address(value, what) or " (host names are not looked up)")
        ) from None


def split_ipv4_zone(value: AddressLike) -> tuple[AddressLike, str | None]:
    """Return an IPv4 address without its zone, and the zone; any other value as it is, and `None`.

    `ipaddress` knows zones for IPv6 only. A zone narrows a group to an interface, in either family.
    """
    if not isinstance(value, str) or "%" not in value:
        return value, None
    bare, _, zone = value.partition("%")
    try:
        IPv4Address(bare)
    except ValueError:
        return value, None
    # As for IPv6, a zone has no "%" in it.
    return (bare, zone) if zone and "%" not in zone else (value, None)


def parse_group(value: AddressLike) -> Group:
    """Parse a group from text or an address object.

    Raises:
        TypeError: The value is neither text nor an address object.
        ValueError: The value is not an address, or not a multicast address.
    """
    return _parse_group_text(value)[0] if type(value) is str else _parse_group(value)


def _parse_group(value: AddressLike) -> Group:
    bare, zone = split_ipv4_zone(value)
    address = parse_address(bare, "group")
    if isinstance(address, IPv6Address):
        zone = address.scope_id
    # Not is_multicast alone: newer Pythons (not yet 3.13.0) say so of ::ffff:239.1.2.3, no group.
    if not address.is_multicast or (address.version == 6 and address.packed[0] != 0xFF):
        raise ValueError(
            f"{str(value)!r} is not a multicast group: groups are 224.0.0.0 to 239.255.255.255 "
            "(239.0.0.0/8 is free for private use) and IPv6 addresses that begin with ff"
        )
    return Group(without_zone(address), zone)


# A program names a group many times: when opening, joining, leaving. The number is arbitrary.
@lru_cache(maxsize=1_024)
def _parse_group_text(value: str) -> tuple[Group]:
    return (_parse_group(value),)


def in_fixed_order(values: Iterable[_T]) -> list[_T]:
    """Return what a program gives as a list: a set in the order of its texts, all else as it is.

    A set of texts has another order in each process, and sockets are opened in the order of these.
    """
    return sorted(values, key=str) if isinstance(values, Set) else list(values)


def listed(
    value: AddressLike | Iterable[AddressLike], what: str, *, may_be_none: bool = False
) -> list[AddressLike]:
    """Return one or several addresses as a list.

    Raises:
        TypeError: The value is neither an address nor an iterable.
        ValueError: The iterable is empty, unless there ``may_be_none``.
    """
    if isinstance(value, (str, IPv4Address, IPv6Address)):
        return [value]
    if isinstance(value, (bytes, bytearray)):
        raise TypeError(
            f"{what} must be text, not {type(value).__name__}: "
            f"{value!r}{about_address_type(value, what)}"
        )
    try:
        if isinstance(value, (IPv4Network, IPv6Network)):
            raise TypeError  # Iterated, it would be each of its addresses.
        values = in_fixed_order(value)
    except TypeError:
        raise TypeError(
            f"{what} must be an address or an iterable of addresses, "
            f"not {type(value).__name__}: {show_value(value)}"
            f"{about_address_type(value, what)}"
        ) from None
    if not values and not may_be_none:
        raise ValueError(f"{what} is empty: name at least one")
    return values


def parse_groups(
    value: AddressLike | Iterable[AddressLike], *, may_be_none: bool = False
) -> tuple[Group, ...]:
    """Parse one or several groups: duplicates collapse, the order is kept.

    Args:
        value: The groups.
        may_be_none: Whether there may be no group at all.
    """
    if type(value) is str:
        return _parse_group_text(value)
    return tuple(
        dict.fromkeys(
            parse_group(group) for group in listed(value, "groups", may_be_none=may_be_none)
        )
    )


def parse_sources(
    value: AddressLike | Iterable[AddressLike] | None, what: str
) -> tuple[IPAddress, ...] | None:
    """Parse the unicast addresses of ``sources`` or ``excluded_sources``; `None` stays `None`."""
    if value is None:
        return None
    return tuple(dict.fromkeys(_parse_source(source, what) for source in listed(value, what)))


def _parse_source(value: AddressLike, what: str) -> IPAddress:
    address = parse_address(value, what)
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        raise ValueError(f"{what}: {str(value)!r} is not the address of a sender")
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError(
            f"{what}: {str(value)!r} carries a zone, which a source filter cannot: write "
            f"{str(without_zone(address))!r} and name the interface in interfaces="
        )
    return address


def parse_port(value: int, what: str, *, lowest: int = 1) -> int:
    """Return a UDP port after a check.

    Raises:
        TypeError: The value is not an int.
        ValueError: The value is not between ``lowest`` and 65535.
    """
    return parse_int(value, what, lowest, 65_535)


def parse_ports(value: int | Iterable[int]) -> tuple[int, ...]:
    """Return one or several UDP ports: duplicates collapse, the order is kept.

    Raises:
        TypeError: The value is neither an int nor an iterable of ints.
        ValueError: A port is not between 1 and 65535, or the iterable is empty.
    """
    if isinstance(value, (int, str, bytes, bytearray)):
        return (parse_port(cast("int", value), "port"),)
    try:
        ports = in_fixed_order(value)
    except TypeError:
        raise TypeError(
            f"port must be an int or an iterable of ints, not {type(value).__name__}: {value!r}"
        ) from None
    if not ports:
        raise ValueError("port is empty: name at least one")
    return tuple(dict.fromkeys(parse_port(port, "port") for port in ports))


@attrs.frozen
class SockaddrFormat:
    """The format in which a system writes ``sockaddr_in`` and ``sockaddr_in6``.

    Attributes:
        af_inet: The number of AF_INET.
        af_inet6: The number of AF_INET6.
        has_length: Whether the structure begins with a length in one byte and the family in the
            next (macOS and the BSDs); else the family takes both bytes.
    """

    af_inet: int
    af_inet6: int
    has_length: bool

    def number(self, family: Family) -> int:
        return self.af_inet if family == "ipv4" else self.af_inet6


SOCKADDR_IN_BYTES = 16
SOCKADDR_IN6_BYTES = 28
_SOCKADDR_IN = struct.Struct("!HI8x")  # Without the family.


def encode_sockaddr(
    layout: SockaddrFormat, address: IPAddress, port: int = 0, scope_id: int = 0
) -> bytes:
    """Return a ``sockaddr_in`` (16 bytes) or ``sockaddr_in6`` (28 bytes)."""
    if isinstance(address, IPv4Address):
        head = _encode_family(layout, layout.af_inet, SOCKADDR_IN_BYTES)
        return head + _SOCKADDR_IN.pack(port, int(address))
    head = _encode_family(layout, layout.af_inet6, SOCKADDR_IN6_BYTES)
    return head + struct.pack("!HI16s", port, 0, address.packed) + struct.pack("=I", scope_id)


def _encode_family(layout: SockaddrFormat, family: int, size: int) -> bytes:
    if layout.has_length:
        return struct.pack("=BB", size, family)
    return struct.pack("=H", family)


def decode_sockaddr(
    layout: SockaddrFormat, raw: bytes, zone_name: Callable[[int], str] = str
) -> Endpoint:
    """Return the endpoint in the bytes of a ``sockaddr_in`` or ``sockaddr_in6``.

    Args:
        layout: The format of the system.
        raw: The bytes; bytes after the structure are ignored.
        zone_name: The name of an interface index, for the zone of link-local addresses.

    Raises:
        ValueError: The address is of another family, or the bytes are too few.
    """
    if len(raw) < SOCKADDR_IN_BYTES:
        raise ValueError(f"a socket address of {len(raw)} bytes is too short")
    family = raw[1] if layout.has_length else struct.unpack_from("=H", raw)[0]
    if family == layout.af_inet:
        port, packed = struct.unpack_from("!H4s", raw, 2)
        return Endpoint(str(IPv4Address(packed)), port)
    if family != layout.af_inet6:
        raise ValueError(f"a socket address of family {family} is neither IPv4 nor IPv6")
    if len(raw) < SOCKADDR_IN6_BYTES:
        raise ValueError(f"an IPv6 socket address of {len(raw)} bytes is too short")
    port, _flow, packed = struct.unpack_from("!HI16s", raw, 2)
    (scope_id,) = struct.unpack_from("=I", raw, 24)
    return Endpoint(host_with_zone(IPv6Address(packed), scope_id, zone_name), port)


def host_with_zone(address: IPAddress, scope_id: int, zone_name: Callable[[int], str]) -> str:
    """Return the text of an address, with a zone if the address is link-local."""
    if scope_id and isinstance(address, IPv6Address) and address.is_link_local:
        return f"{address}%{zone_name(scope_id)}"
    return str(address)


FAMILY_LABEL: dict[Family, str] = {"ipv4": "IPv4", "ipv6": "IPv6"}
