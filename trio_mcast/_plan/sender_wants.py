"""The wants of a sender: each of its groups, and where to send it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from .._values.addresses import Group, IPAddress, family_of, parse_address, without_zone
from .._values.interface import ALL_INTERFACES, Interface, InterfaceSelector
from .._values.steps import Steps
from .pairs import check_served, pair_groups, placeholder
from .selecting import Directory, Selection, family_of_selector, in_zone, is_candidate, text_of
from .wanted import SendRequest


@attrs.frozen
class SenderWant:
    """A group, and where a sender is to send it: looked for whenever the interfaces change.

    The interface is known by name, as its index is another after it was removed and made again.

    Attributes:
        group: The group, without its zone.
        interface: The name of the interface; what else it was named by, where it was missing at
            opening. `None` stands for the interface that has ``address``; without an address, for
            the interface to which the system routes the group.
        address: An address that the interface must have, and that datagrams come from.
        zone: The zone of the group, where its interface was missing at opening; else `None`.
    """

    group: Group
    interface: InterfaceSelector | None = None
    address: IPAddress | None = None
    zone: str | None = None


def sender_wants(
    request: SendRequest, interfaces: Directory
) -> Steps[dict[SenderWant, Selection | Interface]]:
    """Return what a sender wants, each with where that is, or what stands for a missing interface.

    Where no interface was named, that is still to be found out.
    """
    if request.selectors is None:
        by_default: dict[SenderWant, Selection | Interface] = {}
        for group in request.groups:
            want = _default_want(group, request.source_address, interfaces)
            by_default[want] = placeholder(str(want.zone or want.address or ""))
            yield
        return by_default
    if request.selectors is ALL_INTERFACES:
        return (yield from _wants_on_all(request, interfaces))
    pairing = yield from pair_groups(request.groups, request.selectors, interfaces)
    if not request.allow_missing or isinstance(pairing.problem, ValueError):
        pairing.check_complete()
    places: dict[SenderWant, Selection | Interface] = {}
    for group, selection in pairing.pairs:
        places[_selected_want(group, selection)] = selection
        yield
    for group, interface in pairing.missing:
        places[_missing_want(group, interface.name, request.selectors)] = interface
    if request.allow_missing:
        pairs = [(group, selection.interface) for group, selection in pairing.pairs]
        keys = [(str(group), interface.name) for group, interface in (*pairs, *pairing.missing)]
        check_served(request.groups, request.selectors, keys, "sent to")
    return places


def _wants_on_all(
    request: SendRequest, interfaces: Directory
) -> Steps[dict[SenderWant, Selection | Interface]]:
    places: dict[SenderWant, Selection | Interface] = {}
    for group in request.groups:
        if group.zone is None:
            for want in _wants_for(group, request, interfaces):
                interface = interfaces.by_name.get(str(want.interface))
                places[want] = placeholder("") if interface is None else Selection(interface)
                yield
        else:
            want = _default_want(group, None, interfaces)
            places[want] = placeholder(str(want.zone or want.interface or ""))
            yield
    return places


def wants_on_candidates(request: SendRequest, interfaces: Directory) -> Iterator[SenderWant]:
    """Yield what a sender on `ALL_INTERFACES` wants now: each group on each candidate.

    With a source address, on the candidates that have it, if any has. Without a candidate, each
    group is wanted on none by name. Groups with a zone are left out, as their interface is named.

    Args:
        request: The request for the sender.
        interfaces: The interfaces there are.
    """
    for group in request.groups:
        if group.zone is None:
            yield from _wants_for(group, request, interfaces)


def _wants_for(group: Group, request: SendRequest, interfaces: Directory) -> Iterator[SenderWant]:
    candidates = [interface for interface in interfaces if is_candidate(interface)]
    source = request.source_address
    if source is not None and family_of(source) == group.family:
        having = set(interfaces.having(source))
        candidates = [it for it in candidates if it in having] or candidates
    for interface in candidates:
        yield SenderWant(group, interface.name)
    if not candidates:
        yield SenderWant(group)


def _default_want(
    group: Group, source_address: IPAddress | None, interfaces: Sequence[Interface]
) -> SenderWant:
    """Return the want for a group where the user names no interface.

    The group's zone tells the interface, or else the source address, or else the system's route.
    """
    bare = Group(group.address)
    if group.zone is not None:
        known = in_zone(group.zone, interfaces)
        return SenderWant(bare, known[0].name) if known else SenderWant(bare, zone=group.zone)
    if source_address is not None and family_of(source_address) == group.family:
        return SenderWant(bare, None, source_address)
    return SenderWant(bare)


def _selected_want(group: Group, selection: Selection) -> SenderWant:
    address = selection.address
    if address is None or address.is_link_local:
        return SenderWant(group, selection.interface.name, address)
    return SenderWant(group, None, address)  # The address may move to another interface.


def _missing_want(group: Group, name: str, selectors: Sequence[InterfaceSelector]) -> SenderWant:
    """Return the want for a group on an interface that a selector, or a zone, does not find."""
    for selector in selectors:
        if text_of(selector) == name:
            if family_of_selector(selector) is None:
                return SenderWant(group, selector)
            address = parse_address(name, "interfaces")
            zoned = without_zone(address) != address
            return SenderWant(group, name if zoned else None, without_zone(address))
    return SenderWant(group, zone=name)
