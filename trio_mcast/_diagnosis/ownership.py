"""Whose memberships there are on this machine: values, and how users are counted. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import IPv6Network, ip_address
from typing import Final

import attrs

from .evidence import JoinedGroup

# The groups that a kernel joins itself, on each interface; the routers' where it forwards.
_OF_KERNEL: Final = frozenset({"224.0.0.1", "ff01::1", "ff02::1", "ff01::2", "ff02::2", "ff05::2"})
# The groups of neighbour discovery (RFC 4291 section 2.7.1): each ends with the last 24 bits of an
# address of the interface.
_SOLICITED_NODE: Final = IPv6Network("ff02::1:ff00:0/104")
_LAST_24_BITS: Final = 0xFFFFFF


@attrs.frozen
class Program:
    """A process.

    Attributes:
        pid: Its number.
        name: Its name.
        user: The name of its user, or the number if there is no name.
        since: When it was started, in seconds since 1970 (UTC); `None` if unknown.
    """

    pid: int
    name: str
    user: str
    since: float | None = None


@attrs.frozen
class Owner:
    """A socket that has joined a group on an interface.

    Attributes:
        inode: The number of the socket.
        address: The address that it is bound to; empty if it is not bound.
        port: The port that it is bound to; 0 if it is not bound.
        user: The name of the user whose socket it is, or the number; empty if unknown.
        programs: The processes that have it, as far as they are known.
        excludes: Whether it wants all sources but ``sources``; `None` if unknown.
        sources: The sources; empty with ``excludes`` means any source.
        is_certain: Whether the socket itself told. Else it is bound to the group, so it has most
            likely joined the group; on which interfaces, is not known.
    """

    inode: int
    address: str
    port: int
    user: str = ""
    programs: tuple[Program, ...] = ()
    excludes: bool | None = None
    sources: tuple[str, ...] = ()
    is_certain: bool = False


@attrs.frozen
class OwnedGroup:
    """A group that is joined on an interface, and by whom.

    Attributes:
        joined: The group, as the system lists it.
        of_system: The number of memberships that are the kernel's own.
        owners: The sockets that have joined it.
    """

    joined: JoinedGroup
    of_system: int
    owners: tuple[Owner, ...] = ()

    @property
    def untold(self) -> int:
        """The number of memberships of which nobody is known for certain to have them."""
        certain = sum(owner.is_certain for owner in self.owners)
        return max(0, (self.joined.users or 0) - self.of_system - certain)


@attrs.frozen
class Ownership:
    """Whose memberships and ports there are on this machine.

    Attributes:
        groups: The groups that are joined, by interface.
        on_ports: The other sockets that are bound to a port of one of the owners.
        not_told: Why something is not known, a sentence each.
    """

    groups: tuple[OwnedGroup, ...]
    on_ports: tuple[Owner, ...] = ()
    not_told: tuple[str, ...] = ()


def share_of_system(joined: JoinedGroup, addresses: Iterable[int]) -> int:
    """Return how many memberships of a group are the kernel's own.

    Args:
        joined: The group.
        addresses: The IPv6 addresses of the interface, as numbers.
    """
    group, users = ip_address(joined.group), joined.users or 0
    if joined.group in _OF_KERNEL:
        return min(1, users)
    if group not in _SOLICITED_NODE:
        return 0
    ending = int(group) & _LAST_24_BITS
    # Of a machine that forwards, the address of the subnet's routers, too: it ends with zeros.
    count = sum(address & _LAST_24_BITS == ending for address in addresses)
    return min(max(count, int(ending == 0)), users)


def add_by_address(owned: OwnedGroup, sockets: Collection[Owner]) -> OwnedGroup:
    """Return a group with the sockets that are bound to it, if there are memberships left."""
    known = {owner.inode for owner in owned.owners}
    likely = [
        socket
        for socket in sockets
        if socket.address == owned.joined.group and socket.inode not in known
    ]
    if not owned.untold:
        return owned
    return attrs.evolve(owned, owners=(*owned.owners, *likely))
