"""One membership of a receiver: its plan, its sockets, and how it stands."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal, TypeAlias

import attrs
import trio

from .._follow import Backoff
from .._host.protocols import Host, McastSocket
from .._plan.blocked import fixed_part, source_changes
from .._plan.socket_spec import MembershipPlan, SocketSpec
from .._plan.wanted import ReceiveRequest
from .._values.errors import SocketSetupError
from .._values.interface import Interface
from .intake import Intake

logger = logging.getLogger("trio_mcast")

# From one attempt at a join that was refused to the next: twice as long each time. When something
# changes about its interface, it is tried at once. Both bounds are arbitrary.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 30.0

# RFC 8200 section 5. When an interface's mtu falls below it, Linux takes IPv6 off the interface,
# and with it every membership; they do not come back with the mtu (measured on 6.18).
_LEAST_IPV6_MTU = 1_280

State: TypeAlias = Literal["joined", "waiting", "failed"]


@attrs.define(eq=False)
class Member:
    """A membership, and the sockets that it has."""

    plan: MembershipPlan
    # The number of the request that it comes of.
    request: int
    # Whether nobody named its interface: it is there because the interface is.
    unnamed: bool
    state: State = "waiting"
    error: SocketSetupError | None = None
    sockets: list[McastSocket] = attrs.field(factory=list)
    retry_at: float = math.inf
    backoff: Backoff = attrs.field(
        factory=lambda: Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
    )
    # What was logged last.
    _told: tuple[str, str] = ("", "")

    @classmethod
    def of(cls, plan: MembershipPlan, request: ReceiveRequest) -> Member:
        return cls(plan, request.number, request.is_unnamed(plan))

    def tell(self) -> None:
        """Log how it stands, unless that is what was logged last."""
        told = (self.state, str(self.error or ""))
        if told == self._told:
            return
        self._told = told
        if self.error is not None:
            logger.warning("%s", self.error)
        else:
            what = "unicast" if self.plan.group is None else f"group {self.plan.group}"
            logger.info("%s on interface %s is %s", what, self.plan.interface, self.state)

    def tell_nothing(self) -> None:
        """How it stands is known to who asked for it, or was logged."""
        self._told = (self.state, str(self.error or ""))

    def wait(self) -> None:
        """There is nothing to be done until something about its interface changes."""
        self.state, self.error = "waiting", None
        self.retry_at = math.inf
        self.backoff.reset()

    def set_up(self) -> None:
        """It has what it needs."""
        self.wait()
        if self.sockets and self.plan.interface.is_up:
            self.state = "joined"

    def fail(self, error: SocketSetupError) -> None:
        """It was refused, or a socket cannot be read: it is to be tried again later."""
        self.retry_at = trio.current_time() + self.backoff.next_pause()
        self.state, self.error = "failed", error

    def has_lost(self, interface: Interface | None) -> bool:
        """Whether the system has ended what it has, given what its index means now."""
        was = self.plan.interface
        if interface is None or interface.name != was.name:
            return True
        fell_or_rose = _has_room_for_ipv6(was) != _has_room_for_ipv6(interface)
        return fell_or_rose and any(socket.spec.family == "ipv6" for socket in self.sockets)


def _has_room_for_ipv6(interface: Interface) -> bool:
    return not 0 < interface.mtu < _LEAST_IPV6_MTU  # 0: unknown


class MemberSockets:
    """Opens, changes and closes the sockets of memberships."""

    def __init__(self, host: Host, intake: Intake) -> None:
        self._host = host
        self._intake = intake

    def set_up(self, member: Member) -> None:
        """Bring the sockets of a membership in line with its plan; its state tells how that went.

        Those that serve it as well as before are kept, so that nothing is lost. A group is received
        whole or not at all; unicast at the addresses at which that is possible.
        """
        try:
            missing = self._keep_what_serves(member)
            error = None
            for spec in missing:
                try:
                    self._add(member, spec)
                except SocketSetupError as refusal:
                    error = error or refusal
                    if spec.group is not None:
                        break
        except BaseException:
            self.close(member)
            raise
        if error is None:
            member.set_up()
            return
        if member.plan.group is not None:
            self.close(member)
        member.fail(error)

    def _keep_what_serves(self, member: Member) -> list[SocketSpec]:
        """Close the sockets that the plan has no use for; what is missing then."""
        missing = {fixed_part(spec): spec for spec in member.plan.sockets}
        for socket in list(member.sockets):
            part = fixed_part(socket.spec)
            spec = missing.get(part)
            if spec is not None:
                with suppress(SocketSetupError):  # Then a new one will do, or tell why not.
                    self._revise(socket, spec)
                    del missing[part]
                    continue
            # Before another one is opened in its place: else both would get the same datagrams.
            member.sockets.remove(socket)
            self._intake.retire(socket)
        return list(missing.values())

    def _add(self, member: Member, spec: SocketSpec) -> None:
        socket = self._host.open_socket(spec)
        try:
            self._intake.add(socket)
        except BaseException:
            socket.close()
            raise
        member.sockets.append(socket)

    def _revise(self, socket: McastSocket, spec: SocketSpec) -> None:
        socket.revise(spec, source_changes(socket.spec, spec, self._host.platform))

    def close(self, member: Member) -> None:
        """Close the sockets of a membership; what has come to them is delivered all the same."""
        for socket in member.sockets:
            self._intake.retire(socket)
        member.sockets.clear()

    def discard(self, socket: McastSocket) -> None:
        """Close a socket that cannot be read."""
        self._intake.discard(socket)

    def change_sources(self, member: Member, plan: MembershipPlan) -> None:
        """Carry out a plan that differs in the excluded sources only.

        Raises:
            SocketSetupError: The system refused; some of it may be done.
        """
        member.plan = plan
        for socket, spec in _pairs(member):
            self._revise(socket, spec)

    def restore_sources(self, member: Member, plan: MembershipPlan) -> None:
        """Undo `change_sources`, however far it got."""
        changed = {fixed_part(spec): spec for spec in member.plan.sockets}
        member.plan = plan
        for socket, spec in _pairs(member):
            target = changed[fixed_part(spec)]
            for option in source_changes(target, spec, self._host.platform):
                with suppress(SocketSetupError):  # It had not been done.
                    socket.revise(spec, [option])
            socket.revise(spec, [])


def _pairs(member: Member) -> Iterator[tuple[McastSocket, SocketSpec]]:
    """The sockets of a membership, and what its plan has for each."""
    specs = {fixed_part(spec): spec for spec in member.plan.sockets}
    for socket in member.sockets:
        yield socket, specs[fixed_part(socket.spec)]


def can_change_to(member: Member, plan: MembershipPlan) -> bool:
    """Whether `MemberSockets.change_sources` can carry out a plan."""
    there = {fixed_part(spec) for spec in plan.sockets}
    return all(fixed_part(socket.spec) in there for socket in member.sockets)


@attrs.frozen
class Membership:
    """A group on an interface, and how it stands.

    Attributes:
        group: The group, as text; `None` stands for unicast to the interface's own addresses, with
            ``accept_unicast``.
        interface: The interface, as it was when it was last looked at. One that was named and does
            not exist has the index 0, and what it was named by as its name.
        sources: The only sources that are received, as text; empty for any source.
        excluded_sources: The sources that are left out.
        state: ``"joined"``; or ``"waiting"`` while the interface does not exist or is down; or
            ``"failed"`` if the system refused it. The last two become ``"joined"`` by themselves as
            soon as that is possible, unless the receiver was opened with
            ``follow_interfaces=False``.
        error: Why it failed; else `None`.
    """

    group: str | None
    interface: Interface
    sources: tuple[str, ...]
    excluded_sources: tuple[str, ...]
    state: Literal["joined", "waiting", "failed"]
    error: SocketSetupError | None = None


def _describe(member: Member) -> Membership:
    plan = member.plan
    return Membership(
        plan.group,
        plan.interface,
        plan.sources,
        plan.excluded_sources,
        member.state,
        member.error,
    )
