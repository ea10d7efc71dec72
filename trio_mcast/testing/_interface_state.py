"""The state of a virtual interface: its addresses, and whether it is up."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any, Literal

from .._values.addresses import Family, IPAddress, family_of
from .._values.errors import printable
from .._values.interface import AddressState, Interface, InterfaceAddress, assumed_scope
from ._address_checks import AddressChecks
from ._address_lifetimes import AddressLifetimes
from ._address_list import AddressList, Network
from ._arguments import FixedAttributes, check_name, parse_names
from ._cable import IN_CABLES, Cable
from ._core import Core
from ._interface_address import bare_address, link_address
from ._surroundings import Link, Owner


class AddressedInterface(FixedAttributes):
    """The part of a `VirtualInterface` that holds what it is and has."""

    HINT = IN_CABLES

    name: str
    """The interface's name."""
    index: int
    """The interface's index. An interface that is plugged in again under the same name has another
    index.
    """
    number: int
    """The interface's number in the network, in the order of plugging in."""
    owner: Owner[Any]
    """The host or router that the interface belongs to."""

    # A new interface is up.
    _is_up = True
    _is_there = True
    _has_power = True
    _has_carrier = True
    _master: str | None = None
    _alternative_names: tuple[str, ...] = ()
    _value: Interface | None = None
    # Set right after the interface is made, by `set_first` or `set_addresses`.
    _addresses: AddressList

    def __init__(
        self,
        core: Core,
        owner: Owner[Any],
        name: str,
        index: int,
        link: Link[Any] | None,
        *,
        mtu: int = 1500,
        is_multicast: bool = True,
        is_linux: bool = False,
        tells_carrier: bool = False,
        master: str | None = None,
        alternative_names: Iterable[str] = (),
    ) -> None:
        if master is not None:
            check_name(master)
            self._master = master
        self.name = name
        self.index = index
        self.number = core.new_number()
        # By direction, those that a test has asked for: others change nothing.
        self._cables: dict[str, Cable] = {}
        self._core = core
        self.owner = owner
        self._shown = printable(f"{owner.name}/{name}")
        self._link = link
        self._is_multicast = is_multicast
        self._is_linux = is_linux
        self._mtu = mtu
        self._tells_carrier = tells_carrier
        if alternative_names != ():
            self._alternative_names = parse_names(alternative_names, "alternative_names")
        if not is_linux and (master or self._alternative_names):
            raise ValueError(f"{self}: only Linux tells masters and alternative names")

    # Made when first wanted: mostly an interface has addresses that stay.

    @cached_property
    def _checks(self) -> AddressChecks:
        return AddressChecks(self._core, self.number, self._end_check)

    @cached_property
    def _lifetimes(self) -> AddressLifetimes:
        return AddressLifetimes(self._core, self.number, self._deprecate, self._end_address)

    def __repr__(self) -> str:
        return f"<VirtualInterface {self}>"

    def __str__(self) -> str:
        return self._shown

    @property
    def outgoing(self) -> Cable:
        """The impairments of what the interface sends; ValueError for a loopback interface."""
        return self._cable("outgoing")

    @property
    def incoming(self) -> Cable:
        """The impairments of what the interface gets; ValueError for a loopback interface."""
        return self._cable("incoming")

    def _cable(self, direction: str) -> Cable:
        cable = self._cables.get(direction)
        if cable is None:
            if self._link is None:
                raise ValueError(f"{self} is a loopback interface, which has no cable")
            cable = Cable(self._core, self.owner.name, self.name, self.number, direction)
            self._cables[direction] = cable
        return cable

    @property
    def is_loopback(self) -> bool:
        """Whether the interface is a host's loopback interface."""
        return self._link is None

    @property
    def is_of_router(self) -> bool:
        """Whether the interface is a router's."""
        return bool(getattr(self.owner, "is_router", False))

    @property
    def mtu(self) -> int:
        """The largest packet, in bytes."""
        return self._mtu

    @property
    def is_up(self) -> bool:
        """Whether the interface is plugged in and switched on."""
        return self._is_there and self._is_up and self._has_power

    @property
    def has_link(self) -> bool:
        """Whether the interface is up and its cable is plugged in at both ends."""
        return self.is_up and self._has_carrier

    @property
    def value(self) -> Interface:
        """The `trio_mcast.Interface` of the interface's present state."""
        if self._value is None:
            details = self._addresses.shown
            networks = [detail.address for detail in details]
            ipv4 = tuple([each for each in networks if isinstance(each, IPv4Interface)])
            ipv6 = tuple([each for each in networks if isinstance(each, IPv6Interface)])
            if ipv4 and ipv6:
                details = tuple(sorted(details, key=lambda detail: detail.address.version))
            self._value = Interface(
                name=self.name,
                index=self.index,
                description=self.name,
                ipv4_addresses=ipv4,
                ipv6_addresses=ipv6,
                link_address=None if self._link is None else link_address(self.number),
                mtu=self._mtu,
                # Only Windows calls an interface without a link down: OperStatus, and not IFF_UP.
                is_up=self._is_up and (self._has_carrier or not self._tells_carrier),
                is_loopback=self._link is None,
                is_multicast=self._is_multicast,
                address_details=details,
                master=self._master,
                alternative_names=self._alternative_names,
            )
        return self._value

    def addresses(self, family: Family) -> tuple[IPAddress, ...]:
        """Return the interface's addresses of one family."""
        return self.value.addresses(family)

    def has(self, address: IPAddress) -> bool:
        """Tell whether the interface has an address."""
        return address in self.addresses(family_of(address))

    def answers_for(self, address: IPAddress) -> bool:
        """Tell whether the interface answers ARP for an address that its host has elsewhere."""
        if address.version == 6 or address.is_loopback:
            return False
        return self.owner.answers_for(address)

    def is_on_link(self, address: IPAddress) -> bool:
        """Tell whether an address is in one of the interface's networks."""
        return bool(self.networks_with(address))

    def networks_with(self, address: IPAddress) -> list[Network]:
        """Return those of the interface's networks that an address is in."""
        return self._addresses.networks_with(address)

    def route_number(self, network: Network) -> int:
        """Return the place of the interface's route to a network among those of all interfaces."""
        return self._addresses.route_number(network)

    @property
    def networks(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """The interface's addresses with prefix lengths, in the order of its system."""
        return self._addresses.networks

    @property
    def families_without_room(self) -> frozenset[Family]:
        """The families that the interface does not have, as its mtu is too small."""
        return self._addresses.absent_families

    def detail_of(self, address: IPAddress) -> InterfaceAddress:
        """Return the standing of one of the interface's addresses."""
        return self._addresses.detail_of(address)

    def has_usable(self, address: IPAddress) -> bool:
        """Tell whether the interface has an address that a socket can be bound to."""
        unusable = ("tentative", "failed")
        return self.has(address) and self.detail_of(address).state not in unusable

    def set_first(self, value: Interface, addresses: AddressList) -> None:
        """Give the interface its first state. For a new host's loopback only."""
        self._value = value
        self._addresses = addresses

    def set_addresses(self, addresses: Iterable[IPv4Interface | IPv6Interface]) -> None:
        """Give the interface the first addresses. For the network only."""
        state: AddressState | None = "preferred" if self._is_linux else None
        none = AddressList(self._is_linux, first_number=self._core.new_route_number())
        self._addresses = none.with_mtu(self._mtu)
        for address in addresses:
            self._check_new(bare_address(address))
            detail = InterfaceAddress(address, assumed_scope(address), state)
            self._addresses = self._addresses.with_address(detail)
        self._addresses = self._addresses.with_mtu(self._mtu)

    def _check_new(self, address: IPAddress, *, is_checked: bool = False) -> None:
        """Raise ValueError if an address is taken, by this interface or another one.

        Whether another one has the address may also be left to a check that takes its time.
        """
        if any(bare_address(own_address) == address for own_address in self.networks):
            raise ValueError(f"{self} has the address {address} already")
        if not is_checked and self._link is not None:
            self._link.check_address(address, str(self))

    def _change_addresses(self, addresses: AddressList, reason: str) -> None:
        """Have other addresses from now on."""
        self._addresses = addresses.numbered_after(self._addresses, self._core.new_route_number)
        self._changed("addressed", reason)

    def _end_check(self, address: IPAddress, outcome: AddressState) -> bool:
        """End a check, which fails if another interface has the address; return whether it ends."""
        try:
            if self._link is not None:
                self._link.check_address(address, str(self))
        except ValueError:
            outcome = "failed"
        return self._set_state(address, outcome)

    def _set_state(self, address: IPAddress, state: AddressState) -> bool:
        """Give an address another state; return whether that could be done."""
        if not self.is_up and self._checks.has(address):
            return False  # What is down asks nobody.
        addresses = self._addresses.with_state(address, state)
        self._change_addresses(addresses, f"{address} is {state}")
        return True

    def _deprecate(self, address: IPAddress) -> None:
        if self.has(address) and self.detail_of(address).state == "preferred":
            self._set_state(address, "deprecated")

    def _end_address(self, address: IPAddress) -> None:
        remaining = self._addresses.without_address(address)
        if self._is_there and remaining is not self._addresses:
            self._checks.forget(address)
            self._change_addresses(remaining, f"no longer has {address}, whose time is over")

    def be_renamed(self, name: str) -> None:
        """Take another name. For the host only."""
        former = self.name
        object.__setattr__(self, "name", name)
        self._shown = printable(f"{self.owner.name}/{name}")
        for cable in self._cables.values():
            cable.be_renamed(name)
        self._changed("addressed", f"was {former}")

    def _check_there(self) -> None:
        self._core.enter(self.owner.name)
        if not self._is_there:
            raise RuntimeError(f"{self} is unplugged: plug in a new one")

    def _changed(self, what: Literal["addressed", "down", "up"], reason: str = "") -> None:
        self._value = None
        if self._link is not None:
            self._link.addresses_changed()
        self._core.record(self.owner.name, what, interface=self.name, reason=reason)
        self.owner.interface_changed(self)
