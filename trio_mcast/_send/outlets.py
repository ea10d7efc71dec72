"""The sockets of a sender, which follow the interfaces of the machine.

Decision: look at everything, then change as little as possible
================================================================

Whenever something may have changed, the plan is made anew from a list of all interfaces, and the
sockets are compared with the plan. Sockets that carry it out already stay as they are, the others
are closed, and missing ones are opened. So nothing depends on which messages the system sends about
a change, in which order, and whether one was lost.

* An interface that is down keeps its socket, because mostly it comes back as it was.
* An interface without an address of a group's family is not sent on until it has one, at opening
  as later: its datagrams would come from another interface's address.
* A new IPv6 address cannot be bound to until the system has made sure that nobody else has it.
  Until then it is absent, too. Only where nothing at all could be sent, opening waits for that, as
  whoever has opened a sender wants to send; but not for ever: without a cable it does not end.
* Whatever cannot be had stands among the sockets as something that refuses: so a send needs no
  question about what is there, and what goes nowhere is counted like any refusal.
* A socket that the system refuses to read is replaced after a pause: the error may have passed, and
  Linux takes the port away from a socket that it has aborted (``ss --kill``). Until then it can
  still be sent from.
* Routes are watched only where they matter, as on a router they change all the time: without
  ``interfaces``, and with several, as then the route to a peer chooses between the sockets.

Decision: what is sent meanwhile waits
======================================

To change a thousand sockets takes a tenth of a second, in which other tasks have their turns. In
the middle of it, some sockets are closed and others not open yet. What is sent then waits until all
is done, and so goes out once, through the new sockets. Few sockets are changed without a turn, and
nobody sees that. Planning changes nothing, so that nobody waits for it.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Mapping, Sequence

import attrs
import trio
from trio.lowlevel import enable_ki_protection

from .._follow import Backoff, Follower
from .._host.protocols import Host, McastSocket
from .._live import call_each
from .._plan.route import RouteAnswer
from .._plan.selecting import Directory
from .._plan.sender import Absence, RouteLookup, plan_in_steps, replan_sender
from .._plan.socket_spec import SocketSpec
from .._plan.wanted import SendRequest
from .._values.addresses import Group, IPAddress
from .._values.interface import ALL_INTERFACES, Interface
from .._values.steps import Steps, in_turns
from .replies import Replies
from .sender_sockets import SenderSockets, Wrap
from .stand_ins import Gone, Outlet, Refusing, port_of
from .target_table import TargetTable
from .wants import WantState, states_in_use, wanted_now, watch

# The first and the longest pause before a socket that was refused is opened again; each pause is
# twice as long as the one before. Both are arbitrary. A new IPv6 address can be used after about a
# second.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0

# The steps of planning, opening, comparing or closing before others have their turn. Each takes
# some 10 to 100 us.
_AT_ONCE = 16


@attrs.frozen
class Listeners:
    """The calls that whoever sends through the sockets wants.

    Attributes:
        hold: Called before the sockets change.
        renew: Gives the steps of leading to the new sockets. Until they are done, nothing is sent.
        forget: Called after a look that has changed nothing. Routes to peers may be others then.
    """

    hold: Callable[[], None]
    renew: Callable[[], Steps[None]]
    forget: Callable[[], None]


def _nothing() -> Steps[None]:
    yield from ()


class Outlets:
    """The sockets of a sender.

    Attributes:
        host: The machine that the sockets are on.
        outlets: The sockets, and the stand-ins for sockets that cannot be open now.
        table: The same as values, in the same order.
        replies: The reading of the replies; `None` if the user wants none.
        change: Set when the change of sockets that is under way has ended; `None` if there is none.
            Meanwhile nothing may be sent.
        listeners: What is called when the sockets change.
    """

    def __init__(
        self,
        host: Host,
        request: SendRequest,
        *,
        follows: bool = True,
        wrap: Wrap = lambda socket: socket,
        read: Callable[[Callable[[McastSocket], None]], Replies] | None = None,
        owner: str = "this sender",
    ) -> None:
        """Open nothing yet.

        Args:
            host: The machine that the sockets are to be on.
            request: The request for the sender.
            follows: Whether the sockets are kept in step with the interfaces.
            wrap: Given each new socket; returns what is sent through.
            read: Given what is to be called for a socket that cannot be read; returns what reads
                replies, where that is not the sender itself.
            owner: The sender as its errors call it.
        """
        self.outlets: tuple[Outlet, ...] = ()
        self.table: TargetTable = TargetTable((), (), request.port, owner=owner)
        self.replies: Replies | None = None
        if request.receive_replies:
            self.replies = Replies(host, self._replace) if read is None else read(self._replace)
        self.host = host
        self.change: trio.Event | None = None
        self.listeners: Listeners = Listeners(lambda: None, _nothing, lambda: None)
        self._request = request
        self._follows = follows
        self._follower = Follower(None, host)
        self._sockets = SenderSockets(host, request, wrap, self.replies, self._give_way)
        self._work = 0
        # A look of the opening and one of the following do not meet.
        self._looking = trio.Lock()
        self._want_states: list[WantState] = []
        # When to try again what was refused and might be had later, without anything else changing.
        self._retry_at = math.inf
        self._backoff = _new_backoff()
        self._unreadable_backoff = _new_backoff()
        self._last_unreadable = -math.inf

    async def open(self) -> None:
        """Open all sockets, or none; to be closed in any case.

        Raises:
            SocketSetupError: The system refused a step.
            McastError: The request asks for interfaces that are not there, or not clear.
            ValueError: Groups, interfaces and source address do not go together.
        """
        request, host = self._request, self.host
        # Before the first look: what changes after it is then noticed, too.
        if self._follows:
            self._follower = Follower(watch(host, request), host)
        interfaces = Directory.of(await self._follower.look(anew=True))
        look_up = self._route_lookup(interfaces)
        prefers = host.prefers_temporary
        planning = plan_in_steps(request, interfaces, host.platform, look_up, prefers)
        plan = await in_turns(planning, self._give_way)
        outlets = await self._sockets.open_all(plan.sockets)
        for want, number in plan.wants:
            outlet = outlets[number]
            state = WantState(want, plan.sockets[number], outlet, port_of(outlet))
            self._want_states.append(state)
            await self._give_way()
        for want, socket_spec, absence in plan.absent:
            state = WantState(want, socket_spec, Gone.of(socket_spec, absence), 0)
            self._want_states.append(state)
        if self._sockets.refused:
            self._retry_at = trio.current_time() + self._backoff.next_pause()
        await in_turns(self._publish(interfaces), self._give_way)
        await in_turns(self.listeners.renew(), self._give_way)

    @property
    def waits_for_check(self) -> bool:
        """Whether a socket was refused that can be had once an address has been checked."""
        return self._sockets.refused and any(
            isinstance(outlet, Refusing)
            and outlet.errno == errno.EADDRNOTAVAIL
            and outlet.socket_spec.interface.is_up
            for outlet in self.outlets
        )

    async def look_now(self) -> None:
        """Look at the interfaces before the following has begun; see `follow`."""
        await self._look(anew=True)

    def _route_lookup(self, interfaces: Sequence[Interface]) -> RouteLookup:
        if self._request.selectors is ALL_INTERFACES:
            return lambda address: None  # Where there is no candidate, there is none.
        return lambda address: self.host.find_route(address, interfaces)

    def route_to(self, peer: IPAddress) -> RouteAnswer:
        """Return the way of datagrams to a peer, through the interfaces that are sent on.

        Raises:
            SocketSetupError: The system refused to tell.
        """
        return self.host.find_route(peer, [plan.interface for plan in self.table.sockets])

    @property
    def request(self) -> SendRequest:
        """The groups and interfaces that were asked for."""
        return self._request

    @property
    def open_sockets(self) -> tuple[McastSocket, ...]:
        """The sockets that are open, in the order of the groups and interfaces."""
        return tuple(outlet for outlet in self.outlets if not isinstance(outlet, Refusing))

    def wrap(self, socket: McastSocket) -> McastSocket:
        """Return what is sent through, for another socket of the sender."""
        return self._sockets.wrap(socket)

    @enable_ki_protection
    async def follow(self) -> None:
        """Keep the sockets in step with the interfaces, until closed."""

        async def look() -> None:
            await self._look()

        await self._follower.follow(
            look,
            lambda: self._retry_at,
            _new_backoff(),
            complaint="a sender does not see how the interfaces change: %s",
        )

    def _replace(self, socket: McastSocket) -> None:
        """Have a socket that the system refuses to read replaced after a pause."""
        now = trio.current_time()
        if now - self._last_unreadable > 2 * _LONGEST_PAUSE_SECONDS:
            self._unreadable_backoff.reset()
        self._last_unreadable = now
        self._sockets.unreadable.add(socket)
        self._retry_at = min(self._retry_at, now + self._unreadable_backoff.next_pause())
        self._follower.hurry(self._retry_at)

    async def _look(self, *, anew: bool = False) -> bool:
        """Open and close sockets as the interfaces and routes now require.

        Args:
            anew: Whether the look at the interfaces has to begin now.

        Returns:
            Whether `outlets` or `table` has changed.

        Raises:
            SocketSetupError: The system refused to show its interfaces or routes. Nothing has
                changed.
            trio.ClosedResourceError: The sender was closed meanwhile.
        """
        async with self._looking:
            interfaces = Directory.of(await self._follower.look(anew=anew))
            wanting = wanted_now(self._want_states, self._request, interfaces)
            states = self._want_states = await in_turns(wanting, self._give_way)
            planned = await self._plan_anew(interfaces)
            if self._follower.stale:
                self._backoff.reset()  # What was refused may be had now.
            ports: dict[SocketSpec, int] = {}
            for state, plan in zip(states, planned, strict=True):
                if isinstance(plan, SocketSpec):
                    ports.setdefault(plan, state.port)
                await self._give_way()
            outlets = await self._sockets.serving(ports, self._follower.ended.removed)
            await self._sockets.drain_others(outlets)
            self._follower.check_open()
            self.change = trio.Event()
            try:
                return await self._change(interfaces, planned, ports, outlets)
            finally:
                self.change.set()
                self.change = None

    async def _change(
        self,
        interfaces: Directory,
        planned: Sequence[SocketSpec | Absence],
        ports: Mapping[SocketSpec, int],
        outlets: dict[SocketSpec, Outlet],
    ) -> bool:
        """Carry out a plan, as `_look` does; it cannot be cancelled."""
        self.listeners.hold()
        self._sockets.refused = False
        await self._sockets.carry_out(ports, outlets)
        pause = self._backoff.next_pause() if self._sockets.refused else math.inf
        self._retry_at = trio.current_time() + pause
        for state, plan in zip(self._want_states, planned, strict=True):
            if isinstance(plan, Absence):
                state.outlet = Gone.of(state.socket_spec, plan)
            else:
                outlet, is_new = outlets[plan], outlets[plan] is not state.outlet
                state.socket_spec, state.outlet = plan, outlet
                if is_new or not state.port:  # Asking the system takes a while for hundreds.
                    state.port = port_of(outlet) or state.port
            await self._give_way()
        is_other = await in_turns(self._publish(interfaces), self._give_way)
        if is_other:
            await in_turns(self.listeners.renew(), self._give_way)
        else:
            self.listeners.forget()
        return is_other

    async def _plan_anew(self, interfaces: Directory) -> list[SocketSpec | Absence]:
        """Plan a socket for each want; other tasks run in between."""
        wants = (
            (state.want, state.socket_spec, not isinstance(state.outlet, Refusing))
            for state in self._want_states
        )
        look_up, platform = self._route_lookup(interfaces), self.host.platform
        prefers = self.host.prefers_temporary
        planning = replan_sender(wants, self._request, interfaces, platform, look_up, prefers)
        return await in_turns(planning, self._give_way)

    async def _give_way(self) -> None:
        """Let other tasks run, once in a while; trio.ClosedResourceError if all is closed then.

        Cannot be cancelled while sockets are changed.
        """
        self._work = (self._work + 1) % _AT_ONCE
        if not self._work:
            if self.change is None:
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.cancel_shielded_checkpoint()
            self._follower.check_open()

    async def settled(self) -> None:
        """Wait while sockets are changed; a checkpoint only if it waits."""
        while self.change is not None:
            await self.change.wait()

    def _publish(self, interfaces: Sequence[Interface]) -> Steps[bool]:
        """Set `outlets` and `table` from the states of the wants; return whether they changed."""
        numbers: dict[Outlet, int] = {}
        numbered_groups: dict[tuple[Group, int], None] = {}
        for state in states_in_use(self._want_states, self._request):
            number = numbers.setdefault(state.outlet, len(numbers))
            numbered_groups[state.want.group, number] = None
            yield
        table = TargetTable(
            tuple(outlet.socket_spec for outlet in numbers),
            tuple(numbered_groups),
            self.table.port,
            frozenset(number for outlet, number in numbers.items() if isinstance(outlet, Refusing)),
            frozenset(interface.name for interface in interfaces if interface.name.isdecimal()),
            owner=self.table.owner,
        )
        before = self.outlets, self.table
        self.outlets, self.table = tuple(numbers), table
        return before != (self.outlets, self.table)

    def close(self) -> None:
        """Close everything, and end `follow`. Idempotent."""
        call_each([self._follower.close, self._sockets.close])


def _new_backoff() -> Backoff:
    return Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
