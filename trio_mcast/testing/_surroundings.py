"""The surroundings of a virtual interface: the host or router that has it, and the switch."""

from __future__ import annotations

from typing import Protocol, TypeVar

from .._values.addresses import IPAddress
from ._frames import Frame

_Interface = TypeVar("_Interface", contravariant=True)


class Owner(Protocol[_Interface]):
    """An owner of interfaces: a host or a router."""

    name: str

    def receive(self, interface: _Interface, frame: Frame) -> None:
        """Take a frame that arrived at an interface."""

    def answers_for(self, address: IPAddress) -> bool:
        """Tell whether each interface answers ARP for an address that any of them has."""

    def carrier_changed(self, interface: _Interface) -> None:
        """Notice that the cable of an interface was taken out or put in at the other end."""

    def interface_changed(self, interface: _Interface, *, removed: bool = False) -> None:
        """Notice that an interface came, went or changed."""


class Link(Protocol[_Interface]):
    """A link that interfaces are plugged into: a switch."""

    name: str

    def attach(self, interface: _Interface) -> None:
        """Connect an interface."""

    def detach(self, interface: _Interface) -> None:
        """Disconnect an interface."""

    def forget_port(self, interface: _Interface) -> None:
        """Forget all reports of an interface, which went down."""

    def check_address(self, address: IPAddress, name: str) -> None:
        """Raise ValueError if another interface has an address."""

    def addresses_changed(self) -> None:
        """Note that an interface has other addresses than before."""

    def carry(self, interface: _Interface, frame: Frame, next_hop: IPAddress | None = None) -> None:
        """Pass a frame on to every interface that is to get the frame."""
