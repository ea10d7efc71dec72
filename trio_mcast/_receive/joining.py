"""Joining groups, leaving them, and undoing a join."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import trio
from trio.lowlevel import enable_ki_protection

from .._host.descriptors import raise_with_needed
from .._plan.matching import keys_of_groups, names_of_selected
from .._plan.pairs import check_served
from .._plan.socket_spec import MembershipKey, MembershipPlan, key_of
from .._plan.wanted import ReceiveRequest
from .._platform.advice import is_address_lacking, is_exhaustion, lacks_family
from .._values.addresses import Group
from .._values.errors import SocketSetupError, all_failed
from .._values.interface import InterfaceSelector
from .membership import Event, LiveMembership
from .memberships import Memberships


class Joining:
    """Joins and leaves the memberships of one receiver."""

    def __init__(self, memberships: Memberships) -> None:
        self._memberships = memberships

    async def join(self, request: ReceiveRequest, *, strict: bool) -> None:
        """Join what a request comes to now, and from now on what it comes to later.

        Args:
            request: What is asked for.
            strict: Whether no interface may be missing; else a missing one is waited for.

        Raises:
            InterfaceNotFoundError: An interface is missing.
            AmbiguousInterfaceError: An address is on two interfaces.
            ValueError: Groups and interfaces do not go together, or a group is joined already.
            SocketSetupError: The system refused: everywhere, or at all if only one interface is
                named. That the interface has no IPv6, or no address of it yet, counts only where
                nothing else is joined.
            trio.ClosedResourceError: The receiver was closed, before or meanwhile.

        After an error, or if the call is cancelled, nothing has been joined.
        """
        async with self._memberships.turn:
            await self.join_first(request, strict=strict)

    async def join_first(self, request: ReceiveRequest, *, strict: bool) -> None:
        """Do as `join`, while nobody else can change anything: at the opening, or in turn."""
        memberships = self._memberships
        memberships.check_open()
        interfaces = await memberships.look(anew=True)
        own_addresses = await memberships.own_addresses(interfaces, request)
        plans = await memberships.plan(request, interfaces, own_addresses, strict=strict)
        check_served(request.groups, request.selectors, map(key_of, plans), "received")
        self._check_new(plans)
        named = request.selectors is not None
        only_one = named and len({plan.interface for plan in plans}) == 1
        joined = await self._join_all(request, plans, all_or_nothing=only_one)
        memberships.take_interfaces(interfaces, own_addresses, all_planned=False)
        self._replace(request)
        memberships.requests.append(request)
        memberships.live.update(joined)
        memberships.put_in_order()
        memberships.notice()
        for membership in joined.values():
            if membership.error is not None:
                membership.log()
            membership.skip_log()  # Being joined, or waiting, is what was asked for.

    def _check_new(self, plans: Iterable[MembershipPlan]) -> None:
        """Raise `ValueError` for a membership that there is already."""
        for plan in plans:
            membership = self._memberships.live.get(key_of(plan))
            if membership is not None:
                state = "waited for" if membership.state == "waiting" else "joined"
                raise ValueError(
                    f"group {plan.group} is {state} on interface {plan.interface} already: "
                    "leave it there first, or block and unblock sources"
                )

    async def _join_all(
        self, request: ReceiveRequest, plans: Sequence[MembershipPlan], *, all_or_nothing: bool
    ) -> dict[MembershipKey, LiveMembership]:
        memberships = self._memberships
        joining = memberships.joining = {}
        try:
            for plan in plans:
                membership = joining[key_of(plan)] = LiveMembership.from_plan(plan, request)
                await memberships.set_up(membership)
                error = membership.error if membership.state == "failed" else None
                if error is not None and (
                    is_exhaustion(error, memberships.platform.name)
                    or (all_or_nothing and not _is_of_family(error))
                ):
                    raise_with_needed(error, sum(len(plan.sockets) for plan in plans))
                await memberships.give_way()
            # Without a group, unicast counts.
            of_groups = [
                joining[key] for key in joining if key[0] is not None or not request.groups
            ]
            causes = [
                membership.error
                for membership in of_groups
                if membership.state == "failed" and membership.error is not None
            ]
            if causes and len(causes) == len(of_groups):
                what = "group could be joined" if request.groups else "unicast can be received"
                raise all_failed(f"no {what} anywhere", tuple(causes))
        except BaseException:
            await memberships.sockets.happen_to_all(joining.values(), Event.LEFT)
            memberships.sockets.forget_unused(joining.values())
            raise
        finally:
            memberships.joining = {}
        return joining

    def _replace(self, request: ReceiveRequest) -> None:
        """Have a request take over from earlier ones whose memberships were left one by one.

        The new request then decides about interfaces that come later.
        """
        if request.selectors is not None:
            return
        memberships = self._memberships
        groups = frozenset(group.text for group in request.groups if group.zone is None)
        self._keep_requests(
            earlier.leaving_groups(groups) if earlier.selectors is None else earlier
            for earlier in memberships.requests
        )
        for (group, _), membership in memberships.live.items():
            if membership.is_unnamed and group in groups:
                membership.request_number = request.number

    def _keep_requests(self, requests: Iterable[ReceiveRequest]) -> None:
        """Keep the requests of which something is left."""
        self._memberships.requests = [request for request in requests if not request.is_over]

    async def leave(
        self, groups: Sequence[Group], selectors: Sequence[InterfaceSelector] | None
    ) -> None:
        """Leave groups on the interfaces that selectors mean; `None` for everywhere, now and later.

        Raises:
            ValueError: A group is not joined there; then nothing has been left.
            trio.ClosedResourceError: The receiver was closed.

        Once the leaving has begun, the call cannot be cancelled.
        """
        memberships = self._memberships
        async with memberships.turn:
            memberships.check_open()
            plans = memberships.plans()
            names = None if selectors is None else names_of_selected(selectors, plans)
            everywhere = set() if names is not None else self._asked_everywhere(groups)
            keys: list[MembershipKey] = []
            groups = [group for group in groups if str(group) not in everywhere]
            for group, keys_of_group in keys_of_groups(groups, names, plans).items():
                if names is None and group.zone is None:
                    everywhere.add(group.text)
                else:
                    keys += keys_of_group
            await self._leave(frozenset(everywhere), keys)

    def _asked_everywhere(self, groups: Iterable[Group]) -> set[str]:
        """Return the groups, as text, that are asked for on whatever interfaces there are."""
        requests = self._memberships.requests
        asked = {group for request in requests for group in request.groups_everywhere()}
        return asked.intersection(map(str, groups))

    async def _leave(self, everywhere: frozenset[str], keys: Iterable[MembershipKey]) -> None:
        """Leave groups everywhere, now and later, and some other memberships."""
        memberships = self._memberships
        requests = memberships.requests
        if everywhere:
            requests = [request.leaving_groups(everywhere) for request in requests]
        plans = [memberships.live[key].plan for key in keys if key[0] not in everywhere]
        if plans:
            # Of every request: each would bring them back when the interface comes again.
            requests = [request.leaving(plans) for request in requests]
        self._keep_requests(requests)
        keys = [*map(key_of, plans), *(key for key in memberships.live if key[0] in everywhere)]
        await memberships.remove(keys)

    @enable_ki_protection  # Else Ctrl-C could come between the last step and the scope's end.
    async def undo(self, number: int) -> None:
        """Leave the remaining memberships of the request with a number. Cannot be cancelled."""
        memberships = self._memberships
        with trio.CancelScope(shield=True):
            async with memberships.turn:
                undone = [request for request in memberships.requests if request.number == number]
                memberships.requests = [
                    request for request in memberships.requests if request.number != number
                ]
                groups = _addresses_of(undone)
                if not groups.isdisjoint(_addresses_of(memberships.requests)):
                    # Another request may call for the same, now that nothing stands in its way.
                    memberships.plans_are_old = True
                    memberships.follower.look_again()
                await memberships.remove(
                    [
                        key
                        for key, membership in memberships.live.items()
                        if membership.request_number == number
                    ]
                )


def _is_of_family(error: SocketSetupError) -> bool:
    """Tell whether a refusal says nothing about what is joined in the other family."""
    return lacks_family(error) or is_address_lacking(error)


def _addresses_of(requests: Iterable[ReceiveRequest]) -> set[object]:
    return {group.address for request in requests for group in request.groups}
