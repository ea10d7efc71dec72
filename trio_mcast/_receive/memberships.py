"""The memberships of a receiver: joined, left, and kept up as interfaces come and go.

Decision: work out everything anew
==================================

An interface that comes, goes, is renamed or gets another address could be answered by doing what
just that calls for. There are many such cases, they come several at a time, and some are never told
(see `_linux_watch`). So each look at the interfaces is answered in one way: what the memberships
should be is planned anew, from what was asked for, and what differs is carried out. A membership
whose socket serves the new plan as well keeps it, and so loses nothing and is never doubled.

Only the plans of groups on interfaces that are what they were at the last look are taken as they
are. With 4,000 of them, a look at a change elsewhere takes some 40 ms instead of 740 (measured).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import attrs
import trio

from .._follow import Backoff, Follower
from .._host.protocols import Host, McastSocket
from .._plan.blocked import SourceRule, add_rule, plans_meant
from .._plan.receiver import check_served, plan_request
from .._plan.socket_spec import MembershipKey, MembershipPlan, key_of
from .._plan.wanted import ReceiveRequest
from .._platform.advice import is_exhaustion
from .._values.errors import SocketSetupError, all_failed
from .._values.interface import Interface, all_addresses
from .intake import Intake
from .membership import Member, MemberSockets, can_change_to

# How many memberships are planned, opened, changed or closed before other tasks have their turn.
# Each of that takes some 10 to 100 us.
_AT_ONCE = 32

# When the interfaces could not be looked at, the next look comes so much later. Arbitrary.
_LOOK_AGAIN_SECONDS = 1.0

# Of how many interfaces that have gone memberships are remembered as waiting where nobody named
# them, the last ones: machines that run containers see new ones every minute. Arbitrary.
_REMEMBERED_INTERFACES = 64


class Members:
    """All memberships of one receiver."""

    def __init__(self, host: Host, intake: Intake, follower: Follower) -> None:
        self.requests: list[ReceiveRequest] = []
        self.closed = False
        # One change at a time: opening many sockets lets other tasks run in between.
        self.turn = trio.StrictFIFOLock()
        self._host = host
        self._sockets = MemberSockets(host, intake)
        self._rules: list[SourceRule] = []
        self._members: dict[MembershipKey, Member] = {}
        # Those that are being joined, and may fail to be read before all are.
        self._joining: dict[MembershipKey, Member] = {}
        # How the interfaces were when something was last planned, all addresses at the last look,
        # and whether the next look has to plan although the interfaces are what they were.
        self._interfaces: list[Interface] = []
        self._addresses: frozenset[str] = frozenset()
        self._plan_anew = False
        self._follower = follower
        # Unnamed interfaces that have gone, in the order of their going.
        self._gone: list[str] = []
        self._work = 0

    def items(self) -> list[tuple[MembershipKey, Member]]:
        return list(self._members.items())

    def plans(self) -> list[MembershipPlan]:
        return [member.plan for member in self._members.values()]

    async def _plan(
        self,
        request: ReceiveRequest,
        interfaces: Sequence[Interface],
        *,
        strict: bool = False,
        known: Mapping[MembershipKey, MembershipPlan] | None = None,
    ) -> list[MembershipPlan]:
        platform, rules = self._host.platform, self._rules
        plans = []
        for plan in plan_request(request, rules, interfaces, platform, strict=strict, known=known):
            plans.append(plan)
            await self._give_way()
        return plans

    async def _give_way(self) -> None:
        """Let other tasks run, once in a while."""
        self._work = (self._work + 1) % _AT_ONCE
        if not self._work:
            await trio.lowlevel.checkpoint()
            self._check_open()

    def _list_interfaces(self) -> list[Interface]:
        """The interfaces; those that have not changed are the very same values as before."""
        before = {item: item for item in self._interfaces}
        return [before.get(item, item) for item in self._host.list_interfaces()]

    # Joining and leaving

    async def join(self, request: ReceiveRequest, *, strict: bool) -> None:
        """Join what a request comes to now, and from now on what it comes to later.

        Args:
            request: What is asked for.
            strict: Whether no interface may be missing; else those that are, are waited for.

        Raises:
            InterfaceNotFoundError: An interface is missing.
            AmbiguousInterfaceError: An address is on two interfaces.
            ValueError: It does not go together, or is joined already.
            SocketSetupError: It was refused: everywhere, or at all if only one interface is named.
            trio.ClosedResourceError: The receiver was closed meanwhile.
        """
        interfaces = self._list_interfaces()
        plans = await self._plan(request, interfaces, strict=strict)
        check_served(request, plans)
        for plan in plans:
            member = self._members.get(key_of(plan))
            if member is not None:
                what = "waited for" if member.state == "waiting" else "joined"
                raise ValueError(
                    f"group {plan.group} is {what} on interface {plan.interface} already: "
                    "leave it there first, or block and unblock sources"
                )
        named = request.selectors is not None
        only_one = named and len({plan.interface for plan in plans}) == 1
        made = await self._join_all(request, plans, all_or_nothing=only_one)
        # What is new since the last look is so for the other memberships as well.
        self._plan_anew = self._plan_anew or (
            bool(self._members) and interfaces != self._interfaces
        )
        self._interfaces = interfaces
        if not self._members:
            self._addresses = all_addresses(interfaces)
        self._replace(request)
        self.requests.append(request)
        self._members.update(made)
        self._put_in_order()
        for member in made.values():
            if member.error is not None:
                member.tell()
            member.tell_nothing()

    def _replace(self, request: ReceiveRequest) -> None:
        """Take over from requests for the same groups, whose memberships were left one by one.

        What is to become of interfaces that come later is then up to the new request.
        """
        if request.selectors is None:
            groups = frozenset(str(item.address) for item in request.groups if item.zone is None)
            rest = (
                item.leaving_groups(groups) if item.selectors is None else item
                for item in self.requests
            )
            self.requests = [item for item in rest if not item.is_over]
            for key, member in self._members.items():
                if member.unnamed and key[0] in groups:
                    member.request = request.number

    async def _join_all(
        self, request: ReceiveRequest, plans: Sequence[MembershipPlan], *, all_or_nothing: bool
    ) -> dict[MembershipKey, Member]:
        made = self._joining = {}
        try:
            for plan in plans:
                member = made[key_of(plan)] = Member.of(plan, request)
                self._set_up(member)
                error = member.error
                if error is not None and (all_or_nothing or is_exhaustion(error)):
                    raise error
                await self._give_way()
            groups = [member for (group, _), member in made.items() if group is not None]
            causes = tuple(member.error for member in groups if member.error is not None)
            if causes and len(causes) == len(groups):
                raise all_failed("no group could be joined anywhere", causes)
        except BaseException:
            for member in made.values():
                self._sockets.close(member)
            raise
        finally:
            self._joining = {}
        return made

    def _check_open(self) -> None:
        if self.closed:
            raise trio.ClosedResourceError("this receiver was closed")

    def _set_up(self, member: Member) -> None:
        self._sockets.set_up(member)
        self._follower.hurry(member.retry_at)

    async def leave(self, groups: Iterable[str], keys: Iterable[MembershipKey]) -> None:
        """Leave groups wherever they are and are to come, and these memberships besides.

        Once begun, it cannot be cancelled.
        """
        gone = frozenset(groups)
        rest = [item.leaving_groups(gone) for item in self.requests] if gone else self.requests
        plans = [self._members[key].plan for key in keys if key[0] not in gone]
        if plans:
            # Of every request: each would bring them back when the interface comes again.
            rest = [item.leaving(plans) for item in rest]
        self.requests = [item for item in rest if not item.is_over]
        keys = [*map(key_of, plans), *(key for key in self._members if key[0] in gone)]
        await self._remove(keys)

    async def undo(self, number: int) -> None:
        """Leave what is left of a request. It cannot be cancelled."""
        undone = [item for item in self.requests if item.number == number]
        self.requests = [item for item in self.requests if item.number != number]
        keys = [key for key, member in self._members.items() if member.request == number]
        groups = {each.address for item in undone for each in item.groups}
        if any(each.address in groups for item in self.requests for each in item.groups):
            # Another request may call for the same, now that nothing stands in its way.
            self._plan_anew = True
            self._follower.look_again()
        await self._remove(keys)

    async def _remove(self, keys: Iterable[MembershipKey]) -> None:
        await self._close([self._members.pop(key) for key in keys])

    async def _close(self, members: Iterable[Member]) -> None:
        for number, member in enumerate(members, start=1):
            self._sockets.close(member)
            if number % _AT_ONCE == 0:
                await trio.lowlevel.cancel_shielded_checkpoint()

    def socket_failed(self, socket: McastSocket, error: SocketSetupError) -> None:
        """The system refuses to read a socket."""
        self._sockets.discard(socket)
        for member in (*self._members.values(), *self._joining.values()):
            if socket in member.sockets:
                member.sockets.remove(socket)
                self._sockets.close(member)
                member.fail(error)
                member.tell_nothing()  # The intake has logged it.
                self._follower.hurry(member.retry_at)

    # Following the interfaces

    async def follow(self) -> None:
        """Keep the memberships up as interfaces come and go, until the follower is closed."""
        backoff = Backoff(_LOOK_AGAIN_SECONDS, _LOOK_AGAIN_SECONDS)
        await self._follower.follow(self._look, self._due, backoff)

    def _due(self) -> float:
        """Return when a membership is to be tried again, though nothing changes."""
        return min((member.retry_at for member in self._members.values()), default=math.inf)

    async def _look(self) -> None:
        """Bring the memberships in line with the interfaces there are.

        Raises:
            SocketSetupError: The system does not tell which there are.
            trio.ClosedResourceError: The receiver was closed meanwhile.
        """
        async with self.turn:
            self._check_open()
            interfaces, now = self._list_interfaces(), trio.current_time()
            retry = any(member.retry_at <= now for member in self._members.values())
            same = interfaces == self._interfaces and not self._follower.removed
            if same and not self._plan_anew and not retry:
                return
            await self._close_lost(interfaces)
            wanted = await self._wanted(interfaces)
            self._interfaces, self._addresses = interfaces, all_addresses(interfaces)
            self._plan_anew = False
            await self._drop_unwanted(wanted)
            await self._forget_gone(interfaces)
            for key, (plan, request) in wanted.items():
                self._keep_up(key, plan, request, now)
                await self._give_way()
            self._put_in_order()

    async def _close_lost(self, interfaces: Sequence[Interface]) -> None:
        """Close the sockets of memberships that the system has ended."""
        here = {item.index: item for item in interfaces if item.index not in self._follower.removed}
        lost = [
            member
            for member in self._members.values()
            if member.sockets and member.has_lost(here.get(member.plan.interface.index))
        ]
        for member in lost:
            member.wait()
        await self._close(lost)

    async def _wanted(
        self, interfaces: Sequence[Interface]
    ) -> dict[MembershipKey, tuple[MembershipPlan, ReceiveRequest]]:
        """What the memberships are to be, and which request each comes of."""
        known = self._known(interfaces)
        wanted: dict[MembershipKey, tuple[MembershipPlan, ReceiveRequest]] = {}
        for request in self.requests:
            for plan in await self._plan(request, interfaces, known=known.get(request.number)):
                wanted.setdefault(key_of(plan), (plan, request))
        return wanted

    def _known(
        self, interfaces: Sequence[Interface]
    ) -> dict[int, dict[MembershipKey, MembershipPlan]]:
        """By request, the plans that are right as they are: nothing that they rest on is new."""
        changed = all_addresses(interfaces) != self._addresses
        known: dict[int, dict[MembershipKey, MembershipPlan]] = {
            item.number: {} for item in self.requests if item.loopback or not changed
        }
        here = {id(item) for item in interfaces}
        for key, member in self._members.items():
            if member.sockets and id(member.plan.interface) in here and member.request in known:
                known[member.request][key] = member.plan
        return known

    async def _drop_unwanted(
        self, wanted: Mapping[MembershipKey, tuple[MembershipPlan, ReceiveRequest]]
    ) -> None:
        """Memberships that the interfaces there are call for no longer."""
        dropped = []
        for key, member in self._members.items():
            if key in wanted:
                continue
            if member.unnamed and member.plan.group is not None:
                # It has gone, or is down: then the kernel keeps what was joined until it is up.
                member.wait()
                if not member.sockets:
                    member.plan = attrs.evolve(member.plan, sockets=())  # They would take room.
                member.tell()
            else:
                dropped.append(key)
        await self._remove(dropped)

    async def _forget_gone(self, interfaces: Sequence[Interface]) -> None:
        """Of unnamed interfaces that have gone, remember the last ones only."""
        here = {item.name for item in interfaces}
        waiting = {key[1] for key, member in self._members.items() if member.unnamed} - here
        gone = [*(name for name in self._gone if name in waiting), *sorted(waiting)]
        self._gone = list(dict.fromkeys(gone))[-_REMEMBERED_INTERFACES:]
        forgotten = waiting.difference(self._gone)
        await self._remove([key for key in self._members if key[1] in forgotten])

    def _keep_up(
        self, key: MembershipKey, plan: MembershipPlan, request: ReceiveRequest, now: float
    ) -> None:
        """Bring one membership in line with its plan."""
        member = self._members.get(key)
        if member is None:
            member = self._members[key] = Member.of(plan, request)
            changed = True
        else:
            changed = plan is not member.plan and plan != member.plan
            member.plan, member.request = plan, request.number
            member.unnamed = request.is_unnamed(plan)
        lacks = len(member.sockets) < len(plan.sockets)
        if changed or (lacks and (member.state != "failed" or member.retry_at <= now)):
            if changed:
                member.backoff.reset()
            self._set_up(member)
        elif not lacks:
            member.set_up()
        member.tell()

    def _put_in_order(self) -> None:
        """By group in the order of asking; interfaces of a group in the order of their coming."""
        order: dict[tuple[int, str | None], int] = {}
        for request in self.requests:
            for group in request.groups:
                order[request.number, str(group.address)] = len(order)
        self._members = dict(
            sorted(
                self._members.items(),
                key=lambda item: order.get((item[1].request, item[0][0]), len(order)),
            )
        )

    # Blocked sources

    async def change_rules(self, rules: Sequence[SourceRule]) -> None:
        """Block a source, or let it in again; all rules are about the same one.

        Raises:
            ValueError: There is nothing that it applies to, or nothing that it changes.
            SocketSetupError: The system refused; then nothing has changed.
            trio.ClosedResourceError: The receiver was closed meanwhile.

        If it is cancelled, nothing has changed.
        """
        meant = {
            key_of(plan): self._members[key_of(plan)] for plan in plans_meant(rules, self.plans())
        }
        before = self._rules
        excluded = {source for item in self.requests for source in item.excluded_sources or ()}
        for rule in rules:
            self._rules = add_rule(self._rules, rule, excluded)
        done: list[tuple[Member, MembershipPlan]] = []
        try:
            for member, plan in await self._replanned(meant):
                done.append((member, member.plan))
                self._sockets.change_sources(member, plan)
                await self._give_way()
        except BaseException:
            self._rules = before
            for member, plan in reversed(done):
                self._sockets.restore_sources(member, plan)
            raise

    async def _replanned(
        self, meant: Mapping[MembershipKey, Member]
    ) -> list[tuple[Member, MembershipPlan]]:
        """Some members with new plans, where other sources are excluded than before."""
        found: list[tuple[Member, MembershipPlan]] = []
        known = {key: item.plan for key, item in self._members.items() if key not in meant}
        for request in self.requests:
            mine = {key: item for key, item in meant.items() if item.request == request.number}
            if not mine:
                continue
            # Also on interfaces that are down or have gone, which nobody named.
            names = tuple(dict.fromkeys(name for _, name in mine))
            if request.selectors is None:
                request = attrs.evolve(request, selectors=names)
            for plan in await self._plan(request, self._interfaces, known=known):
                member = mine.get(key_of(plan))
                if member is None:
                    continue
                if not member.sockets:
                    excluded = plan.excluded_sources
                    plan = attrs.evolve(member.plan, excluded_sources=excluded, sockets=())
                if can_change_to(member, plan):  # Else the next look will see to it.
                    found.append((member, plan))
        return found
