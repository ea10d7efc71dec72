"""The interfaces, and which of them the question is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from ..._host.facts import link_facts
from ..._plan.pairs import pair_groups
from ..._plan.selecting import Directory, select_interfaces
from ..._values.addresses import parse_group
from ..._values.errors import AmbiguousInterfaceError, InterfaceNotFoundError
from ..._values.interface import Interface, InterfaceSelector, show_selectors
from ..._values.steps import at_once
from ..evidence import Link
from ..fitness import judge_interface


@attrs.frozen
class Choice:
    """The interfaces that a question is about.

    Attributes:
        by_group: The interfaces on which each group is wanted, by the group's text.
        interfaces: All of them, or those that were named, if there is no group.
        unmatched: The names that are no interface of the machine.
    """

    by_group: Mapping[str, tuple[Interface, ...]]
    interfaces: tuple[Interface, ...]
    unmatched: tuple[str, ...]


def choose(
    groups: Iterable[str],
    selectors: Sequence[InterfaceSelector] | None,
    interfaces: Sequence[Interface],
    *,
    needs_address: bool,
) -> Choice:
    """Return the interfaces that groups and selectors mean, as for a receiver.

    Args:
        groups: The groups, as text.
        selectors: The interfaces that were named; `None` for every candidate.
        interfaces: The interfaces there are.
        needs_address: Whether a candidate has to have an address of the group's family.

    Raises:
        ValueError: A group and the selectors contradict each other.
    """
    directory = Directory.of(interfaces)
    pairing = at_once(pair_groups((), selectors, directory))
    by_group: dict[str, tuple[Interface, ...]] = {}
    unmatched = [absent(selector, interfaces) for selector in selectors or ()]
    for text in groups:
        pairing = at_once(
            pair_groups([parse_group(text)], selectors, directory, needs_address=needs_address)
        )
        if isinstance(pairing.problem, ValueError):
            raise pairing.problem
        by_group[text] = tuple(selection.interface for _, selection in pairing.pairs)
        unmatched += [interface.name for _, interface in pairing.missing]
    chosen = [interface for each in by_group.values() for interface in each]
    if not by_group:
        chosen = [selection.interface for selection in pairing.selections]
    if not chosen and selectors is None and not any(unmatched):
        unmatched.append("fit for multicast")
    return Choice(
        by_group, tuple(dict.fromkeys(chosen)), tuple(dict.fromkeys(filter(None, unmatched)))
    )


def absent(selector: InterfaceSelector, interfaces: Sequence[Interface]) -> str:
    """Return a selector that means no interface as text; empty for one that means one."""
    try:
        select_interfaces([selector], interfaces)
    except (InterfaceNotFoundError, AmbiguousInterfaceError):
        return selector_text(selector)
    return ""


def selector_text(selector: InterfaceSelector) -> str:
    """Return a selector as text."""
    if isinstance(selector, str):
        return selector
    return show_selectors((selector,)).strip("(),")


def gather_links(
    interfaces: Sequence[Interface], chosen: Sequence[Interface], *, ask_system: bool
) -> tuple[Link, ...]:
    """Return the interfaces as evidence.

    Args:
        interfaces: The interfaces of the machine.
        chosen: Those that the question is about.
        ask_system: Whether the machine is this one, so that its system knows more.

    Raises:
        OSError: The system refuses to tell.
    """
    facts = (link_facts() if ask_system else None) or {}
    indexes = {interface.index for interface in chosen}
    names = {interface.index: str(interface) for interface in interfaces}
    links = []
    for interface in interfaces:
        known = facts.get(interface.index)
        is_running = None if known is None else known.is_running
        fitness = judge_interface(interface, is_running=is_running)
        links.append(
            Link(
                str(interface),
                interface.index,
                is_up=interface.is_up,
                is_running=is_running,
                is_multicast=interface.is_multicast,
                is_loopback=interface.is_loopback,
                is_point_to_point=None if known is None else known.is_point_to_point,
                is_chosen=interface.index in indexes,
                kind="" if known is None else known.kind,
                link_address=interface.link_address,
                mtu=interface.mtu,
                master=interface.master,
                addresses=tuple(map(str, (*interface.ipv4_addresses, *interface.ipv6_addresses))),
                lower="" if known is None else names.get(known.lower, ""),
                is_fit=fitness.is_fit,
                against=(*fitness.reasons, *fitness.lacks.values()),
            )
        )
    return tuple(links)
