"""`VirtualInterface`: the connection of a host or a router to a switch."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface, ip_interface
from typing import Protocol, TypeAlias

from .._values.addresses import Endpoint, Family, IPAddress, family_of
from .._values.errors import printable
from .._values.interface import Interface
from ._core import Core
from ._frames import Frame, Packet

# The forms in which users may give an interface an address.
AddressWithPrefix: TypeAlias = str | IPv4Interface | IPv6Interface


class Owner(Protocol):
    """An owner of interfaces: a host or a router."""

    name: str

    def receive(self, interface: VirtualInterface, frame: Frame) -> None:
        """Take a frame that arrived at an interface."""

    def interface_changed(self, interface: VirtualInterface, *, removed: bool = False) -> None:
        """Notice that an interface came, went or changed."""


class Link(Protocol):
    """A link that interfaces are plugged into: a switch."""

    name: str

    def attach(self, interface: VirtualInterface) -> None:
        """Connect an interface."""

    def detach(self, interface: VirtualInterface) -> None:
        """Disconnect an interface."""

    def forget_port(self, interface: VirtualInterface) -> None:
        """Forget all reports of an interface, which went down."""

    def check_address(self, address: IPAddress, name: str) -> None:
        """Raise ValueError if another interface has an address."""

    def carry(
        self, interface: VirtualInterface, frame: Frame, next_hop: IPAddress | None = None
    ) -> None:
        """Pass a frame on to every interface that is to get the frame."""


class VirtualInterface:
    """A network interface of a `VirtualHost` or `VirtualRouter`; made by their ``plug``.

    Attributes:
        name: The interface's name.
        index: The interface's index. An interface that is plugged in again under the same name has
            another index.
    """

    def __init__(
        self,
        core: Core,
        owner: Owner,
        name: str,
        index: int,
        link: Link | None,
        *,
        mtu: int = 1500,
        is_multicast: bool = True,
        forgets_ipv6: bool = False,
    ) -> None:
        self.name = name
        self.index = index
        self.number = core.new_number()
        self._core = core
        self._owner = owner
        self._link = link
        self._mtu = mtu
        self._is_multicast = is_multicast
        self._forgets_ipv6 = forgets_ipv6
        self._is_up = True
        self._is_there = True
        self._addresses: list[IPv4Interface | IPv6Interface] = []
        self._value: Interface | None = None

    def __repr__(self) -> str:
        return f"<VirtualInterface {self}>"

    def __str__(self) -> str:
        return printable(f"{self._owner.name}/{self.name}")

    @property
    def owner(self) -> Owner:
        """The host or router that the interface belongs to."""
        return self._owner

    @property
    def is_loopback(self) -> bool:
        """Whether the interface is a host's loopback interface."""
        return self._link is None

    @property
    def is_up(self) -> bool:
        """Whether the interface is plugged in and switched on."""
        return self._is_there and self._is_up

    @property
    def value(self) -> Interface:
        """The `trio_mcast.Interface` of the interface's present state."""
        if self._value is None:
            low = self.number & 0xFFFF
            self._value = Interface(
                name=self.name,
                index=self.index,
                description=self.name,
                ipv4_addresses=tuple(a for a in self._addresses if isinstance(a, IPv4Interface)),
                ipv6_addresses=tuple(a for a in self._addresses if isinstance(a, IPv6Interface)),
                link_address=None
                if self.is_loopback
                else f"02:00:00:00:{low >> 8:02x}:{low & 0xFF:02x}",
                mtu=self._mtu,
                is_up=self._is_up,
                is_loopback=self.is_loopback,
                is_multicast=self._is_multicast,
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
        return any(
            address in own_address.network
            for own_address in self._addresses
            if own_address.version == address.version
        )

    @property
    def networks(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """The interface's addresses with prefix lengths, in the order in which they were added."""
        return tuple(self._addresses)

    def set_addresses(self, addresses: Iterable[IPv4Interface | IPv6Interface]) -> None:
        """Give the interface the first addresses. For the network only."""
        for address in addresses:
            self._append(address)
        self._value = None

    def _append(self, address: IPv4Interface | IPv6Interface) -> None:
        bare = _bare(address)
        if any(_bare(own_address) == bare for own_address in self._addresses):
            raise ValueError(f"{self} has the address {bare} already")
        if self._link is not None:
            self._link.check_address(bare, str(self))
        self._addresses.append(address)

    def add_address(self, address: AddressWithPrefix) -> None:
        """Give the interface one address more, after all others.

        Args:
            address: The address with a prefix length, such as ``"10.0.0.1/24"`` or
                ``"fe80::1/64"``.

        Raises:
            TypeError: The address is not text and no interface address of `ipaddress`.
            ValueError: The text is not an interface address, or the address is taken on this
                switch.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        parsed = parse_interface_address(address)
        self._check_there()
        self._append(parsed)
        self._changed("addressed", f"has {parsed}")

    def remove_address(self, address: AddressWithPrefix) -> None:
        """Take an address from the interface.

        Args:
            address: The address; a prefix length makes no difference.

        Raises:
            ValueError: The interface does not have the address.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        bare = _bare(ip_interface(address))
        remaining = [own_address for own_address in self._addresses if _bare(own_address) != bare]
        if len(remaining) == len(self._addresses):
            raise ValueError(f"{self} does not have the address {bare}")
        self._addresses = remaining
        self._changed("addressed", f"no longer has {bare}")

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
            if self._forgets_ipv6:
                # addrconf_ifdown in net/ipv6/addrconf.c; link-local addresses are made again.
                self._addresses = [
                    address
                    for address in self._addresses
                    if address.version == 4 or address.is_link_local
                ]
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
        self._core.record(self._owner.name, "unplugged", interface=self.name)
        self._owner.interface_changed(self, removed=True)

    def transmit(self, frame: Frame, next_hop: IPAddress | None = None) -> None:
        """Put a frame on the cable, if the interface is up and has a cable."""
        if self._link is not None and self.is_up:
            self._link.carry(self, frame, next_hop)

    def receive(self, frame: Frame) -> None:
        """Take a frame from the cable."""
        self._owner.receive(self, frame)

    def drop(self, packet: Packet, reason: str) -> None:
        """Record that a datagram goes no further than this interface."""
        self._core.record(
            self._owner.name,
            "dropped",
            interface=self.name,
            destination=Endpoint(str(packet.destination), packet.port),
            source=Endpoint(str(packet.source), packet.source_port),
            data=packet.data,
            reason=reason,
        )

    def _check_there(self) -> None:
        self._core.enter()
        if not self._is_there:
            raise RuntimeError(f"{self} is unplugged: plug in a new one")

    def _changed(self, what: str, reason: str = "") -> None:
        self._value = None
        assert what in ("addressed", "down", "up")
        self._core.record(
            self._owner.name,
            what,  # type: ignore[arg-type]  # One of three of the kinds.
            interface=self.name,
            reason=reason,
        )
        self._owner.interface_changed(self)


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
    if parsed.ip.is_multicast or parsed.ip.is_unspecified:
        raise ValueError(f"{str(value)!r} is not an address that an interface can have")
    if isinstance(parsed, IPv6Interface) and parsed.scope_id is not None:
        raise ValueError(f"{str(value)!r} has a zone, which its interface is already")
    return parsed


def _bare(address: IPv4Interface | IPv6Interface) -> IPAddress:
    return IPv6Address(address.packed) if address.version == 6 else address.ip
