"""The address that a sender sends from where none was named. Pure.

Decision: the address that a plain socket would have
====================================================

A sender binds its sockets to an address: left to itself Linux may send with another interface's
address, over the loopback interface even with 0.0.0.0 (measured on 6.18). So the address is chosen
here, among those of the interface, and as Linux chooses for a socket that is bound to none: for
IPv4 by scope (inet_select_addr in net/ipv4/devinet.c), for IPv6 by RFC 6724 section 5
(ipv6_get_saddr_eval in net/ipv6/addrconf.c). Of addresses that are alike, the first counts.

Whether a temporary address is better than another, Linux asks the sysctl use_tempaddr; elsewhere it
is, as in the RFC.

Three things differ. A ``src`` of an IPv6 route in the table "local" counts for a plain socket, also
where its interface is named; here no route does then. Where the only address of the right scope is
tentative, Linux takes one of another scope for that second; here it is waited for. And where an
interface has nothing that could be sent from, Linux takes another interface's address; here there
is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from itertools import chain, islice
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
from .._values.steps import Steps, at_once

# The less, the better.
_Rank: TypeAlias = tuple[int, ...]

# Groups that Linux takes for those of the link; others that only stay on it are wide for IPv4.
_GROUPS_OF_LINK: Final = IPv4Network("224.0.0.0/24")
_SITE_LOCAL: Final = IPv6Network("fec0::/10")
# The scopes of addresses as numbers, as groups have them (RFC 4291 section 2.7). For Linux, ::1 is
# link-local.
_SCOPES: Final[dict[AddressScope, int]] = {"host": 2, "link": 2, "global": 14}
_SITE: Final = 5
_WIDTHS: Final = (2, _SITE, 14)
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


# The addresses that an error gives reasons for. Arbitrary.
_MOST_REASONS: Final = 40

# The addresses that are compared in one step. Each takes some microseconds.
_AT_ONCE: Final = 16


# Tells whether the temporary addresses of an interface are better than its others.
PrefersTemporary: TypeAlias = Callable[[Interface], bool]


def always(_interface: Interface) -> bool:
    """Prefer temporary addresses, as RFC 6724 does."""
    return True


class Choices:
    """The choices of one plan: a thousand groups are mostly sent to from one address.

    Attributes:
        prefers_temporary: Tells whether an interface's temporary addresses are better.
        made: The choices so far.
    """

    def __init__(self, prefers_temporary: PrefersTemporary = always) -> None:
        self.prefers_temporary = prefers_temporary
        self.made: dict[tuple[object, ...], IPAddress | None] = {}


def choose_source(
    interface: Interface, group: Group, last: IPAddress | None = None
) -> IPAddress | None:
    """Return the address of an interface to send to a group from; `None` if there is none.

    Args:
        interface: The interface.
        group: The group.
        last: The address that was sent from before. It is kept if it is as good as any.
    """
    return at_once(choose_in_steps(interface, group, last, Choices()))


def choose_in_steps(
    interface: Interface, group: Group, last: IPAddress | None, choices: Choices
) -> Steps[IPAddress | None]:
    """Do as `choose_source`, in steps.

    Args:
        interface: The interface.
        group: The group.
        last: The address that was sent from before.
        choices: The choices made so far with the same interfaces; this one is put there, too.
    """
    address = group.address
    if isinstance(address, IPv4Address):
        on_link = is_link_scoped(address) or address in _GROUPS_OF_LINK
        scope = _SCOPES["link" if on_link else "global"]
    else:
        scope = address.packed[1] & 0xF
    key = interface.index, interface.name, group.family, scope, last
    if key not in choices.made:
        choices.made[key] = yield from _choose(interface, group.family, scope, last, choices)
    return choices.made[key]


def _choose(
    interface: Interface, family: Family, wanted: int, last: IPAddress | None, choices: Choices
) -> Steps[IPAddress | None]:
    prefers_temporary = False  # If there is none, all are as good.
    if family == "ipv6" and any(detail.temporary for detail in interface.address_details):
        prefers_temporary = choices.prefers_temporary(interface)
    best: IPAddress | None = None
    best_rank: _Rank | None = None
    # The last one is looked at first, as it stays unless another is better.
    kept = [] if last is None else _with_details(interface, last)
    for number, (address, detail) in enumerate(chain(kept, _addresses_of(interface, family)), 1):
        scope = _scope(address, detail)
        if _unfit(address, detail, scope, interface) is None:
            if family == "ipv4":
                rank = _rank_ipv4(scope, on_link=wanted <= _SCOPES["link"])
            else:
                rank = _rank_ipv6(address, detail, scope, wanted)
                # Rule 7.
                is_temporary = detail is not None and detail.temporary
                rank = (*rank, int(is_temporary is not prefers_temporary))
            if best_rank is None or rank < best_rank:
                best, best_rank = address, rank
            if not any(rank):
                break  # None can be better, and there may be thousands.
        if not number % _AT_ONCE:
            yield
    return best


def describe_lack(interface: Interface, family: Family) -> str:
    """Return why nothing can be sent from an interface in a family, for people."""
    label, reasons = FAMILY_LABEL[family], []
    for address, detail in islice(_addresses_of(interface, family), _MOST_REASONS):
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


def _with_details(
    interface: Interface, address: IPAddress
) -> list[tuple[IPAddress, InterfaceAddress | None]]:
    """Return an address with its details, if the interface has it."""
    if not has_address(interface, address):
        return []
    numbers = (int(detail.address) for detail in interface.address_details)
    kind = IPv4Interface if address.version == 4 else IPv6Interface
    for number, detail in zip(numbers, interface.address_details, strict=True):
        if number == int(address) and isinstance(detail.address, kind):
            return [(address, detail)]
    return [(address, None)]


def _addresses_of(
    interface: Interface, family: Family
) -> Iterator[tuple[IPAddress, InterfaceAddress | None]]:
    """Yield the addresses of an interface in a family, each with its details if there are any."""
    addresses, details = iterate_addresses(interface, family), interface.address_details
    start = 0 if family == "ipv4" else len(interface.ipv4_addresses)
    if len(details) == len(interface.ipv4_addresses) + len(interface.ipv6_addresses):
        # In the same order, as `Interface` has it.
        yield from zip(addresses, islice(details, start, None), strict=False)
        return
    known = {detail.address.packed: detail for detail in details}
    for address in addresses:
        yield address, known.get(address.packed)


def _scope(address: IPAddress, detail: InterfaceAddress | None) -> AddressScope:
    return assumed_scope(address) if detail is None else detail.scope


def _rank_ipv4(scope: AddressScope, *, on_link: bool) -> _Rank:
    # Linux ignores what else it knows of an IPv4 address: also a deprecated one is used.
    order = {"global": 0, "link": 0 if on_link else 1, "host": 2}  # The last on loopback only.
    return (order[scope],)


def _rank_ipv6(
    address: IPAddress, detail: InterfaceAddress | None, scope: AddressScope, wanted: int
) -> _Rank:
    state = None if detail is None else detail.state
    is_of_site = scope == "global" and address in _SITE_LOCAL
    return (
        _distance(_SITE if is_of_site else _SCOPES[scope], wanted),
        int(state == "tentative"),
        int(state == "deprecated"),
        next((order for network, order in _OTHER_LABELS if address in network), 0),
    )


def _distance(scope: int, wanted: int) -> int:
    """Return how far the scope of an address is from that of a group; 0 if none is nearer.

    The next wider one is the nearest, then the widest of the narrower ones (rule 2).
    """
    order = [*(wider for wider in _WIDTHS if wider >= wanted)]
    order += [narrower for narrower in reversed(_WIDTHS) if narrower < wanted]
    return order.index(scope)


def address_to_bind(interface: Interface, family: Family) -> IPAddress | None:
    """Return the address that a group's socket is bound to, where none is bound to the group.

    It is one that can be used; a deprecated one last; of IPv6, the link-local one, which stays
    while others come and go. Of those that are alike it is the least, so that the choice does not
    depend on their order. If none can be used, it is one that may be later.

    Args:
        interface: The interface.
        family: The family of the group.

    Returns:
        The address; `None` if the interface has none of the family.
    """
    states = {detail.address.packed: detail.state for detail in interface.address_details}

    def rank(address: IPAddress) -> tuple[bool, bool, bool, int]:
        state = states.get(address.packed)
        is_wide = address.version == 6 and not address.is_link_local
        unusable = state in ("tentative", "failed")
        return unusable, state == "deprecated", is_wide, int(address)

    return min(iterate_addresses(interface, family), key=rank, default=None)
