"""The open sockets of a sender: opened, kept and closed as a plan says, with turns for other tasks.

Decision: close first, then open
================================

A new socket mostly takes the port of the old one, so that answers still find the sender. Two
sockets cannot have it at once.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import attrs

from .._host.descriptors import raise_with_needed
from .._host.protocols import Host, McastSocket
from .._live import call_each
from .._plan.socket_spec import BindAddress, SocketSpec
from .._plan.wanted import SendRequest
from .._platform.advice import is_address_lacking
from .._values.errors import SocketSetupError
from .replies import Replies
from .serving import find_serving
from .stand_ins import Outlet, Refusing, refused

# Wraps a socket in what is sent through.
Wrap = Callable[[McastSocket], McastSocket]


class SenderSockets:
    """The open sockets of one sender.

    Attributes:
        refused: Whether a socket was refused that might be had later, without anything else
            changing.
        unreadable: The sockets that the system refuses to read: each is to be replaced.
        replies: The reading of the replies; `None` if the user wants none.
        wrap: Given each new socket, returns what is sent through.
    """

    def __init__(
        self,
        host: Host,
        request: SendRequest,
        wrap: Wrap,
        replies: Replies | None,
        give_way: Callable[[], Awaitable[None]],
    ) -> None:
        """Open nothing yet.

        Args:
            host: The machine that the sockets are to be on.
            request: The request for the sender.
            wrap: Given each new socket; returns what is sent through.
            replies: What reads the sockets, if any.
            give_way: Called for each socket, to let other tasks run now and then;
                trio.ClosedResourceError if all is closed then.
        """
        self.refused: bool = False
        self.unreadable: set[McastSocket] = set()
        self.replies = replies
        self.wrap = wrap
        self._host = host
        self._request = request
        self._give_way = give_way
        self._open: dict[McastSocket, None] = {}

    async def open_all(self, socket_specs: Sequence[SocketSpec]) -> list[Outlet]:
        """Open the first sockets, all or none; a stand-in if an address cannot be used yet.

        Raises:
            SocketSetupError: The system refused a step.
        """
        outlets: list[Outlet] = []
        for socket_spec in socket_specs:
            try:
                outlets.append(self._open_socket(socket_spec))
            except SocketSetupError as error:
                if not is_address_lacking(error):
                    raise_with_needed(error, len(socket_specs))
                self.refused = True
                outlets.append(refused(socket_spec, error))
            await self._give_way()
        return outlets

    async def serving(
        self, socket_specs: Iterable[SocketSpec], removed: frozenset[int]
    ) -> dict[SocketSpec, Outlet]:
        """Return the open sockets that carry out plans already.

        Args:
            socket_specs: The plans.
            removed: The indexes of interfaces that are other ones now.
        """
        usable = [
            socket
            for socket in self._open
            if socket not in self.unreadable and socket.socket_spec.interface.index not in removed
        ]
        outlets: dict[SocketSpec, Outlet] = {}
        for socket_spec, socket in find_serving(socket_specs, usable):
            if socket is not None:
                outlets[socket_spec] = socket
            await self._give_way()
        return outlets

    def _others(self, outlets: Mapping[SocketSpec, Outlet]) -> list[McastSocket]:
        """Return the open sockets that are not among some."""
        stay = set(map(id, outlets.values()))
        return [socket for socket in self._open if id(socket) not in stay]

    async def drain_others(self, outlets: Mapping[SocketSpec, Outlet]) -> None:
        """Read the replies on the sockets that are to be closed; they are sent from meanwhile."""
        if self.replies is not None:
            for socket in self._others(outlets):
                await self.replies.drain(socket)

    async def carry_out(
        self, ports: Mapping[SocketSpec, int], outlets: dict[SocketSpec, Outlet]
    ) -> None:
        """Close the sockets that serve no longer, and add to the others what is missing.

        In between, some are closed and the new ones not open yet.

        Args:
            ports: The plans, each with the port that a new socket is to have if that is free.
            outlets: The sockets that carry out plans already.
        """
        for socket_spec, outlet in list(outlets.items()):
            before = outlet.socket_spec
            if outlet in self.unreadable:
                del outlets[socket_spec]
            elif before.interface != socket_spec.interface and not isinstance(outlet, Refusing):
                outlet.revise(attrs.evolve(before, interface=socket_spec.interface), ())
            await self._give_way()
        for socket in self._others(outlets):
            if self.replies is not None:
                await self.replies.drain(socket)  # What has come since `drain_others`.
            self._close_socket(socket)
            await self._give_way()
        for socket_spec, port in ports.items():
            if socket_spec not in outlets:
                try:
                    outlets[socket_spec] = self._open_again(socket_spec, port)
                except SocketSetupError as error:
                    outlets[socket_spec] = refused(socket_spec, error)
                    self.refused = True
                await self._give_way()

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

    def _open_socket(self, socket_spec: SocketSpec) -> McastSocket:
        socket = self.wrap(self._host.open_socket(socket_spec))
        try:
            if self.replies is not None:
                self.replies.add(socket)
        except BaseException:
            socket.close()
            raise
        self._open[socket] = None
        return socket

    def _close_socket(self, socket: McastSocket) -> None:
        self.unreadable.discard(socket)
        if self.replies is not None:
            self.replies.close_socket(socket)
        else:
            socket.close()
        del self._open[socket]  # Not if that has failed: the next look tries again.

    def close(self) -> None:
        """Close everything. Idempotent."""
        replies = [] if self.replies is None else [self.replies.close]
        call_each([*replies, *(socket.close for socket in self._open)])
