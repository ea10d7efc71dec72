"""The planner for receivers: from a request, interfaces and a platform to sockets to open. Pure.

Nothing here asks the operating system anything: the interfaces and the platform are arguments, so
the plan for any platform can be made, and tested, on any machine.

Decision: one socket = one (interface, group)
=============================================

A socket can hold many memberships, and the usual way is one socket bound to the wildcard address
with all of them. Then the kernel hands over every group that the socket *or anyone else on the
machine* joined (Linux, by default), from every interface, takes unicast away from other programs on
the port, and for IPv4 stops at 20 memberships (Linux). Which group and interface a datagram belongs
to has to be asked for, per datagram, as ancillary data.

Here each membership has a socket of its own, bound to the group's address where the system allows
that, and joined on one interface. The group and interface of a datagram are then known from its
socket. Measured on Linux 6.18: no duplicates, no unicast taken away, no limit but file
descriptors, and a cost per datagram that is the same with 1 and with 4,000 memberships, because the
kernel finds sockets by a hash over address and port.

IPv6 on Linux needs one thing more. The kernel compares only the group when it delivers, not the
interface: two sockets for one group, each joined on an interface of its own, got 4 datagrams when 2
were sent. With SO_BINDTODEVICE they got 2 (measured on 6.18).

The price is a file descriptor for each membership and port, and on Linux one more for every 128 of
an interface.

Decision: join first, bind last
===============================

The order in every textbook is bind, then join. Between the two steps lies a window: a socket that
has joined "everybody but 10.0.0.9" takes two calls, join and block, and when it is bound already it
gets the datagrams of 10.0.0.9 between them; a macOS IPv6 socket without a membership gets every
group on the port, as its source code shows. An unbound socket gets nothing at all. So the sockets
join first and are bound last, and what they get is exact from the first datagram on. Measured on
Linux 6.18, two processes flooding a group over the loopback interface, and 20,000 sockets opened in
turn that exclude them: bound first, 14,831 of the sockets got a datagram of the excluded source;
bound last, none. Windows wants the bind first.

Decision: exclusions beyond the kernel's limit are rejected after reading
=========================================================================

Linux takes 10 sources on an IPv4 socket. Sources beyond what one socket takes go to further
sockets. No two of these have a source in common, so each datagram still comes once. Exclusions
cannot be spread like that: each socket would get what the others exclude, and everything else as
often as there are sockets. So one socket excludes as many as the kernel takes, and the datagrams of
the others are discarded after reading, and counted as rejected. On macOS and FreeBSD the kernel
lets a blocked source through (measured on FreeBSD 13's code), so all are rejected after reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs

from .._platform import options as layout
from .._platform.model import Platform
from .._platform.options import SocketOption
from .._values.addresses import FAMILY_LABEL, Family, Group, IPAddress, family_of
from .._values.interface import (
    Interface,
    addresses_on_any_link,
    own_addresses_on,
    shared_addresses,
)
from .blocked import SourceRule, excluded_for
from .common_options import Wishes
from .filtering import split_filters
from .pairs import Pairing, pair_groups
from .receiver_options import options_around_joins
from .selecting import Directory, Selection, is_port, select_interfaces
from .socket_spec import (
    BindAddress,
    MembershipKey,
    MembershipPlan,
    SocketSpec,
    bind_address,
    bind_wildcard,
)
from .source_address import address_to_bind
from .unicast import plan_unicast
from .wanted import ReceiveRequest

# No addresses. One for all plans: each empty set of its own takes 216 bytes.
_NONE: Final[frozenset[str]] = frozenset()


@attrs.frozen
class _OnInterface:
    """The part of a plan that all groups of one family on one interface share: worked out once.

    Attributes:
        before_joins: The options before the joins.
        after_joins: The options after them.
        own_addresses: The addresses that mean this machine on the interface's link, as text.
        address: The address of the interface to bind to where a group cannot be bound, and to join
            on where that takes an address; `None` if there is none, or none is needed.
        sources: The only sources that the request wants; none for any.
    """

    before_joins: tuple[SocketOption, ...]
    after_joins: tuple[SocketOption, ...]
    own_addresses: frozenset[str]
    address: IPAddress | None
    sources: Sequence[IPAddress]


def _plan_membership(
    group: Group,
    selection: Selection,
    request: ReceiveRequest,
    excluded_sources: Sequence[IPAddress],
    shared: _OnInterface,
    platform: Platform,
) -> MembershipPlan:
    """Plan the sockets of a receiver for one group on one interface.

    Args:
        group: The group, without a zone.
        selection: The interface.
        request: The request that the membership comes of.
        excluded_sources: The sources to leave out, of either family.
        shared: The part that other groups there have as well.
        platform: The platform to plan for.
    """
    interface, family = selection.interface, group.family
    text, sources = group.text, shared.sources
    excluded = [source for source in excluded_sources if family_of(source) == family]
    local = selection.address or shared.address
    # A socket that is bound to an address instead of the group is given unicast to that address,
    # which the system does not filter.
    unicast = request.accept_unicast and not platform.binds_to_group and local is not None
    system = split_filters(group, (sources, excluded), platform)
    left_to_system = len(system.blocked) if platform.filters_blocked and not unicast else 0
    rejected = frozenset(map(str, excluded[left_to_system:])) if excluded else _NONE
    system_decides = platform.receiver_decides_loopback and not unicast
    own_addresses = shared.own_addresses
    if request.loopback or system_decides or interface.is_loopback:
        own_addresses = _NONE
    sockets = []
    for chunk in system.chunks:
        filters = ([] if system.looks else chunk), system.blocked
        joins = _joins(group, interface, local, filters, platform)
        options = (*shared.before_joins, *system.options, *joins, *shared.after_joins)
        sockets += [
            SocketSpec(
                family,
                interface,
                text,
                tuple(map(str, chunk)),
                _receiver_bind(group, interface, local, port, platform),
                options,
                rejected,
                own_addresses,
                unicast,
                checks_sources=system.looks and bool(chunk),
            )
            for port in request.ports
        ]
    return MembershipPlan(
        text,
        interface,
        tuple(map(str, sources)),
        tuple(map(str, excluded)),
        tuple(sockets),
    )


def _joins(
    group: Group,
    interface: Interface,
    local: IPAddress | None,
    filters: tuple[Sequence[IPAddress], Sequence[IPAddress]],
    platform: Platform,
) -> Iterator[SocketOption]:
    included, excluded = filters
    for source in included:
        yield layout.join_source(platform, interface.index, group.address, source, local)
    if not included:
        yield layout.join_group(platform, interface.index, group.address, local, group.text)
    for source in excluded:
        block = layout.block_source(platform, interface.index, group.address, source, local)
        # Where it filters nothing, the socket is right without it.
        yield attrs.evolve(block, required=platform.filters_blocked)


def _receiver_bind(
    group: Group,
    interface: Interface,
    local: IPAddress | None,
    port: int,
    platform: Platform,
) -> BindAddress:
    if platform.binds_to_group:
        return bind_address(group.address, port, interface.index, group.text)
    if local is None:
        return bind_wildcard(group.family, port)
    return bind_address(local, port, interface.index if local.is_link_local else 0)


def plan_request(
    request: ReceiveRequest,
    rules: Sequence[SourceRule],
    interfaces: Sequence[Interface],
    platform: Platform,
    *,
    strict: bool,
    known: Mapping[MembershipKey, MembershipPlan] | None = None,
    own_addresses: frozenset[str] | None = None,
) -> list[MembershipPlan]:
    """Plan the memberships that a request comes to: all at once; see `plan_in_steps`."""
    steps = plan_in_steps(
        request,
        rules,
        interfaces,
        platform,
        strict=strict,
        known=known,
        own_addresses=own_addresses,
    )
    return [plan for plan in steps if plan is not None]


def plan_in_steps(
    request: ReceiveRequest,
    rules: Sequence[SourceRule],
    interfaces: Sequence[Interface],
    platform: Platform,
    *,
    strict: bool,
    known: Mapping[MembershipKey, MembershipPlan] | None = None,
    own_addresses: frozenset[str] | None = None,
) -> Iterator[MembershipPlan | None]:
    """Plan the memberships that a request comes to; `None` is a step that has led to none yet.

    Args:
        request: The request.
        rules: The blocked sources; of several rules about one source, the last that applies counts.
        interfaces: The interfaces there are.
        platform: The platform to plan for.
        strict: Whether a missing interface is an error. Otherwise a membership on a missing
            interface is a plan without sockets, for an interface of index 0 whose name is the
            selector.
        known: Plans that are known to be right, so that they need not be worked out again.
        own_addresses: This machine's addresses, as `addresses_on_any_link` has them, if the caller
            has worked them out.

    Raises:
        InterfaceNotFoundError: With ``strict``: a selector or a zone names no interface.
        AmbiguousInterfaceError: With ``strict``: an address is on two interfaces.
        ValueError: With ``strict``: a group and the interfaces do not go together.
    """
    steps = pair_groups(
        request.groups,
        request.selectors,
        Directory.of(interfaces),
        needs_address=not platform.joins_without_address,
    )
    pairing = yield from steps
    accepts_unicast = request.accepts_unicast
    if strict:
        pairing.check_complete()
        if accepts_unicast and not request.groups and not pairing.selections:
            select_interfaces(None, interfaces)  # Raises the error that there is none.
    rules = [rule for rule in rules if rule.is_for(request.number)]
    if request.loopback:
        own_addresses = frozenset()
    elif own_addresses is None:
        own_addresses = addresses_on_any_link(interfaces)
    shared: frozenset[IPAddress] = frozenset()
    if accepts_unicast:
        shared = yield from shared_addresses(interfaces)
    machine = own_addresses, shared, platform
    for plan in _plan_all(request, rules, pairing, machine, known or {}):
        yield None if plan is None or request.has_left(plan) else plan


def _plan_all(
    request: ReceiveRequest,
    rules: Sequence[SourceRule],
    pairing: Pairing,
    machine: tuple[frozenset[str], frozenset[IPAddress], Platform],
    known: Mapping[MembershipKey, MembershipPlan],
) -> Iterator[MembershipPlan | None]:
    """Plan every membership that a request comes to, also those that were left since."""
    on_any_link, _, platform = machine
    parts: dict[tuple[str, Family], _OnInterface] = {}
    for group, selection in pairing.pairs:
        text, interface = group.text, selection.interface
        plan = known.get((text, interface.name))
        if plan is None:
            excluded = excluded_for(request, rules, text, interface)
            if is_port(interface):
                yield _plan_without_sockets(group, interface, request, excluded)
                continue
            part = parts.get((interface.name, group.family))
            if part is None:
                part = _part_on(interface, group.family, request, on_any_link, platform)
                parts[interface.name, group.family] = part
            plan = _plan_membership(group, selection, request, excluded, part, platform)
        yield plan
    for group, interface in pairing.missing:
        excluded = excluded_for(request, rules, group.text, interface)
        yield _plan_without_sockets(group, interface, request, excluded)
    if request.accepts_unicast:
        for excluded, pairs in _by_exclusion(request, rules, pairing).items():
            yield from plan_unicast(pairs, request, excluded, *machine)


def _part_on(
    interface: Interface,
    family: Family,
    request: ReceiveRequest,
    on_any_link: frozenset[str],
    platform: Platform,
) -> _OnInterface:
    """Work out the part of a plan that all groups of a family on an interface share."""
    before, after = options_around_joins(
        Wishes.of(request),
        family,
        interface.name,
        interface.index,
        interface.is_loopback,
        platform,
    )
    needs_address = not (platform.binds_to_group and platform.takes_mreqn)
    return _OnInterface(
        before,
        after,
        _NONE if request.loopback else own_addresses_on(interface, on_any_link),
        address_to_bind(interface, family) if needs_address else None,
        request.sources_of(family),
    )


def _plan_without_sockets(
    group: Group,
    interface: Interface,
    request: ReceiveRequest,
    excluded_sources: Sequence[IPAddress],
) -> MembershipPlan:
    """Return the plan of a membership that can only wait for its interface."""
    return MembershipPlan(
        group.text,
        interface,
        _texts(request.sources, group.family),
        _texts(excluded_sources, group.family),
        (),
    )


def _texts(sources: Sequence[IPAddress] | None, family: Family) -> tuple[str, ...]:
    return tuple(str(source) for source in sources or () if family_of(source) == family)


def _by_exclusion(
    request: ReceiveRequest, rules: Sequence[SourceRule], pairing: Pairing
) -> dict[tuple[IPAddress, ...], list[tuple[Family, Selection]]]:
    """Sort the pairs of a family and an interface by the sources that unicast leaves out there."""
    pairs: dict[tuple[IPAddress, ...], list[tuple[Family, Selection]]] = {}
    for family, selection in _unicast_pairs(request, pairing):
        if is_port(selection.interface):
            continue
        excluded = excluded_for(request, rules, None, selection.interface)
        pairs.setdefault(excluded, []).append((family, selection))
    return pairs


def _unicast_pairs(request: ReceiveRequest, pairing: Pairing) -> Iterator[tuple[Family, Selection]]:
    """Yield the families of unicast, each with an interface: those of the groups there.

    Without a group it is both, and with ``sources`` those of the sources.
    """
    for group, selection in pairing.pairs:
        yield group.family, selection
    for selection in () if request.groups else pairing.selections:
        for family in FAMILY_LABEL:
            allowed = request.sources is None or request.sources_of(family)
            if allowed and selection.serves(family):
                yield family, selection
