"""The memberships of a receiver: joined, left, and kept up as interfaces come and go.

Decision: work out everything anew
==================================

An interface that comes, goes, is renamed or gets another address could be answered by doing what
just that calls for. There are many such cases, they come several at a time, and some are never told
(see `_linux_watch`). So each look at the interfaces is answered in one way: what the memberships
should be is planned anew, from what was asked for, and what differs is carried out. A membership
whose socket serves the new plan as well keeps it, and so loses nothing and is never doubled.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from typing import Literal

import attrs
import trio

from ._addresses import family_of
from ._errors import SocketSetupError, all_failed, is_exhaustion
from ._host import Host, InterfaceWatcher, McastSocket
from ._intake import Intake
from ._interface import Interface
from ._plan import MembershipPlan
from ._requests import (
    MembershipKey,
    Request,
    SourceRule,
    add_rule,
    key_of,
    plan_request,
    serves_as,
    source_changes,
)

logger = logging.getLogger("trio_mcast")

# How many sockets are opened before other tasks have their turn; opening one takes about 60 us.
_OPENED_AT_ONCE = 32

# From one attempt at a join that was refused to the next: twice as long each time. When something
# changes about its interface, it is tried at once. Both bounds are arbitrary.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 30.0

# When the interfaces could not be looked at, the next look comes so much later. Arbitrary.
_LOOK_AGAIN_SECONDS = 1.0

# Of how many interfaces that have gone memberships are remembered as waiting where nobody named
# them, the last ones: machines that run containers see new ones every minute. Arbitrary.
_REMEMBERED_INTERFACES = 64

State = Literal["joined", "waiting", "failed"]


@attrs.define(eq=False)
class Member:
    """A membership, and the sockets that it has."""

    plan: MembershipPlan
    request: int
    # Whether nobody named its interface: it is there because the interface is.
    unnamed: bool
    state: State = "waiting"
    error: SocketSetupError | None = None
    sockets: list[McastSocket] = attrs.field(factory=list)
    attempts: int = 0
    retry_at: float = math.inf
    # What was logged last.
    told: tuple[str, str] = ("", "")

    def tell(self) -> None:
        """Log how it stands, unless that is what was logged last."""
        now = (self.state, str(self.error or ""))
        if now == self.told:
            return
        self.told = now
        if self.error is not None:
            logger.warning("%s", self.error)
        else:
            what = f"group {self.plan.group}" if self.plan.group else "unicast"
            logger.info("%s on interface %s is %s", what, self.plan.interface.name, self.state)

    def tell_nothing(self) -> None:
        """How it stands is known to who asked for it, unless it failed."""
        if self.error is None:
            self.told = (self.state, "")
        self.tell()


class Members:
    """All memberships of one receiver."""

    def __init__(self, host: Host, intake: Intake) -> None:
        self.requests: list[Request] = []
        self.closed = False
        # One change at a time: opening many sockets lets other tasks run in between.
        self.turn = trio.StrictFIFOLock()
        self._host = host
        self._intake = intake
        self._rules: list[SourceRule] = []
        self._members: dict[MembershipKey, Member] = {}
        # Those that are being joined, and may fail to be read before all are.
        self._joining: dict[MembershipKey, Member] = {}
        # How the interfaces were at the last look, and what the next one has to mind besides.
        self._interfaces: list[Interface] = []
        self._removed: frozenset[int] = frozenset()
        self._stale = False
        # The wait for the next change, which ends sooner when something is to be tried again.
        self._pause = trio.CancelScope()

    def items(self) -> list[tuple[MembershipKey, Member]]:
        return list(self._members.items())

    def plans(self) -> list[MembershipPlan]:
        return [member.plan for member in self._members.values()]

    # Joining and leaving

    async def join(self, request: Request, *, tolerant: bool) -> None:
        """Join what a request comes to now, and from now on what it comes to later.

        Args:
            request: What is asked for.
            tolerant: Whether to wait for interfaces that are missing.

        Raises:
            InterfaceNotFoundError: An interface is missing.
            AmbiguousInterfaceError: An address is on two interfaces.
            ValueError: It does not go together, or is joined already.
            SocketSetupError: It was refused: everywhere, or at all if only one interface is named.
            trio.ClosedResourceError: The receiver was closed meanwhile.
        """
        interfaces = self._host.list_interfaces()
        plans = self._plan(request, interfaces, tolerant=tolerant)
        for plan in plans:
            if key_of(plan) in self._members:
                raise ValueError(
                    f"{_name(plan)} is joined already: leave it first, or block and unblock sources"
                )
        named = request.selectors is not None
        strict = named and len({plan.interface for plan in plans}) == 1
        made = await self._join_all(request, plans, strict=strict)
        self.requests.append(request)
        self._members.update(made)
        # What is new since the last look is so for the other memberships as well.
        self._stale = self._stale or interfaces != self._interfaces
        self._interfaces = interfaces
        self._put_in_order()
        for member in made.values():
            member.tell_nothing()

    def _plan(
        self, request: Request, interfaces: Sequence[Interface], *, tolerant: bool
    ) -> list[MembershipPlan]:
        platform = self._host.platform
        return plan_request(request, self._rules, interfaces, platform, tolerant=tolerant)

    async def _join_all(
        self, request: Request, plans: Sequence[MembershipPlan], *, strict: bool
    ) -> dict[MembershipKey, Member]:
        made = self._joining = {}
        try:
            for number, plan in enumerate(plans, start=1):
                member = Member(plan, request.number, request.selectors is None)
                made[key_of(plan)] = member
                self._open(member)
                error = member.error
                if error is not None and (strict or is_exhaustion(error)):
                    raise error
                if number % _OPENED_AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()
                    self._check_open()
            groups = [member for (group, _), member in made.items() if group is not None]
            causes = tuple(member.error for member in groups if member.error is not None)
            if causes and len(causes) == len(groups):
                raise all_failed("no group could be joined anywhere", causes)
        except BaseException:
            for member in made.values():
                self._close(member)
            raise
        finally:
            self._joining = {}
        return made

    def _check_open(self) -> None:
        if self.closed:
            raise trio.ClosedResourceError("this receiver was closed")

    def leave(self, keys: Iterable[MembershipKey]) -> None:
        """Leave these, for good as far as they are concerned."""
        for key in list(keys):
            member = self._members.pop(key)
            self._close(member)
            self.requests = [
                item.leaving(key) if item.number == member.request else item
                for item in self.requests
            ]

    def leave_groups(self, groups: Iterable[str]) -> None:
        """Leave these wherever they are, and are to come."""
        gone = frozenset(groups)
        rest = [item.leaving_groups(gone) for item in self.requests]
        self.requests = [item for item in rest if not item.is_over]
        self.leave([key for key in self._members if key[0] in gone])

    def undo(self, request: int) -> None:
        """Leave what is left of a request."""
        self.requests = [item for item in self.requests if item.number != request]
        self.leave([key for key, member in self._members.items() if member.request == request])

    # The sockets of one membership

    def _open(self, member: Member) -> None:
        """Open the sockets of a membership, whole or not at all; its state tells."""
        try:
            for spec in member.plan.sockets:
                member.sockets.append(self._host.open_socket(spec))
                self._intake.add(member.sockets[-1])
        except SocketSetupError as error:
            self._close(member)
            self.fail(member, error)
        except BaseException:
            self._close(member)
            raise
        else:
            member.attempts, member.retry_at, member.error = 0, math.inf, None
            self._set_state(member)

    @staticmethod
    def _set_state(member: Member) -> None:
        works = member.sockets and member.plan.interface.is_up
        member.state = "joined" if works else "waiting"

    def fail(self, member: Member, error: SocketSetupError) -> None:
        """A membership was refused, or its sockets cannot be read: it is tried again later."""
        pause = min(_FIRST_PAUSE_SECONDS * 2**member.attempts, _LONGEST_PAUSE_SECONDS)
        member.attempts += 1
        member.retry_at = trio.current_time() + pause
        member.state, member.error = "failed", error
        self._pause.deadline = min(self._pause.deadline, member.retry_at)

    def _close(self, member: Member) -> None:
        """Close the sockets of a membership; what has come to them is delivered all the same."""
        for socket in member.sockets:
            self._intake.retire(socket)
        member.sockets.clear()

    def socket_failed(self, socket: McastSocket, error: SocketSetupError) -> None:
        """The system refuses to read a socket."""
        for member in (*self._members.values(), *self._joining.values()):
            if socket in member.sockets:
                for each in member.sockets:
                    self._intake.discard(each)
                member.sockets.clear()
                self.fail(member, error)
                member.told = (member.state, str(error))  # The intake has logged it.

    # Following the interfaces

    async def follow(self, watcher: InterfaceWatcher) -> None:
        """Keep the memberships up as interfaces come and go, until the watcher is closed."""
        told = ""
        while True:
            due = (member.retry_at for member in self._members.values())
            try:
                with trio.CancelScope() as self._pause:
                    self._pause.deadline = -math.inf if self._stale else min(due, default=math.inf)
                    self._removed |= await watcher.wait()
                await self._look()
                told = ""
            except trio.ClosedResourceError:
                return
            except SocketSetupError as error:
                # Such as no file descriptor for the look. What is joined stays joined.
                if str(error) != told:
                    told = str(error)
                    logger.warning("%s", error)
                self._stale = True
                await trio.sleep(_LOOK_AGAIN_SECONDS)

    async def _look(self) -> None:
        """Bring the memberships in line with the interfaces there are.

        Raises:
            SocketSetupError: The system does not tell which there are.
            trio.ClosedResourceError: The receiver was closed meanwhile.
        """
        async with self.turn:
            self._check_open()
            interfaces = self._host.list_interfaces()
            now = trio.current_time()
            retry = any(member.retry_at <= now for member in self._members.values())
            same = interfaces == self._interfaces and not self._removed and not self._stale
            if same and not retry:
                return
            self._close_gone(interfaces, self._removed)
            self._interfaces, self._removed, self._stale = interfaces, frozenset(), False
            wanted: dict[MembershipKey, tuple[MembershipPlan, Request]] = {}
            for request in self.requests:
                for plan in self._plan(request, interfaces, tolerant=True):
                    wanted.setdefault(key_of(plan), (plan, request))
            self._drop_unwanted(wanted, interfaces)
            for number, (key, (plan, request)) in enumerate(wanted.items(), start=1):
                self._keep_up(key, plan, request, now)
                if number % _OPENED_AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()
                    self._check_open()
            self._put_in_order()

    def _close_gone(self, interfaces: Sequence[Interface], removed: frozenset[int]) -> None:
        """Close the sockets on interfaces that are no longer the ones that they were."""
        names = {item.index: item.name for item in interfaces if item.index not in removed}
        for member in self._members.values():
            interface = member.plan.interface
            if member.sockets and names.get(interface.index) != interface.name:
                self._close(member)
                member.state, member.error = "waiting", None
                member.retry_at = -math.inf

    def _drop_unwanted(
        self,
        wanted: dict[MembershipKey, tuple[MembershipPlan, Request]],
        interfaces: Sequence[Interface],
    ) -> None:
        """Memberships that the interfaces there are call for no longer."""
        gone: dict[str, None] = {}
        here = {item.name: item for item in interfaces}
        for key, member in self.items():
            if key in wanted:
                continue
            if not member.unnamed:
                self._close(member)
                del self._members[key]
                continue
            # It has gone, or is down: then the kernel keeps the membership for when it is up again.
            member.state, member.error, member.retry_at = "waiting", None, math.inf
            member.tell()
            if key[1] not in here:
                gone[key[1]] = None
        forgotten = list(gone)[: max(0, len(gone) - _REMEMBERED_INTERFACES)]
        for key, _ in self.items():
            if key not in wanted and key[1] in forgotten:
                del self._members[key]

    def _keep_up(
        self, key: MembershipKey, plan: MembershipPlan, request: Request, now: float
    ) -> None:
        """Bring one membership in line with its plan."""
        member = self._members.get(key)
        if member is None:
            member = Member(plan, request.number, request.selectors is None)
            self._members[key] = member
            self._open(member)
        else:
            changed, member.plan = member.plan != plan, plan
            if changed:
                member.attempts = 0
            if member.sockets:
                if changed:
                    self._revise(member)
                if member.sockets:
                    self._set_state(member)
            elif changed or member.retry_at <= now:
                self._open(member)
        member.tell()

    def _revise(self, member: Member) -> None:
        """Have the sockets of a membership carry out its new plan, or others in their place."""
        if _alike(member, member.plan):
            try:
                self._carry_out(member)
                return
            except SocketSetupError:
                pass  # New ones will do, or tell why not.
        self._close(member)
        self._open(member)

    def _carry_out(self, member: Member) -> None:
        for socket, spec in zip(member.sockets, member.plan.sockets, strict=False):
            socket.revise(spec, source_changes(socket.spec, spec, self._host.platform))

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

    def change_rule(self, rule: SourceRule) -> None:
        """Block a source, or let it in again.

        Raises:
            ValueError: There is nothing that it applies to, or nothing that it changes.
            SocketSetupError: The system refused; then nothing has changed.
        """
        source = str(rule.source)
        targets = [member for member in self._members.values() if _is_meant(rule, member.plan)]
        if not targets:
            raise ValueError(
                f"source {source}: no group that is joined from any source is meant; one that was "
                "joined with sources= has to be left and joined with others"
            )
        if all((source in item.plan.excluded_sources) == rule.blocked for item in targets):
            state = "blocked already" if rule.blocked else "not blocked"
            raise ValueError(f"source {source} is {state} where it is meant to be")
        before, self._rules = self._rules, add_rule(self._rules, rule, self.requests)
        done: list[tuple[Member, MembershipPlan]] = []
        try:
            for plan in self._replanned():
                member = self._members.get(key_of(plan))
                if member is not None and member.plan != plan and _alike(member, plan):
                    done.append((member, member.plan))
                    self._change_sources(member, plan)
        except SocketSetupError:
            self._rules = before
            for member, plan in done:
                self._change_sources(member, plan)
            raise

    def _replanned(self) -> list[MembershipPlan]:
        """What the memberships are to be, also on interfaces that are down."""
        plans = []
        for request in self.requests:
            names = {
                member.plan.interface.name
                for member in self._members.values()
                if member.request == request.number and member.sockets
            }
            if request.selectors is None:
                request = attrs.evolve(request, selectors=tuple(sorted(names)))
            plans += self._plan(request, self._interfaces, tolerant=True)
        return plans

    def _change_sources(self, member: Member, plan: MembershipPlan) -> None:
        member.plan = plan
        self._carry_out(member)


def _alike(member: Member, plan: MembershipPlan) -> bool:
    """Whether the sockets of a membership can be revised to carry out a plan."""
    return len(member.sockets) in (0, len(plan.sockets)) and all(
        serves_as(socket.spec, spec)
        for socket, spec in zip(member.sockets, plan.sockets, strict=False)
    )


def _is_meant(rule: SourceRule, plan: MembershipPlan) -> bool:
    """Whether a rule is about a membership: one from any source, of the source's family."""
    if plan.sources or not rule.applies(plan.group, plan.interface):
        return False
    return plan.group is None or family_of(rule.source) == ("ipv6" if ":" in plan.group else "ipv4")


def _name(plan: MembershipPlan) -> str:
    return f"group {plan.group} on interface {plan.interface.name}"
