"""The table that leads from destinations to targets, with the sockets of a sender as values. Pure.

A destination is given by the user: a group, with or without a port, or one peer. A target is what a
datagram is handed to: one socket of the sender, and the address to send to from there. A
destination comes to one target or several.

Decision: a peer is not a wrong argument
========================================

An answer goes to the source that a datagram names, and anybody can have a datagram name anything.
If that were a `ValueError`, one datagram could end a program that counts on finding its own
mistakes by it. So a peer that cannot be reached is caused by the world, like a missing route.
Nothing is sent then, as systems differ in what they would do: Linux sends to itself what is for
0.0.0.0. A group that cannot be reached is a wrong argument: it is the program's own.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Final, TypeAlias

import attrs

from .._plan.route import Route, RouteAnswer
from .._plan.selecting import check_selector, in_zone, select_interfaces, text_of
from .._plan.sender import RouteLookup
from .._plan.socket_spec import BindAddress, SocketSpec, bind_address
from .._platform.advice import BROADCAST_ADVICE
from .._values.addresses import (
    FAMILY_LABEL,
    Endpoint,
    Family,
    Group,
    IPAddress,
    family_of,
    parse_address,
    parse_group,
    without_zone,
)
from .._values.errors import AmbiguousInterfaceError, InterfaceNotFoundError, printable
from .._values.interface import Interface, InterfaceSelector, zone_of
from .destinations import Destination, ipv4_in, is_group, parse_destination

# "This host on this network" (RFC 1122 section 3.2.1.3), and everybody on it.
_THIS_NETWORK: Final = IPv4Network("0.0.0.0/8")
_LIMITED_BROADCAST: Final = IPv4Address("255.255.255.255")

# A target as a value: the number of a socket, which is its position among the sender's sockets, and
# the address to send to.
NumberedTarget: TypeAlias = tuple[int, BindAddress]


@attrs.frozen
class Unreachable:
    """The reason why one peer cannot be reached, although a datagram can name it as its source.

    Attributes:
        number: The number of the socket that a datagram for the peer counts as failed on.
        address: The address and port of the peer.
        errno: The error number.
        reason: The reason, and what to do about it.
    """

    number: int
    address: BindAddress
    errno: int
    reason: str


@attrs.frozen
class TargetTable:
    """The sockets of a sender as values, and the targets that each destination comes to.

    Attributes:
        sockets: The plan that each socket carries out, or did before its interface or address went.
        numbered_groups: Each of the sender's groups with the number of a socket that it goes out
            through.
        port: The port that groups are sent to unless the destination has another.
        gone: The numbers of the sockets that are not open now. Datagrams for them are not sent
            through other sockets instead: the user is to notice that nothing goes out there.
        digit_names: The names of this machine's interfaces that look like an index. As a zone, they
            mean the interface of that name.
        interface: The name of the only interface to send on; `None` for all.
        owner: The sender as its errors call it.
    """

    sockets: tuple[SocketSpec, ...]
    numbered_groups: tuple[tuple[Group, int], ...]
    port: int
    gone: frozenset[int] = frozenset()
    digit_names: frozenset[str] = frozenset()
    interface: str | None = None
    owner: str = "this sender"

    def everywhere(self) -> Iterator[NumberedTarget]:
        """Yield the targets for every group on every interface."""
        for group, number in self.numbered_groups:
            yield self._target(number, group.address, self.port)

    def on_interface(self, interface: InterfaceSelector) -> TargetTable:
        """Return the table for one of the sender's interfaces, with the same numbers.

        Raises:
            TypeError: The interface is none of the kinds that `McastSender.send` takes.
            ValueError: The sender has no such interface.
        """
        check_selector(interface, "interface")
        # One that was made again may be there twice, as it is and as it was.
        by_name = {spec.interface.name: spec.interface for spec in self.sockets}
        for number, spec in enumerate(self.sockets):
            if number not in self.gone:
                by_name[spec.interface.name] = spec.interface
        try:
            (selection,) = select_interfaces([interface], list(by_name.values()))
        except (InterfaceNotFoundError, AmbiguousInterfaceError):
            text = str(interface) if isinstance(interface, Interface) else text_of(interface)
            shown = text if isinstance(interface, int) else repr(text)
            raise ValueError(
                f"interface={shown} is not an interface of {self.owner}, which has {self._names()}"
            ) from None
        name = selection.interface.name
        numbered_groups = tuple(
            (group, number)
            for group, number in self.numbered_groups
            if self.sockets[number].interface.name == name
        )
        return attrs.evolve(self, numbered_groups=numbered_groups, interface=name)

    def targets_for(
        self, to: Destination, look_up_route: RouteLookup = lambda address: None
    ) -> tuple[NumberedTarget, ...] | Unreachable:
        """Return the targets for one destination.

        Args:
            to: The destination.
            look_up_route: The question to the system for the way of datagrams to a peer. Asked only
                where there are several sockets to choose from.

        Raises:
            SocketSetupError: The system refused to tell its route.
            TypeError: The destination is none of the kinds that `McastSender.send` takes.
            ValueError: The destination is a group that cannot be reached from the sender's
                interfaces, or a link-local address without its zone, or one with the zone of
                another interface than `on_interface` was told.
        """
        address, port = parse_destination(to, self.port)
        if not is_group(to, address):
            self._check_zone(address.scope_id if isinstance(address, IPv6Address) else None, to)
            return self._unicast(to, address, port, look_up_route)
        group = parse_group(to[0] if isinstance(to, tuple) else to)
        self._check_zone(group.zone, to)
        numbers = [
            number for known, number in self.numbered_groups if known.address == group.address
        ]
        anywhere = self._one_per_interface(group.family)
        if not anywhere:
            raise ValueError(f"to={str(group)!r}: {self._lacks_family(group.family)}")
        if group.zone is not None:
            # A group that the sender has on one interface can be sent to on another, by its name.
            numbers = self._in_zone(numbers, group.zone) or self._in_zone(anywhere, group.zone)
            if not numbers:
                raise ValueError(f"to={str(group)!r}: {self._lacks_zone(group.zone)}")
        numbers = numbers or anywhere
        return tuple(self._target(number, group.address, port) for number in numbers)

    def _check_zone(self, zone: str | None, to: Destination) -> None:
        """Raise `ValueError` for a zone that is not that of the only interface to send on."""
        if zone is None or self.interface is None:
            return
        named = [i for i, spec in enumerate(self.sockets) if spec.interface.name == self.interface]
        if not self._in_zone(named, zone):
            text = to[0] if isinstance(to, tuple) else to
            raise ValueError(
                f"to={str(text)!r} has not the zone of interface={printable(self.interface)!r}; "
                f"{self.owner} has {self._names()}"
            )

    def _unicast(
        self, to: Destination, address: IPAddress, port: int, look_up_route: RouteLookup
    ) -> tuple[NumberedTarget, ...] | Unreachable:
        """Return the target for one peer, or the reason why there is none."""
        bare, family = without_zone(address), family_of(address)

        def unreachable(number: int, error: int, reason: str) -> Unreachable:
            return Unreachable(number, (str(bare), port), error, reason)

        numbers = [
            number
            for number, socket_spec in enumerate(self.sockets)
            if socket_spec.family == family and self.interface in (None, socket_spec.interface.name)
        ]
        if not numbers:
            first = next((number for _, number in self.numbered_groups), 0)
            return unreachable(first, errno.EAFNOSUPPORT, self._lacks_family(family))
        nearest = numbers[0]
        zone = address.scope_id if isinstance(address, IPv6Address) else None
        if zone is not None:
            numbers = self._in_zone(numbers, zone)
            if not numbers:
                return unreachable(nearest, errno.ENODEV, self._lacks_zone(zone))
        elif (
            isinstance(address, IPv6Address)
            and address.is_link_local
            and len(self._one_per_interface(family)) > 1
        ):
            example = printable(zone_of(self.sockets[min(numbers)].interface))
            reason = (
                f"it needs a zone, as in {address}%{example}: a link-local address means another "
                "machine on each interface"
            )
            if isinstance(to, Endpoint):
                return unreachable(nearest, errno.EINVAL, reason)
            raise ValueError(f"to={str(address)!r}: {reason}")
        interfaces = [self.sockets[number].interface for number in numbers]
        refusal = _refuse_peer(bare, port, interfaces)
        if refusal is not None:
            return unreachable(self._nearest(numbers, bare, None), *refusal)
        # A link-local address has its interface from its zone, not from a route.
        is_routed = len(numbers) > 1 and not (bare.version == 6 and bare.is_link_local)
        route = look_up_route(bare) if is_routed else None
        return (self._target(self._nearest(numbers, bare, route), bare, port),)

    def _nearest(self, numbers: Sequence[int], peer: IPAddress, route: RouteAnswer) -> int:
        """Return the number of the socket from which a peer is reached best.

        An open socket is better than any that is not.
        """

        def distance(number: int) -> tuple[bool, bool, bool, bool]:
            interface, host = self.sockets[number].interface, self.sockets[number].bind[0]
            if isinstance(route, Route):
                is_away = route.interface is None or route.interface.index != interface.index
                is_other = host != str(route.source)
            else:
                is_away, is_other = not _is_on_link(interface, peer), False
            is_narrow = parse_address(host, "address").is_link_local
            return number in self.gone, is_away, is_other, is_narrow is not peer.is_link_local

        return min(numbers, key=distance)

    def _target(self, number: int, address: IPAddress, port: int) -> NumberedTarget:
        scoped = address.is_multicast or address.is_link_local
        index = self.sockets[number].interface.index if scoped else 0
        return number, bind_address(address, port, index)

    def _one_per_interface(self, family: Family) -> list[int]:
        """Return one socket of a family for each interface, an open one if possible."""
        by_interface: dict[str, int] = {}
        for number, socket_spec in enumerate(self.sockets):
            name = socket_spec.interface.name
            if socket_spec.family != family or self.interface not in (None, name):
                continue
            if by_interface.setdefault(name, number) in self.gone:
                by_interface[name] = number
        return list(by_interface.values())

    def _in_zone(self, numbers: Sequence[int], zone: str) -> list[int]:
        if zone in self.digit_names:
            return [number for number in numbers if self.sockets[number].interface.name == zone]
        meant = in_zone(zone, [self.sockets[number].interface for number in numbers])
        return [number for number in numbers if self.sockets[number].interface in meant]

    def _lacks_family(self, family: Family) -> str:
        where = "" if self.interface is None else f" on interface {printable(self.interface)}"
        return f"none of {self.owner}'s groups{where} is {FAMILY_LABEL[family]}"

    def _lacks_zone(self, zone: str) -> str:
        return f"{printable(zone)} is not an interface of {self.owner}, which has {self._names()}"

    def _names(self) -> str:
        return ", ".join(dict.fromkeys(str(spec.interface) for spec in self.sockets))


def _refuse_peer(
    address: IPAddress, port: int, interfaces: Sequence[Interface]
) -> tuple[int, str] | None:
    """Return the error number and reason why an address cannot be a peer's; `None` if it can.

    What systems make of such an address differs: Linux sends to itself what is for 0.0.0.0.
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
    if ipv4_in(address) is not None:
        return errno.EADDRNOTAVAIL, (
            "it is an IPv4 address in the form of IPv6, which is for use inside a machine: give "
            f"{ipv4_in(address)}"
        )
    if address.is_multicast:
        return errno.EADDRNOTAVAIL, (
            "it is a group, from which no datagram comes: one that says so is forged. To send to "
            "a group, give it as text, or a plain pair of it and a port"
        )
    if address == _LIMITED_BROADCAST or any(
        address == local.network.broadcast_address and local.network.prefixlen < 31
        for interface in interfaces
        for local in interface.ipv4_addresses
    ):
        return errno.EACCES, BROADCAST_ADVICE
    return None


def _is_on_link(interface: Interface, address: IPAddress) -> bool:
    if isinstance(address, IPv4Address):
        return any(address in local.network for local in interface.ipv4_addresses)
    return any(address in local.network for local in interface.ipv6_addresses)
