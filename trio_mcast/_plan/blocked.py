"""Sources that are blocked, and let in again, while a receiver runs. Pure."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Sequence

import attrs

from .._platform import options as layout
from .._platform.model import Platform
from .._platform.options import SocketOption
from .._values.addresses import IPAddress, family_of
from .._values.interface import Interface
from .selecting import (
    names_of,
)
from .socket_spec import MembershipPlan, SocketSpec
from .wanted import ReceiveRequest


@attrs.frozen
class SourceRule:
    """That a source is blocked, or let in again, from some point on.

    Attributes:
        source: The source.
        blocked: Whether it is blocked.
        groups: Where it applies, as text; `None` for every group.
        interfaces: The names of the interfaces where it applies, or what those that are missing
            were named by; `None` for every one.
        last_request: The number of the last request that it applies to; `None` for all, also those
            that come later.
    """

    source: IPAddress
    blocked: bool
    groups: frozenset[str] | None
    interfaces: frozenset[str] | None
    last_request: int | None = None

    def is_for(self, request: int) -> bool:
        """Whether it applies to the request with this number."""
        return self.last_request is None or request <= self.last_request

    def applies(self, group: str | None, interface: Interface) -> bool:
        return (self.groups is None or group in self.groups) and (
            self.interfaces is None or not self.interfaces.isdisjoint(names_of(interface))
        )

    def covers(self, other: SourceRule) -> bool:
        """Whether another rule does not matter any more once there is this one."""
        return (
            other.source == self.source
            and (self.groups is None or (other.groups is not None and other.groups <= self.groups))
            and (
                self.interfaces is None
                or (other.interfaces is not None and other.interfaces <= self.interfaces)
            )
        )


def add_rule(
    rules: Iterable[SourceRule], rule: SourceRule, excluded: Container[IPAddress]
) -> list[SourceRule]:
    """The rules with one more, and without those that it makes pointless.

    Args:
        rules: The rules, of which the later ones count for more.
        rule: The one to add.
        excluded: The sources that are excluded without any rule.
    """
    rest = [item for item in rules if not rule.covers(item)]
    blocked = any(rule.source == item.source and item.blocked for item in rest)
    if rule.blocked or blocked or rule.source in excluded:
        return [*rest, rule]
    return [item for item in rest if item.source != rule.source]  # Nobody leaves it out any more.


def excluded_for(
    request: ReceiveRequest, rules: Sequence[SourceRule], group: str | None, interface: Interface
) -> tuple[IPAddress, ...]:
    """Return the sources to leave out of one membership, with those that rules block there."""
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
    """The memberships that rules are about, all of which block one source or let it in.

    Raises:
        ValueError: There are none, or the rules change nothing about them.
    """
    source, blocked = str(rules[0].source), rules[0].blocked
    meant = [plan for plan in plans if any(_is_about(rule, plan) for rule in rules)]
    if not meant:
        raise ValueError(
            f"source {source}: no group that is joined from any source is meant; one that was "
            "joined with sources= has to be left and joined with others"
        )
    if all((source in plan.excluded_sources) == blocked for plan in meant):
        state = "blocked already" if blocked else "not blocked"
        raise ValueError(f"source {source} is {state} where it is meant to be")
    return meant


def _is_about(rule: SourceRule, plan: MembershipPlan) -> bool:
    """Whether a rule is about a membership: one from any source, of the source's family."""
    if plan.sources or not rule.applies(plan.group, plan.interface):
        return False
    return plan.group is None or family_of(rule.source) == ("ipv6" if ":" in plan.group else "ipv4")


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
