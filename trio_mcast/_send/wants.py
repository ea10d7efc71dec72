"""The wants of a sender, and how far each is fulfilled.

Decision: a candidate that is down is passed over
=================================================

With ``ALL_INTERFACES``, a sender wants each group on each candidate that there is at the look. An
interface that is down is no candidate, so nothing is sent on it; but its socket stays open, so that
it has its port again when it is up. Where no candidate is left, the last ones stay and refuse, so
that sending says why.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

import attrs

from .._host.protocols import Host, InterfaceWatcher
from .._plan.selecting import Directory
from .._plan.sender import Absence
from .._plan.sender_socket import stand_in
from .._plan.sender_wants import SenderWant, wants_on_candidates
from .._plan.socket_spec import SocketSpec
from .._plan.wanted import SendRequest
from .._values.errors import McastError, SocketSetupError
from .._values.interface import ALL_INTERFACES
from .._values.steps import Steps
from .stand_ins import Gone, Outlet, Refusing


@attrs.define
class WantState:
    """One want of a sender, and how far it is fulfilled.

    Attributes:
        want: The group, and where to send it.
        socket_spec: The last plan of a socket for the want.
        outlet: The socket that carries out the plan, or its stand-in.
        port: The port of the last open socket for the want.
    """

    want: SenderWant
    socket_spec: SocketSpec
    outlet: Outlet
    port: int


def wanted_now(
    states: list[WantState], request: SendRequest, interfaces: Directory
) -> Steps[list[WantState]]:
    """Return the wants that a sender has now, as far as they are known with their states.

    Args:
        states: The wants of the last look.
        request: The request for the sender.
        interfaces: The interfaces there are.
    """
    if request.selectors is not ALL_INTERFACES:
        return states
    before: dict[SenderWant, WantState] = {}
    for state in states:
        before[state.want] = state
        yield
    now = []
    for want in wants_on_candidates(request, interfaces):
        if want.interface is None:
            return states
        known = before.pop(want, None)
        if known is None:
            socket_spec = stand_in(interfaces.by_name[str(want.interface)], want.group.family)
            gone = Gone.of(socket_spec, Absence(errno.ENODEV, "it has only just come"))
            known = WantState(want, socket_spec, gone, 0)
        now.append(known)
        yield
    down = {(interface.name, interface.index) for interface in interfaces if not interface.is_up}
    for state in before.values():
        interface = state.socket_spec.interface
        is_down = (interface.name, interface.index) in down
        if _is_named(state, request) or (is_down and not isinstance(state.outlet, Refusing)):
            now.append(state)
    return now or states


def states_in_use(states: Sequence[WantState], request: SendRequest) -> Sequence[WantState]:
    """Return the wants that datagrams are sent for: not on an interface that is down by chance."""
    in_use = [
        state for state in states if state.socket_spec.interface.is_up or _is_named(state, request)
    ]
    return in_use or states


def _is_named(state: WantState, request: SendRequest) -> bool:
    """Tell whether the user has named the interface of a want: in ``interfaces`` or by a zone."""
    return request.selectors is not ALL_INTERFACES or state.want.group not in request.groups


def watch(host: Host, request: SendRequest) -> InterfaceWatcher | None:
    """Return a watcher of what a sender depends on; `None` where the system tells of no changes."""
    selectors = request.selectors
    # Routes choose the interfaces of groups, or for a peer one of several.
    depends_on_routes = selectors is None or selectors is ALL_INTERFACES or len(selectors) > 1
    try:
        return host.watch(routes=depends_on_routes)
    except SocketSetupError:
        raise
    except McastError:
        return None
