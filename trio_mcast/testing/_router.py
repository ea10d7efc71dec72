"""`VirtualRouter`: forwards groups, and unicast, between switches."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

import attrs

from .._values.addresses import AddressLike, IPAddress, parse_group
from ._arguments import FixedAttributes, check_name, check_text
from ._core import Core
from ._frames import Frame, Packet, Query, Report, Reporter, is_routable
from ._interface import VirtualInterface
from ._interface_address import AddressWithPrefix, parse_interface_address
from ._routes import check_gateway
from ._snooping import MembershipTable, SnoopingTimes
from ._switch import VirtualSwitch


class VirtualRouter(FixedAttributes):
    """A router that forwards datagrams between interfaces; made by `VirtualNetwork.router`.

    A group's datagram is forwarded to every other interface behind which somebody has joined the
    group, and to the interfaces that `forward` names. Each router takes one from the ttl; a
    datagram with a ttl of 1 goes no further. Groups of the link (224.0.0.0/24, IPv6 scopes up to 2)
    are never forwarded. Unicast is forwarded to the networks of the router's own interfaces; hosts
    need the router as ``gateway``.

    When a host leaves a group, the others behind the interface that have reported to want it are
    asked, twice in ``last_member_seconds``. Who does not answer, as a host that has crashed, is
    forgotten. With 0 seconds, or if the router is no querier, nobody is asked.
    """

    name: str
    """The router's name."""

    is_router = True

    def __init__(
        self,
        core: Core,
        name: str,
        *,
        forwards_joined: bool,
        querier: bool,
        times: SnoopingTimes,
    ) -> None:
        self.name = name
        self._core = core
        self._forwards_joined = forwards_joined
        self._table = MembershipTable(core, name, times, attrgetter("name"), self._ask_about)
        self._interfaces: dict[str, VirtualInterface] = {}
        # By group and interface of arrival, the targets that `forward` has named.
        self._named_targets: dict[tuple[IPAddress, str], tuple[str, ...]] = {}
        self._indexes = 0
        self._times = times
        self._is_querier = querier
        if querier:
            self._query_again()

    def __repr__(self) -> str:
        return f"<VirtualRouter {self.name}>"

    def plug(
        self, name: str, switch: VirtualSwitch, *addresses: AddressWithPrefix
    ) -> VirtualInterface:
        """Plug an interface into a switch.

        Args:
            name: The interface's name.
            switch: A switch of the same network.
            addresses: The interface's addresses with prefix lengths, such as ``"10.0.0.254/24"``.

        Returns:
            The interface.

        Raises:
            TypeError: The name, the switch or an address is of the wrong type.
            ValueError: The name or an address is taken or cannot be one, or the switch is of
                another network.
            RuntimeError: The network has ended.
        """
        self._core.enter(self.name)
        check_name(name)
        if name in self._interfaces:
            raise ValueError(f"{self.name} has an interface {name!r} already")
        self._indexes += 1
        interface = VirtualInterface(self._core, self, name, self._indexes, switch)
        connect(self._core, interface, switch, addresses)
        self._interfaces[name] = interface
        if self._is_querier:
            interface.transmit(Query(self._times.response))
        return interface

    def forward(self, group: AddressLike, source_interface: str, *interfaces: str) -> None:
        """Forward a group from one interface to others, whether anybody there has joined it or not.

        Args:
            group: The group.
            source_interface: The interface on which the group's datagrams arrive.
            interfaces: The interfaces to forward to; none at all undoes an earlier call.

        Raises:
            TypeError: The group is no address, or the name of an interface is not a `str`.
            ValueError: The address is no group that can be routed, or there is no such interface.
            RuntimeError: The network has ended.
        """
        self._core.enter(self.name)
        address = parse_group(group).address
        if not is_routable(address):
            raise ValueError(f"{address} stays on its link: no router forwards it")
        for name in (source_interface, *interfaces):
            check_text(name, "interface")
            if name not in self._interfaces:
                raise ValueError(f"{self.name} has no interface {name!r}")
        self._named_targets[address, source_interface] = interfaces

    def receive(self, interface: VirtualInterface, frame: Frame) -> None:
        """Take a frame that arrived at an interface. For the network only."""
        if isinstance(frame, Report):
            self._table.learn(interface, frame)
        elif isinstance(frame, Packet) and frame.destination.is_multicast:
            self._forward_group(interface, frame)
        elif isinstance(frame, Packet):
            self._forward_unicast(interface, frame)

    def answers_for(self, address: IPAddress) -> bool:
        """Tell whether all interfaces answer ARP for an address of one. For the network only."""
        return False

    def carrier_changed(self, interface: VirtualInterface) -> None:
        """Notice that a cable was taken out or put in. For the network only."""
        if not interface.has_link:
            self._table.forget_port(interface)

    def interface_changed(self, interface: VirtualInterface, *, removed: bool = False) -> None:
        """Notice that an interface came, went or changed. For the network only."""
        if removed:
            del self._interfaces[interface.name]
        if removed or not interface.is_up:
            self._table.forget_port(interface)

    def _forward_group(self, interface: VirtualInterface, packet: Packet) -> None:
        group = packet.destination
        if not is_routable(group):
            return
        named = self._named_targets.get((group, interface.name), ())
        targets = [
            target
            for target in self._interfaces.values()
            if target is not interface
            and (
                target.name in named
                or (self._forwards_joined and self._table.wants(target, group, packet.source))
            )
        ]
        if targets:
            self._send(interface, targets, packet, None)

    def _forward_unicast(self, interface: VirtualInterface, packet: Packet) -> None:
        destination, targets = packet.destination, self._interfaces.values()
        if any(target.has(destination) for target in targets):
            interface.drop(packet, "it is for the router, which has no programs")
            return
        target = next((target for target in targets if target.is_on_link(destination)), None)
        if target is None or destination.is_link_local:
            interface.drop(packet, "no route")
        else:
            self._send(interface, [target], packet, destination)

    def _send(
        self,
        interface: VirtualInterface,
        targets: Iterable[VirtualInterface],
        packet: Packet,
        next_hop: IPAddress | None,
    ) -> None:
        if packet.ttl <= 1:
            interface.drop(packet, f"its ttl of {packet.ttl} is used up")
            return
        for target in targets:
            mtu = min(packet.mtu, target.mtu)
            onward = attrs.evolve(packet, ttl=packet.ttl - 1, mtu=mtu)
            self._core.record(
                self.name,
                "forwarded",
                interface=target.name,
                subject=packet,
                reason=f"ttl {onward.ttl}",
            )
            target.transmit(onward, next_hop)

    def _ask_about(self, interface: Reporter, group: IPAddress) -> bool:
        """Ask all hosts behind an interface for reports on a group, if the router is a querier."""
        if self._is_querier:
            assert isinstance(interface, VirtualInterface)
            self._core.record(self.name, "queried", interface=interface.name, subject=group)
            interface.transmit(Query(self._times.last_member_response, group=group))
        return self._is_querier

    def _query_again(self) -> None:
        if self._interfaces:
            self._core.record(self.name, "queried")
        for interface in list(self._interfaces.values()):
            interface.transmit(Query(self._times.response))
        scheduler = self._core.scheduler
        scheduler.schedule(scheduler.later(self._times.query), (0,), self._query_again)


def connect(
    core: Core,
    interface: VirtualInterface,
    switch: VirtualSwitch,
    addresses: Iterable[AddressWithPrefix],
    gateway: IPAddress | None = None,
) -> None:
    """Plug a new interface in, whole or not at all.

    Raises:
        TypeError: The switch or an address is none.
        ValueError: An address is none that an interface can have or is taken, the gateway is in
            none of the interface's networks or cannot be a router's, or the switch is of
            another network.
    """
    if not isinstance(switch, VirtualSwitch):
        raise TypeError(f"switch must be a VirtualSwitch, not {type(switch).__name__}: {switch!r}")
    if switch.core is not core:
        raise ValueError(f"{switch.name} is a switch of another network")
    interface.set_addresses([parse_interface_address(address) for address in addresses])
    if gateway is not None:
        check_gateway(gateway, interface)
    switch.attach(interface)
    core.record(
        interface.owner.name,
        "plugged",
        interface=interface.name,
        reason=", ".join([f"into {switch.name}", *map(str, interface.networks)]),
    )
