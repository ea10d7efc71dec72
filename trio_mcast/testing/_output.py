"""Sending: through which interface, from which address, and what each system refuses."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeAlias

from .._plan.route import Route, RouteAnswer
from .._plan.socket_spec import BindAddress
from .._platform.model import PlatformName
from .._values.addresses import (
    Endpoint,
    IPAddress,
    family_of,
    is_link_scoped,
    parse_address,
    without_zone,
)
from .._values.errors import error_name
from .._values.interface import Interface
from ._core import Core
from ._frames import Packet, RefusedDatagram, multicast_scope
from ._host_source import source_for, source_here
from ._interface import VirtualInterface
from ._options import refuse
from ._routes import VirtualRoute, VirtualRoutes
from ._state import SocketState

_LIMITED_BROADCAST = "255.255.255.255"


# The interface, the router to hand to, if any, and the address to send from, if a route names one.
_Way: TypeAlias = "tuple[VirtualInterface, IPAddress | None, IPAddress | None]"


class Output:
    """The sending side of a host: decides how datagrams leave."""

    def __init__(
        self,
        interfaces: Sequence[VirtualInterface],
        gateways: dict[str, IPAddress],
        routes: VirtualRoutes,
    ) -> None:
        """Decide for a host in the present state.

        Args:
            interfaces: The host's interfaces; the first is the loopback interface.
            gateways: By interface name, the router that stands for every other network.
            routes: The routes that the test has added.
        """
        self._routes = routes
        self._by_name = {interface.name: interface for interface in interfaces}
        self._interfaces = interfaces
        self._loopback = interfaces[0]
        self._gateways = gateways

    def packet(
        self, state: SocketState, data: bytes, address: BindAddress
    ) -> tuple[VirtualInterface, Packet, IPAddress | None]:
        """Return the packet that a socket sends, with the way out.

        Returns:
            The interface, the packet, and the address of the next hop; `None` where no neighbour
            is meant.

        Raises:
            OSError: The system refuses.
        """
        destination, port = without_zone(parse_address(address[0], "address")), address[1]
        family, rules = family_of(destination), state.rules
        scope_id = address[3] if len(address) == 4 else 0
        if family != state.family:
            raise refuse(errno.EAFNOSUPPORT)
        if not port:
            raise refuse(errno.EINVAL)
        if len(data) > rules.largest_datagram[family]:
            raise refuse(errno.EMSGSIZE)
        source = state.address if state.address and not state.address.is_multicast else None
        if source is not None and (family == "ipv4" or state.platform.name != "linux"):
            self._check_source(state, source)
        if destination.is_multicast:
            interface, _, named = self._for_group(state, destination, scope_id, source)
            next_hop, ttl = None, state.multicast_ttl
        else:
            interface, next_hop, named = self._for_unicast(state, destination, scope_id)
            ttl = state.unicast_ttl
        name = state.platform.name
        chosen = (
            source or named or source_for(name, self._interfaces, interface, destination, next_hop)
        )
        packet = Packet(
            chosen, state.port, destination, port, ttl, data, state.traffic_class, interface.mtu
        )
        return interface, packet, next_hop

    def _check_source(self, state: SocketState, source: IPAddress) -> None:
        if state.rules.source_must_exist is not None and not self._owners(source):
            raise refuse(state.rules.source_must_exist)

    def _owners(self, address: IPAddress) -> list[VirtualInterface]:
        return [interface for interface in self._interfaces if interface.has(address)]

    # --- Groups

    def _for_group(
        self, state: SocketState, group: IPAddress, scope_id: int, source: IPAddress | None
    ) -> _Way:
        rules, family = state.rules, family_of(group)
        scoped = family == "ipv6" and multicast_scope(group) <= 2
        index = state.device or (scope_id if scoped else 0) or state.multicast_interface
        if index:
            by_index = {interface.index: interface for interface in self._interfaces}
            if index not in by_index:
                raise refuse(rules.interface_gone[family])
            way: _Way = (by_index[index], None, None)
        else:
            routed = self._group_way(state.platform.name, group, source)
            if routed is None:
                # Measured on Linux: without an interface, IPv6 finds no source address.
                no_address = family == "ipv6" and state.platform.name == "linux"
                raise refuse(errno.EADDRNOTAVAIL if no_address else errno.ENETUNREACH)
            way = routed
        interface = way[0]
        if not interface.is_up or family in interface.families_without_room:
            raise refuse(rules.interface_down)
        if interface.is_loopback and family == "ipv6" and not rules.loopback_routes_ipv6_groups:
            raise refuse(errno.ENETUNREACH)
        return way

    def _lookup(
        self, address: IPAddress, usable: Sequence[VirtualInterface]
    ) -> VirtualRoute | None:
        """Return the test's route for an address, of those that lead to usable interfaces."""
        names = {interface.name for interface in usable}

        def counts(route: VirtualRoute) -> bool:
            # A route goes with the address that it names.
            has_source = route.source is None or bool(self._owners(route.source))
            return has_source and (route.interface is None or route.interface in names)

        return self._routes.lookup(address, counts)

    def _way_of(self, route: VirtualRoute) -> _Way:
        if route.interface is None:
            assert self._routes.refusal is not None
            raise refuse(self._routes.refusal.errno)
        return self._by_name[route.interface], route.gateway, route.source

    def _group_way(
        self, platform: PlatformName, group: IPAddress, source: IPAddress | None = None
    ) -> _Way | None:
        """Return the way on which a host sends a group; `None` without a route.

        Raises:
            OSError: A route refuses.

        Linux has a route for IPv6 groups on every interface, and none for IPv4 groups unless a
        default gateway covers them; but a socket that is bound to an address sends from there
        (ip_route_output_key_hash_rcu in net/ipv4/route.c). Windows has a route for both.
        """
        family = family_of(group)
        usable = [
            interface
            for interface in self._interfaces[1:]
            if interface.is_up and interface.addresses(family)
        ]
        if platform == "linux" and family == "ipv4" and source is not None:
            owner = next(iter(self._owners(source)), None)
            return None if owner is None else (owner, None, None)
        route = self._lookup(group, [each for each in self._interfaces if each.is_up])
        if route is not None:
            return self._way_of(route)
        for interface in usable:
            gateway = self._gateways.get(interface.name)
            if gateway is not None and gateway.version == group.version:
                return interface, gateway, None
        if platform == "windows" or (platform == "linux" and family == "ipv6"):
            return next(((interface, None, None) for interface in usable), None)
        return None

    def find_route(
        self, platform: PlatformName, address: IPAddress, interfaces: Sequence[Interface]
    ) -> RouteAnswer:
        """Return the way of datagrams to an address, as the system's routes tell it."""
        try:
            if address.is_multicast:
                way = self._group_way(platform, address)
            else:
                way = self._unicast_way(platform, address, 0)
        except OSError as error:
            refusal = self._routes.refusal
            return refusal if refusal is not None and error.errno == refusal.errno else None
        if way is None or (address.is_multicast and is_link_scoped(address)):
            return None
        outgoing, next_hop, source = way
        if source is None and not address.is_multicast:
            # Without an address to send from there is a route all the same.
            with suppress(OSError):
                source = source_for(platform, self._interfaces, outgoing, address, next_hop)
        index = outgoing.index
        return Route(next((each for each in interfaces if each.index == index), None), source)

    def is_martian(
        self,
        platform: PlatformName,
        interface: VirtualInterface,
        packet: Packet,
        *,
        strict: bool,
    ) -> bool:
        """Tell whether a packet comes from where the host would not send to its source.

        __fib_validate_source in net/ipv4/fib_frontend.c; unless strict, any interface will do.
        """
        if packet.family != "ipv4":
            return False
        try:
            way_back = self._unicast_way(platform, packet.source, 0)[0]
        except OSError:
            return True
        return strict and way_back is not interface

    # --- Unicast

    def _for_unicast(self, state: SocketState, destination: IPAddress, scope_id: int) -> _Way:
        is_linux = state.platform.name == "linux"
        if str(destination) == _LIMITED_BROADCAST and is_linux and state.address is None:
            raise refuse(errno.ENETUNREACH)  # Measured: nothing says which interface.
        if str(destination) == _LIMITED_BROADCAST or self._is_broadcast(destination):
            raise refuse(errno.EACCES)  # Broadcasts take SO_BROADCAST, which no plan sets.
        # udpv6_sendmsg of Linux, in6_setscope of the BSDs: other addresses have no zone.
        zone = scope_id if destination.is_link_local else 0
        return self._unicast_way(state.platform.name, destination, state.device or zone)

    def _unicast_way(self, platform: PlatformName, destination: IPAddress, wanted: int) -> _Way:
        """Return the way to one peer.

        Args:
            platform: The host's platform.
            destination: The peer's address.
            wanted: The index of the only interface that will do; 0 for any.

        Raises:
            OSError: There is no way, or a route refuses.
        """
        is_linux = platform == "linux"
        if destination.version == 6 and destination.is_link_local:
            if not wanted and not is_linux:  # Linux takes the first route there is.
                raise refuse(errno.EINVAL)
        elif (owners := self._owners(destination)) or destination.is_loopback:
            # Linux: local routes of IPv6 have an interface, too. If that is another one than the
            # socket's, other routes count: to a neighbour with that address (measured).
            needs_interface = is_linux and destination.version == 6 and wanted
            if not needs_interface or wanted in [owner.index for owner in owners]:
                return self._loopback, None, source_here(platform, owners, destination)
        usable = [
            interface
            for interface in self._interfaces[1:]
            if interface.is_up and wanted in (0, interface.index)
        ]
        route = self._lookup(destination, usable)
        if route is not None and all(
            network.prefixlen <= route.destination.prefixlen
            for interface in usable
            for network in interface.networks_with(destination)
        ):
            interface, gateway, source = self._way_of(route)
            return interface, gateway or destination, source
        if any(interface.has(destination) for interface in usable):
            return self._loopback, None, destination
        # The longest prefix counts, and of equal ones the oldest (fib_insert_alias in
        # net/ipv4/fib_trie.c, fib6_add_rt2node in net/ipv6/ip6_fib.c; measured).
        on_link = [
            (-network.prefixlen, interface.route_number(network), interface)
            for interface in usable
            for network in interface.networks_with(destination)
        ]
        if on_link:
            return min(on_link, key=lambda route: route[:2])[2], destination, None
        for interface in usable:
            gateway = self._gateways.get(interface.name)
            if gateway is not None and gateway.version == destination.version:
                return interface, gateway, None
        raise refuse(errno.ENETUNREACH)

    def home_of(self, packet: Packet, platform: PlatformName) -> VirtualInterface:
        """Return the interface on which unicast to this host itself counts as arrived.

        On Linux that is the interface that has the address, though the packet goes by the loopback
        interface (inet_iif, ip_route_output_key_hash_rcu, and ip6_rcv_core; measured).
        """
        owners = self._owners(packet.destination) if platform == "linux" else []
        return owners[0] if owners else self._loopback

    def _is_broadcast(self, destination: IPAddress) -> bool:
        return any(
            destination == address.network.broadcast_address and address.network.prefixlen < 31
            for interface in self._interfaces[1:]
            for address in interface.value.ipv4_addresses
        )


def leaves_host(packet: Packet, platform: PlatformName, *, loops: bool, joined: bool) -> bool:
    """Tell whether a group's datagram leaves the host: not with interface scope or ttl 0.

    Linux looks at the ttl only where the host delivers to itself: ip_mc_output, which a route to a
    group that was not joined does not use, and ip6_finish_output2. So ttl 0 does leave a host that
    has not joined the group (measured).
    """
    if packet.family == "ipv6" and multicast_scope(packet.destination) <= 1:
        return False
    if packet.ttl or platform != "linux":
        return packet.ttl > 0
    return not joined or (packet.family == "ipv6" and not loops)


def record_refusal(
    core: Core,
    host: str,
    interface: str,
    data: bytes,
    address: BindAddress,
    error: OSError,
) -> None:
    """Take down that a host refuses to send a datagram."""
    core.record(
        host,
        "refused",
        interface=interface,
        subject=RefusedDatagram(str(Endpoint(str(address[0]), address[1])), data),
        reason=error_name(error.errno) or str(error.errno),
    )
