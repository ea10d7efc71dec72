"""The sockets of one host: by port, and with the merged filter of each group."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs

from .._host.protocols import KernelMemberships
from .._values.addresses import Family, IPAddress, family_of
from .._values.interface import Interface
from ._delivery import may_share
from ._frames import NO_SOURCE, SourceFilter, merge_filters
from ._kernel import KernelSocket
from ._options import refuse
from ._state import SocketState

# The search for a free port begins with the ports that IANA has set aside for such use.
_FIRST_FREE_PORT: Final = 49_152

# 224.0.0.1 and ff02::1, which every system joins by itself.
_ALL_HOSTS: Final[dict[Family, bytes]] = {
    "ipv4": bytes([224, 0, 0, 1]),
    "ipv6": b"\xff\x02" + bytes(13) + b"\1",
}


@attrs.frozen
class Takers:
    """The sockets of a host that get the datagrams of a group at a port, on an interface.

    Attributes:
        sockets: The sockets.
        reason: Why there are none; empty if nobody is told.
    """

    sockets: Sequence[KernelSocket]
    reason: str


class SocketTable:
    """The sockets of one host."""

    def __init__(self) -> None:
        self._by_port: dict[int, dict[SocketState, KernelSocket]] = {}
        # By group and interface index: the merged filter, and the sockets that have joined.
        self._filters: dict[tuple[IPAddress, int], SourceFilter] = {}
        self._joined: dict[tuple[IPAddress, int], dict[SocketState, None]] = {}
        # What was refused after it had been noted, and so stays.
        self._left_behind: dict[tuple[IPAddress, int], list[SourceFilter]] = {}
        self._next_port = _FIRST_FREE_PORT
        # What was worked out for datagrams that go to one group and port, and arrive on one
        # interface, looped or not; until anything changes.
        self.takers: dict[tuple[bytes, int, int, bool], Takers] = {}

    def clear(self) -> None:
        """Forget all sockets, and what they have joined."""
        tables: tuple[dict[Any, Any], ...] = (
            self._by_port,
            self._filters,
            self._joined,
            self._left_behind,
            self.takers,
        )
        for table in tables:
            table.clear()

    def remove(self, kernel: KernelSocket) -> None:
        """Forget a socket that has left all groups."""
        state = kernel.state
        self.takers.clear()
        sharers = self._by_port.get(state.port, {})
        sharers.pop(state, None)
        if not sharers:
            self._by_port.pop(state.port, None)

    def at_port(self, port: int) -> dict[SocketState, KernelSocket]:
        """Return the sockets that are bound to a port, in the order of their binds."""
        return self._by_port.get(port, {})

    def claim_port(self, kernel: KernelSocket, address: IPAddress | None, port: int) -> int:
        """Bind a socket to a port, or to a free one for 0.

        Raises:
            OSError: EADDRINUSE: the port is taken.
        """
        if not port:
            while self._next_port in self._by_port:
                self._next_port += 1
            if self._next_port > 65_535:
                raise refuse(errno.EADDRINUSE)
            port = self._next_port
            self._next_port += 1
        sharers, state = self._by_port.get(port, {}), kernel.state
        if not all(may_share(state, address, sharer) for sharer in sharers):
            raise refuse(errno.EADDRINUSE)
        self._by_port.setdefault(port, sharers)[state] = kernel
        return port

    def refresh(
        self, state: SocketState, key: tuple[IPAddress, int], after: SourceFilter | None
    ) -> tuple[SourceFilter, SourceFilter]:
        """Work out anew the filter of a group on an interface, after a socket has changed.

        Args:
            state: The socket.
            key: The group, and the interface's index.
            after: The socket's filter now; `None` if it has left.

        Returns:
            The filter before, and the filter now.
        """
        self.takers.clear()
        joined = self._joined.setdefault(key, {})
        if after is None:
            joined.pop(state, None)
        else:
            joined[state] = None
        known = self._filters.get(key, NO_SOURCE)
        filters = [socket.memberships[key] for socket in joined]
        if self._left_behind:
            filters += self._left_behind.get(key, ())
        wanted = merge_filters(filters)
        if wanted == NO_SOURCE:
            self._filters.pop(key, None)
        else:
            self._filters[key] = wanted
        if not joined:
            del self._joined[key]
        return known, wanted

    def leave_behind(
        self,
        state: SocketState,
        key: tuple[IPAddress, int],
        before: SourceFilter | None,
        after: SourceFilter | None,
    ) -> None:
        """Keep on an interface what a socket has been refused; the socket has what it had before.

        Args:
            state: The socket.
            key: The group, and the interface's index.
            before: The socket's filter before.
            after: The filter that was refused.
        """
        if after is not None:
            self._left_behind.setdefault(key, []).append(after)
        if before is None:
            self._joined.get(key, {}).pop(state, None)

    def wanted(self, group: IPAddress, index: int) -> SourceFilter:
        """Return the filter of a group on an interface: the wanted sources."""
        return self._filters.get((group, index), NO_SOURCE)

    def groups_on(self, index: int) -> list[IPAddress]:
        """Return the groups that are wanted on an interface."""
        return [group for group, group_index in self._filters if group_index == index]

    def end(self, index: int, family: Family) -> None:
        """End what is joined in a family on an interface; the sockets do not notice."""
        self.takers.clear()
        for group, index_joined in list(self._joined):
            if index_joined == index and family_of(group) == family:
                del self._joined[group, index]
                self._filters.pop((group, index), None)

    def joined(self, family: Family, interfaces: Iterable[Interface]) -> KernelMemberships:
        """Yield the groups of a family that are joined: by sockets, and by the system itself."""
        yield [(interface.index, _ALL_HOSTS[family]) for interface in interfaces]
        yield [(index, group.packed) for group, index in self._joined if family_of(group) == family]
