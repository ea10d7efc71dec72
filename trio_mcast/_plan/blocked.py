"""Sources that are blocked, and let in again, while a receiver runs. Pure."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Sequence

import attrs

from .._platform import options as layout
from .._platform.model import Platform
from .._platform.options import SocketOption
from .._values.addresses import IPAddress, family_of
from .._values.interface import Interface
from .selecting import names_of
from .socket_spec import MembershipPlan, SocketSpec
from .wanted import ReceiveRequest


@attrs.frozen
class SourceRule:
    """One call of ``block_source`` or ``unblock_source``, and the memberships that the call is for.

    Attributes:
        source: The source.
        blocked: Whether the source is blocked; else it is let in again.
        groups: The groups that the rule is for, as text; `None` for every group.
        interfaces: The names of the interfaces that the rule is for; of a missing interface, the
            text that the user named it by. `None` for every interface.
        last_request: The number of the last request that the rule is for; `None` for all requests,
            also later ones.
        existing: Those of the names that are of interfaces which existed at the call. They mean
            these only, even if another interface has such an index or address.
    """

    source: IPAddress
    blocked: bool
    groups: frozenset[str] | None
    interfaces: frozenset[str] | None
    last_request: int | None = None
    existing: frozenset[str] = frozenset()
    # The source as text: with a thousand rules, to compare texts takes a tenth of the time.
    text: str = attrs.field(init=False, eq=False, repr=False)

    @text.default
    def _text_of_source(self) -> str:
        return str(self.source)

    def is_for(self, request: int) -> bool:
        """Tell whether the rule is for the request with this number."""
        return self.last_request is None or request <= self.last_request

    def applies(self, group: str | None, interface: Interface) -> bool:
        """Tell whether the rule is for a group on an interface; `None` stands for unicast."""
        if self.groups is not None and group not in self.groups:
            return False
        if self.interfaces is None or interface.name in self.interfaces:
            return True
        return not (self.interfaces - self.existing).isdisjoint(names_of(interface))

    def covers(self, other: SourceRule) -> bool:
        """Tell whether this rule, when it comes after the other one, makes the other pointless."""
        return (
            other.text == self.text
            and (self.groups is None or (other.groups is not None and other.groups <= self.groups))
            and (
                self.interfaces is None
                or (
                    other.interfaces is not None
                    and other.interfaces <= self.interfaces
                    and self.existing & other.interfaces <= other.existing
                )
            )
        )


def add_rule(
    rules: Iterable[SourceRule], rule: SourceRule, excluded: Container[IPAddress]
) -> list[SourceRule]:
    """Return the rules with one more, and without the rules that it makes pointless.

    Args:
        rules: The rules, of which later ones count for more.
        rule: The rule to add.
        excluded: The sources that are excluded without any rule.
    """
    text = rule.text
    others = [other for other in rules if other.text != text or not rule.covers(other)]
    if rule.blocked or rule.source in excluded:
        return [*others, rule]
    if any(other.text == text and other.blocked for other in others):
        return [*others, rule]
    # No rule blocks the source any more, so none needs to let it in.
    return [other for other in others if other.text != text]


def excluded_for(
    request: ReceiveRequest, rules: Sequence[SourceRule], group: str | None, interface: Interface
) -> tuple[IPAddress, ...]:
    """Return the sources to leave out of one membership: excluded by the request, or blocked."""
    if not rules or request.sources is not None:
        return request.excluded_sources or ()
    excluded = dict.fromkeys(request.excluded_sources or ())
    for rule in rules:
        if rule.applies(group, interface):
            excluded.pop(rule.source, None)
            if rule.blocked:
                excluded[rule.source] = None
    return tuple(excluded)


def plans_meant(
    rules: Sequence[SourceRule], plans: Iterable[MembershipPlan]
) -> list[MembershipPlan]:
    """Return the plans of the memberships that some rules change.

    Args:
        rules: The rules. All of them block one source, or let it in.
        plans: The plans of all memberships.

    Raises:
        ValueError: The rules are about no membership.
    """
    source, blocked = str(rules[0].source), rules[0].blocked
    meant = [plan for plan in plans if any(_is_about(rule, plan) for rule in rules)]
    if not meant:
        raise ValueError(
            f"source {source}: no group that is joined from any source is meant; one that was "
            "joined with sources= has to be left and joined with others"
        )
    return [plan for plan in meant if (source in plan.excluded_sources) != blocked]


def _is_about(rule: SourceRule, plan: MembershipPlan) -> bool:
    """Tell whether a rule is about a membership: from any source, of the source's family."""
    if plan.sources or not rule.applies(plan.group, plan.interface):
        return False
    return plan.group is None or family_of(rule.source) == ("ipv6" if ":" in plan.group else "ipv4")


def change_rejected(
    plan: MembershipPlan, source: IPAddress, *, blocked: bool, platform: Platform
) -> MembershipPlan | None:
    """Return the plan of a group with one more or one less source left out, if that is simple.

    It is simple where the system leaves out the same sources as before, and only those that are
    rejected after reading change. The time hardly depends on the number of sources that are left
    out, as that for planning anew does.

    Args:
        plan: The plan.
        source: The source.
        blocked: Whether the source is to be left out; else it is let in again.
        platform: The platform that the plan is for.

    Returns:
        The plan, as planning anew would make it; `None` if that has to be done.
    """
    text, excluded, by_system = str(source), plan.excluded_sources, 0
    if plan.group is None or (text in excluded) == blocked:
        return None
    if platform.blocks_sources:
        limit = platform.source_limit.get(family_of(source))
        if limit is None:
            return None
        by_system = limit
    if blocked:
        if len(excluded) < by_system:
            return None
        excluded = (*excluded, text)
    else:
        place = excluded.index(text)
        if place < by_system:
            return None
        excluded = excluded[:place] + excluded[place + 1 :]
    change = frozenset([text])
    sockets = []
    for socket in plan.sockets:
        before = socket.rejected_sources
        rejected = before | change if blocked else before - change
        sockets.append(attrs.evolve(socket, rejected_sources=rejected))
    return attrs.evolve(plan, excluded_sources=excluded, sockets=tuple(sockets))


def source_changes(old: SocketSpec, new: SocketSpec, platform: Platform) -> list[SocketOption]:
    """Return the options to set on a socket of one plan so that it carries out another.

    The plans must have the same `fixed_part`: they differ in blocked sources only.
    """
    if old.options == new.options:
        return []
    before, after = set(old.options), set(new.options)
    unblocks = [
        layout.unblock_source(platform, option)
        for option in old.options
        if option not in after and option.symbol == "MCAST_BLOCK_SOURCE"
    ]
    # Letting in first: the system takes so many blocks at a time, and no more.
    return unblocks + [option for option in new.options if option not in before]


def fixed_part(socket_spec: SocketSpec) -> Hashable:
    """Return the part of a plan that an open socket cannot change."""
    options = tuple(
        option for option in socket_spec.options if option.symbol != "MCAST_BLOCK_SOURCE"
    )
    return socket_spec.group, socket_spec.sources, socket_spec.bind, options
