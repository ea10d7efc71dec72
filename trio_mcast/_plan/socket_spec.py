"""`SocketSpec`: one socket to open, as a value, and the parts that all of them share. Pure."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from .._platform.options import SocketOption
from .._values.addresses import Family, IPAddress, family_of
from .._values.interface import Interface

BindAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


@attrs.frozen
class SocketSpec:
    """One socket to open: what it is for, where it is bound, and every option in order.

    Attributes:
        family: ``"ipv4"`` or ``"ipv6"``.
        interface: The one interface that it serves.
        group: The group that it receives, as text; `None` for one that receives unicast only (see
            ``accepts_unicast``), and for a sender's, which receives replies if at all.
        sources: The only sources that it receives, as text; empty for any source.
        bind: What it is bound to: host and port, and for IPv6 also flow information and scope.
        options: Its options in the order in which they are set, around the bind.
        rejected_sources: Excluded sources, as text, that the system does not filter itself: their
            datagrams are discarded after reading and counted as rejected.
        own_addresses: This machine's addresses, where its own datagrams are not wanted and the
            system does not filter them: the same happens to their datagrams.
        accepts_unicast: Whether it receives unicast to the address that it is bound to, delivered
            with a group of `None`. Without a ``group``, that is all that it receives. With one, as
            on Windows, it takes what is sent to that address besides: there the system gives each
            unicast datagram to any of the sockets that are bound alike. Either way it has the
            ``sources``, ``rejected_sources`` and ``own_addresses`` for unicast too, which the
            system does not filter. Where its options ask for the address that each datagram was
            sent to, what was sent to neither, such as a broadcast, is discarded and counted as
            rejected; where they do not, the system gives it nothing else.
        peer: What it is connected to when all else is done, in the form of ``bind``; `None` for
            nothing. A connected socket is given only what its peer sends: this keeps a sender's
            socket from being given unicast that others on the port are waiting for.
    """

    family: Family
    interface: Interface
    group: str | None
    sources: tuple[str, ...]
    bind: BindAddress
    options: tuple[SocketOption, ...]
    rejected_sources: frozenset[str] = frozenset()
    own_addresses: frozenset[str] = frozenset()
    accepts_unicast: bool = False
    peer: BindAddress | None = None


@attrs.frozen
class MembershipPlan:
    """One membership: a group on an interface, and the sockets that it takes.

    Without a group it stands for unicast to the interface's own addresses.
    """

    group: str | None
    interface: Interface
    sources: tuple[str, ...]
    excluded_sources: tuple[str, ...]
    sockets: tuple[SocketSpec, ...]


def bind_address(address: IPAddress, port: int, scope_id: int) -> BindAddress:
    """The address tuple for a bind; IPv6 has flow information and a scope as well."""
    if family_of(address) == "ipv4":
        return (str(address), port)
    return (str(address), port, 0, scope_id)


def bind_wildcard(family: Family, port: int) -> BindAddress:
    return ("0.0.0.0", port) if family == "ipv4" else ("::", port, 0, 0)


# A group, as text, and the name of an interface.
MembershipKey: TypeAlias = "tuple[str | None, str]"


def key_of(plan: MembershipPlan) -> MembershipKey:
    return plan.group, plan.interface.name
