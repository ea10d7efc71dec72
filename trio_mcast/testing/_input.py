"""Receiving: which of a host's sockets get an arriving datagram, and why others are dropped."""

from __future__ import annotations

from collections.abc import Iterable

from .._platform.model import Platform
from ._clock import VirtualClock
from ._core import Core
from ._delivery import gets_group, gets_unicast
from ._frames import NO_SOURCE, Packet, multicast_scope
from ._interface import VirtualInterface
from ._kernel import KernelSocket
from ._receive_buffer import Arrived
from ._rules import RULES
from ._sockets import SocketTable, Takers


class Input:
    """The receiving side of a host: gives the host's sockets the datagrams that arrive."""

    def __init__(
        self,
        core: Core,
        name: str,
        platform: Platform,
        clock: VirtualClock,
        sockets: SocketTable,
        interfaces: Iterable[VirtualInterface],
    ) -> None:
        """Receive for a host.

        Args:
            core: The core of the network.
            name: The host's name.
            platform: The platform whose rules the host follows.
            clock: The host's clock.
            sockets: The host's sockets, as sockets come and go.
            interfaces: The host's interfaces, as interfaces come and go.
        """
        self._core = core
        self._name = name
        self._platform = platform
        self._clock = clock
        self._rules = RULES[platform.name]
        self._sockets = sockets
        self._interfaces = interfaces
        # The host's IPv4 addresses; `None` if they have to be collected anew.
        self._own_addresses: frozenset[bytes] | None = None

    def arrived(self, interface: VirtualInterface, packet: Packet) -> None:
        """Take a datagram that another host has sent."""
        if not packet.is_to_group:
            self.receive_unicast(interface, packet)
        elif self._is_martian(packet):
            interface.drop(packet, "its source is an address of this host")
        elif packet.family == "ipv6" and multicast_scope(packet.destination) <= 1:
            interface.drop(packet, "its scope is that of one host")
        else:
            self.receive_group(interface, packet, looped=False)

    def _is_martian(self, packet: Packet) -> bool:
        """Tell whether a packet claims this host as its source, and Linux would drop it.

        Linux drops such packets of IPv4 only (fib_validate_source).
        """
        if self._platform.name != "linux" or packet.family != "ipv4":
            return False
        if self._own_addresses is None:
            self._own_addresses = frozenset(
                address.packed
                for interface in self._interfaces
                for address in interface.addresses("ipv4")
            )
        return packet.packed_source in self._own_addresses

    def addresses_changed(self) -> None:
        """Note that the host may have other addresses than before."""
        self._own_addresses = None
        self._sockets.takers.clear()

    def takes_in(self, interface: VirtualInterface, packet: Packet) -> bool:
        """Tell whether anybody on the host wants a group's datagram on an interface."""
        if packet.is_to_all_hosts:
            return True
        wanted = self._sockets.wanted(packet.destination, interface.index)
        if not self._rules.takes_in_by_source:
            return wanted != NO_SOURCE
        return wanted.allows(packet.source)

    def receive_group(self, interface: VirtualInterface, packet: Packet, *, looped: bool) -> None:
        """Give a group's datagram to all sockets that are to get the datagram.

        Args:
            interface: The interface on which the datagram counts as arrived.
            packet: The datagram.
            looped: Whether this host has sent it.
        """
        key = (packet.packed_destination, packet.port, interface.index, looped)
        takers = self._sockets.takers.get(key)
        if takers is None:
            takers = self._find_takers(interface, packet, looped=looped)
            if not self._sources_matter(interface, packet):
                self._sockets.takers[key] = takers
        for kernel in takers.sockets:
            self._hand_over(kernel, interface, packet, looped=looped)
        if takers.reason:
            interface.drop(packet, takers.reason)

    def _find_takers(self, interface: VirtualInterface, packet: Packet, *, looped: bool) -> Takers:
        if not self.takes_in(interface, packet):
            return Takers((), "nobody on this host wants it on this interface")
        # Only Windows asks for them.
        addresses = interface.addresses(packet.family) if self._rules.is_strong_host else ()
        kernels: list[KernelSocket] = []
        reasons: dict[str, None] = {}
        for state, kernel in self._sockets.at_port(packet.port).items():
            reason = gets_group(state, packet, interface.index, looped=looped, addresses=addresses)
            if reason is None:
                kernels.append(kernel)
            else:
                reasons[reason] = None
        if kernels or (looped and not reasons):
            return Takers(kernels, "")
        return Takers((), "; ".join(reasons) or f"nobody on this host has port {packet.port}")

    def _sources_matter(self, interface: VirtualInterface, packet: Packet) -> bool:
        """Tell whether datagrams of another source may have other takers."""
        return bool(self._sockets.wanted(packet.destination, interface.index).sources) or any(
            state.peer is not None or any(joined.sources for joined in state.memberships.values())
            for state in self._sockets.at_port(packet.port)
        )

    def receive_unicast(self, interface: VirtualInterface, packet: Packet) -> None:
        """Give a unicast datagram to the one socket that is to get the datagram."""
        owners = [interface] if self._rules.is_strong_host else self._interfaces
        if not interface.is_loopback and not any(owner.has(packet.destination) for owner in owners):
            interface.drop(packet, "it is for another address")
            return
        sockets = self._sockets.at_port(packet.port)
        state = gets_unicast(sockets, packet, interface.index, is_loopback=interface.is_loopback)
        if state is None:
            interface.drop(packet, f"nobody on this host has port {packet.port} at that address")
        else:
            self._hand_over(sockets[state], interface, packet, looped=False)

    def _hand_over(
        self, kernel: KernelSocket, interface: VirtualInterface, packet: Packet, *, looped: bool
    ) -> None:
        charge = kernel.buffer.charge_for(packet, looped=looped)
        if charge is None:
            interface.drop(packet, "the socket's receive buffer is full")
            return
        trace, now = self._core.trace, self._core.scheduler.now_ns()
        trace.add(now, self._name, "delivered", interface.name, packet, "")
        key = (trace.order, packet.sender)
        kernel.buffer.take(Arrived(key, packet, interface.index, self._clock.at(now), charge))
