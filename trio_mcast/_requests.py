"""What a receiver was asked for while it runs: groups joined and left, sources blocked. Pure.

A `Request` is what one call of ``join`` asked for, or the opening. The memberships follow from the
requests, the rules about sources, and the interfaces there are, and are worked out anew whenever
one of them changes: so nothing has to be remembered of how it came to be as it is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

import attrs

from ._addresses import Family, Group, IPAddress, family_of
from ._errors import AmbiguousInterfaceError, InterfaceNotFoundError, printable
from ._interface import (
    Interface,
    InterfaceSelector,
    Selection,
    address_or_none,
    by_zone,
    is_candidate,
    select_interfaces,
)
from ._plan import (
    FAMILY_LABEL,
    MembershipPlan,
    ReceiverWishes,
    SocketSpec,
    all_addresses,
    pair_groups,
    plan_membership,
)
from ._plan_unicast import plan_unicast
from ._platform import Platform, SocketOption
from ._platform import _layout as layout
from ._rules import SourceRule, names_of, wishes_for

# A group, as text, and the name of an interface.
MembershipKey: TypeAlias = "tuple[str | None, str]"

_Pairs: TypeAlias = "list[tuple[Group, Selection]]"
_Missing: TypeAlias = "list[tuple[Group, Interface]]"


@attrs.frozen
class Request:
    """Groups to receive on interfaces, as one call asked for it.

    Attributes:
        number: What tells it from other requests of the receiver.
        groups: The groups.
        selectors: The interfaces; `None` for all that are fit, as they come and go.
        wishes: What the sockets have in common.
        left: The memberships that were left of it since: each under the name of its interface, and
            under whatever in ``selectors`` means that.
        left_groups: The groups that were left of it since, wherever they are, as text.
    """

    number: int
    groups: tuple[Group, ...]
    selectors: tuple[InterfaceSelector, ...] | None
    wishes: ReceiverWishes
    left: frozenset[MembershipKey] = frozenset()
    left_groups: frozenset[str] = frozenset()
    # Those of the groups that have a zone: mostly none of many.
    _zoned: tuple[Group, ...] = attrs.field(init=False, repr=False, eq=False)

    @_zoned.default
    def _find_zoned(self) -> tuple[Group, ...]:
        return tuple(item for item in self.groups if item.zone is not None)

    @property
    def accepts_unicast(self) -> bool:
        """Whether unicast is a part of it: it belongs to the opening, and stays until closing."""
        return self.wishes.accept_unicast and self.number == 0

    @property
    def is_over(self) -> bool:
        """Whether nothing can come of it any more."""
        return not self.accepts_unicast and all(map(self._is_over_for, self.groups))

    def _is_over_for(self, group: Group) -> bool:
        text = str(group.address)
        if text in self.left_groups:
            return True
        if group.zone is not None:
            return (text, group.zone) in self.left
        return self.selectors is not None and all(
            (text, _text_of(item)) in self.left
            for item in self.selectors
            if _family_of_selector(item) in (None, group.family)
        )

    def is_unnamed(self, plan: MembershipPlan) -> bool:
        """Whether nobody named the interface of a membership that came of it."""
        return self.selectors is None and not any(
            item.zone is not None and str(item.address) == plan.group for item in self.groups
        )

    def has_left(self, plan: MembershipPlan) -> bool:
        """Whether a membership is one of those that were left."""
        if plan.group in self.left_groups or key_of(plan) in self.left:
            return True
        if not self.left or plan.group is None:
            return False
        if not any((plan.group, name) in self.left for name in names_of(plan.interface)):
            return False
        # It has another name now. An address that has moved to where the group is wanted under a
        # name that was not left takes nothing away there.
        meant = [*self._zones(plan), *self._selectors_of(plan.interface)]
        return bool(meant) and all((plan.group, name) in self.left for name in meant)

    def leaving(self, plans: Iterable[MembershipPlan]) -> Request:
        """The rest of it, when some memberships were left."""
        left, own = set(self.left), self._texts()
        meant: dict[str, list[str]] = {}
        for plan in plans:
            if plan.group not in own:
                continue
            name = plan.interface.name
            if name not in meant:
                meant[name] = self._selectors_of(plan.interface)
            left.update((plan.group, each) for each in (name, *self._zones(plan), *meant[name]))
        return attrs.evolve(self, left=frozenset(left))

    def leaving_groups(self, groups: frozenset[str]) -> Request:
        """The rest of it, when groups were left wherever they are."""
        left = frozenset(key for key in self.left if key[0] not in groups)
        groups &= self._texts()
        return attrs.evolve(self, left=left, left_groups=self.left_groups | groups)

    def _zones(self, plan: MembershipPlan) -> list[str]:
        """The zones that mean the interface of one of its memberships."""
        there = (item.zone for item in self._zoned if str(item.address) == plan.group)
        names = (plan.interface.name, str(plan.interface.index or ""))
        return [zone for zone in there if zone is not None and zone in names]

    def _selectors_of(self, interface: Interface) -> list[str]:
        """The selectors that mean an interface, as text."""
        return [_text_of(item) for item in self.selectors or () if _means(item, interface)]

    def _texts(self) -> frozenset[str]:
        return frozenset(str(item.address) for item in self.groups)


def key_of(plan: MembershipPlan) -> MembershipKey:
    return plan.group, plan.interface.name


def plan_request(
    request: Request,
    rules: Sequence[SourceRule],
    interfaces: Sequence[Interface],
    platform: Platform,
    *,
    tolerant: bool,
    known: Mapping[MembershipKey, MembershipPlan] | None = None,
) -> Iterator[MembershipPlan]:
    """The memberships that a request comes to, worked out as they are taken.

    Args:
        request: What is wanted.
        rules: The blocked sources; of several about one source, the last that applies counts.
        interfaces: The interfaces there are.
        platform: The platform to plan for.
        tolerant: Whether to plan what can be planned where interfaces are missing. What they are
            missing for is then a plan without sockets, for an interface of index 0 whose name is
            the selector.
        known: Plans for groups which are known to be right as they are: they are not worked out
            again.

    Raises:
        InterfaceNotFoundError: A selector or a zone names no interface, and it is not ``tolerant``.
        AmbiguousInterfaceError: An address is on two interfaces, and it is not ``tolerant``.
        ValueError: A group and the interfaces do not go together.
    """
    missing: _Missing = []
    if tolerant:
        pairs, missing = _pair_tolerantly(request.groups, request.selectors, interfaces)
    else:
        pairs = pair_groups(request.groups, request.selectors, interfaces)
    rules = [item for item in rules if item.is_for(request.number)]
    plans = _plan_all(request, rules, (pairs, missing), (interfaces, platform), known or {})
    return (plan for plan in plans if not request.has_left(plan))


def _plan_all(
    request: Request,
    rules: Sequence[SourceRule],
    wanted: tuple[_Pairs, _Missing],
    machine: tuple[Sequence[Interface], Platform],
    known: Mapping[MembershipKey, MembershipPlan],
) -> Iterator[MembershipPlan]:
    """The plans of a request, also of what was left of it."""
    (pairs, missing), (interfaces, platform) = wanted, machine
    own = all_addresses(interfaces)
    for pair in pairs:
        plan = known.get((str(pair[0].address), pair[1].interface.name))
        if plan is not None:
            yield plan
            continue
        group, selection = pair
        wishes = wishes_for(request.wishes, rules, str(group.address), selection.interface)
        yield plan_membership(group, selection, wishes, own, platform)
    for group, interface in missing:
        wishes = wishes_for(request.wishes, rules, str(group.address), interface)
        sources, excluded = (
            _texts(listed, group.family) for listed in (wishes.sources, wishes.excluded_sources)
        )
        yield MembershipPlan(str(group.address), interface, sources, excluded, ())
    if request.accepts_unicast:
        for wishes, some in _by_wishes(request.wishes, rules, pairs):
            yield from plan_unicast(some, wishes, *machine)


def check_served(request: Request, plans: Iterable[MembershipPlan]) -> None:
    """All that a request names is there for something, also where interfaces are missing.

    Args:
        request: What is wanted.
        plans: Its plans.

    Raises:
        ValueError: A group and the interfaces do not go together.
    """
    if request.selectors is None:
        return
    served = {plan.group for plan in plans}
    names = printable(", ".join(map(_text_of, request.selectors)))
    for group in request.groups:
        if str(group.address) not in served:
            raise ValueError(
                f"group {printable(str(group))} cannot be received on what interfaces names "
                f"({names})"
            )
    for selector in request.selectors:
        family = _family_of_selector(selector)
        if family is not None and all(group.family != family for group in request.groups):
            label = FAMILY_LABEL[family]
            raise ValueError(
                f"interfaces names the {label} address {printable(_text_of(selector))}, but no "
                f"group is {label}: name the interface instead"
            )


def _texts(sources: Sequence[IPAddress] | None, family: Family) -> tuple[str, ...]:
    return tuple(str(item) for item in sources or () if family_of(item) == family)


def _by_wishes(
    wishes: ReceiverWishes, rules: Sequence[SourceRule], pairs: _Pairs
) -> Iterable[tuple[ReceiverWishes, _Pairs]]:
    """The pairs, by what is wanted of unicast on their interfaces."""
    found: dict[ReceiverWishes, _Pairs] = {}
    for pair in pairs:
        here = wishes_for(wishes, rules, None, pair[1].interface)
        found.setdefault(here, []).append(pair)
    return found.items()


def _pair_tolerantly(
    groups: Sequence[Group],
    selectors: Sequence[InterfaceSelector] | None,
    interfaces: Sequence[Interface],
) -> tuple[_Pairs, _Missing]:
    """What `pair_groups` gives as far as the interfaces exist, and what is missing."""
    found, absent = _select_tolerantly(selectors, interfaces)
    pairs: dict[MembershipKey, tuple[Group, Selection]] = {}
    missing: dict[MembershipKey, tuple[Group, Interface]] = {}
    for group in groups:
        bare, serving = Group(group.address), [item for item in found if item.serves(group.family)]
        if group.zone is not None:
            try:
                zone = by_zone(group.zone, interfaces)
            except InterfaceNotFoundError:
                key = (str(group.address), group.zone)
                missing.setdefault(key, (bare, _placeholder(group.zone)))
                continue
            serving = [item for item in serving if item.interface == zone]
            if selectors is None:
                serving = [Selection(zone)]
        for selection in serving:
            key = (str(group.address), selection.interface.name)
            pairs.setdefault(key, (bare, selection))
        for interface, family in absent if group.zone is None else ():
            if family in (None, group.family):
                key = (str(group.address), interface.name)
                missing.setdefault(key, (bare, interface))
    return list(pairs.values()), list(missing.values())


def _select_tolerantly(
    selectors: Sequence[InterfaceSelector] | None, interfaces: Sequence[Interface]
) -> tuple[list[Selection], list[tuple[Interface, Family | None]]]:
    """The interfaces that there are; and in place of the others, with the family of an address."""
    if selectors is None:
        return [Selection(item) for item in interfaces if is_candidate(item)], []
    found: dict[Selection, None] = {}
    absent = []
    for selector in selectors:
        try:
            found.update(dict.fromkeys(select_interfaces([selector], interfaces)))
        except (InterfaceNotFoundError, AmbiguousInterfaceError):
            # An address that moves is on two interfaces for a moment: then it is on none.
            absent.append((_placeholder(_text_of(selector)), _family_of_selector(selector)))
    return list(found), absent


def _placeholder(name: str) -> Interface:
    return Interface(name=name, index=0, is_up=False, is_multicast=False)


def _family_of_selector(selector: InterfaceSelector) -> Family | None:
    """The family that an address serves; `None` for what is no address."""
    address = address_or_none(_text_of(selector))
    return None if address is None else family_of(address)


def _text_of(selector: InterfaceSelector) -> str:
    """A selector as text: the same for an address, however it is written."""
    text = selector.name if isinstance(selector, Interface) else str(selector)
    if isinstance(selector, (IPv4Address, IPv6Address)):
        text = text.partition("/")[0]  # As `Interface` has them, with their networks.
    address = address_or_none(text)
    return text if address is None else str(address)


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
        meant = [item.name for item in interfaces if _means(selector, item)]
        if not meant:
            there = ", ".join(dict.fromkeys(map(str, interfaces))) or "none"
            text = selector.name if isinstance(selector, Interface) else str(selector)
            raise ValueError(
                f"interfaces: nothing is joined on {text!r}; there are memberships on: {there}"
            )
        names.update(meant)
    return frozenset(names)


def _means(selector: InterfaceSelector, interface: Interface) -> bool:
    if not interface.index:
        return interface.name == _text_of(selector)
    try:
        select_interfaces([selector], [interface])
    except InterfaceNotFoundError:
        return False
    return True


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


def source_changes(old: SocketSpec, new: SocketSpec, platform: Platform) -> list[SocketOption]:
    """The options that make of one socket another, where they differ in blocked sources only."""
    before, after = set(old.options), set(new.options)
    undone = [
        layout.unblock_source(platform, item)
        for item in old.options
        if item not in after and item.symbol == "MCAST_BLOCK_SOURCE"
    ]
    # Letting in first: the system takes so many blocks at a time, and no more.
    return undone + [item for item in new.options if item not in before]


def fixed_part(spec: SocketSpec) -> Hashable:
    """What cannot be changed: a socket can carry out another plan in which this is the same."""
    options = tuple(item for item in spec.options if item.symbol != "MCAST_BLOCK_SOURCE")
    return spec.group, spec.sources, spec.bind, options
