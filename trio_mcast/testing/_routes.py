"""`VirtualRoutes`: the routes that a test gives to a virtual host."""

from __future__ import annotations

import errno
from collections.abc import Callable
from ipaddress import ip_network
from typing import Final

import attrs

from .._plan.route import RouteRefusal
from .._platform.model import PlatformName
from .._values.addresses import IPAddress, family_of, parse_address
from ._address_list import Network
from ._arguments import FixedAttributes, check_text
from ._host_interfaces import HostInterfaces
from ._interface import VirtualInterface
from ._watchers import Watchers

# What a route that refuses is to a plain socket, by platform; Windows has no such routes. Linux:
# measured. FreeBSD: ip_output in netinet/ip_output.c.
_REFUSALS: Final[dict[PlatformName, RouteRefusal]] = {
    "linux": RouteRefusal(errno.EACCES, "prohibit"),
    "freebsd": RouteRefusal(errno.EHOSTUNREACH, "reject"),
    "darwin": RouteRefusal(errno.EHOSTUNREACH, "reject"),
}


@attrs.frozen
class VirtualRoute:
    """One route of a virtual host.

    Attributes:
        destination: The addresses that the route is for.
        interface: The name of the interface that the route leads to; `None` if it refuses.
        gateway: The router to hand datagrams to, if any.
        source: The address that the route names for what is not bound to another, if any.
        is_addressed: Whether the interface had an address of the family when the route was added.
    """

    destination: Network
    interface: str | None
    gateway: IPAddress | None
    source: IPAddress | None
    is_addressed: bool


class VirtualRoutes(FixedAttributes):
    """The routes of a virtual host, besides those to its own networks: ``routes`` of `VirtualHost`.

    The route with the longest prefix counts. A route ends when its interface is unplugged.

    On Linux, a route also ends when its interface is switched off. An IPv4 route ends when its
    interface loses the last IPv4 address, or the host loses the address that the route names as its
    source; an IPv6 route then goes on without a source. What has ended does not come back by
    itself. On other systems such a route counts for nothing until things are as before.
    """

    refusal: RouteRefusal | None
    """The error that a route without an interface gives, as ``errno`` and ``kind``; `None` on
    Windows, which has no such routes.
    """

    def __init__(
        self,
        platform: PlatformName,
        interfaces: HostInterfaces,
        watchers: Watchers,
    ) -> None:
        self.refusal = _REFUSALS.get(platform)
        self._is_linux = platform == "linux"
        self._interfaces = interfaces
        self._watchers = watchers
        self._routes: dict[Network, VirtualRoute] = {}

    def __repr__(self) -> str:
        return f"<VirtualRoutes {', '.join(map(str, self._routes)) or 'none'}>"

    def add(
        self,
        destination: str,
        interface: str | None = None,
        *,
        gateway: str | None = None,
        source: str | None = None,
    ) -> None:
        """Add a route, in place of one to the same destination.

        Args:
            destination: The addresses that the route is for, such as ``"239.0.0.0/8"``,
                ``"10.9.0.0/16"``, or ``"::/0"`` for all.
            interface: The name of the interface that datagrams leave through. `None`, the default:
                the route refuses them, like a ``prohibit`` route of Linux or a ``reject`` route of
                macOS and FreeBSD.
            gateway: The address of a router on the interface's network. Default: the destination
                itself is there.
            source: The address that datagrams come from if the socket is not bound to another.
                Default: the system chooses among the interface's.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: The destination is no network, there is no such interface, the gateway is in
                none of its networks, the source is not an address of the host, an address is of
                another family than the destination, a gateway or source is given without an
                interface, or the platform has no routes that refuse.
            RuntimeError: The network has ended.
        """
        network = _parse_network(destination)
        to_router = None if gateway is None else _parse_host(gateway, "gateway")
        named = None if source is None else _parse_host(source, "source")
        for what, address in (("gateway", to_router), ("source", named)):
            if address is not None:
                _check_beside(address, what, network, interface)
        if named is not None and self._interfaces.index_with(named) is None:
            raise ValueError(f"source {named} is not an address of this host")
        is_addressed = False
        if interface is not None:
            outgoing = self._interfaces.named(interface)
            is_addressed = bool(outgoing.addresses(family_of(network.network_address)))
            if to_router is not None:
                check_gateway(to_router, outgoing)
        elif self.refusal is None:
            raise ValueError("Windows has no routes that refuse: name an interface")
        self._routes[network] = VirtualRoute(network, interface, to_router, named, is_addressed)
        self._watchers.notice()

    def remove(self, destination: str) -> None:
        """Remove a route.

        Args:
            destination: As for `add`.

        Raises:
            TypeError: The destination is not a `str`.
            ValueError: There is no such route.
            RuntimeError: The network has ended.
        """
        if self._routes.pop(_parse_network(destination), None) is None:
            raise ValueError(f"there is no route to {destination}")
        self._watchers.notice()

    def forget_interface(self, name: str) -> None:
        """Remove the routes to an interface that has gone. For the host only."""
        self._routes = {
            network: route for network, route in self._routes.items() if route.interface != name
        }

    def follow(self, interface: VirtualInterface) -> None:
        """Forget what Linux forgets when an interface changes. For the host only."""
        if self._is_linux and self._routes:
            routes = (self._after_change(route, interface) for route in self._routes.values())
            self._routes = {route.destination: route for route in routes if route is not None}

    def _after_change(
        self, route: VirtualRoute, interface: VirtualInterface
    ) -> VirtualRoute | None:
        """Return what is left of a route after a change of an interface; as measured."""
        is_ipv4 = route.destination.version == 4
        if route.interface == interface.name:
            is_bare = is_ipv4 and route.is_addressed and not interface.addresses("ipv4")
            if is_bare or not interface.value.is_up:
                return None
        if route.source is None or self._interfaces.index_with(route.source) is not None:
            return route
        return None if is_ipv4 else attrs.evolve(route, source=None)

    def rename_interface(self, former: str, name: str) -> None:
        """Have the routes to an interface follow its new name. For the host only."""
        self._routes = {
            network: attrs.evolve(route, interface=name) if route.interface == former else route
            for network, route in self._routes.items()
        }

    def lookup(
        self, address: IPAddress, counts: Callable[[VirtualRoute], bool]
    ) -> VirtualRoute | None:
        """Return the route for an address. For the host only.

        Args:
            address: The address.
            counts: Tells whether a route counts as things are.
        """
        routes = [
            route
            for network, route in self._routes.items()
            if network.version == address.version and address in network and counts(route)
        ]
        return max(routes, key=lambda route: route.destination.prefixlen, default=None)


def _check_beside(address: IPAddress, what: str, network: Network, interface: str | None) -> None:
    """Check an address that a route names, as Linux does (fib_create_info in fib_semantics.c).

    Raises:
        ValueError: The route cannot name the address.
    """
    if interface is None:
        raise ValueError(f"{what} {address} without an interface: name that, too")
    if address.version != network.version:
        raise ValueError(f"{what} {address} is of another family than {network}")


def check_gateway(gateway: IPAddress, interface: VirtualInterface) -> None:
    """Check the address of a router, as Linux does (fib_check_nh in net/ipv4/fib_semantics.c).

    Raises:
        ValueError: There can be no router of that address behind the interface.
    """
    networks = interface.networks_with(gateway)
    if not networks and not (gateway.version == 6 and gateway.is_link_local):
        others = ", ".join(str(address.network) for address in interface.networks)
        raise ValueError(
            f"gateway {gateway} is in none of the networks of {interface}: {others or 'none'}"
        )
    if interface.has(gateway):
        raise ValueError(f"gateway {gateway} is an address of {interface} itself")
    if any(
        network.version == 4
        and network.prefixlen < 31
        and gateway in (network.network_address, network.broadcast_address)
        for network in networks
    ):
        raise ValueError(f"gateway {gateway} is the broadcast address of a network, or its own")


def _parse_network(text: str) -> Network:
    check_text(text, "destination")
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(
            f"destination {text!r} is no network such as '10.9.0.0/16': {error}"
        ) from None


def _parse_host(text: str, what: str) -> IPAddress:
    address = parse_address(text, what)
    if address.is_multicast or address.is_unspecified:
        raise ValueError(f"{what} {text!r} is not an address that one host can have")
    return address
