"""The interfaces, and which of them the question is about."""

from __future__ import annotations

from collections.abc import Sequence

from ..._host.facts import link_facts
from ..._plan.selecting import Selection, select_interfaces
from ..._values.errors import AmbiguousInterfaceError, InterfaceNotFoundError
from ..._values.interface import Interface, InterfaceSelector, show_selectors
from ..evidence import Link
from ..fitness import judge_interface


def choose(
    selectors: Sequence[InterfaceSelector] | None, interfaces: Sequence[Interface]
) -> tuple[list[Interface], list[str]]:
    """Return the interfaces that the selectors mean, and the selectors that mean none, as text."""
    chosen: list[Selection] = []
    unmatched = []
    for one in (None,) if selectors is None else [(selector,) for selector in selectors]:
        try:
            chosen += select_interfaces(one, interfaces)
        except (InterfaceNotFoundError, AmbiguousInterfaceError):
            unmatched.append("fit for multicast" if one is None else selector_text(one[0]))
    return list(dict.fromkeys(selection.interface for selection in chosen)), unmatched


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
