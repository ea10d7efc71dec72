"""What a sender is told to send, and to whom: checked, and matched with its sockets. Pure.

Decision: a peer is not a wrong argument
========================================

An answer goes to where a datagram says that it came from, and anybody can have it say anything. If
that were a `ValueError`, one datagram could end a program that counts on finding its own mistakes
by it. So where there is no way to a peer, that is something which the world has caused, as a route
that is missing; and nothing is sent, as systems differ in what they would do: Linux sends to itself
what is for 0.0.0.0. A group is a wrong argument if it cannot be reached: it is the program's own.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Final, TypeAlias, cast

import attrs

from .._plan.socket_spec import BindAddress, SocketSpec, bind_address
from .._values.addresses import (
    FAMILY_LABEL,
    MAX_DATAGRAM_BYTES,
    AddressLike,
    Endpoint,
    Family,
    Group,
    IPAddress,
    family_of,
    parse_address,
    parse_group,
    parse_port,
    without_zone,
)
from .._values.errors import printable
from .._values.interface import Interface, zone_of

Buffer: TypeAlias = bytes | bytearray | memoryview
Destination: TypeAlias = AddressLike | tuple[AddressLike, int]

# "This host on this network" (RFC 1122 section 3.2.1.3), and everybody on it.
_THIS_NETWORK: Final = IPv4Network("0.0.0.0/8")
_LIMITED_BROADCAST: Final = IPv4Address("255.255.255.255")

# A socket by its position, and the address to send to.
Way: TypeAlias = tuple[int, BindAddress]


def checked_payload(data: Buffer) -> bytes:
    """The payload as bytes: a buffer that can change is copied, as sending may have to wait.

    Raises:
        TypeError: It is not bytes-like.
        ValueError: It is too large.
    """
    if not isinstance(data, bytes):
        if not isinstance(data, (bytearray, memoryview)):
            raise TypeError(f"data must be bytes-like, not {type(data).__name__}: {data!r:.100}")
        data = bytes(data)
    if len(data) > MAX_DATAGRAM_BYTES:
        raise ValueError(
            f"data of {len(data)} bytes does not fit a UDP datagram, which takes "
            f"{MAX_DATAGRAM_BYTES}: send it in parts"
        )
    return data


def checked_payloads(datagrams: Iterable[Buffer]) -> list[bytes]:
    """The payloads as bytes, as `checked_payload` has each.

    Raises:
        TypeError: It is one datagram, or no iterable, or one of them is not bytes-like.
        ValueError: One of them is too large.
    """
    # One datagram is iterable too, and would be numbers.
    if isinstance(datagrams, (bytes, bytearray, memoryview, str)):
        raise TypeError(_payloads_type_message(datagrams))
    try:
        iter(datagrams)
    except TypeError:
        raise TypeError(_payloads_type_message(datagrams)) from None
    found = list(datagrams)
    # All at once where that will do: one by one costs more than sending does. Where all have one
    # size, counting takes half the time of looking for the largest.
    if found and list(map(type, found)).count(bytes) == len(found):
        sizes = list(map(len, found))
        largest = sizes[0] if sizes.count(sizes[0]) == len(sizes) else max(sizes)
        if largest <= MAX_DATAGRAM_BYTES:
            return cast("list[bytes]", found)
    return [checked_payload(data) for data in found]


def _payloads_type_message(value: object) -> str:
    return (
        "datagrams must be an iterable of bytes-like objects, such as a list; "
        f"not {type(value).__name__}: {value!r:.100}"
    )


def parse_destination(to: Destination, port: int) -> tuple[IPAddress, int]:
    """The address and port that a sender is told to send to.

    Args:
        to: What it is told.
        port: The port of a group that is given without one.

    Returns:
        For one peer, the port can be 0: a datagram can say so of its source.

    Raises:
        TypeError: It is none of what `McastSender.send` takes.
        ValueError: Its address or port is none, or it is a unicast address without a port.
    """
    if isinstance(to, tuple):
        if len(to) != 2:
            raise TypeError(f"to must be a group, or a pair of address and port, not {to!r}")
        address = parse_address(to[0], "to")
        lowest = 1 if is_group(to, address) else 0
        return address, parse_port(to[1], "the port of to", lowest=lowest)
    if isinstance(to, (str, IPv4Address, IPv6Address)):
        address = parse_address(to, "to")
        if not is_group(to, address):
            raise ValueError(
                f"to={str(to)!r} is not a group; for unicast give a pair of address and port"
            )
        return address, port
    raise TypeError(
        "to must be a group, a pair of address and port, or an Endpoint, "
        f"not {type(to).__name__}: {to!r}"
    )


def is_group(to: Destination, address: IPAddress) -> bool:
    """Whether a destination is a group, and not one peer.

    An `Endpoint` is one peer: where a datagram says that it came from, also if it says a group.
    """
    return address.is_multicast and not isinstance(to, Endpoint) and _mapped(address) is None


def _mapped(address: IPAddress) -> IPv4Address | None:
    return address.ipv4_mapped if isinstance(address, IPv6Address) else None


@attrs.frozen
class NoWay:
    """Why there is no way to one peer, which a datagram can say that it came from all the same.

    Attributes:
        number: The position of the socket that comes nearest to one: there it counts as failed.
        address: Where to send to.
        errno: The error number that goes with it.
        reason: Why, and what to do about it.
    """

    number: int
    address: BindAddress
    errno: int
    reason: str


@attrs.frozen
class Ways:
    """The sockets of a sender as values, and through which of them datagrams go where.

    Attributes:
        sockets: What each socket carries out, or did before its interface or address went.
        targets: Which of the sender's groups goes out through which socket, by position.
        port: The port that groups are sent to unless told otherwise.
        gone: The positions of sockets that are not open now. What was to go out through them goes
            nowhere else: that it does not is to be noticed.
    """

    sockets: tuple[SocketSpec, ...]
    targets: tuple[tuple[Group, int], ...]
    port: int
    gone: frozenset[int] = frozenset()

    def everywhere(self) -> tuple[Way, ...]:
        """To every group, on every interface."""
        return tuple(self._way(number, item.address, self.port) for item, number in self.targets)

    def leading_to(self, to: Destination) -> tuple[Way, ...] | NoWay:
        """To one destination.

        Raises:
            TypeError: It is none of what `McastSender.send` takes.
            ValueError: It is a group that cannot be reached from these interfaces, or a link-local
                address lacks its zone.
        """
        address, port = parse_destination(to, self.port)
        if not is_group(to, address):
            return self._unicast(to, address, port)
        group = parse_group(address)
        numbers = [number for item, number in self.targets if item.address == group.address]
        numbers = numbers or self._one_per_interface(family_of(address))
        if not numbers:
            raise ValueError(f"to={str(group)!r}: {self._lacks_family(address)}")
        if group.zone is not None:
            in_zone = self._in_zone(numbers, group.zone)
            if not in_zone:
                raise ValueError(f"to={str(group)!r}: {self._lacks_zone(group.zone)}")
            numbers = in_zone
        return tuple(self._way(number, group.address, port) for number in numbers)

    def _unicast(self, to: Destination, address: IPAddress, port: int) -> tuple[Way, ...] | NoWay:
        bare = without_zone(address)

        def no_way(number: int, why: tuple[int, str]) -> NoWay:
            return NoWay(number, (str(bare), port), *why)

        numbers = self._one_per_interface(family_of(address))
        if not numbers:
            return no_way(0, (errno.EAFNOSUPPORT, self._lacks_family(address)))
        zone = address.scope_id if isinstance(address, IPv6Address) else None
        if zone is not None:
            in_zone = self._in_zone(numbers, zone)
            if not in_zone:
                return no_way(numbers[0], (errno.ENODEV, self._lacks_zone(zone)))
            numbers = in_zone
        elif isinstance(address, IPv6Address) and address.is_link_local and len(numbers) > 1:
            example = printable(zone_of(self.sockets[min(numbers)].interface))
            reason = (
                f"it needs a zone, as in {address}%{example}: a link-local address means another "
                "machine on each interface"
            )
            if isinstance(to, Endpoint):
                return no_way(numbers[0], (errno.EINVAL, reason))
            raise ValueError(f"to={str(address)!r}: {reason}")
        near = [item for item in numbers if _is_on_link(self.sockets[item].interface, bare)]
        # One that is open is better than one that is near and is not.
        chosen = min(near + numbers, key=lambda number: number in self.gone)
        why = _why_nobody(bare, port, [self.sockets[item].interface for item in numbers])
        return (self._way(chosen, bare, port),) if why is None else no_way(chosen, why)

    def _way(self, number: int, address: IPAddress, port: int) -> Way:
        scoped = address.is_multicast or address.is_link_local
        index = self.sockets[number].interface.index if scoped else 0
        return number, bind_address(address, port, index)

    def _one_per_interface(self, family: Family) -> list[int]:
        """One socket of a family for each interface that has one; an open one if there is one."""
        found: dict[str, int] = {}
        for number, spec in enumerate(self.sockets):
            if spec.family == family:
                known = found.setdefault(spec.interface.name, number)
                if known in self.gone:
                    found[spec.interface.name] = number
        return list(found.values())

    def _in_zone(self, numbers: Sequence[int], zone: str) -> list[int]:
        return [item for item in numbers if _is_zone_of(self.sockets[item].interface, zone)]

    def _lacks_family(self, address: IPAddress) -> str:
        return f"none of this sender's groups is {FAMILY_LABEL[family_of(address)]}"

    def _lacks_zone(self, zone: str) -> str:
        names = dict.fromkeys(str(item.interface) for item in self.sockets)
        return f"{printable(zone)} is not an interface of this sender, which has {', '.join(names)}"


def _why_nobody(
    address: IPAddress, port: int, interfaces: Sequence[Interface]
) -> tuple[int, str] | None:
    """Why a datagram cannot reach one peer there, by error number; `None` if it may.

    What systems make of it differs: Linux sends to itself what is for 0.0.0.0.
    """
    if not port:
        return errno.EADDRNOTAVAIL, (
            "nobody can be reached at port 0: a datagram that comes from it wants no answer, or is "
            "forged"
        )
    if address.is_unspecified or address in _THIS_NETWORK:
        return errno.EADDRNOTAVAIL, (
            "no host has that address: a datagram that comes from it was sent by one that has none "
            "yet, or is forged"
        )
    if _mapped(address) is not None:
        return errno.EADDRNOTAVAIL, (
            "it is an IPv4 address in the form of IPv6, which is for use inside a machine: give "
            f"{_mapped(address)}"
        )
    if address.is_multicast:
        return errno.EADDRNOTAVAIL, (
            "it is a group, from which no datagram comes: one that says so is forged. To send to "
            "a group, give it as text, or a plain pair of it and a port"
        )
    if address == _LIMITED_BROADCAST or any(
        address == each.network.broadcast_address and each.network.prefixlen < 31
        for interface in interfaces
        for each in interface.ipv4_addresses
    ):
        return errno.EACCES, "it is a broadcast address, to which a sender does not send"
    return None


def _is_zone_of(interface: Interface, zone: str) -> bool:
    return zone in (interface.name, str(interface.index))


def _is_on_link(interface: Interface, address: IPAddress) -> bool:
    if isinstance(address, IPv4Address):
        return any(address in item.network for item in interface.ipv4_addresses)
    return any(address in item.network for item in interface.ipv6_addresses)
