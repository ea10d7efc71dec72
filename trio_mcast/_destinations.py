"""What a sender is told to send, and to whom: checked, and matched with its sockets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias, cast

import attrs

from ._addresses import (
    MAX_DATAGRAM_BYTES,
    AddressLike,
    Group,
    IPAddress,
    family_of,
    parse_address,
    parse_group,
    parse_port,
    without_zone,
)
from ._errors import printable
from ._interface import Interface, zone_of
from ._plan import FAMILY_LABEL, BindAddress, SocketSpec, bind_address

Buffer: TypeAlias = bytes | bytearray | memoryview
Destination: TypeAlias = AddressLike | tuple[AddressLike, int]

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

    Raises:
        TypeError: It is none of what `McastSender.send` takes.
        ValueError: Its address or port is none, or it is a unicast address without a port.
    """
    if isinstance(to, tuple):
        if len(to) != 2:
            raise TypeError(f"to must be a group, or a pair of address and port, not {to!r}")
        return parse_address(to[0], "to"), parse_port(to[1], "the port of to")
    if isinstance(to, (str, IPv4Address, IPv6Address)):
        address = parse_address(to, "to")
        if not address.is_multicast:
            raise ValueError(
                f"to={str(to)!r} is not a group; for unicast give a pair of address and port"
            )
        return address, port
    raise TypeError(
        "to must be a group, a pair of address and port, or an Endpoint, "
        f"not {type(to).__name__}: {to!r}"
    )


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

    def leading_to(self, to: Destination) -> tuple[Way, ...]:
        """To one destination.

        Raises:
            TypeError: It is none of what `McastSender.send` takes.
            ValueError: It cannot be reached from these interfaces.
        """
        address, port = parse_destination(to, self.port)
        if not address.is_multicast:
            return (self._unicast(address, port),)
        group = parse_group(address)
        numbers = [number for item, number in self.targets if item.address == group.address]
        numbers = numbers or self._one_per_interface(group.address)
        if group.zone is not None:
            numbers = self._in_zone(numbers, group.zone, str(group))
        return tuple(self._way(number, group.address, port) for number in numbers)

    def _unicast(self, address: IPAddress, port: int) -> Way:
        numbers = self._one_per_interface(address)
        bare = without_zone(address)
        zone = address.scope_id if isinstance(address, IPv6Address) else None
        if zone is not None:
            numbers = self._in_zone(numbers, zone, str(address))
        elif isinstance(address, IPv6Address) and address.is_link_local and len(numbers) > 1:
            example = printable(zone_of(self.sockets[min(numbers)].interface))
            raise ValueError(
                f"to={str(address)!r} needs a zone, as in {address}%{example}: a link-local "
                "address means another machine on each interface"
            )
        near = [item for item in numbers if _is_on_link(self.sockets[item].interface, bare)]
        # One that is open is better than one that is near and is not.
        chosen = min(near + numbers, key=lambda number: number in self.gone)
        return self._way(chosen, bare, port)

    def _way(self, number: int, address: IPAddress, port: int) -> Way:
        scoped = address.is_multicast or address.is_link_local
        index = self.sockets[number].interface.index if scoped else 0
        return number, bind_address(address, port, index)

    def _one_per_interface(self, address: IPAddress) -> list[int]:
        """One socket for each interface, of the address's family; an open one if there is one."""
        family = family_of(address)
        found: dict[str, int] = {}
        for number, spec in enumerate(self.sockets):
            if spec.family == family:
                known = found.setdefault(spec.interface.name, number)
                if known in self.gone:
                    found[spec.interface.name] = number
        if not found:
            raise ValueError(
                f"to={str(address)!r}: none of this sender's groups is {FAMILY_LABEL[family]}"
            )
        return list(found.values())

    def _in_zone(self, numbers: Sequence[int], zone: str, to: str) -> list[int]:
        found = [item for item in numbers if _is_zone_of(self.sockets[item].interface, zone)]
        if not found:
            names = dict.fromkeys(str(item.interface) for item in self.sockets)
            raise ValueError(
                f"to={to!r}: {printable(zone)} is not an interface of this sender, which has "
                f"{', '.join(names)}"
            )
        return found


def _is_zone_of(interface: Interface, zone: str) -> bool:
    return zone in (interface.name, str(interface.index))


def _is_on_link(interface: Interface, address: IPAddress) -> bool:
    if isinstance(address, IPv4Address):
        return any(address in item.network for item in interface.ipv4_addresses)
    return any(address in item.network for item in interface.ipv6_addresses)
