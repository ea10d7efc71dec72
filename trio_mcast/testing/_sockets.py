"""The sockets of one host: which port each has, and what they want of each group together."""

from __future__ import annotations

import errno
from typing import Final

from .._addresses import IPAddress
from ._delivery import may_share
from ._frames import NO_SOURCE, SourceFilter, merge_filters
from ._kernel import KernelSocket
from ._options import refuse
from ._state import SocketState

# Where the search for a free port begins: what IANA has set aside for it.
_FIRST_FREE_PORT: Final = 49_152


class SocketTable:
    """The sockets of one host."""

    def __init__(self) -> None:
        self._sockets: dict[SocketState, KernelSocket] = {}
        self._by_port: dict[int, dict[SocketState, KernelSocket]] = {}
        # The filters of each group on each interface, by socket; and what they come to.
        self._filters: dict[tuple[IPAddress, int], SourceFilter] = {}
        self._members: dict[tuple[IPAddress, int], dict[SocketState, None]] = {}
        self._next_port = _FIRST_FREE_PORT

    def add(self, kernel: KernelSocket) -> None:
        """Take in a new socket."""
        self._sockets[kernel.state] = kernel

    def remove(self, kernel: KernelSocket) -> None:
        """Forget a socket that has left all groups."""
        state = kernel.state
        self._sockets.pop(state, None)
        sharers = self._by_port.get(state.port, {})
        sharers.pop(state, None)
        if not sharers:
            self._by_port.pop(state.port, None)

    def at_port(self, port: int) -> dict[SocketState, KernelSocket]:
        """The sockets that are bound to a port, in the order in which they were bound."""
        return self._by_port.get(port, {})

    def claim_port(self, state: SocketState, address: IPAddress | None, port: int) -> int:
        """Bind a socket to a port, or to a free one for 0.

        Raises:
            OSError: EADDRINUSE: it is taken.
        """
        if not port:
            while self._next_port in self._by_port:
                self._next_port += 1
            if self._next_port > 65_535:
                raise refuse(errno.EADDRINUSE)
            port = self._next_port
            self._next_port += 1
        sharers = self._by_port.get(port, {})
        if not all(may_share(state, address, other) for other in sharers):
            raise refuse(errno.EADDRINUSE)
        self._by_port.setdefault(port, sharers)[state] = self._sockets[state]
        return port

    def refresh(
        self, state: SocketState, group: IPAddress, index: int
    ) -> tuple[SourceFilter, SourceFilter]:
        """Work out anew what is wanted of a group on an interface, after a socket has changed.

        Returns:
            What was wanted before, and what is wanted now.
        """
        key = (group, index)
        members = self._members.setdefault(key, {})
        if key in state.memberships:
            members[state] = None
        else:
            members.pop(state, None)
        known = self._filters.get(key, NO_SOURCE)
        wanted = merge_filters(item.memberships[key] for item in members)
        if wanted == NO_SOURCE:
            self._filters.pop(key, None)
        else:
            self._filters[key] = wanted
        if not members:
            del self._members[key]
        return known, wanted

    def wanted(self, group: IPAddress, index: int) -> SourceFilter:
        """What is wanted of a group on an interface."""
        return self._filters.get((group, index), NO_SOURCE)

    def groups_on(self, index: int) -> list[IPAddress]:
        """The groups that are wanted on an interface."""
        return [group for group, where in self._filters if where == index]
