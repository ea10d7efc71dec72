"""Keeping memberships up as interfaces come and go.

Decision: work out everything anew
==================================

Each kind of change (an interface comes, goes, is renamed, gets another address) could have an
answer of its own. There are many kinds, several come at a time, and some are never told (see
`_host.damped_watch`). So each look at the interfaces has the same answer: all memberships are
planned anew from the requests, and the differences are carried out. A membership whose socket
serves the new plan as well keeps the socket, and so loses nothing and is never doubled.

Only the plans of groups on interfaces that have not changed since the last look are not made anew.
With 4,000 such plans, a look at a change elsewhere takes some 40 ms instead of 740 (measured).
Other tasks have their turn after each 16 memberships, and one change is made at a time.

* A socket that carries out the new plan stays open. Blocked sources, and the addresses that
  ``loopback=False`` goes by, are changed on the open socket. Where another socket is needed, the
  old one is closed first. Datagrams that have come to a socket that is closed are read before, as
  far as the queue has room.
* An index is not enough to tell that an interface is still the same. A list of interfaces cannot
  tell either: an interface that was removed and made again between two looks can be the same in all
  that the list says, but the kernel has forgotten what was joined on it. On Linux the messages tell
  which indexes were removed.
* An interface that is missing is waited for where it was named. One that nobody named is forgotten
  when it has gone, with its memberships: machines that run containers see new ones every minute.
  While it is there and down, its memberships wait.
* Memberships that the system no longer has are joined again. That follows from the interfaces, from
  what the system's messages tell, and from its list of memberships (`comparing`), which each look
  reads: 4,000 memberships take some 25 ms, with turns for other tasks.
* A join that is refused is tried again, after 0.1 seconds at first and up to 30 seconds. A change
  of its interface is answered at once.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping, Sequence
from typing import TypeAlias

import attrs
import trio

from .._follow import Backoff
from .._host.protocols import NOTHING_ENDED
from .._plan.socket_spec import MembershipKey, MembershipPlan, key_of
from .._plan.wanted import ReceiveRequest
from .._values.interface import Interface
from .membership import Event, LiveMembership
from .memberships import Memberships

# After a look that was refused, the next one comes so much later. Arbitrary.
_LOOK_AGAIN_SECONDS = 1.0

# The plans of all memberships that there should be, each with the request that it comes of.
_Wanted: TypeAlias = "Mapping[MembershipKey, tuple[MembershipPlan, ReceiveRequest]]"


class KeepingUp:
    """Keeps the memberships of one receiver in line with the interfaces."""

    def __init__(self, memberships: Memberships) -> None:
        self._memberships = memberships

    def follow(self) -> Awaitable[None]:
        """Keep the memberships up until the receiver is closed."""
        backoff = Backoff(_LOOK_AGAIN_SECONDS, _LOOK_AGAIN_SECONDS)
        return self._memberships.follower.follow(self._look_and_tell, self._due, backoff)

    def _due(self) -> float:
        """Return the time at which a membership that has failed is to be tried again."""
        live = self._memberships.live
        return min((membership.retry_at for membership in live.values()), default=math.inf)

    async def _look_and_tell(self) -> None:
        try:
            await self._look()
        finally:
            self._memberships.notice()

    async def _look(self) -> None:
        """Bring the memberships in line with the interfaces that there are now.

        Raises:
            SocketSetupError: The system refused to list the interfaces.
            trio.ClosedResourceError: The receiver was closed meanwhile.
        """
        memberships = self._memberships
        async with memberships.turn:
            memberships.check_open()
            memberships.sockets.look_for_drops()
            interfaces, now = await memberships.look(anew=False), trio.current_time()
            lost = await self._lost(interfaces)
            same = interfaces == memberships.interfaces and not memberships.follower.ended
            if same and not lost and not memberships.plans_are_old and self._due() > now:
                return
            memberships.plans_are_old = True  # Until all is carried out, whatever goes wrong.
            await memberships.sockets.happen_to_all(lost, Event.LOST)
            memberships.follower.ended = NOTHING_ENDED  # What is joined from now on is not lost.
            own_addresses = await memberships.own_addresses(interfaces)
            wanted = await self._plan_all(interfaces, own_addresses)
            memberships.take_interfaces(interfaces, own_addresses, all_planned=True)
            memberships.plans_are_old = True
            known = set(memberships.live)
            await self._let_go(wanted, interfaces)
            for key, (plan, request) in wanted.items():
                await self._keep_up(key, plan, request, now)
                await memberships.give_way()
            for membership in lost:
                membership.log_return()
            if memberships.live.keys() != known:
                memberships.put_in_order()
            memberships.plans_are_old = False

    async def _lost(self, interfaces: Sequence[Interface]) -> list[LiveMembership]:
        """Return the memberships that the system has ended, as far as it tells."""
        memberships = self._memberships
        ended = memberships.follower.ended
        by_index = {
            interface.index: interface
            for interface in interfaces
            if interface.index not in ended.removed
        }
        lost: list[LiveMembership] = []
        remaining: list[LiveMembership] = []
        for membership in list(memberships.live.values()):
            if membership.sockets:
                interface = by_index.get(membership.plan.interface.index)
                has_ended = membership.has_lost(interface, ended)
                (lost if has_ended else remaining).append(membership)
            await memberships.give_way()
        return lost + await memberships.find_unlisted(remaining, interfaces)

    async def _plan_all(
        self, interfaces: Sequence[Interface], own_addresses: frozenset[str]
    ) -> _Wanted:
        """Plan all memberships that there should be."""
        memberships = self._memberships
        known = await self._known_plans(interfaces, own_addresses)
        wanted: dict[MembershipKey, tuple[MembershipPlan, ReceiveRequest]] = {}
        for request in memberships.requests:
            plans = await memberships.plan(
                request, interfaces, own_addresses, known=known.get(request.number)
            )
            for plan in plans:
                wanted.setdefault(key_of(plan), (plan, request))
        return wanted

    async def _known_plans(
        self, interfaces: Sequence[Interface], own_addresses: frozenset[str]
    ) -> dict[int, dict[MembershipKey, MembershipPlan]]:
        """Return the plans that rest on nothing that has changed, by number of the request."""
        memberships = self._memberships
        addresses_changed = own_addresses != memberships.addresses
        known: dict[int, dict[MembershipKey, MembershipPlan]] = {
            request.number: {}
            for request in memberships.requests
            if request.loopback or not addresses_changed
        }
        unchanged = {id(interface) for interface in interfaces}
        for key, membership in list(memberships.live.items()):
            plans = known.get(membership.request_number)
            if plans is not None and membership.sockets:
                if id(membership.plan.interface) in unchanged:
                    plans[key] = membership.plan
                await memberships.give_way()
        return known

    async def _let_go(self, wanted: _Wanted, interfaces: Sequence[Interface]) -> None:
        """Let go of the memberships that the interfaces call for no longer."""
        by_name = {interface.name: interface for interface in interfaces}
        unwanted = []
        for key, membership in list(self._memberships.live.items()):
            await self._memberships.give_way()
            if key in wanted:
                continue
            interface = by_name.get(membership.plan.interface.name)
            if not membership.is_unnamed or membership.plan.group is None or interface is None:
                unwanted.append(key)
                continue
            # While the interface is down, the kernel keeps the membership.
            event = Event.UNFIT if interface.is_up else Event.UNWANTED
            await self._memberships.sockets.happen(membership, event)
            if not membership.sockets:
                membership.plan = attrs.evolve(membership.plan, sockets=())  # To save memory.
            membership.log()
        forgotten = [self._memberships.live[key] for key in unwanted]
        await self._memberships.remove(unwanted)
        for membership in forgotten:
            if membership.is_unnamed and membership.plan.group is not None:
                membership.log()

    async def _is_same(self, one: MembershipPlan, other: MembershipPlan) -> bool:
        """Tell whether two plans are the same; one of unicast may have thousands of sockets."""
        if one is other:
            return True
        if len(one.sockets) != len(other.sockets):
            return False
        for socket_spec, before in zip(one.sockets, other.sockets, strict=True):
            if socket_spec != before:
                return False
            await self._memberships.give_way()
        return attrs.evolve(one, sockets=()) == attrs.evolve(other, sockets=())

    async def _keep_up(
        self, key: MembershipKey, plan: MembershipPlan, request: ReceiveRequest, now: float
    ) -> None:
        """Bring one membership in line with its plan."""
        live = self._memberships.live
        membership = live.get(key)
        if membership is None:
            membership = live[key] = LiveMembership.from_plan(plan, request)
            changed = True
        else:
            changed = not await self._is_same(plan, membership.plan)
            membership.plan, membership.request_number = plan, request.number
            membership.is_unnamed = request.is_unnamed(plan)
        lacks = len(membership.sockets) < len(plan.sockets)
        if changed or (lacks and (membership.state != "failed" or membership.retry_at <= now)):
            if changed:
                membership.begin_anew()
            await self._memberships.set_up(membership)
        elif not lacks:
            membership.settle()
        membership.log()
