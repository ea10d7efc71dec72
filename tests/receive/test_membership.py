"""The table of a membership's states, and a membership that follows it."""

from __future__ import annotations

import logging
import math
from typing import cast, get_args

import attrs
import pytest
import trio
from trio.testing import MockClock

from trio_mcast import Interface, SocketSetupError
from trio_mcast._host.protocols import McastSocket
from trio_mcast._plan.socket_spec import MembershipPlan
from trio_mcast._receive.membership import TRANSITIONS, Event, LiveMembership, State

ETH0 = Interface(name="eth0", index=2, is_up=True, is_multicast=True)
PLAN = MembershipPlan("239.1.2.3", ETH0, (), (), ())
REFUSAL = SocketSetupError(98, "refused", step="bind", group="239.1.2.3", interface="eth0")
SOCKET = cast(McastSocket, object())

REFUSALS = {Event.REFUSED, Event.PARTLY_REFUSED, Event.UNREADABLE}
OTHERS = [Event.COMPLETE, Event.NO_INTERFACE, Event.LOST, Event.UNWANTED, Event.UNFIT]
# An event that leads to each state.
LEADS_TO: dict[State, Event] = {
    "joined": Event.COMPLETE,
    "waiting": Event.NO_INTERFACE,
    "failed": Event.REFUSED,
    "left": Event.LEFT,
}


def error_of(event: Event) -> SocketSetupError | None:
    return REFUSAL if event in REFUSALS else None


def membership_in(state: State) -> LiveMembership:
    membership = LiveMembership(PLAN, request_number=0, is_unnamed=False)
    membership.happen(LEADS_TO[state], error_of(LEADS_TO[state]))
    return membership


async def test_table_has_every_state_and_is_followed() -> None:
    assert set(TRANSITIONS) == set(get_args(State))
    for state, transitions in TRANSITIONS.items():
        for event, transition in transitions.items():
            membership = membership_in(state)
            assert membership.happen(event, error_of(event)) is transition
            assert membership.state == transition.state
            assert (membership.error is None) == (transition.state != "failed")
            assert (membership.retry_at == math.inf) == (not transition.retries)


@pytest.mark.parametrize("event", Event)
async def test_nothing_happens_to_a_membership_that_was_left(event: Event) -> None:
    membership = membership_in("left")
    with pytest.raises(RuntimeError, match=f"{event} cannot happen .* that is left"):
        membership.happen(event, error_of(event))
    assert membership.state == "left"


@pytest.mark.parametrize("event", OTHERS)
async def test_pauses_grow_until_something_else_happens(
    event: Event, autojump_clock: MockClock
) -> None:
    membership = membership_in("waiting")
    pauses = []
    for _ in range(3):
        membership.happen(Event.REFUSED, REFUSAL)
        pauses.append(membership.retry_at - trio.current_time())
    membership.happen(event)
    membership.happen(Event.REFUSED, REFUSAL)
    pauses.append(membership.retry_at - trio.current_time())
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.1])


@pytest.mark.parametrize(
    ("sockets", "is_up", "state"),
    [([SOCKET], True, "joined"), ([SOCKET], False, "waiting"), ([], True, "waiting")],
)
async def test_membership_is_joined_with_sockets_on_an_interface_that_is_up(
    sockets: list[McastSocket], is_up: bool, state: State
) -> None:
    membership = membership_in("failed")
    membership.plan = attrs.evolve(PLAN, interface=attrs.evolve(ETH0, is_up=is_up))
    membership.sockets = sockets
    membership.settle()
    assert (membership.state, membership.error) == (state, None)
    assert membership.describe().state == state


async def test_state_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    membership = membership_in("waiting")
    with caplog.at_level(logging.INFO, "trio_mcast"):
        for _ in range(2):
            membership.log()
        for _ in range(2):
            membership.happen(Event.REFUSED, REFUSAL)
            membership.log()
        membership.happen(Event.COMPLETE)
        membership.skip_log()
        membership.log()
    assert caplog.messages == ["group 239.1.2.3 on interface eth0 is waiting", str(REFUSAL)]
