"""Blocking sources, and letting them in again, while a receiver runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs

from .._plan.blocked import SourceRule, add_rule, change_rejected, plans_meant
from .._plan.matching import keys_of_groups, names_of_selected
from .._plan.socket_spec import MembershipKey, MembershipPlan, key_of
from .._values.addresses import Group, IPAddress
from .._values.interface import InterfaceSelector
from .membership import LiveMembership
from .membership_sockets import can_change_to
from .memberships import Memberships


class Blocking:
    """Blocks sources in the memberships of one receiver."""

    def __init__(self, memberships: Memberships) -> None:
        self._memberships = memberships

    async def change(
        self,
        source: IPAddress,
        blocked: bool,
        groups: Sequence[Group] | None,
        selectors: Sequence[InterfaceSelector] | None,
    ) -> None:
        """Block a source, or let it in again.

        Args:
            source: The source.
            blocked: Whether it is to be blocked.
            groups: The groups; `None` for every group of the same family.
            selectors: The interfaces; `None` for every interface.

        Raises:
            ValueError: No membership is meant.
            SocketSetupError: The system refused.
            trio.ClosedResourceError: The receiver was closed, before or meanwhile.

        After an error, or if the call is cancelled, nothing has changed.
        """
        memberships = self._memberships
        async with memberships.turn:
            memberships.check_open()
            await self._apply(list(self._rules(source, blocked, groups, selectors)))
            memberships.notice()

    def _rules(
        self,
        source: IPAddress,
        blocked: bool,
        groups: Sequence[Group] | None,
        selectors: Sequence[InterfaceSelector] | None,
    ) -> Iterator[SourceRule]:
        """Yield the rules for a source: one for all groups without a zone, one for each other.

        Blocking applies to later joins as well; letting in applies to earlier requests only.
        """
        plans = self._memberships.plans()
        names = None if selectors is None else names_of_selected(selectors, plans)
        last_request = None if blocked else self._memberships.last_number
        existing = frozenset(plan.interface.name for plan in plans if plan.interface.index)

        def rule(texts: frozenset[str] | None, names: frozenset[str] | None) -> SourceRule:
            named = frozenset() if names is None else names & existing
            return SourceRule(source, blocked, texts, names, last_request, named)

        if groups is None:
            yield rule(None, names)
            return
        keys = keys_of_groups(groups, names, plans)
        wide = frozenset(group.text for group in groups if group.zone is None)
        if wide:
            yield rule(wide, names)
        for group in groups:
            if group.zone is not None:
                zone_names = frozenset(name for _, name in keys[group])
                yield rule(frozenset([group.text]), zone_names)

    async def _apply(self, rules: Sequence[SourceRule]) -> None:
        """Add rules, all about one source, and carry them out; or change nothing."""
        memberships = self._memberships
        plans = plans_meant(rules, memberships.plans())
        meant = {key_of(plan): memberships.live[key_of(plan)] for plan in plans}
        rules_before = memberships.rules
        excluded = {
            source for request in memberships.requests for source in request.excluded_sources or ()
        }
        for rule in rules:
            memberships.rules = add_rule(memberships.rules, rule, excluded)
        changed: list[tuple[LiveMembership, MembershipPlan]] = []
        try:
            for membership, plan in await self._plan_all(meant, rules[0]):
                changed.append((membership, membership.plan))
                memberships.sockets.change_sources(membership, plan)
                await memberships.give_way()
        except BaseException:
            memberships.rules = rules_before
            for membership, plan_before in reversed(changed):
                memberships.sockets.restore_sources(membership, plan_before)
            raise

    async def _plan_all(
        self, meant: Mapping[MembershipKey, LiveMembership], rule: SourceRule
    ) -> list[tuple[LiveMembership, MembershipPlan]]:
        """Plan some memberships for a rule that is new: simply where that does, else anew."""
        changes: list[tuple[LiveMembership, MembershipPlan]] = []
        others: dict[MembershipKey, LiveMembership] = {}
        platform = self._memberships.platform
        for key, membership in meant.items():
            plan = change_rejected(
                membership.plan, rule.source, blocked=rule.blocked, platform=platform
            )
            if plan is None or not membership.sockets:
                others[key] = membership
            elif can_change_to(membership, plan):
                changes.append((membership, plan))
            await self._memberships.give_way()
        return changes + (await self._plan_anew(others) if others else [])

    async def _plan_anew(
        self, meant: Mapping[MembershipKey, LiveMembership]
    ) -> list[tuple[LiveMembership, MembershipPlan]]:
        """Plan some memberships anew, as other sources are excluded than before."""
        memberships = self._memberships
        changes: list[tuple[LiveMembership, MembershipPlan]] = []
        known = {key: live.plan for key, live in memberships.live.items() if key not in meant}
        for request in memberships.requests:
            of_request = {
                key: membership
                for key, membership in meant.items()
                if membership.request_number == request.number
            }
            if not of_request:
                continue
            # Also on interfaces that nobody named and that are down or have gone.
            names = tuple(dict.fromkeys(name for _, name in of_request))
            if request.selectors is None:
                request = attrs.evolve(request, selectors=names)
            plans = await memberships.plan(
                request, memberships.interfaces, memberships.addresses, known=known
            )
            for plan in plans:
                membership = of_request.get(key_of(plan))
                if membership is None:
                    continue
                if not membership.sockets:
                    excluded = plan.excluded_sources
                    plan = attrs.evolve(membership.plan, excluded_sources=excluded, sockets=())
                if can_change_to(membership, plan):  # Else the next look will see to it.
                    changes.append((membership, plan))
        return changes
