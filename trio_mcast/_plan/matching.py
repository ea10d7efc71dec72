"""The memberships that a call means by naming groups and interfaces. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .._values.addresses import Group
from .._values.errors import printable
from .._values.interface import Interface, InterfaceSelector
from .selecting import in_zone, means
from .socket_spec import MembershipKey, MembershipPlan


def names_of_selected(
    selectors: Sequence[InterfaceSelector], plans: Iterable[MembershipPlan]
) -> frozenset[str]:
    """Return the names of the interfaces that selectors mean, of those with memberships.

    Raises:
        ValueError: There is no membership on one of them.
    """
    interfaces = list(dict.fromkeys(plan.interface for plan in plans))
    names = set()
    for selector in selectors:
        # A name may look like the address of another interface, and counts for more.
        selected = [interface.name for interface in interfaces if interface.name == selector]
        selected = selected or [
            interface.name for interface in interfaces if means(selector, interface)
        ]
        if not selected:
            known = ", ".join(dict.fromkeys(map(str, interfaces))) or "none"
            text = selector.name if isinstance(selector, Interface) else str(selector)
            raise ValueError(
                f"interfaces: nothing is joined on {text!r}; there are memberships on: {known}"
            )
        names.update(selected)
    return frozenset(names)


def keys_of_groups(
    groups: Iterable[Group], names: frozenset[str] | None, plans: Iterable[MembershipPlan]
) -> dict[Group, list[MembershipKey]]:
    """Return the memberships of each group on the interfaces of these names; `None` for on all.

    Raises:
        ValueError: One of the groups has no membership there.
    """
    interfaces: dict[str | None, list[Interface]] = {}
    for plan in plans:
        if names is None or plan.interface.name in names:
            interfaces.setdefault(plan.group, []).append(plan.interface)
    keys: dict[Group, list[MembershipKey]] = {}
    for group in groups:
        text = group.text
        joined = interfaces.get(text, [])
        if group.zone is not None:
            joined = in_zone(group.zone, joined)
        keys[group] = [(text, interface.name) for interface in joined]
        if not keys[group]:
            where = "" if names is None else f" on {', '.join(sorted(names))}"
            raise ValueError(printable(f"group {group} is not joined{where}"))
    return keys
