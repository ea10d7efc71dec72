"""The sockets of memberships: opened, changed and closed as the plans and the table say."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import trio

from .._host.protocols import Host, McastSocket
from .._live import raise_together
from .._plan.blocked import fixed_part, source_changes
from .._plan.socket_spec import MembershipPlan, SocketSpec
from .._values.errors import SocketSetupError
from .intake import Intake
from .membership import Event, LiveMembership

# The memberships that are planned, opened, changed or closed before other tasks have their turn.
# Each of that takes some 10 to 100 us.
AT_ONCE = 16

# The pauses before a join is tried again that was refused although nothing is wrong. Few, as each
# failure leaves something behind; and the last one long enough for a macOS that sends its reports
# once a second.
_PAUSES_SECONDS: Final = (0.005, 0.02, 0.08, 0.3, 1.1)


class MembershipSockets:
    """Opens, changes and closes the sockets of the memberships of one receiver."""

    def __init__(self, host: Host, intake: Intake) -> None:
        self._host = host
        self._intake = intake

    # Opening

    async def set_up(self, membership: LiveMembership) -> None:
        """Bring the sockets of a membership in line with the plan; the state tells the outcome.

        Sockets that serve as well as before are kept, so that nothing is lost. A group is received
        whole or not at all; unicast at the addresses at which that is possible. It cannot be
        cancelled.

        Raises:
            trio.ClosedResourceError: The receiver was closed meanwhile.
        """
        try:
            missing = await self._keep_what_serves(membership)
            self._intake.check_open()
            before = len(membership.sockets)
            refusal = await self._open_missing(membership, missing)
            opened = len(membership.sockets) - before
        except BaseException:
            await self.happen(membership, Event.LOST)  # Not refused, but something is wrong.
            raise
        if refusal is None:
            membership.settle()
        else:
            is_group = membership.plan.group is not None
            event = Event.REFUSED if is_group else Event.PARTLY_REFUSED
            had_none = len(membership.sockets) == opened
            await self.happen(membership, event, refusal)
            if had_none and not membership.sockets:
                self.forget_unused([membership])

    def forget_unused(self, memberships: Iterable[LiveMembership]) -> None:
        """Have memberships that never came to be out of the statistics."""
        plans = [membership.plan for membership in memberships]
        self._intake.forget_unused((plan.group, plan.interface.name) for plan in plans)

    async def _keep_what_serves(self, membership: LiveMembership) -> list[SocketSpec]:
        """Close the sockets that the plan has no use for, and return what is still missing."""
        if not membership.sockets:
            return list(membership.plan.sockets)
        missing = {}
        for spec in membership.plan.sockets:  # For unicast there may be thousands.
            missing[fixed_part(spec)] = spec
            await self.give_way()
        for socket in list(membership.sockets):
            await self.give_way()
            part = fixed_part(socket.socket_spec)
            socket_spec = missing.get(part)
            if socket_spec is not None:
                with suppress(SocketSetupError):  # Then a new one will do, or tell why not.
                    self._revise(socket, socket_spec)
                    del missing[part]
                    continue
            # Before another one is opened in its place: else both would get the same datagrams.
            membership.sockets.remove(socket)
            await self._intake.drain_and_close(socket)
        return list(missing.values())

    async def _open_missing(
        self, membership: LiveMembership, missing: Iterable[SocketSpec]
    ) -> SocketSetupError | None:
        """Open sockets, and return the first refusal; other tasks run in between."""
        first: SocketSetupError | None = None
        for number, socket_spec in enumerate(missing):
            if number:
                await self.give_way()
                self._intake.check_open()
            try:
                socket = self._open(socket_spec)
                membership.sockets.append(socket)
                if socket.pending:
                    await self._join_again(socket)
            except SocketSetupError as refusal:
                first = first or refusal
                if socket_spec.group is not None:
                    break
        return first

    async def _join_again(self, socket: McastSocket) -> None:
        """Carry out the pending joins of a socket. Cannot be cancelled.

        Raises:
            SocketSetupError: They were refused to the end.
            trio.ClosedResourceError: The receiver was closed meanwhile.
        """
        passing = self._host.platform.passing_join_errors[socket.socket_spec.family]
        pauses = iter(_PAUSES_SECONDS)
        with trio.CancelScope(shield=True):
            while True:
                await trio.sleep(next(pauses))
                self._intake.check_open()
                before = socket.pending
                refusal = self._join_pending(socket)
                if refusal is None:
                    return
                if len(socket.pending) < len(before):
                    pauses = iter(_PAUSES_SECONDS)  # The next one may need as long.
                if refusal.errno not in passing or not operator.length_hint(pauses):
                    raise refusal

    def _join_pending(self, socket: McastSocket) -> SocketSetupError | None:
        """Carry out pending joins, and return the first refusal."""
        while socket.pending:
            try:
                socket.revise(socket.socket_spec, socket.pending[:1])
            except SocketSetupError as refusal:
                return refusal
            socket.pending = socket.pending[1:]
        return None

    def _open(self, socket_spec: SocketSpec) -> McastSocket:
        socket = self._host.open_socket(socket_spec)
        try:
            self._intake.add(socket)
        except BaseException:
            socket.close()
            raise
        return socket

    # Closing

    async def happen(
        self, membership: LiveMembership, event: Event, error: SocketSetupError | None = None
    ) -> None:
        """Have an event happen to a membership, and close the sockets if the table says so.

        It cannot be cancelled.
        """
        if membership.happen(event, error).closes_sockets:
            await self._close_all([membership])

    async def happen_to_all(self, memberships: Iterable[LiveMembership], event: Event) -> None:
        """Have an event happen to memberships: at once to the states, then to the sockets.

        It cannot be cancelled.
        """
        await self._close_all(
            [membership for membership in memberships if membership.happen(event).closes_sockets]
        )

    async def _close_all(self, memberships: Sequence[LiveMembership]) -> None:
        """Close the sockets of memberships; datagrams that have come already are delivered."""
        failures: list[BaseException] = []
        for membership in reversed(memberships):  # As `InterfaceReader.close` does, and why.
            while membership.sockets:
                try:
                    await self._intake.drain_and_close(membership.sockets.pop(0))
                except BaseException as error:
                    failures.append(error)
        if failures:
            raise_together(failures)

    def close_unreadable(
        self, membership: LiveMembership | None, socket: McastSocket, error: SocketSetupError
    ) -> None:
        """Close a socket that the system refuses to read: the membership has failed.

        Datagrams that have come to the other sockets of the membership are delivered.
        """
        self._intake.close_socket(socket)
        if membership is not None:
            membership.happen(Event.UNREADABLE, error)
            membership.sockets.remove(socket)
            while membership.sockets:
                self._intake.drain_and_close_soon(membership.sockets.pop())

    async def give_way(self) -> None:
        """Let other tasks run if they have not for a while. Cannot be cancelled."""
        await self._intake.give_way()

    def look_for_drops(self) -> None:
        """See whether the kernel has dropped datagrams, of some of the sockets in turn."""
        self._intake.look_for_drops()

    # Other sources

    def _revise(self, socket: McastSocket, socket_spec: SocketSpec) -> None:
        socket.revise(
            socket_spec, source_changes(socket.socket_spec, socket_spec, self._host.platform)
        )

    def change_sources(self, membership: LiveMembership, plan: MembershipPlan) -> None:
        """Carry out a plan that differs in the excluded sources only.

        Raises:
            SocketSetupError: The system refused; some of it may be done.
        """
        membership.plan = plan
        for socket, socket_spec in _pairs(membership):
            self._revise(socket, socket_spec)

    def restore_sources(self, membership: LiveMembership, plan: MembershipPlan) -> None:
        """Undo `change_sources`, however far that got.

        Args:
            membership: The membership.
            plan: The plan from before.
        """
        changed = {fixed_part(spec): spec for spec in membership.plan.sockets}
        membership.plan = plan
        for socket, socket_spec in _pairs(membership):
            target = changed[fixed_part(socket_spec)]
            for option in source_changes(target, socket_spec, self._host.platform):
                with suppress(SocketSetupError):  # It had not been done.
                    socket.revise(socket_spec, [option])
            socket.revise(socket_spec, [])


def _pairs(membership: LiveMembership) -> Iterator[tuple[McastSocket, SocketSpec]]:
    """Yield the sockets of a membership, each with its part of the plan."""
    socket_specs = {fixed_part(spec): spec for spec in membership.plan.sockets}
    for socket in membership.sockets:
        yield socket, socket_specs[fixed_part(socket.socket_spec)]


def can_change_to(membership: LiveMembership, plan: MembershipPlan) -> bool:
    """Tell whether `MembershipSockets.change_sources` can carry out a plan."""
    planned = {fixed_part(spec) for spec in plan.sockets}
    return all(fixed_part(socket.socket_spec) in planned for socket in membership.sockets)
