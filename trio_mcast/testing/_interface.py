"""`VirtualInterface`: what connects a host or a router to a switch."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface, ip_interface
from typing import Protocol, TypeAlias

from .._addresses import Endpoint, Family, IPAddress, family_of
from .._errors import printable
from .._interface import Interface
from ._core import Core
from ._frames import Frame, Packet

# What users may write where they give an interface an address.
AddressWithPrefix: TypeAlias = str | IPv4Interface | IPv6Interface


class Owner(Protocol):
    """What interfaces belong to: a host or a router."""

    name: str

    def receive(self, interface: VirtualInterface, frame: Frame) -> None:
        """Take what arrived."""

    def interface_changed(self, interface: VirtualInterface, *, removed: bool = False) -> None:
        """Notice that an interface came, went or changed."""


class Link(Protocol):
    """What interfaces are plugged into: a switch."""

    name: str

    def attach(self, interface: VirtualInterface) -> None:
        """Connect an interface."""

    def detach(self, interface: VirtualInterface) -> None:
        """Disconnect it."""

    def forget_port(self, interface: VirtualInterface) -> None:
        """Forget what it has reported: its link went down."""

    def check_address(self, address: IPAddress, name: str) -> None:
        """ValueError if another interface has that address."""

    def carry(
        self, interface: VirtualInterface, frame: Frame, next_hop: IPAddress | None = None
    ) -> None:
        """Pass a frame on to those whom it is for."""


class VirtualInterface:
    """A network interface of a `VirtualHost` or `VirtualRouter`; made by their ``plug``.

    Attributes:
        name: Its name.
        index: Its index. One that is plugged in again under the same name has another.
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
        """The host or router that it belongs to."""
        return self._owner

    @property
    def is_loopback(self) -> bool:
        """Whether it is a host's loopback interface."""
        return self._link is None

    @property
    def is_up(self) -> bool:
        """Whether it is there and switched on."""
        return self._is_there and self._is_up

    @property
    def value(self) -> Interface:
        """It as a `trio_mcast.Interface`, as it is now."""
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
        """Its addresses of one family."""
        return self.value.addresses(family)

    def has(self, address: IPAddress) -> bool:
        """Whether it has an address."""
        return address in self.addresses(family_of(address))

    def is_on_link(self, address: IPAddress) -> bool:
        """Whether an address is in one of its networks."""
        return any(
            address in item.network for item in self._addresses if item.version == address.version
        )

    @property
    def networks(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """Its addresses with their prefix lengths, in the order in which it was given them."""
        return tuple(self._addresses)

    def set_addresses(self, addresses: Iterable[IPv4Interface | IPv6Interface]) -> None:
        """Give it its first addresses. For the network only."""
        for item in addresses:
            self._append(item)
        self._value = None

    def _append(self, address: IPv4Interface | IPv6Interface) -> None:
        bare = _bare(address)
        if any(_bare(item) == bare for item in self._addresses):
            raise ValueError(f"{self} has the address {bare} already")
        if self._link is not None:
            self._link.check_address(bare, str(self))
        self._addresses.append(address)

    def add_address(self, address: AddressWithPrefix) -> None:
        """Give it one address more, after those it has.

        Args:
            address: With its prefix length, such as ``"10.0.0.1/24"`` or ``"fe80::1/64"``.

        Raises:
            TypeError: It is not text and no interface address of `ipaddress`.
            ValueError: It is not an interface address, or the address is taken on this switch.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        parsed = parse_interface_address(address)
        self._check_there()
        self._append(parsed)
        self._changed("addressed", f"has {parsed}")

    def remove_address(self, address: AddressWithPrefix) -> None:
        """Take an address from it.

        Args:
            address: The address; a prefix length makes no difference.

        Raises:
            ValueError: It does not have the address.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        bare = _bare(ip_interface(address))
        left = [item for item in self._addresses if _bare(item) != bare]
        if len(left) == len(self._addresses):
            raise ValueError(f"{self} does not have the address {bare}")
        self._addresses = left
        self._changed("addressed", f"no longer has {bare}")

    def take_down(self) -> None:
        """Switch it off: nothing goes in or out. Memberships stay, and are reported again later.

        On Linux it loses its IPv6 addresses, as there.

        Raises:
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        if self._is_up:
            self._is_up = False
            if self._forgets_ipv6:
                # addrconf_ifdown in net/ipv6/addrconf.c; what is link-local is made again.
                self._addresses = [
                    item for item in self._addresses if item.version == 4 or item.is_link_local
                ]
            if self._link is not None:
                self._link.forget_port(self)
            self._changed("down")

    def take_up(self) -> None:
        """Switch it on again.

        Raises:
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        if not self._is_up:
            self._is_up = True
            self._changed("up")

    def unplug(self) -> None:
        """Remove it from its host: sockets that are joined on it get nothing any more.

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
        """Put a frame on the cable, if it is up and has one."""
        if self._link is not None and self.is_up:
            self._link.carry(self, frame, next_hop)

    def receive(self, frame: Frame) -> None:
        """Take a frame from the cable."""
        self._owner.receive(self, frame)

    def drop(self, packet: Packet, reason: str) -> None:
        """Take down that a datagram which got here goes no further."""
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
    """An address with its prefix length.

    Raises:
        TypeError: It is not text and no interface address.
        ValueError: The text is none, or the address is none that an interface can have.
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
