"""Rules about the machine itself, where no group is in question. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from .network import old_igmp, old_mld
from .opening import without_carrier
from .rule import Match, rule
from .sender import through_gateway, to_virtual_interface
from .view import View


@rule("no-carrier", needs=("links",), role="machine")
def no_carrier_of_machine(view: View) -> Iterator[Match]:
    """Find machines whose interfaces all have no carrier."""
    return without_carrier(view)


@rule("multicast-route-via-gateway", "warning", needs=("routes",), role="machine")
def multicast_route_via_gateway_of_machine(view: View) -> Iterator[Match]:
    """Find machines that send to any group by way of a gateway."""
    return through_gateway(view, _any_groups(view))


@rule("virtual-interface-by-default", "warning", needs=("routes", "links"), role="machine")
def virtual_interface_by_default_of_machine(view: View) -> Iterator[Match]:
    """Find machines that send to any group through a virtual interface, and have another one."""
    return to_virtual_interface(view, _any_groups(view))


def _any_groups(view: View) -> list[str]:
    """Return the groups whose routes were asked as examples of any."""
    groups = (
        route.destination
        for route in view.evidence.routes or ()
        if view.is_group(route.destination)
    )
    return list(dict.fromkeys(groups))


@rule("igmp-version-too-low", "note", needs=("settings", "joined_before"), role="machine")
def igmp_version_of_machine(view: View) -> Iterator[Match]:
    """Find interfaces that speak an IGMP that cannot name sources."""
    return old_igmp(view)


@rule("mld-version-too-low", "note", needs=("settings", "phases", "links"), role="machine")
def mld_version_of_machine(view: View) -> Iterator[Match]:
    """Find interfaces that speak an MLD that cannot name sources."""
    return old_mld(view)


RULES = (
    no_carrier_of_machine,
    multicast_route_via_gateway_of_machine,
    virtual_interface_by_default_of_machine,
    igmp_version_of_machine,
    mld_version_of_machine,
)
