"""The unicast that comes to the sockets that a channel sends from.

On Linux these sockets are connected, and are given nothing. Elsewhere a connected socket sends to
its peer only, and a system gives unicast to any of the sockets that are bound alike: with
``accept_unicast``, what comes to these is read like the rest.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from .._host.protocols import McastSocket
from .._plan.wanted import ReceiveRequest, SendRequest
from .._platform.model import Platform
from .._receive.intake import Intake
from .._receive.memberships import Memberships
from .._send.replies import Replies
from .._values.interface import addresses_on_any_link, own_addresses_on
from .echoes import inner_socket


def request_for(sending: SendRequest, receiving: ReceiveRequest, platform: Platform) -> SendRequest:
    """Return the request for the sending part of a channel on a platform."""
    return attrs.evolve(
        sending,
        receive_replies=receiving.accept_unicast and not platform.connected_sends_anywhere,
        receive_ttl=receiving.receive_ttl,
        receive_timestamp=receiving.receive_timestamp,
        receive_traffic_class=receiving.receive_traffic_class,
    )


class SharedReplies(Replies):
    """The reading of sockets to send from by the intake of the channel.

    Attributes:
        sockets: The sockets.
    """

    def __init__(
        self,
        intake: Intake,
        memberships: Memberships,
        request: ReceiveRequest,
        unreadable: Callable[[McastSocket], None],
    ) -> None:
        self.sockets: dict[McastSocket, McastSocket] = {}
        self._intake = intake
        self._memberships = memberships
        self._request = request
        self._unreadable = unreadable

    async def start(self, nursery: trio.Nursery) -> None:
        pass  # The channel reads.

    def add(self, socket: McastSocket) -> None:
        inner, request = inner_socket(socket), self._request
        socket_spec = inner.socket_spec
        own_addresses: frozenset[str] = frozenset()
        if not request.loopback and not socket_spec.interface.is_loopback:
            on_any_link = addresses_on_any_link(self._memberships.interfaces)
            own_addresses = own_addresses_on(socket_spec.interface, on_any_link)
        filtering = attrs.evolve(
            socket_spec,
            sources=tuple(map(str, request.sources_of(socket_spec.family))),
            rejected_sources=frozenset(map(str, request.excluded_sources or ())),
            own_addresses=own_addresses,
            accepts_unicast=True,
        )
        inner.revise(filtering, ())
        self._intake.add(inner)
        self.sockets[inner] = socket

    def fail(self, inner: McastSocket) -> bool:
        """Have a socket replaced that cannot be read; return whether it is one of these."""
        socket = self.sockets.get(inner)
        if socket is None:
            return False
        self._intake.stop_socket(inner)
        self._unreadable(socket)
        return True

    def close_socket(self, socket: McastSocket) -> None:
        inner = inner_socket(socket)
        self._intake.close_socket(inner)
        self.sockets.pop(inner, None)

    def statistics(self) -> None:
        return None  # They are counted with the channel's.

    def close(self) -> None:
        """Do nothing: the channel closes its intake."""
