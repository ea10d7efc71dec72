"""The addresses of a virtual interface: their order, and the age of their routes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from types import MappingProxyType
from typing import Final, TypeAlias, get_args

import attrs

from .._values.addresses import Family, IPAddress, family_of
from .._values.interface import (
    AddressScope,
    AddressState,
    InterfaceAddress,
    families_without_room,
)
from ._interface_address import bare_address

Network: TypeAlias = IPv4Network | IPv6Network

# From the widest to the narrowest, as Linux numbers the scopes (rtnetlink(7)).
_SCOPES: Final = get_args(AddressScope)


@attrs.frozen(eq=False)
class AddressList:
    """The addresses of one interface, in the order of its system. A change makes another list.

    Attributes:
        is_linux: Whether Linux lists the addresses; other systems list them as they have come.
        details: The addresses, each with its standing.
        absent_families: The families that the interface is without, as its mtu is too small.
        first_number: The place of the routes that came with the interface among all routes.
        later_numbers: The place of each route that came later, by its network.
    """

    is_linux: bool
    details: tuple[InterfaceAddress, ...] = ()
    absent_families: frozenset[Family] = frozenset()
    first_number: int = 0
    later_numbers: Mapping[Network, int] = MappingProxyType({})

    @property
    def shown(self) -> tuple[InterfaceAddress, ...]:
        """The addresses, without those of a family for which the mtu is too small."""
        absent = self.absent_families
        if not absent:
            return self.details
        return tuple([each for each in self.details if family_of(each.address) not in absent])

    @property
    def networks(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """The addresses with prefix lengths."""
        return tuple([detail.address for detail in self.shown])

    def networks_with(self, address: IPAddress) -> list[Network]:
        """Return the networks that an address is in."""
        return [
            own_address.network
            for own_address in self.networks
            if own_address.version == address.version and address in own_address.network
        ]

    def detail_of(self, address: IPAddress) -> InterfaceAddress:
        """Return the standing of one of the addresses."""
        return next(each for each in self.details if bare_address(each.address) == address)

    # --- Other lists

    def with_address(self, detail: InterfaceAddress) -> AddressList:
        """Return the list with one address more."""
        place = self._place_of(detail)
        return self._with((*self.details[:place], detail, *self.details[place:]))

    def _place_of(self, detail: InterfaceAddress) -> int:
        """Return where a new address stands among the others."""
        if not self.details or not self.is_linux:
            return len(self.details)
        if detail.address.version == 6:
            return _place_of_ipv6(self.details, detail)
        return _place_of_ipv4(self.details, detail)

    def without_address(self, address: IPAddress) -> AddressList:
        """Return the list without an address; the same list if the address is not on it."""
        removed = [each for each in self.details if bare_address(each.address) == address]
        if not removed:
            return self
        remaining = [each for each in self.details if each not in removed]
        if self.is_linux and address.version == 4:
            remaining = _promote(remaining, removed[0])
        return self._with(remaining)

    def with_state(self, address: IPAddress, state: AddressState) -> AddressList:
        """Return the list with another state of an address."""
        return self._with(
            attrs.evolve(detail, state=state) if bare_address(detail.address) == address else detail
            for detail in self.details
        )

    def with_mtu(self, mtu: int) -> AddressList:
        """Return the list that the interface has with another mtu."""
        absent = families_without_room(mtu if self.is_linux else 0)
        if not absent and not self.absent_families:
            return self
        changed = attrs.evolve(self, absent_families=absent)
        for family in absent:
            changed = changed.without_family(family)
        return changed

    def without_family(self, family: Family) -> AddressList:
        """Return the list that is left on Linux when a family is taken off for a time.

        Link-local IPv6 addresses are made again with the family, so they stay.
        """
        return self._with(
            detail
            for detail in self.details
            if family_of(detail.address) != family
            or (family == "ipv6" and detail.address.is_link_local)
        )

    def _with(self, details: Iterable[InterfaceAddress]) -> AddressList:
        numbers = self.first_number, self.later_numbers
        # Every host begins with this, which takes half the time of `attrs.evolve`.
        return AddressList(self.is_linux, tuple(details), self.absent_families, *numbers)

    # --- The age of routes

    def route_number(self, network: Network) -> int:
        """Return the place of the route to a network among all routes: the oldest is the first."""
        return self.later_numbers.get(network, self.first_number)

    def numbered_after(self, former: AddressList, new_number: Callable[[], int]) -> AddressList:
        """Return the list with a number for the routes that are new.

        Args:
            former: The list before the change: the routes to its networks keep their numbers.
            new_number: Returns the next number.
        """
        before = {address.network for address in former.networks}
        new = [address.network for address in self.networks if address.network not in before]
        if not new:
            return self
        later_numbers = {**self.later_numbers, **dict.fromkeys(new, new_number())}
        return attrs.evolve(self, later_numbers=later_numbers)

    def numbered_anew(self, number: int) -> AddressList:
        """Return the list with all routes new, as the interface has come up."""
        return attrs.evolve(self, first_number=number, later_numbers={})


def _place_of_ipv6(details: Sequence[InterfaceAddress], new: InterfaceAddress) -> int:
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


def _place_of_ipv4(details: Sequence[InterfaceAddress], new: InterfaceAddress) -> int:
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


def _promote(
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
        place = _place_of_ipv4(others, heirs[0])
        remaining = [*others[:place], heirs[0], *others[place:], *heirs[1:]]
    return remaining


def _is_secondary(details: Iterable[InterfaceAddress], address: InterfaceAddress) -> bool:
    network = address.address.network
    return any(detail.address.network == network for detail in details)
