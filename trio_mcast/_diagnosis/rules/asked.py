"""Rules about the groups themselves, which need no machine. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from itertools import combinations

from ..._values.addresses import IPAddress
from .rule import Match, reading, rule
from .view import View, is_ethernet_alike

# RFC 4607: groups for receivers that name their sources. The IPv6 ones are ff3x::/32.
_SSM_IPV4 = IPv4Network("232.0.0.0/8")
# RFC 5771, section 4, and RFC 4291, section 2.7: the scopes of a host and of a link.
_LINK_IPV4 = IPv4Network("224.0.0.0/24")
_LINK_IPV6_SCOPES = frozenset({1, 2})
_SSM_IPV6_FLAGS = IPv6Network("ff30::/12")


def _is_ssm(group: IPAddress) -> bool:
    if isinstance(group, IPv4Address):
        return group in _SSM_IPV4
    return group in _SSM_IPV6_FLAGS and not int(group) >> 96 & 0xFFFF


def _stays_on_link(group: IPAddress) -> bool:
    if isinstance(group, IPv4Address):
        return group in _LINK_IPV4
    return group.packed[1] & 0xF in _LINK_IPV6_SCOPES


@rule("ssm-without-source", "warning")
def ssm_without_source(view: View) -> Iterator[Match]:
    """Find groups for known sources that are joined without any."""
    if view.question.sources is None:
        for text, group in view.groups.items():
            if _is_ssm(group):
                network = "232.0.0.0/8" if group.version == 4 else "ff3x::/32"
                readings = reading("the question: sources", "none")
                yield Match(group=text, values={"network": network}, readings=readings)


def _scope(view: View) -> Iterator[Match]:
    for text, group in view.groups.items():
        if view.question.routed and _stays_on_link(group):
            wide = "239.0.0.0/8" if group.version == 4 else "ff05::/16 or ff08::/16"
            yield Match(
                group=text, values={"wide": wide}, readings=reading("the question: routed", "True")
            )


@rule("scope-does-not-cross-routers", needs=("heard",), explains=("nothing-arrived",))
def scope_does_not_cross_routers(view: View) -> Iterator[Match]:
    """Find groups that no router forwards, though one stands between, and nothing came."""
    return (match for match in _scope(view) if match.group in view.silent_groups)


@rule("scope-does-not-cross-routers", role="sender")
def scope_of_sender(view: View) -> Iterator[Match]:
    """Find groups that no router forwards, though one stands between."""
    return _scope(view)


@rule("shared-ethernet-address", "note", role=None)
def shared_ethernet_address(view: View) -> Iterator[Match]:
    """Find groups that a network card cannot tell from each other."""
    for (text, group), (other_text, other) in combinations(view.groups.items(), 2):
        if group != other and is_ethernet_alike(group, other):
            yield Match(group=text, values={"other": other_text})


@rule("aliases-link-local-block", "note", role=None)
def aliases_link_local_block(view: View) -> Iterator[Match]:
    """Find groups whose Ethernet address is one of 224.0.0.x, which switches send everywhere."""
    for text, group in view.groups.items():
        if isinstance(group, IPv4Address) and group not in _LINK_IPV4:
            link = IPv4Address(int(_LINK_IPV4.network_address) | int(group) & 0xFF)
            if is_ethernet_alike(group, link):
                yield Match(group=text, values={"other": str(link)})


RULES = (
    ssm_without_source,
    scope_does_not_cross_routers,
    scope_of_sender,
    shared_ethernet_address,
    aliases_link_local_block,
)
