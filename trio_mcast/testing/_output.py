"""Sending: through which interface, from which address, and what each system refuses."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from .._addresses import IPAddress, family_of, is_link_scoped, parse_address, without_zone
from .._plan import BindAddress
from ._frames import Packet, multicast_scope
from ._interface import VirtualInterface
from ._options import refuse
from ._state import SocketState

_LIMITED_BROADCAST = "255.255.255.255"


class Output:
    """Decides how a host's datagrams leave it."""

    def __init__(
        self, interfaces: Sequence[VirtualInterface], gateways: dict[str, IPAddress]
    ) -> None:
        """Decide for a host as it is now.

        Args:
            interfaces: Its interfaces; the first is its loopback interface.
            gateways: By interface name, the router that stands for every other network.
        """
        self._interfaces = interfaces
        self._loopback = interfaces[0]
        self._gateways = gateways

    def packet(
        self, state: SocketState, data: bytes, address: BindAddress
    ) -> tuple[VirtualInterface, Packet, IPAddress | None]:
        """What a socket sends: through which interface, what, and to which neighbour if to one.

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
        next_hop = None
        if destination.is_multicast:
            interface = self._for_group(state, destination, scope_id, source)
            ttl = state.multicast_ttl
        else:
            interface, next_hop = self._for_unicast(state, destination, scope_id)
            ttl = rules.unicast_ttl
        chosen = source or self._source(state, interface, destination)
        packet = Packet(chosen, state.port, destination, port, ttl, data)
        return interface, packet, next_hop

    def _check_source(self, state: SocketState, source: IPAddress) -> None:
        if state.rules.source_must_exist is not None and not any(
            item.has(source) for item in self._interfaces
        ):
            raise refuse(state.rules.source_must_exist)

    # --- Groups

    def _for_group(
        self, state: SocketState, group: IPAddress, scope_id: int, source: IPAddress | None
    ) -> VirtualInterface:
        rules, family = state.rules, family_of(group)
        scoped = family == "ipv6" and multicast_scope(group) <= 2
        index = state.device or (scope_id if scoped else 0) or state.multicast_interface
        if index:
            found = next((item for item in self._interfaces if item.index == index), None)
            if found is None:
                raise refuse(rules.interface_gone[family])
        else:
            found = self.route(state.platform.name, group, source)
            if found is None:
                # Measured on Linux: without an interface, IPv6 finds no source address.
                no_address = family == "ipv6" and state.platform.name == "linux"
                raise refuse(errno.EADDRNOTAVAIL if no_address else errno.ENETUNREACH)
        if not found.is_up:
            raise refuse(rules.interface_down)
        if found.is_loopback and family == "ipv6" and not rules.loopback_routes_ipv6_groups:
            raise refuse(errno.ENETUNREACH)
        return found

    def route(
        self, platform: str, group: IPAddress, source: IPAddress | None = None
    ) -> VirtualInterface | None:
        """The interface to which a host routes a group; `None` without a route.

        Linux has a route for IPv6 groups on every interface, and none for IPv4 unless a default
        gateway covers them; but a socket that is bound to an address sends from there
        (ip_route_output_key_hash_rcu in net/ipv4/route.c). Windows has one for both.
        """
        family = family_of(group)
        usable = [item for item in self._interfaces[1:] if item.is_up and item.addresses(family)]
        if platform == "linux" and family == "ipv4" and source is not None:
            return next((item for item in self._interfaces if item.has(source)), None)
        for item in usable:
            gateway = self._gateways.get(item.name)
            if gateway is not None and gateway.version == group.version:
                return item
        if platform == "windows" or (platform == "linux" and family == "ipv6"):
            return next(iter(usable), None)
        return None

    def _source(
        self, state: SocketState, interface: VirtualInterface, destination: IPAddress
    ) -> IPAddress:
        """The address to send from, for a socket that is not bound to one."""
        family = family_of(destination)
        own = interface.addresses(family)
        if family == "ipv6":  # RFC 6724: of the destination's scope, if there is one.
            narrow = (
                is_link_scoped(destination)
                if destination.is_multicast
                else destination.is_link_local
            )
            own = (*[item for item in own if item.is_link_local == narrow], *own)
            if not own:
                raise refuse(errno.EADDRNOTAVAIL)
            return own[0]
        # inet_select_addr of Linux takes another interface's address, or none at all.
        others = [item.addresses(family) for item in self._interfaces[1:]]
        found = [*own, *(address for addresses in others for address in addresses)]
        return found[0] if found else parse_address("0.0.0.0", "address")

    # --- Unicast

    def _for_unicast(
        self, state: SocketState, destination: IPAddress, scope_id: int
    ) -> tuple[VirtualInterface, IPAddress | None]:
        is_linux = state.platform.name == "linux"
        if str(destination) == _LIMITED_BROADCAST and is_linux and state.address is None:
            raise refuse(errno.ENETUNREACH)  # Measured: nothing says which interface.
        if str(destination) == _LIMITED_BROADCAST or self._is_broadcast(destination):
            raise refuse(errno.EACCES)  # It takes SO_BROADCAST, which no plan sets.
        wanted = state.device or scope_id
        if destination.version == 6 and destination.is_link_local:
            if not wanted and not is_linux:  # Which takes the first route there is.
                raise refuse(errno.EINVAL)
        elif any(item.has(destination) for item in self._interfaces) or destination.is_loopback:
            if state.platform.name == "linux" and destination.version == 6 and wanted:
                # Local routes have an interface as well, which has to be that one (measured).
                here = [item for item in self._interfaces if item.index == wanted]
                if not any(item.has(destination) for item in here):
                    raise refuse(errno.ENETUNREACH)
            return self._loopback, None
        usable = [item for item in self._interfaces[1:] if item.is_up and wanted in (0, item.index)]
        for item in usable:
            if item.has(destination):
                return self._loopback, None
            if item.is_on_link(destination):
                return item, destination
        for item in usable:
            gateway = self._gateways.get(item.name)
            if gateway is not None and gateway.version == destination.version:
                return item, gateway
        raise refuse(errno.ENETUNREACH)

    def _is_broadcast(self, destination: IPAddress) -> bool:
        return any(
            destination == item.network.broadcast_address and item.network.prefixlen < 31
            for interface in self._interfaces[1:]
            for item in interface.value.ipv4_addresses
        )
