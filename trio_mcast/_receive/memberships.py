"""All memberships of a receiver: what joining, keeping up and blocking share.

`joining`, `keeping_up` and `blocking` each do one thing with the memberships: each makes plans, and
brings the memberships in line with the plans. The requests, the rules about sources, and the
interfaces of the last look are the same for all three, and stand here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final

import trio

from .._follow import Follower
from .._host.protocols import Host, McastSocket
from .._live import Signal
from .._plan.blocked import SourceRule
from .._plan.receiver import plan_in_steps
from .._plan.socket_spec import MembershipKey, MembershipPlan
from .._plan.wanted import ReceiveRequest
from .._platform.model import Platform
from .._values.errors import SocketSetupError
from .._values.interface import Interface, texts_on_any_link
from .comparing import find_unlisted
from .intake import Intake
from .membership import Event, LiveMembership, Membership
from .membership_sockets import AT_ONCE, MembershipSockets

# No addresses. One for all receivers: each empty set of its own takes 216 bytes.
_NONE: Final[frozenset[str]] = frozenset()


class Memberships:
    """The memberships of one receiver, with the requests, rules and interfaces behind them.

    Attributes:
        requests: The requests, as far as memberships of theirs were not left.
        rules: The sources that were blocked or let in again since.
        live: The memberships, in the order in which a program sees them.
        joining: The memberships of the join that is under way. A socket may fail before all are
            open.
        sockets: Opens and closes the sockets.
        follower: Notices when the interfaces may have changed.
        interfaces: The interfaces when something was last planned.
        addresses: The addresses of the interfaces when everything was last planned.
        plans_are_old: Whether the next look has to plan anew, also if the interfaces are the same.
        changes: The number of times that something may have changed about the memberships.
    """

    def __init__(self, host: Host, intake: Intake, follower: Follower) -> None:
        self.requests: list[ReceiveRequest] = []
        self.rules: Sequence[SourceRule] = ()
        self.live: dict[MembershipKey, LiveMembership] = {}
        self.joining: dict[MembershipKey, LiveMembership] = {}
        self.sockets: MembershipSockets = MembershipSockets(host, intake)
        self.follower = follower
        self.interfaces: list[Interface] = []
        self.addresses: frozenset[str] = _NONE
        self.plans_are_old: bool = False
        self.changes: int = 0
        self._changed = Signal()
        self._host = host
        self._owner = intake.queue.owner
        self._last_number = 0
        self._work = 0
        self._closed = False

    @cached_property
    def turn(self) -> trio.StrictFIFOLock:
        """The lock for every change after the opening.

        Opening many sockets lets other tasks run in between, so there is one change at a time.
        """
        return trio.StrictFIFOLock()

    def next_number(self) -> int:
        """Return the number for a new request."""
        self._last_number += 1
        return self._last_number

    @property
    def last_number(self) -> int:
        """The number of the request that came last."""
        return self._last_number

    @property
    def platform(self) -> Platform:
        """The platform of the machine."""
        return self._host.platform

    def plans(self) -> list[MembershipPlan]:
        """Return the plans of all memberships."""
        return [membership.plan for membership in self.live.values()]

    # Interfaces and plans

    async def look(self, *, anew: bool) -> list[Interface]:
        """Look at the interfaces; one that has not changed is the very same value as before.

        Args:
            anew: Whether the look has to begin now; else another follower's will do.

        Raises:
            SocketSetupError: The system refused to list the interfaces.
            trio.ClosedResourceError: The receiver was closed meanwhile.
        """
        interfaces = await self.follower.look(anew=anew)
        self.check_open()
        if not self.interfaces:
            return interfaces
        before = {interface.index: interface for interface in self.interfaces}
        return [
            last if last is not None and (last is interface or last == interface) else interface
            for interface, last in ((each, before.get(each.index)) for each in interfaces)
        ]

    async def own_addresses(
        self, interfaces: Sequence[Interface], *requests: ReceiveRequest
    ) -> frozenset[str]:
        """Return this machine's addresses on any link, as text; other tasks run in between.

        Args:
            interfaces: The interfaces there are.
            requests: Further requests. Only those with ``loopback=False`` need the addresses; if
                there is none at all, the answer is empty.
        """
        own_addresses: set[str] = set()
        if all(request.loopback for request in (*self.requests, *requests)):
            return _NONE
        for interface in interfaces:
            for address in texts_on_any_link(interface):
                own_addresses.add(address)
                await self.give_way()
        return frozenset(own_addresses)

    def take_interfaces(
        self, interfaces: list[Interface], own_addresses: frozenset[str], *, all_planned: bool
    ) -> None:
        """Put down the interfaces with which something was planned.

        Args:
            interfaces: The interfaces.
            own_addresses: Their addresses, as `own_addresses` has them.
            all_planned: Whether everything was planned, not just a new request.
        """
        if all_planned:
            self.plans_are_old = False
        elif self.live and interfaces != self.interfaces:
            # A change since the last look concerns the other memberships as well.
            self.plans_are_old = True
        if all_planned or not self.live:
            self.addresses = own_addresses
        self.interfaces = interfaces

    async def plan(
        self,
        request: ReceiveRequest,
        interfaces: Sequence[Interface],
        own_addresses: frozenset[str],
        *,
        strict: bool = False,
        known: Mapping[MembershipKey, MembershipPlan] | None = None,
    ) -> list[MembershipPlan]:
        """Plan a request, as `plan_in_steps` does; other tasks run in between."""
        platform, rules = self._host.platform, self.rules
        plans = []
        for plan in plan_in_steps(
            request,
            rules,
            interfaces,
            platform,
            strict=strict,
            known=known,
            own_addresses=own_addresses,
        ):
            if plan is not None:
                plans.append(plan)
            await self.give_way()
        return plans

    async def give_way(self) -> None:
        """Let other tasks run, once in a while.

        Raises:
            trio.ClosedResourceError: The receiver was closed meanwhile.
        """
        self._work = (self._work + 1) % AT_ONCE
        if not self._work:
            await trio.lowlevel.checkpoint()
            self.check_open()

    async def find_unlisted(
        self, memberships: Iterable[LiveMembership], interfaces: Sequence[Interface]
    ) -> list[LiveMembership]:
        """Return the memberships, of some, that the system does not have; as `comparing` tells."""
        return await find_unlisted(self._host, memberships, interfaces, self.sockets.give_way)

    # Changing memberships

    async def set_up(self, membership: LiveMembership) -> None:
        """Carry out the plan of a membership; after a refusal, have the next attempt in time."""
        await self.sockets.set_up(membership)
        if membership.retry_at < math.inf:
            self.follower.hurry(membership.retry_at)

    async def remove(self, keys: Iterable[MembershipKey]) -> None:
        """Leave memberships. Cannot be cancelled."""
        try:
            await self.sockets.happen_to_all([self.live.pop(key) for key in keys], Event.LEFT)
        finally:
            self.notice()

    def put_in_order(self) -> None:
        """Order the memberships by group as asked for, then by interface in the order of coming."""
        if len(self.live) < 2:
            return
        order: dict[tuple[int, str | None], int] = {}
        for request in self.requests:
            for group in request.groups:
                order[request.number, group.text] = len(order)

        def place(pair: tuple[MembershipKey, LiveMembership]) -> int:
            (group, _), membership = pair
            return order.get((membership.request_number, group), len(order))

        self.live = dict(sorted(self.live.items(), key=place))

    def socket_failed(self, socket: McastSocket, error: SocketSetupError) -> None:
        """Close a socket that the system refuses to read: the membership has failed."""
        memberships = (*self.live.values(), *self.joining.values())
        having = (membership for membership in memberships if socket in membership.sockets)
        failed = next(having, None)
        self.sockets.close_unreadable(failed, socket, error)
        if failed is not None:
            failed.skip_log()  # The intake has logged it.
            self.follower.hurry(failed.retry_at)
        self.notice()

    # Watching

    def describe(self) -> dict[MembershipKey, Membership]:
        """Return all memberships as a program sees them."""
        return {key: membership.describe() for key, membership in self.live.items()}

    def notice(self) -> None:
        """Have all who watch look: something may have changed."""
        self.changes += 1
        self._changed.give()

    async def wait_for_change(self, seen: int) -> None:
        """Wait until `changes` is another number than the one that was seen."""
        while self.changes == seen:
            await self._changed.wait()

    # The end

    @property
    def is_closed(self) -> bool:
        """Whether the receiver was closed."""
        return self._closed

    def check_open(self) -> None:
        """Raise trio.ClosedResourceError if the receiver was closed."""
        if self._closed:
            raise trio.ClosedResourceError(f"{self._owner} was closed")

    def close(self) -> None:
        """End the changes that are under way, and the following; the intake closes the sockets."""
        self._closed = True
        self.notice()
        self.follower.close()
