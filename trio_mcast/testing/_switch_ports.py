"""The ports of a virtual switch: what is plugged in, and with which addresses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from .._values.addresses import IPAddress
from ._arguments import FixedAttributes
from ._core import Core
from ._holders import Holders
from ._interface import VirtualInterface
from ._trunk import TrunkEnd

# A port: what is plugged in, a host's or router's interface or a trunk to another switch.
Port: TypeAlias = VirtualInterface | TrunkEnd


class SwitchPorts(FixedAttributes):
    """The part of a `VirtualSwitch` that knows what is plugged in. Knows nothing of frames."""

    name: str
    """The switch's name."""

    def __init__(self, core: Core, name: str) -> None:
        self.name = name
        self._core = core
        self._ports: dict[VirtualInterface, None] = {}
        # Those of the ports that lead to a router.
        self._routers: dict[VirtualInterface, None] = {}
        self._trunks: dict[TrunkEnd, None] = {}
        self._holders = Holders(self._ports)
        # The number of the part that each host is in, by its name; `None` while all are together.
        self._parts: dict[str, int] | None = None

    @property
    def core(self) -> Core:
        """The core of the network that the switch belongs to."""
        return self._core

    def attach(self, interface: VirtualInterface) -> None:
        """Connect an interface."""
        self._ports[interface] = None
        if interface.is_of_router:
            self._routers[interface] = None
        self._holders.add(interface)

    def detach(self, interface: VirtualInterface) -> None:
        """Disconnect an interface."""
        self._ports.pop(interface, None)
        self._routers.pop(interface, None)
        self.addresses_changed()

    def attach_trunk(self, end: TrunkEnd) -> None:
        """Connect an end of a trunk."""
        self._trunks[end] = None

    def detach_trunk(self, end: TrunkEnd) -> None:
        """Disconnect an end of a trunk."""
        self._trunks.pop(end, None)

    def interfaces(self, but: TrunkEnd | None = None) -> Iterator[VirtualInterface]:
        """Yield the interfaces on the switch and all that trunks lead to, except behind one."""
        yield from self._ports
        for end in self._trunks:
            if end is not but:
                yield from end.owner.interfaces(end.twin)

    def holder_of(self, address: IPAddress) -> VirtualInterface | None:
        """Return the interface on this switch that has an address."""
        return self._holders.of(address)

    def addresses_changed(self) -> None:
        """Note that an interface has other addresses than before."""
        self._holders.addresses_changed()

    def has_broadcast_address(self, address: IPAddress) -> bool:
        """Tell whether an address stands for all hosts of a network that an interface is in."""
        return any(
            address == own.network.broadcast_address and own.network.prefixlen < 31
            for port in self.interfaces()
            for own in port.value.ipv4_addresses
        )

    def _connected(self, source: Port, target: Port) -> bool:
        """Tell whether two ports are in the same part of the switch."""
        parts = self._parts
        return parts is None or parts.get(source.owner.name) == parts.get(target.owner.name)


def reached_at(ports: Sequence[Port], address: IPAddress) -> list[Port]:
    """Return the port of some that is reached at an address, if any."""
    holding = [port for port in ports if port.has_usable(address)]
    return (holding or [port for port in ports if port.answers_for(address)])[:1]
