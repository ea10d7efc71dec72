"""`VirtualInterface`: the connection of a host or a router to a switch."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_interface
from typing import Literal

import attrs

from .._values.addresses import Family, IPAddress, family_of
from .._values.errors import printable
from .._values.interface import (
    AddressScope,
    AddressState,
    Interface,
    InterfaceAddress,
    assumed_scope,
    families_without_room,
)
from ._address_checks import AddressChecks
from ._arguments import FixedAttributes, check_mtu, check_name
from ._core import Core
from ._frames import Frame, Packet
from ._interface_address import (
    AddressWithPrefix,
    bare_address,
    check_among,
    link_address,
    parse_details,
    without_family,
)
from ._surroundings import Link, Owner


class VirtualInterface(FixedAttributes):
    """A network interface of a `VirtualHost` or `VirtualRouter`; made by their ``plug``."""

    name: str
    """The interface's name."""
    index: int
    """The interface's index. An interface that is plugged in again under the same name has another
    index.
    """
    number: int
    """The interface's number in the network, in the order of plugging in."""
    owner: Owner[VirtualInterface]
    """The host or router that the interface belongs to."""

    def __init__(
        self,
        core: Core,
        owner: Owner[VirtualInterface],
        name: str,
        index: int,
        link: Link[VirtualInterface] | None,
        *,
        mtu: int = 1500,
        is_multicast: bool = True,
        is_linux: bool = False,
        master: str | None = None,
        alternative_names: Iterable[str] = (),
    ) -> None:
        check_name(name)
        check_mtu(mtu)
        self.name = name
        self.index = index
        self.number = core.new_number()
        self._core = core
        self.owner = owner
        self._shown = printable(f"{owner.name}/{name}")
        self._link = link
        self._mtu = mtu
        self._is_multicast = is_multicast
        self._is_linux = is_linux
        self._master = master
        self._alternative_names = tuple(alternative_names)
        if not is_linux and (master or self._alternative_names):
            raise ValueError(f"{self}: only Linux tells masters and alternative names")
        self._is_up = True
        self._is_there = True
        self._details: list[InterfaceAddress] = []
        self._checks = AddressChecks(core, self.number, self._set_state)
        self._value: Interface | None = None

    def __repr__(self) -> str:
        return f"<VirtualInterface {self}>"

    def __str__(self) -> str:
        return self._shown

    @property
    def is_loopback(self) -> bool:
        """Whether the interface is a host's loopback interface."""
        return self._link is None

    @property
    def is_of_router(self) -> bool:
        """Whether the interface is a router's."""
        return bool(getattr(self.owner, "is_router", False))

    @property
    def is_up(self) -> bool:
        """Whether the interface is plugged in and switched on."""
        return self._is_there and self._is_up

    @property
    def value(self) -> Interface:
        """The `trio_mcast.Interface` of the interface's present state."""
        if self._value is None:
            addresses = self.networks
            self._value = Interface(
                name=self.name,
                index=self.index,
                description=self.name,
                ipv4_addresses=tuple(a for a in addresses if isinstance(a, IPv4Interface)),
                ipv6_addresses=tuple(a for a in addresses if isinstance(a, IPv6Interface)),
                link_address=None if self.is_loopback else link_address(self.number),
                mtu=self._mtu,
                is_up=self._is_up,
                is_loopback=self.is_loopback,
                is_multicast=self._is_multicast,
                address_details=tuple(
                    sorted(self._details, key=lambda detail: detail.address.version)
                ),
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

    def is_on_link(self, address: IPAddress) -> bool:
        """Tell whether an address is in one of the interface's networks."""
        return bool(self.networks_with(address))

    def networks_with(self, address: IPAddress) -> list[IPv4Network | IPv6Network]:
        """Return those of the interface's networks that an address is in."""
        return [
            own_address.network
            for own_address in self.networks
            if own_address.version == address.version and address in own_address.network
        ]

    @property
    def networks(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """The interface's addresses with prefix lengths, in the order in which they were added."""
        return tuple(detail.address for detail in self._details)

    def set_addresses(self, addresses: Iterable[IPv4Interface | IPv6Interface]) -> None:
        """Give the interface the first addresses. For the network only."""
        for address in addresses:
            self._append(InterfaceAddress(address, assumed_scope(address), self._usual_state))
        self._value = None

    @property
    def _usual_state(self) -> AddressState | None:
        return "preferred" if self._is_linux else None

    def _append(self, detail: InterfaceAddress) -> None:
        bare = bare_address(detail.address)
        if any(bare_address(own_address) == bare for own_address in self.networks):
            raise ValueError(f"{self} has the address {bare} already")
        if self._link is not None:
            self._link.check_address(bare, str(self))
        self._details.append(detail)

    def add_address(
        self,
        address: AddressWithPrefix,
        *,
        scope: AddressScope | None = None,
        state: AddressState | None = None,
        temporary: bool = False,
        check_seconds: float | None = None,
    ) -> None:
        """Give the interface one address more, after all others.

        On other systems than Linux an address has its own scope, no state, and is not temporary.

        Args:
            address: The address with a prefix length, such as ``"10.0.0.1/24"`` or
                ``"fe80::1/64"``.
            scope: The scope; `None` for that which the address has by itself.
            state: The state; `None` for ``"preferred"``. While an address is ``"tentative"`` or
                ``"failed"``, no socket can be bound to it.
            temporary: Whether it is a temporary IPv6 address.
            check_seconds: How long the host checks an IPv6 address, as a real one does for a second
                or two: the address is ``"tentative"`` until then, and after that has ``state``. The
                check begins anew when the interface comes up. `None`: it is not checked.

        Raises:
            TypeError: The address is not text and no interface address of `ipaddress`.
            ValueError: The text is not an interface address, the address is taken on this switch,
                or the scope, state, ``temporary`` or ``check_seconds`` is not possible.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        if not self._is_linux and (scope or state or temporary or check_seconds):
            raise ValueError(f"{self}: only Linux has scope, state and temporary addresses")
        detail = parse_details(address, scope, state, check_seconds, temporary=temporary)
        self._check_there()
        self._append(detail if self._is_linux else attrs.evolve(detail, state=None))
        self._changed("addressed", f"has {detail.address}")
        if check_seconds is not None:
            bare = bare_address(detail.address)
            self._checks.begin(bare, check_seconds, state or "preferred")

    def change_address(self, address: AddressWithPrefix, state: AddressState) -> None:
        """Give an address another state, on a Linux host.

        Args:
            address: The address; a prefix length makes no difference.
            state: The new state.

        Raises:
            ValueError: The interface does not have the address, there is no such state, or the
                host is not Linux.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        check_among(state, AddressState, "state")
        if not self._is_linux:
            raise ValueError(f"{self}: only Linux tells the state of an address")
        bare = bare_address(ip_interface(address))
        if not self.has(bare):
            raise ValueError(f"{self} does not have the address {bare}")
        self._checks.forget(bare)
        self._set_state(bare, state)

    def _set_state(self, address: IPAddress, state: AddressState) -> bool:
        """Give an address another state; return whether that could be done."""
        if not self.is_up and self._checks.has(address):
            return False  # What is down asks nobody.
        self._details = [
            attrs.evolve(detail, state=state) if bare_address(detail.address) == address else detail
            for detail in self._details
        ]
        self._changed("addressed", f"{address} is {state}")
        return True

    def set_master(self, master: str | None) -> None:
        """Make the interface a port of a bridge, or none again, on a Linux host.

        A port gives what arrives to its master. The virtual network has no bridges inside a host:
        so nothing that arrives reaches the host, as if the bridge had no address.

        Args:
            master: The bridge's name, which need not be that of an interface; `None` for none.

        Raises:
            ValueError: The host is not Linux.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        if not self._is_linux:
            raise ValueError(f"{self}: only Linux tells the master of an interface")
        self._master = master
        self._changed("addressed", f"belongs to {master}" if master else "belongs to no other")

    def remove_address(self, address: AddressWithPrefix) -> None:
        """Take an address from the interface.

        Args:
            address: The address; a prefix length makes no difference.

        Raises:
            ValueError: The interface does not have the address.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        bare = bare_address(ip_interface(address))
        remaining = [detail for detail in self._details if bare_address(detail.address) != bare]
        if len(remaining) == len(self._details):
            raise ValueError(f"{self} does not have the address {bare}")
        self._details = remaining
        self._checks.forget(bare)
        self._changed("addressed", f"no longer has {bare}")

    def set_mtu(self, mtu: int) -> None:
        """Give the interface another mtu.

        On Linux an mtu below 1,280 takes IPv6 off the interface, and one below 68 takes IPv4 off,
        with all memberships and addresses. Memberships do not come back with the mtu.

        Args:
            mtu: The largest packet, in bytes. Larger datagrams go out whole all the same.

        Raises:
            TypeError: The mtu is not an int.
            ValueError: The mtu is less than 1.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        check_mtu(mtu)
        self._check_there()
        self._mtu = mtu
        for family in self.families_without_room:
            self._details = without_family(self._details, family)
        self._changed("addressed", f"has an mtu of {mtu}")

    @property
    def families_without_room(self) -> frozenset[Family]:
        """The families that the interface does not have, as its mtu is too small."""
        return families_without_room(self._mtu) if self._is_linux else frozenset()

    def take_down(self) -> None:
        """Switch the interface off: nothing goes in or out.

        Memberships stay, and are reported again later. On Linux the interface loses its IPv6
        addresses, as on a real Linux.

        Raises:
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        if self._is_up:
            self._is_up = False
            if self._is_linux:
                # addrconf_ifdown in net/ipv6/addrconf.c; link-local addresses are made again.
                self._details = without_family(self._details, "ipv6")
            if self._link is not None:
                self._link.forget_port(self)
            self._changed("down")

    def take_up(self) -> None:
        """Switch the interface on again.

        Raises:
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        if not self._is_up:
            self._is_up = True
            self._checks.begin_again()
            self._changed("up")

    def unplug(self) -> None:
        """Remove the interface from its host: sockets that have joined on it get nothing any more.

        Raises:
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        if self._link is None:
            raise ValueError(f"{self} is a loopback interface, which cannot be unplugged")
        self._is_there = False
        self._link.detach(self)
        self._core.record(self.owner.name, "unplugged", interface=self.name)
        self.owner.interface_changed(self, removed=True)

    def transmit(self, frame: Frame, next_hop: IPAddress | None = None) -> None:
        """Put a frame on the cable, if the interface is up and has a cable."""
        if self._link is not None and self.is_up:
            self._link.carry(self, frame, next_hop)

    def receive(self, frame: Frame) -> None:
        """Take a frame from the cable."""
        if self._master is None:
            self.owner.receive(self, frame)
        elif isinstance(frame, Packet):
            self.drop(frame, f"the interface is a port of {self._master}")

    def detail_of(self, address: IPAddress) -> InterfaceAddress:
        """Return the standing of one of the interface's addresses."""
        return next(each for each in self._details if bare_address(each.address) == address)

    def has_usable(self, address: IPAddress) -> bool:
        """Tell whether the interface has an address that a socket can be bound to."""
        unusable = ("tentative", "failed")
        return self.has(address) and self.detail_of(address).state not in unusable

    def drop(self, packet: Packet, reason: str) -> None:
        """Record that a datagram goes no further than this interface."""
        self._core.record(
            self.owner.name, "dropped", interface=self.name, subject=packet, reason=reason
        )

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
