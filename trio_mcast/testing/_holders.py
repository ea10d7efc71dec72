"""The interfaces on a switch by their addresses."""

from __future__ import annotations

from collections.abc import Iterable

from .._values.addresses import IPAddress
from ._interface import VirtualInterface
from ._interface_address import bare_address


class Holders:
    """A table of the addresses on a switch, with the interface that has each."""

    def __init__(self, ports: Iterable[VirtualInterface]) -> None:
        """Begin without addresses.

        Args:
            ports: The interfaces that are plugged in, at any time.
        """
        self._ports = ports
        # `None` if that has to be found out anew.
        self._by_address: dict[IPAddress, VirtualInterface] | None = {}

    def of(self, address: IPAddress) -> VirtualInterface | None:
        """Return the interface that has an address."""
        if self._by_address is None:
            self._by_address = {}
            for port in self._ports:
                self.add(port)
        return self._by_address.get(address)

    def addresses_changed(self) -> None:
        """Note that an interface has other addresses than before, or is gone."""
        self._by_address = None

    def add(self, interface: VirtualInterface) -> None:
        """Note the addresses of an interface that is plugged in."""
        holders = self._by_address
        if holders is None:
            return
        for detail in interface.value.address_details:
            if detail.state == "tentative":  # Whoever has it otherwise has it.
                holders.setdefault(bare_address(detail.address), interface)
            elif detail.state != "failed":
                holders[bare_address(detail.address)] = interface
