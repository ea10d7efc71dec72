"""The payloads and destinations that the user gives to a sender, checked. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias, cast

from .._values.addresses import (
    MAX_DATAGRAM_BYTES,
    AddressLike,
    Endpoint,
    IPAddress,
    parse_address,
    parse_port,
    split_ipv4_zone,
)
from .._values.datagram import Datagram
from .._values.shown import show_value

Buffer: TypeAlias = bytes | bytearray | memoryview
Destination: TypeAlias = AddressLike | tuple[AddressLike, int]


def checked_payload(data: Buffer) -> bytes:
    """Return the payload as bytes.

    A buffer that can change is copied, as sending may have to wait.

    Raises:
        TypeError: The payload is not bytes-like.
        ValueError: The payload is too large.
    """
    if not isinstance(data, bytes):
        if not isinstance(data, (bytearray, memoryview)):
            hint = ": encode it" if isinstance(data, str) else ""
            raise TypeError(
                f"data must be bytes-like, not {type(data).__name__}: {show_value(data):.100}{hint}"
            )
        data = bytes(data)
    if len(data) > MAX_DATAGRAM_BYTES:
        raise ValueError(
            f"data of {len(data)} bytes does not fit a UDP datagram, which takes "
            f"{MAX_DATAGRAM_BYTES}: send it in parts"
        )
    return data


def checked_payloads(datagrams: Iterable[Buffer]) -> list[bytes]:
    """Return several payloads as bytes, each as from `checked_payload`.

    Raises:
        TypeError: The argument is one datagram or no iterable, or a payload is not bytes-like.
        ValueError: A payload is too large.
    """
    # One datagram is iterable too, and would be numbers.
    if isinstance(datagrams, (bytes, bytearray, memoryview, str)):
        raise TypeError(_payloads_type_message(datagrams))
    try:
        iter(datagrams)
    except TypeError:
        raise TypeError(_payloads_type_message(datagrams)) from None
    payloads = list(datagrams)
    # All at once where that will do: one by one costs more than sending does. Where all have one
    # size, counting takes half the time of looking for the largest.
    if payloads and list(map(type, payloads)).count(bytes) == len(payloads):
        sizes = list(map(len, payloads))
        largest = sizes[0] if sizes.count(sizes[0]) == len(sizes) else max(sizes)
        if largest <= MAX_DATAGRAM_BYTES:
            return cast("list[bytes]", payloads)
    return [checked_payload(data) for data in payloads]


def _payloads_type_message(value: object) -> str:
    return (
        "datagrams must be an iterable of bytes-like objects, such as a list; "
        f"not {type(value).__name__}: {value!r:.100}"
    )


def parse_destination(to: Destination, port: int) -> tuple[IPAddress, int]:
    """Parse a destination into its address and port.

    Args:
        to: The destination.
        port: The port of a group that is given without one.

    Returns:
        The address and port. The port of a peer can be 0, as a datagram can name port 0 as its
        source.

    Raises:
        TypeError: The destination is none of the kinds that `McastSender.send` takes.
        ValueError: Its address or port is none, or a unicast address is given without a port.
    """
    if isinstance(to, Datagram):
        raise TypeError(
            "to is a datagram: give to=datagram.source to answer its sender, or to=datagram.group"
        )
    if isinstance(to, tuple):
        if len(to) != 2:
            raise TypeError(f"to must be a group, or a pair of address and port, not {to!r}")
        address = _parse(to[0])
        lowest = 1 if is_group(to, address) else 0
        return address, parse_port(to[1], "the port of to", lowest=lowest)
    if isinstance(to, (str, IPv4Address, IPv6Address)):
        address = _parse(to)
        if not is_group(to, address):
            raise ValueError(
                f"to={str(to)!r} is not a group; for unicast give a pair of address and port"
            )
        return address, port
    hint = ": make a tuple of it" if isinstance(to, list) else ""
    raise TypeError(
        "to must be a group, a pair of address and port, or an Endpoint, "
        f"not {type(to).__name__}: {to!r}{hint}"
    )


def _parse(value: AddressLike) -> IPAddress:
    """Parse an address; of a group, the zone is told by `parse_group`."""
    bare, zone = split_ipv4_zone(value)
    address = parse_address(bare, "to")
    # Only a group has a zone in IPv4: of any other address, the whole is no address.
    return address if zone is None or address.is_multicast else parse_address(value, "to")


def is_group(to: Destination, address: IPAddress) -> bool:
    """Tell whether a destination is a group, and not one peer.

    An `Endpoint` is one peer, the source that a datagram names, even if a group is named.

    Args:
        to: The destination.
        address: The address of the destination.
    """
    return address.is_multicast and not isinstance(to, Endpoint) and ipv4_in(address) is None


def ipv4_in(address: IPAddress) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for, as in ``::ffff:10.0.0.7``."""
    return address.ipv4_mapped if isinstance(address, IPv6Address) else None
