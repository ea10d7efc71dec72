"""The memberships of a socket, as a system has them: joins, leaves, and sources."""

from __future__ import annotations

import errno
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Protocol

import attrs

from .._values.addresses import IPAddress, is_link_scoped
from . import _options as decode
from ._frames import ANY_SOURCE, NO_SOURCE, SourceFilter
from ._host_interfaces import HostInterfaces
from ._options import refuse
from ._state import SocketState


class MembershipOwner(Protocol):
    """The part of a host that hears of the memberships of the host's sockets."""

    def membership_changed(
        self,
        state: SocketState,
        key: tuple[IPAddress, int],
        before: SourceFilter | None,
        after: SourceFilter | None,
    ) -> int:
        """Note that a socket joined, left, or wants other sources; return an error, or 0.

        Args:
            state: The socket.
            key: The group, and the interface's index.
            before: The socket's filter before; `None` if it had not joined.
            after: The socket's filter now; `None` if it has left.
        """


class SocketMemberships:
    """The memberships of one socket: takes the options for them, and refuses as its system does."""

    def __init__(
        self, owner: MembershipOwner, interfaces: HostInterfaces, state: SocketState
    ) -> None:
        """Begin without memberships.

        Args:
            owner: The host.
            interfaces: The host's interfaces, as interfaces come and go.
            state: The socket's state, which has the memberships.
        """
        self._state = state
        self._owner = owner
        self._interfaces = interfaces

    def take(self, symbol: str, value: int | bytes) -> bool:
        """Carry out an option, and return whether it is one for memberships.

        Raises:
            OSError: The system refuses.
        """
        setter = _SETTERS.get(symbol)
        if setter is not None:
            setter(self, value)
        return setter is not None

    def _join(self, value: int | bytes) -> None:
        state = self._state
        self._join_any(*decode.group_request(state.platform, state.family, value))

    def _join_older(self, value: int | bytes) -> None:
        state = self._state
        index, address, group, _ = decode.older_request(
            state.platform, state.family, value, with_source=False
        )
        self._join_any(index or self._index_at(address), group)

    def _index_at(self, address: IPv4Address | None) -> int:
        index = None if address is None else self._interfaces.index_with(address)
        if index is None:
            raise refuse(self._state.rules.no_such_interface)
        return index

    def _join_any(self, index: int, group: IPAddress) -> None:
        self._check_joinable(index, group)
        before = self._state.memberships.get((group, index))
        if before is not None:
            # in_mcast.c of XNU and FreeBSD: EINVAL where sources had been named.
            is_bsd = self._state.platform.name in ("darwin", "freebsd")
            named = is_bsd and before.mode == "include"
            raise refuse(errno.EINVAL if named else errno.EADDRINUSE)
        self._change(group, index, ANY_SOURCE)

    def _check_joinable(self, index: int, group: IPAddress) -> None:
        state = self._state
        if not self._interfaces.has_index(index):
            raise refuse(state.rules.no_such_interface)
        if not self._interfaces.has_room(index, state.family):
            raise refuse(errno.ENODEV if state.family == "ipv4" else errno.EINVAL)
        if not (
            state.platform.joins_without_address or self._interfaces.has_family(index, state.family)
        ):
            raise refuse(errno.EINVAL if is_link_scoped(group) else errno.EAFNOSUPPORT)
        limit = state.rules.membership_limit.get(state.family)
        is_full = limit is not None and len(state.memberships) >= limit
        if is_full and (group, index) not in state.memberships:
            raise refuse(errno.ENOBUFS)

    def _source_request(self, value: int | bytes) -> tuple[int, IPAddress, IPAddress]:
        return decode.group_source_request(self._state.platform, self._state.family, value)

    def _older_source_request(self, value: int | bytes) -> tuple[int, IPAddress, IPAddress]:
        index, address, group, source = decode.older_request(
            self._state.platform, self._state.family, value, with_source=True
        )
        assert source is not None
        return index or self._index_at(address), group, source

    def _join_source(self, request: tuple[int, IPAddress, IPAddress]) -> None:
        index, group, source = request
        self._check_joinable(index, group)
        self._add_source(index, group, source, "include")

    def _block_source(self, request: tuple[int, IPAddress, IPAddress]) -> None:
        index, group, source = request
        if not self._interfaces.has_index(index):
            raise refuse(self._state.rules.no_such_interface)
        if (group, index) not in self._state.memberships:
            raise refuse(self._state.rules.not_joined)
        self._add_source(index, group, source, "exclude")

    def _add_source(self, index: int, group: IPAddress, source: IPAddress, mode: str) -> None:
        state = self._state
        before = state.memberships.get((group, index), NO_SOURCE)
        if before.mode != mode:
            # ip_mc_source of Linux lets a filter without sources change its mode.
            if before.sources or state.platform.name != "linux":
                raise refuse(errno.EINVAL)
            before = SourceFilter("include" if mode == "include" else "exclude")
        if source in before.sources:
            raise refuse(errno.EADDRNOTAVAIL)
        limit = state.rules.source_limit.get(state.family)
        if limit is not None and len(before.sources) >= limit:
            raise refuse(errno.ENOBUFS)
        self._change(group, index, attrs.evolve(before, sources=before.sources | {source}))

    def _remove_source(self, request: tuple[int, IPAddress, IPAddress], mode: str) -> None:
        index, group, source = request
        before = self._state.memberships.get((group, index))
        if before is None:
            raise refuse(self._state.rules.not_joined)
        if before.mode != mode:
            raise refuse(errno.EINVAL)
        if source not in before.sources:
            raise refuse(errno.EADDRNOTAVAIL)
        after = attrs.evolve(before, sources=before.sources - {source})
        self._change(group, index, None if after == NO_SOURCE else after)

    def _leave(self, value: int | bytes) -> None:
        state = self._state
        self._leave_joined(*decode.group_request(state.platform, state.family, value))

    def _leave_joined(self, index: int, group: IPAddress) -> None:
        if (group, index) not in self._state.memberships:
            raise refuse(errno.EADDRNOTAVAIL)
        self._change(group, index, None)

    def _leave_older(self, value: int | bytes) -> None:
        state = self._state
        index, address, group, _ = decode.older_request(
            state.platform, state.family, value, with_source=False
        )
        self._leave_joined(index or self._index_at(address), group)

    def _change(self, group: IPAddress, index: int, after: SourceFilter | None) -> None:
        key, memberships = (group, index), self._state.memberships
        before = memberships.get(key)
        if after is None:
            memberships.pop(key, None)
        else:
            memberships[key] = after  # A known membership keeps its place.
        error = self._owner.membership_changed(self._state, key, before, after)
        if error:
            memberships.pop(key)
            if before is not None:
                memberships[key] = before
            raise refuse(error)

    def leave_all(self) -> None:
        """End every membership."""
        for group, index in list(self._state.memberships):
            self._change(group, index, None)


_SETTERS: dict[str, Callable[[SocketMemberships, int | bytes], None]] = {
    "MCAST_JOIN_GROUP": SocketMemberships._join,
    "MCAST_LEAVE_GROUP": SocketMemberships._leave,
    "MCAST_JOIN_SOURCE_GROUP": lambda own, value: own._join_source(own._source_request(value)),
    "MCAST_LEAVE_SOURCE_GROUP": lambda own, value: own._remove_source(
        own._source_request(value), "include"
    ),
    "MCAST_BLOCK_SOURCE": lambda own, value: own._block_source(own._source_request(value)),
    "MCAST_UNBLOCK_SOURCE": lambda own, value: own._remove_source(
        own._source_request(value), "exclude"
    ),
    "IP_ADD_MEMBERSHIP": SocketMemberships._join_older,
    "IPV6_JOIN_GROUP": SocketMemberships._join_older,
    "IP_DROP_MEMBERSHIP": SocketMemberships._leave_older,
    "IPV6_LEAVE_GROUP": SocketMemberships._leave_older,
    "IP_ADD_SOURCE_MEMBERSHIP": lambda own, value: own._join_source(
        own._older_source_request(value)
    ),
    "IP_BLOCK_SOURCE": lambda own, value: own._block_source(own._older_source_request(value)),
    "IP_UNBLOCK_SOURCE": lambda own, value: own._remove_source(
        own._older_source_request(value), "exclude"
    ),
}
