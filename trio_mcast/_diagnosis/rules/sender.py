"""Rules about where this machine sends a group's datagrams. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from ..evidence import Link, RouteFact
from .rule import Match, reading, rule
from .view import View

# The kinds of interfaces that lead to programs or other networks of this machine, or through a
# tunnel. Inside a container every interface is virtual: so a kind alone is no fault.
_VIRTUAL_KINDS = frozenset({"bridge", "tun", "wireguard", "veth", "dummy"})


def _route(view: View, group: str, through: str) -> RouteFact | None:
    for route in view.evidence.routes or ():
        if (route.destination, route.through) == (group, through):
            return route
    return None


def _where(route: RouteFact) -> str:
    return f"ip route get {route.destination}" + (f" oif {route.through}" if route.through else "")


def _candidates(view: View) -> list[Link]:
    return [link for link in view.chosen if not link.is_loopback]


def _without_zone(view: View) -> list[str]:
    """Return the groups that do not name an interface themselves."""
    return [group for group in view.groups if "%" not in group]


@rule(
    "no-route-for-group",
    needs=("routes", "links"),
    explains=("send-blocked",),
    role="sender",
)
def no_route_for_group(view: View) -> Iterator[Match]:
    """Find groups for which the system has no route, where several interfaces would do."""
    names = [link.name for link in _candidates(view)]
    if view.question.interfaces is not None or len(names) < 2:
        return
    for group in _without_zone(view):
        route = _route(view, group, "")
        if route is not None and route.errno:
            yield Match(
                None,
                group,
                {"names": ", ".join(names), "first": names[0]},
                reading(_where(route), f"error {route.errno}"),
            )


@rule("virtual-interface-by-default", "warning", needs=("routes", "links"), role="sender")
def virtual_interface_by_default(view: View) -> Iterator[Match]:
    """Find groups that go to a virtual interface, where there is another one."""
    if view.question.interfaces is None:
        yield from to_virtual_interface(view, _without_zone(view))


def to_virtual_interface(view: View, groups: Iterable[str]) -> Iterator[Match]:
    """Yield those of some groups that go to a virtual interface, where there is another one."""
    for group in groups:
        route = _route(view, group, "")
        link = view.links.get(route.interface) if route is not None else None
        if route is None or link is None:
            continue
        others = [
            other.name
            for other in _candidates(view)
            if other.kind not in _VIRTUAL_KINDS - {"veth"} and other.name != link.name
        ]
        is_virtual = link.kind in _VIRTUAL_KINDS - {"veth"} or link.is_point_to_point
        is_container = link.kind == "veth" and link.name.startswith(("veth", "cali", "lxc"))
        if others and (is_virtual or is_container):
            kind = link.kind or "point to point"
            values = {"kind": kind, "first": others[0]}
            yield Match(link.name, group, values, reading(_where(route), f"{link.name}, {kind}"))


@rule("multicast-route-via-gateway", needs=("routes",), role="sender")
def multicast_route_via_gateway(view: View) -> Iterator[Match]:
    """Find groups that go to a gateway alone, in frames for its own hardware address.

    The gateway of a default route is not used for groups, and the kernel's answer has none then.
    """
    return through_gateway(view, view.groups)


def through_gateway(view: View, groups: Container[str]) -> Iterator[Match]:
    """Yield those of some groups that go to a gateway."""
    for route in view.evidence.routes or ():
        if route.destination in groups and route.gateway:
            values = {"gateway": route.gateway}
            where = reading(_where(route), f"via {route.gateway}")
            yield Match(route.interface, route.destination, values, where)


def _on_loopback(view: View) -> Iterator[tuple[Link, str, RouteFact]]:
    for link in view.chosen:
        if link.is_loopback:
            for text, group in view.groups.items():
                route = _route(view, text, link.name)
                if group.version == 6 and route is not None:
                    yield link, text, route


_LOOPBACK_EXPLAINS = ("nothing-arrived", "no-multicast-flag")


@rule(
    "no-ipv6-multicast-route-on-lo",
    needs=("routes", "links"),
    explains=_LOOPBACK_EXPLAINS,
    role=None,
)
def no_ipv6_multicast_route_on_lo(view: View) -> Iterator[Match]:
    """Find IPv6 groups that the loopback interface has no route for."""
    for link, group, route in _on_loopback(view):
        if route.errno:
            yield Match(link.name, group, {}, reading(_where(route), f"error {route.errno}"))


@rule(
    "ipv6-lo-route-of-wrong-type",
    needs=("routes", "links"),
    explains=_LOOPBACK_EXPLAINS,
    role=None,
)
def ipv6_lo_route_of_wrong_type(view: View) -> Iterator[Match]:
    """Find IPv6 groups whose route on the loopback interface takes, and gives nothing back."""
    for link, group, route in _on_loopback(view):
        if not route.errno and route.kind != "local":
            yield Match(link.name, group, {"kind": route.kind}, reading(_where(route), route.kind))


RULES = (
    no_route_for_group,
    virtual_interface_by_default,
    multicast_route_via_gateway,
    no_ipv6_multicast_route_on_lo,
    ipv6_lo_route_of_wrong_type,
)
