"""The address that a sender sends from where none was named. Pure.

Decision: the address that a plain socket would have
====================================================

A sender binds its sockets to an address: left to itself Linux may send with another interface's
address, over the loopback interface even with 0.0.0.0 (measured on 6.18). So the address is chosen
here, among those of the interface, and as Linux chooses for a socket that is bound to none: for
IPv4 by scope (inet_select_addr in net/ipv4/devinet.c), for IPv6 by RFC 6724 section 5
(ipv6_get_saddr_eval in net/ipv6/addrconf.c). Of addresses that are alike, the first counts.

Three things differ. Linux asks the sysctl use_tempaddr whether a temporary address is better than
another; here it is, as in the RFC. Where the only address of the right scope is tentative, Linux
takes one of another scope for that second; here it is waited for. And where an interface has
nothing that could be sent from, Linux takes another interface's address; here there is none.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from itertools import chain
from typing import Final, TypeAlias

from .._values.addresses import FAMILY_LABEL, Family, Group, IPAddress, is_link_scoped
from .._values.interface import (
    AddressScope,
    Interface,
    InterfaceAddress,
    assumed_scope,
    has_address,
    iterate_addresses,
)

# The less, the better.
_Rank: TypeAlias = tuple[int, ...]

# Groups that Linux takes for those of the link; others that only stay on it are wide for IPv4.
_GROUPS_OF_LINK: Final = IPv4Network("224.0.0.0/24")
_SITE_LOCAL: Final = IPv6Network("fec0::/10")
# Groups have the label of the whole world in the table of RFC 6724 section 2.1, to which Linux adds
# ORCHIDs. Of addresses with other labels, the one goes first that has most bits in common with a
# group (rule 8).
_OTHER_LABELS: Final = tuple(
    (IPv6Network(network), order)
    for network, order in {
        "fc00::/7": 1,  # unique local
        "2001::/32": 2,  # Teredo
        "2001:10::/28": 2,  # ORCHID
        "2002::/16": 2,  # 6to4
        "3ffe::/16": 2,  # 6bone
        "::/96": 2,  # IPv4-compatible
    }.items()
)


def choose_source(
    interface: Interface, group: Group, last: IPAddress | None = None
) -> IPAddress | None:
    """Return the address of an interface to send to a group from; `None` if there is none.

    Args:
        interface: The interface.
        group: The group.
        last: The address that was sent from before. It is kept if it is as good as any.
    """
    details = _details_of(interface, group.family)
    on_link = is_link_scoped(group.address) or group.address in _GROUPS_OF_LINK
    rank_of = _rank_ipv4 if group.family == "ipv4" else _rank_ipv6
    best: IPAddress | None = None
    best_rank: _Rank | None = None
    # The last one is looked at first, as it stays unless another is better.
    kept = [last] if last is not None and has_address(interface, last) else []
    for address in chain(kept, iterate_addresses(interface, group.family)):
        if best_rank is not None and not any(best_rank):
            break  # None can be better, and there may be thousands.
        detail = details.get(int(address))
        scope = _scope(address, detail)
        if _unfit(address, detail, scope, interface) is None:
            rank = rank_of(address, detail, scope, on_link)
            if best_rank is None or rank < best_rank:
                best, best_rank = address, rank
    return best


def describe_lack(interface: Interface, family: Family) -> str:
    """Return why nothing can be sent from an interface in a family, for people."""
    details, label = _details_of(interface, family), FAMILY_LABEL[family]
    reasons = []
    for address in interface.addresses(family):
        detail = details.get(int(address))
        reasons.append(f"{address} {_unfit(address, detail, _scope(address, detail), interface)}")
    if not reasons:
        return f"interface {interface} has no {label} address now"
    return f"interface {interface} has no {label} address now to send from ({', '.join(reasons)})"


def _unfit(
    address: IPAddress, detail: InterfaceAddress | None, scope: AddressScope, interface: Interface
) -> str | None:
    """Return why nothing can be sent from an address; `None` if something can."""
    if address.is_multicast:
        return "is a group"
    if detail is not None and detail.state == "failed":
        return "has failed, as another host has it"
    if scope == "host" and not interface.is_loopback:
        return "is for use inside this machine"
    return None


def _details_of(interface: Interface, family: Family) -> dict[int, InterfaceAddress]:
    kind = IPv4Interface if family == "ipv4" else IPv6Interface
    return {
        int(detail.address): detail
        for detail in interface.address_details
        if isinstance(detail.address, kind)
    }


def _scope(address: IPAddress, detail: InterfaceAddress | None) -> AddressScope:
    return assumed_scope(address) if detail is None else detail.scope


def _rank_ipv4(
    address: IPAddress, detail: InterfaceAddress | None, scope: AddressScope, on_link: bool
) -> _Rank:
    # Linux ignores what else it knows of an IPv4 address: also a deprecated one is used.
    order = {"global": 0, "link": 0 if on_link else 1, "host": 2}  # The last on loopback only.
    return (order[scope],)


def _rank_ipv6(
    address: IPAddress, detail: InterfaceAddress | None, scope: AddressScope, on_link: bool
) -> _Rank:
    state = None if detail is None else detail.state
    width = 0 if scope != "global" else 1 if address in _SITE_LOCAL else 2
    return (
        width if on_link else 2 - width,
        int(state == "tentative"),
        int(state == "deprecated"),
        next((order for network, order in _OTHER_LABELS if address in network), 0),
        int(detail is None or not detail.temporary),
    )
