"""One membership of a receiver, and the table of its states.

Decision: a table of states, and one way to change them
=======================================================

A membership can be refused, lose its interface, get a new plan and be left, in any order, and a
branch for each case is soon wrong in one of them. So all that can happen is an `Event`, and
`TRANSITIONS` says what each event makes of a membership in each state. Only `LiveMembership.happen`
changes a state, and only as the table says. An event that the table does not have raises: whoever
sends it has a bug.

* ``"joined"``: the sockets are open, and the interface is up.
* ``"waiting"``: nothing is to be done until something changes about the interface. There may be
  sockets only while that is down, when nothing can come: Linux keeps what was joined. On a port of
  a bridge, bond or team there are none, as all that arrives goes to the master.
* ``"failed"``: the system refused something. It is tried again after a pause, which gets longer
  each time, and at once when something changes about the interface.
* ``"left"``: the end. The sockets are closed, and nothing happens any more. A program never sees
  this state, as a membership that was left is no longer among those of the receiver.

The first three are the states that a program sees. What is joined may be refused later, and what
is refused may lose its interface: so every event may happen in each of the three, and leads from
each to the same state. What comes of an event depends on the event, not on what was before; that
is why nothing of the past has to be remembered to set a membership right.
"""

from __future__ import annotations

import enum
import errno
import logging
import math
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import attrs
import trio

from .._follow import Backoff
from .._host.protocols import Ended, McastSocket
from .._plan.selecting import is_port
from .._plan.socket_spec import MembershipPlan
from .._plan.wanted import ReceiveRequest
from .._values.errors import SocketSetupError, printable
from .._values.interface import Interface, families_without_room

logger = logging.getLogger("trio_mcast")

# From the first to the longest pause between two attempts at a join that is refused. Both are
# arbitrary.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 30.0


@attrs.frozen
class Membership:
    """A group on an interface, and how it stands."""

    group: str | None
    """The group, as text; `None` stands for unicast to the interface's own addresses, with
    ``accept_unicast``.
    """
    interface: Interface = attrs.field(repr=str)
    """The interface, as it was when the receiver last looked at it. An interface that was named and
    does not exist has the index 0, and its name is what it was named by.
    """
    sources: tuple[str, ...]
    """The only sources that are received, as text; empty for any source."""
    excluded_sources: tuple[str, ...]
    """The sources that are left out."""
    state: Literal["joined", "waiting", "failed"]
    """``"joined"``; ``"waiting"`` while the interface does not exist, is down, is a port of a
    bridge, bond or team, or is not fit where none was named; ``"failed"`` if the system refused it.
    While it waits, nothing is delivered. It becomes ``"joined"`` by itself as soon as
    that is possible, unless the receiver was opened with ``follow_interfaces=False``.
    """
    error: SocketSetupError | None = None
    """Why it failed, or what to do where an interface that was named is a port; else `None`."""


class Event(enum.Enum):
    """Something that happens to a membership."""

    COMPLETE = "there is a socket for all that the plan has, and the interface is up"
    NO_INTERFACE = "there is nothing else to open: the interface is down, no more, or a port"
    LOST = "what was joined has ended: the interface has gone, is another one, or is a port"
    UNWANTED = "the plans have it no longer, as the interface that nobody named is down"
    UNFIT = "the plans have it no longer, as the interface that nobody named is up and not fit now"
    REFUSED = "the system refused a socket of a group, which is received whole or not at all"
    PARTLY_REFUSED = "the system refused a socket for unicast; other addresses may have theirs"
    UNREADABLE = "the system refuses to read one of the sockets"
    LEFT = "the program left it, or the joining of it was undone, or it is forgotten"


State: TypeAlias = Literal["joined", "waiting", "failed", "left"]

# The states that a program sees.
SEEN_STATES: Final = ("joined", "waiting", "failed")

# States as they are logged, without an error: of thousands of memberships, most have the same.
_WITHOUT_ERROR: Final[Mapping[State, tuple[State, str]]] = {
    "joined": ("joined", ""),
    "waiting": ("waiting", ""),
    "failed": ("failed", ""),
    "left": ("left", ""),
}


@attrs.frozen
class Transition:
    """The outcome of an event.

    Attributes:
        state: The state from now on.
        closes_sockets: Whether the sockets are to be closed.
        retries: Whether there is to be another attempt after a pause. If not, the next refusal
            begins with the first pause.
    """

    state: State
    closes_sockets: bool = False
    retries: bool = False


_WHILE_IT_LASTS: Final[Mapping[Event, Transition]] = {
    Event.COMPLETE: Transition("joined"),
    Event.NO_INTERFACE: Transition("waiting"),
    Event.LOST: Transition("waiting", closes_sockets=True),
    Event.UNWANTED: Transition("waiting"),
    Event.UNFIT: Transition("waiting", closes_sockets=True),
    Event.REFUSED: Transition("failed", closes_sockets=True, retries=True),
    Event.PARTLY_REFUSED: Transition("failed", retries=True),
    Event.UNREADABLE: Transition("failed", closes_sockets=True, retries=True),
    Event.LEFT: Transition("left", closes_sockets=True),
}

TRANSITIONS: Final[Mapping[State, Mapping[Event, Transition]]] = {
    "joined": _WHILE_IT_LASTS,
    "waiting": _WHILE_IT_LASTS,
    "failed": _WHILE_IT_LASTS,
    "left": {},
}


@attrs.define(eq=False)
class LiveMembership:
    """A membership of a receiver that runs: the plan, the sockets, the state.

    Attributes:
        plan: The sockets that there should be.
        request_number: The number of the request that the membership comes of.
        is_unnamed: Whether nobody named the interface, and all that are fit are meant.
        state: One of the states above.
        error: The refusal, if it has failed.
        sockets: The sockets that there are.
        retry_at: The time of the next attempt, by Trio's clock.
    """

    plan: MembershipPlan
    request_number: int
    is_unnamed: bool
    state: State = "waiting"
    error: SocketSetupError | None = None
    sockets: list[McastSocket] = attrs.field(factory=list)
    retry_at: float = math.inf
    # The state and the error that were logged last.
    _logged: tuple[State | None, str] = (None, "")
    # Made when first wanted: mostly nothing is refused.
    _backoff: Backoff | None = None

    @classmethod
    def from_plan(cls, plan: MembershipPlan, request: ReceiveRequest) -> LiveMembership:
        """Make a membership that has no sockets yet."""
        return cls(plan, request.number, request.is_unnamed(plan))

    def happen(self, event: Event, error: SocketSetupError | None = None) -> Transition:
        """Change the state as the table says.

        Args:
            event: What has happened.
            error: The refusal, for an event that is one.

        Returns:
            The transition. Closing the sockets is up to the caller.

        Raises:
            RuntimeError: The table does not have this event in this state.
        """
        transition = TRANSITIONS[self.state].get(event)
        if transition is None:
            raise RuntimeError(f"{event} cannot happen to a membership that is {self.state}")
        self.state, self.error = transition.state, error
        if transition.retries:
            self.retry_at = trio.current_time() + self.backoff.next_pause()
        else:
            self.retry_at = math.inf
            self.begin_anew()
        return transition

    @property
    def backoff(self) -> Backoff:
        """The pauses between attempts."""
        if self._backoff is None:
            self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        return self._backoff

    def begin_anew(self) -> None:
        """Have the next refusal begin with the first pause."""
        self._backoff = None

    def settle(self) -> None:
        """Take the state of a membership whose plan is carried out."""
        complete = self.sockets and self.plan.interface.is_up
        error = _port_error(self.plan) if is_port(self.plan.interface) else None
        self.happen(Event.COMPLETE if complete else Event.NO_INTERFACE, error)

    def has_lost(self, interface: Interface | None, ended: Ended) -> bool:
        """Tell whether the system has ended what was joined, or may have.

        Args:
            interface: The interface that has the index of the membership's now.
            ended: What the system told of ends.
        """
        before = self.plan.interface
        if interface is None or interface.name != before.name:
            return True
        if ended.unknown and self.plan.group is not None:
            return True
        if before.mtu == interface.mtu and not ended.families:
            return False
        without = families_without_room(before.mtu) ^ families_without_room(interface.mtu)
        return any(
            socket.socket_spec.family in without
            or (interface.index, socket.socket_spec.family) in ended.families
            for socket in self.sockets
        )

    def describe(self) -> Membership:
        """Return the membership as a program sees it."""
        assert self.state != "left"
        plan = self.plan
        return Membership(
            plan.group,
            plan.interface,
            plan.sources,
            plan.excluded_sources,
            self.state,
            self.error,
        )

    def log(self) -> None:
        """Log the state and the error, unless they are what was logged last."""
        if self._logged == self._loggable():
            return
        self.skip_log()
        if self.error is not None:
            logger.warning("%s", self.error)
        else:
            logger.info("%s on interface %s is %s", self._subject, self.plan.interface, self.state)

    def log_return(self) -> None:
        """Log that a membership was lost, if it is joined once more."""
        if self.state == "joined":
            logger.info(
                "%s on interface %s is joined again: the system has ended it, or may have",
                self._subject,
                self.plan.interface,
            )

    @property
    def _subject(self) -> str:
        return "unicast" if self.plan.group is None else f"group {self.plan.group}"

    def skip_log(self) -> None:
        """Count the state and the error as logged, as somebody else logs or knows both."""
        self._logged = self._loggable()

    def _loggable(self) -> tuple[State, str]:
        return _WITHOUT_ERROR[self.state] if self.error is None else (self.state, str(self.error))


def _port_error(plan: MembershipPlan) -> SocketSetupError:
    """Return the error that says why nothing is received on a port, and what to name instead."""
    interface, master = plan.interface, printable(str(plan.interface.master))
    # All bridges of Open vSwitch share this one, which is no interface to receive on.
    if master == "ovs-system":
        advice = "name the internal port of its Open vSwitch bridge, mostly called as the bridge"
    else:
        advice = f"name {master!r} instead"
    return SocketSetupError(
        errno.EBUSY,
        f"group {plan.group} waits: interface {interface} is a port of {master}, which takes all "
        f"that arrives there; {advice}, or take {interface} out",
        step="MCAST_JOIN_GROUP",
        group=plan.group,
        interface=interface.name,
    )
