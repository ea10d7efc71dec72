"""Groups paired with interfaces, and what is missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from .._values.addresses import FAMILY_LABEL, Family, Group, family_of
from .._values.errors import AmbiguousInterfaceError, InterfaceNotFoundError, printable
from .._values.interface import Interface, InterfaceSelector, describe_interfaces
from .._values.steps import Steps
from .selecting import (
    Directory,
    Selection,
    by_zone,
    family_of_selector,
    is_candidate,
    select_interfaces,
    select_one,
    text_of,
)
from .socket_spec import MembershipKey


@attrs.frozen
class Pairing:
    """Groups paired with the interfaces on which they are wanted.

    Attributes:
        pairs: Each wanted pair of a group (without its zone) and an interface, once.
        missing: Each wanted pair of a group and an interface that does not exist, once. The
            interface has the index 0, and its name is the selector or zone.
        selections: The interfaces that are selected for groups without a zone.
        problem: The error of the first missing interface, or of the first group and interface that
            do not go together; `None` if there is none. It is raised only where nothing may be
            missing.
    """

    pairs: tuple[tuple[Group, Selection], ...]
    missing: tuple[tuple[Group, Interface], ...]
    selections: tuple[Selection, ...]
    problem: Exception | None

    def check_complete(self) -> None:
        """Raise the first problem, if there is one.

        Raises:
            InterfaceNotFoundError: A selector or a zone names no interface.
            AmbiguousInterfaceError: An address is on two interfaces.
            ValueError: A group and the interfaces do not go together.
        """
        if self.problem is not None:
            raise self.problem


@attrs.define
class _Selected:
    """The interfaces that selectors mean.

    Attributes:
        selections: The interfaces.
        absent: A placeholder for each selector that means none, and the family of its address.
        problem: The first error, if there was one.
    """

    selections: list[Selection]
    absent: list[tuple[Interface, Family | None]]
    problem: Exception | None


# The pairs that are made in one step. Each takes about a microsecond.
_AT_ONCE: Final = 64

# The selectors, or groups, for which interfaces are searched in one step. Each takes 5 us and more.
_SEARCHED_AT_ONCE: Final = 8


def pair_groups(
    groups: Sequence[Group],
    selectors: Sequence[InterfaceSelector] | None,
    interfaces: Directory,
    *,
    needs_address: bool = False,
) -> Steps[Pairing]:
    """Pair groups with the interfaces that selectors and zones name.

    Args:
        groups: The groups.
        selectors: The interfaces; `None` for every candidate.
        interfaces: The interfaces there are.
        needs_address: Whether a candidate has to have an address of the group's family.
    """
    selected = yield from _select(groups, selectors, interfaces)
    needs_address = needs_address and selectors is None
    pairs: dict[MembershipKey, tuple[Group, Selection]] = {}
    missing: dict[MembershipKey, tuple[Group, Interface]] = {}
    for place, group in enumerate(groups, 1):
        text = group.text
        bare = group if group.zone is None else Group(group.address)
        try:
            selections = _selections_for(group, selected, selectors is not None, interfaces)
        except InterfaceNotFoundError as error:
            assert group.zone is not None
            missing.setdefault((text, group.zone), (bare, placeholder(group.zone)))
            selected.problem = selected.problem or error
            continue
        if needs_address and group.zone is None:
            selections = [each for each in selections if each.interface.addresses(group.family)]
        for number, selection in enumerate(selections, 1):
            pairs.setdefault((text, selection.interface.name), (bare, selection))
            if not number % _AT_ONCE:
                yield
        for interface, family in selected.absent if group.zone is None else ():
            if family in (None, group.family):
                missing.setdefault((text, interface.name), (bare, interface))
        if not place % _SEARCHED_AT_ONCE:
            yield
    problem = selected.problem or _unserved(groups, selected.selections)
    if needs_address and not pairs and groups and problem is None:
        problem = InterfaceNotFoundError(
            f"no interface has an address of the family of group {printable(str(groups[0]))}, "
            "without which this system joins no group; name the one to use in interfaces= "
            f"(there are: {describe_interfaces(interfaces)})"
        )
    chosen = tuple(selected.selections)
    return Pairing(tuple(pairs.values()), tuple(missing.values()), chosen, problem)


def _select(
    groups: Sequence[Group],
    selectors: Sequence[InterfaceSelector] | None,
    interfaces: Directory,
) -> Steps[_Selected]:
    if selectors is None:
        candidates = [Selection(interface) for interface in interfaces if is_candidate(interface)]
        selected = _Selected(candidates, [], None)
        if not candidates and any(group.zone is None for group in groups):
            try:
                select_interfaces(None, interfaces)
            except InterfaceNotFoundError as error:
                selected.problem = error
        return selected
    selections: dict[Selection, None] = {}
    selected = _Selected([], [], None)
    for number, selector in enumerate(selectors, 1):
        try:
            selections[select_one(selector, interfaces)] = None
        except (InterfaceNotFoundError, AmbiguousInterfaceError) as error:
            # An address that moves is on two interfaces for a moment, which counts as on none.
            family = family_of_selector(selector)
            selected.absent.append((placeholder(text_of(selector)), family))
            selected.problem = selected.problem or error
        if not number % _SEARCHED_AT_ONCE:
            yield
    selected.selections = list(selections)
    return selected


def placeholder(name: str) -> Interface:
    """Return what stands for a missing interface: of index 0, and called as it was named."""
    return Interface(name=name, index=0, is_up=False, is_multicast=False)


def _selections_for(
    group: Group, selected: _Selected, explicit: bool, interfaces: Directory
) -> list[Selection]:
    """Return the interfaces on which a group is wanted; if there are none, set the problem.

    Raises:
        InterfaceNotFoundError: The group's zone names no interface.
    """
    selections = selected.selections
    if group.zone is not None:
        zone = by_zone(group.zone, interfaces)
        if not explicit:
            return [Selection(zone)]
        selections = [selection for selection in selections if selection.interface == zone]
        if not selections and selected.problem is None:
            chosen = ", ".join(str(selection.interface) for selection in selected.selections)
            selected.problem = ValueError(
                f"group {printable(str(group))} names interface {zone}, which interfaces leaves "
                f"out ({chosen})"
            )
    serving = [selection for selection in selections if selection.serves(group.family)]
    if not serving and selected.problem is None:
        label = FAMILY_LABEL[group.family]
        addresses = ", ".join(str(selection.address) for selection in selections)
        selected.problem = ValueError(
            f"group {printable(str(group))} is {label}, but interfaces names only addresses that "
            f"are not ({addresses}): name the interface itself, or its {label} address"
        )
    return serving


def _unserved(groups: Sequence[Group], selections: Sequence[Selection]) -> ValueError | None:
    """Return the error for the first address that is of no group's family; else `None`."""
    for selection in selections if groups else ():
        if selection.address is None:
            continue
        if not any(selection.serves(group.family) for group in groups):
            label = FAMILY_LABEL[family_of(selection.address)]
            return ValueError(
                f"interfaces names the {label} address {selection.address}, but no group is "
                f"{label}: name the interface instead ({selection.interface.name!r})"
            )
    return None


def check_served(
    groups: Iterable[Group],
    selectors: Iterable[InterfaceSelector] | None,
    keys: Iterable[MembershipKey],
    done: str,
) -> None:
    """Check that each group is wanted somewhere, and each address in the selectors for a group.

    This holds also where interfaces are missing.

    Args:
        groups: The groups.
        selectors: The interfaces; `None` for all that are fit, and then nothing is checked.
        keys: Each group that is wanted, as text, with the name of the interface.
        done: What is done with a group, for the error, such as ``"received"``.

    Raises:
        ValueError: A group and the interfaces do not go together.
    """
    if selectors is None:
        return
    keys, groups, selectors = list(keys), list(groups), list(selectors)
    served = {group for group, _ in keys}
    called = {name for _, name in keys}
    for group in groups:
        if group.text not in served:
            names = printable(", ".join(map(text_of, selectors)))
            raise ValueError(
                f"group {printable(str(group))} cannot be {done} on what interfaces names ({names})"
            )
    for selector in selectors:
        family = family_of_selector(selector)
        if family is None or selector in called:  # The name of one may look like an address.
            continue
        if groups and all(group.family != family for group in groups):
            label = FAMILY_LABEL[family]
            raise ValueError(
                f"interfaces names the {label} address {printable(text_of(selector))}, but no "
                f"group is {label}: name the interface instead"
            )
