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

Decision: close first, then open
================================

A new socket mostly takes the port of the old one, so that answers still find the sender. Two
sockets cannot have it at once.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterable, Sequence

import attrs
import trio
from trio.lowlevel import enable_ki_protection

from .._follow import Backoff, Follower
from .._host.descriptors import raise_with_needed
from .._host.protocols import Host, McastSocket
from .._live import call_each
from .._plan.route import RouteAnswer
from .._plan.sender import Absence, RouteLookup, plan_sender, replan_sender
from .._plan.socket_spec import BindAddress, SocketSpec
from .._plan.wanted import SendRequest
from .._platform.advice import is_address_lacking
from .._values.addresses import IPAddress
from .._values.errors import SocketSetupError
from .._values.interface import ALL_INTERFACES, Interface
from .replies import Replies
from .serving import find_serving
from .stand_ins import Gone, Outlet, Refusing, port_of, refused
from .target_table import TargetTable
from .wants import WantState, states_in_use, wanted_now, watch

# The first and the longest pause before a socket that was refused is opened again; each pause is
# twice as long as the one before. Both are arbitrary. A new IPv6 address can be used after about a
# second.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0

# The sockets that are planned or compared before other tasks have their turn: each takes some 10 to
# 100 us.
_AT_ONCE = 16


class Outlets:
    """The sockets of a sender.

    Attributes:
        host: The machine that the sockets are on.
        outlets: The sockets, and the stand-ins for sockets that cannot be open now.
        table: The same as values, in the same order.
        replies: The reading of the replies; `None` if the user wants none.
        wrap: Given each new socket, returns what is sent through.
    """

    def __init__(
        self,
        host: Host,
        request: SendRequest,
        *,
        follows: bool = True,
        wrap: Callable[[McastSocket], McastSocket] = lambda socket: socket,
        read: Callable[[Callable[[McastSocket], None]], Replies] | None = None,
    ) -> None:
        """Open all sockets, or none.

        Args:
            host: The machine that the sockets are to be on.
            request: The request for the sender.
            follows: Whether the sockets are kept in step with the interfaces.
            wrap: Given each new socket; returns what is sent through.
            read: Given what is to be called for a socket that cannot be read; returns what reads
                replies, where that is not the sender itself.

        Raises:
            SocketSetupError: The system refused a step.
            McastError: The request asks for interfaces that are not there, or not clear.
            ValueError: Groups, interfaces and source address do not go together.
        """
        self.outlets: tuple[Outlet, ...] = ()
        self.table: TargetTable = TargetTable((), (), request.port)
        self.replies: Replies | None = None
        if request.receive_replies:
            self.replies = Replies(host, self._replace) if read is None else read(self._replace)
        self.host = host
        self._request = request
        self._follower = Follower(None, host)
        self.wrap = wrap
        self._want_states: list[WantState] = []
        self._open: list[McastSocket] = []
        # Whether a socket was refused that might be had later, without anything else changing; and
        # when to try again.
        self._refused = False
        self._retry_at = math.inf
        self._backoff = _new_backoff()
        # The sockets that the system refuses to read: each is replaced after a pause.
        self._unreadable: set[McastSocket] = set()
        self._unreadable_backoff = _new_backoff()
        self._last_unreadable = -math.inf
        try:
            # Before the first look: what changes after it is then noticed, too.
            if follows:
                self._follower = Follower(watch(host, request), host)
            interfaces = host.list_interfaces()
            plan = plan_sender(request, interfaces, host.platform, self._route_lookup(interfaces))
            try:
                outlets = [self._open_first(socket_spec) for socket_spec in plan.sockets]
            except SocketSetupError as error:
                raise_with_needed(error, len(plan.sockets))
            self._want_states = [
                WantState(want, plan.sockets[number], outlets[number], port_of(outlets[number]))
                for want, number in plan.wants
            ]
            self._want_states += [
                WantState(want, socket_spec, Gone.of(socket_spec, absence), 0)
                for want, socket_spec, absence in plan.absent
            ]
            if self._refused:
                self._retry_at = trio.current_time() + self._backoff.next_pause()
            self._publish(interfaces)
        except BaseException:
            self.close()
            raise

    @property
    def waits_for_check(self) -> bool:
        """Whether a socket was refused that can be had once an address has been checked."""
        return self._refused and any(
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

    @enable_ki_protection
    async def follow(self, changed: Callable[[], None], unchanged: Callable[[], None]) -> None:
        """Keep the sockets in step with the interfaces, until closed.

        Args:
            changed: Called whenever `outlets` and `table` have changed.
            unchanged: Called after each other look. Routes to peers may be others then.
        """

        async def look() -> None:
            if await self._look():
                changed()
            else:
                unchanged()

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
        self._unreadable.add(socket)
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
        interfaces = await self._follower.look(anew=anew)
        self._want_states = wanted_now(self._want_states, self._request, interfaces)
        planned = await self._plan_anew(interfaces)
        if self._follower.stale:
            self._backoff.reset()  # What was refused may be had now.
        self._refused = False
        ports: dict[SocketSpec, int] = {}
        for state, plan in zip(self._want_states, planned, strict=True):
            if isinstance(plan, SocketSpec):
                ports.setdefault(plan, state.port)
        outlets = await self._serving(ports)
        await self._drain_others(outlets)
        self._carry_out(ports, outlets)
        pause = self._backoff.next_pause() if self._refused else math.inf
        self._retry_at = trio.current_time() + pause
        for state, plan in zip(self._want_states, planned, strict=True):
            if isinstance(plan, Absence):
                state.outlet = Gone.of(state.socket_spec, plan)
            else:
                outlet, is_new = outlets[plan], outlets[plan] is not state.outlet
                state.socket_spec, state.outlet = plan, outlet
                if is_new or not state.port:  # Asking the system takes a while for hundreds.
                    state.port = port_of(outlet) or state.port
        return self._publish(interfaces)

    async def _plan_anew(self, interfaces: Sequence[Interface]) -> list[SocketSpec | Absence]:
        """Plan a socket for each want; other tasks run in between."""
        planned: list[SocketSpec | Absence] = []
        states = self._want_states
        for start in range(0, len(states), _AT_ONCE):
            wants = [
                (state.want, state.socket_spec, not isinstance(state.outlet, Refusing))
                for state in states[start : start + _AT_ONCE]
            ]
            look_up = self._route_lookup(interfaces)
            request, platform = self._request, self.host.platform
            planned += replan_sender(wants, request, interfaces, platform, look_up)
            if start:
                await self._give_way()
        return planned

    async def _serving(self, socket_specs: Iterable[SocketSpec]) -> dict[SocketSpec, Outlet]:
        """Return the open sockets that carry out plans already; other tasks run in between."""
        removed = self._follower.ended.removed
        usable = [
            socket
            for socket in self._open
            if socket not in self._unreadable and socket.socket_spec.interface.index not in removed
        ]
        outlets: dict[SocketSpec, Outlet] = {}
        for number, (socket_spec, socket) in enumerate(find_serving(socket_specs, usable), 1):
            if socket is not None:
                outlets[socket_spec] = socket
            if not number % _AT_ONCE:
                await self._give_way()
        return outlets

    def _others(self, outlets: dict[SocketSpec, Outlet]) -> list[McastSocket]:
        """Return the open sockets that are not among some."""
        stay = set(map(id, outlets.values()))
        return [socket for socket in self._open if id(socket) not in stay]

    async def _drain_others(self, outlets: dict[SocketSpec, Outlet]) -> None:
        """Read the replies on the sockets that are to be closed; they are sent from meanwhile."""
        if self.replies is not None:
            for socket in self._others(outlets):
                await self.replies.drain(socket)
            self._follower.check_open()

    async def _give_way(self) -> None:
        """Let other tasks run. trio.ClosedResourceError if all is closed then."""
        await trio.lowlevel.checkpoint()
        self._follower.check_open()

    def _carry_out(self, ports: dict[SocketSpec, int], outlets: dict[SocketSpec, Outlet]) -> None:
        """Close the sockets that serve no longer, and add to the others what is missing.

        Args:
            ports: The plans, each with the port that a new socket is to have if that is free.
            outlets: The sockets that carry out plans already.
        """
        for socket_spec, outlet in list(outlets.items()):
            before = outlet.socket_spec
            if outlet in self._unreadable:
                del outlets[socket_spec]
            elif before.interface != socket_spec.interface and not isinstance(outlet, Refusing):
                outlet.revise(attrs.evolve(before, interface=socket_spec.interface), ())
        for socket in self._others(outlets):
            self._close_socket(socket)
        for socket_spec, port in ports.items():
            if socket_spec not in outlets:
                try:
                    outlets[socket_spec] = self._open_again(socket_spec, port)
                except SocketSetupError as error:
                    outlets[socket_spec] = refused(socket_spec, error)
                    self._refused = True

    def _open_again(self, socket_spec: SocketSpec, port: int) -> McastSocket:
        """Open a socket, on the port of the one before if that is free."""
        if not self._request.source_port:
            bind: BindAddress = (socket_spec.bind[0], port, *socket_spec.bind[2:])
            try:
                return self._open_socket(attrs.evolve(socket_spec, bind=bind))
            except SocketSetupError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        return self._open_socket(socket_spec)

    def _open_first(self, socket_spec: SocketSpec) -> Outlet:
        """Open a socket at opening; what stands for it, if its address cannot be used yet."""
        try:
            return self._open_socket(socket_spec)
        except SocketSetupError as error:
            if not is_address_lacking(error):
                raise
            self._refused = True
            return refused(socket_spec, error)

    def _open_socket(self, socket_spec: SocketSpec) -> McastSocket:
        socket = self.wrap(self.host.open_socket(socket_spec))
        try:
            if self.replies is not None:
                self.replies.add(socket)
        except BaseException:
            socket.close()
            raise
        self._open.append(socket)
        return socket

    def _close_socket(self, socket: McastSocket) -> None:
        self._unreadable.discard(socket)
        if self.replies is not None:
            self.replies.close_socket(socket)
        else:
            socket.close()
        self._open.remove(socket)  # Not if that has failed: the next look tries again.

    def _publish(self, interfaces: Sequence[Interface]) -> bool:
        """Set `outlets` and `table` from the states of the wants; return whether they changed."""
        numbers: dict[Outlet, int] = {}
        numbered_groups = {
            (state.want.group, numbers.setdefault(state.outlet, len(numbers))): None
            for state in states_in_use(self._want_states, self._request)
        }
        table = TargetTable(
            tuple(outlet.socket_spec for outlet in numbers),
            tuple(numbered_groups),
            self.table.port,
            frozenset(number for outlet, number in numbers.items() if isinstance(outlet, Refusing)),
            frozenset(interface.name for interface in interfaces if interface.name.isdecimal()),
        )
        before = self.outlets, self.table
        self.outlets, self.table = tuple(numbers), table
        return before != (self.outlets, self.table)

    def close(self) -> None:
        """Close everything, and end `follow`. Idempotent."""
        replies = [] if self.replies is None else [self.replies.close]
        sockets = [socket.close for socket in self._open]
        call_each([self._follower.close, *replies, *sockets])


def _new_backoff() -> Backoff:
    return Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
