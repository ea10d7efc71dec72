"""Which memberships a call of the receiver means. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .._plan.selecting import (
    means,
)
from .._plan.socket_spec import MembershipKey, MembershipPlan
from .._values.addresses import Group
from .._values.errors import printable
from .._values.interface import Interface, InterfaceSelector


def names_meant(
    selectors: Sequence[InterfaceSelector], plans: Iterable[MembershipPlan]
) -> frozenset[str]:
    """The names of the interfaces of some memberships that selectors mean.

    Raises:
        ValueError: There is no membership on one of them.
    """
    interfaces = list(dict.fromkeys(plan.interface for plan in plans))
    names = set()
    for selector in selectors:
        meant = [item.name for item in interfaces if means(selector, item)]
        if not meant:
            there = ", ".join(dict.fromkeys(map(str, interfaces))) or "none"
            text = selector.name if isinstance(selector, Interface) else str(selector)
            raise ValueError(
                f"interfaces: nothing is joined on {text!r}; there are memberships on: {there}"
            )
        names.update(meant)
    return frozenset(names)


def keys_meant(
    groups: Iterable[Group], names: frozenset[str] | None, plans: Iterable[MembershipPlan]
) -> dict[Group, list[MembershipKey]]:
    """By group, its memberships on the interfaces of these names or, for `None`, on all.

    Raises:
        ValueError: There is none in one of the groups.
    """
    there: dict[str | None, list[Interface]] = {}
    for plan in plans:
        if names is None or plan.interface.name in names:
            there.setdefault(plan.group, []).append(plan.interface)
    found: dict[Group, list[MembershipKey]] = {}
    for group in groups:
        text = str(group.address)
        found[group] = [
            (text, item.name)
            for item in there.get(text, ())
            if group.zone in (None, item.name, str(item.index or ""))
        ]
        if not found[group]:
            where = "" if names is None else f" on {', '.join(sorted(names))}"
            raise ValueError(printable(f"group {group} is not joined{where}"))
    return found
