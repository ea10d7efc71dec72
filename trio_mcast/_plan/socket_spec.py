"""`SocketSpec`, the plan of one socket, and `MembershipPlan`, the plan of one membership. Pure."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from .._platform.model import Platform
from .._platform.options import SocketOption, leave_group
from .._values.addresses import LINK_LOCAL_SCOPE, Endpoint, Family, IPAddress
from .._values.interface import Interface, zone_of

BindAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


@attrs.frozen
class SocketSpec:
    """One socket to open: its purpose, its address, and every option in order."""

    family: Family
    """``"ipv4"`` or ``"ipv6"``."""
    interface: Interface = attrs.field(repr=str)
    """The one interface that the socket serves."""
    group: str | None
    """The group that the socket receives, as text. `None` for a socket that receives unicast only
    (see ``accepts_unicast``), and for a sender's, which receives replies or nothing.
    """
    sources: tuple[str, ...]
    """The only sources to receive from, as text; empty for any source."""
    bind: BindAddress
    """The address that the socket is bound to: host and port, and for IPv6 also flow information
    and scope.
    """
    options: tuple[SocketOption, ...]
    """The options in the order in which they are set, around the bind."""
    rejected_sources: frozenset[str] = frozenset()
    """Excluded sources, as text, that the system does not filter itself: their datagrams are
    discarded after reading and counted as rejected.
    """
    own_addresses: frozenset[str] = frozenset()
    """This machine's addresses, where its own datagrams are not wanted and the system does not
    filter them: datagrams from them are discarded and counted in the same way. Of link-local IPv6
    addresses, only those of this interface: on another network, another machine may have the same.
    """
    accepts_unicast: bool = False
    """Whether the socket receives unicast to the address that it is bound to, delivered with a
    group of `None`. Without a ``group``, the socket receives nothing else. With a ``group``, as on
    Windows, it receives unicast besides: there the system gives each unicast datagram to any of the
    sockets that are bound alike. Either way the ``sources``, ``rejected_sources`` and
    ``own_addresses`` count for unicast too, which the system does not filter. Where the options ask
    for the address that each datagram was sent to, a datagram that was sent to neither, such as a
    broadcast, is discarded and counted as rejected. Where they do not, the system gives the socket
    no such datagram.
    """
    checks_interface: bool = False
    """Whether a datagram that arrived on another interface is discarded after reading, and counted
    as rejected. That is so if another interface has the address that the socket is bound to, and
    the system cannot keep such datagrams out.
    """
    checks_sources: bool = False
    """Whether datagrams from others than the ``sources`` are discarded after reading, and counted
    as rejected, because the system does not filter the group.
    """
    bind_if_taken: BindAddress | None = None
    """The address that the socket is bound to instead where the port is in use at ``bind``; `None`
    for none. macOS and FreeBSD share an address between the programs of one user only, and the
    wildcard between all. What is then sent to another address is discarded after reading, and
    counted as rejected.
    """
    peer: BindAddress | None = None
    """The address that the socket is connected to in the end, in the form of ``bind``; `None` for
    none. The system gives a connected socket only datagrams from its peer. So a sender's socket
    takes no unicast that other programs on the port wait for.
    """

    def __hash__(self) -> int:
        """The hash of what mostly differs: the options are many, and follow from the rest."""
        return hash((self.interface, self.group, self.sources, self.bind))


@attrs.frozen
class MembershipPlan:
    """One membership: a group on an interface, and the sockets for it.

    A membership without a group is unicast to the addresses of the interface.
    """

    group: str | None
    interface: Interface
    sources: tuple[str, ...]
    excluded_sources: tuple[str, ...]
    sockets: tuple[SocketSpec, ...]


# The beginnings of the symbols of joins.
_JOINS = ("MCAST_JOIN_", "IP_ADD_", "IPV6_JOIN_")


def leaving_option(socket_spec: SocketSpec, platform: Platform) -> SocketOption | None:
    """Return the option to set before a socket is closed; `None` for one that has joined nothing.

    Closing does not end a membership while another process has the socket too: a child that was
    forked keeps it (measured on Linux 6.18).
    """
    for option in socket_spec.options:
        if option.symbol.startswith(_JOINS):
            return leave_group(platform, option)
    return None


def bind_address(address: IPAddress, port: int, scope_id: int, text: str = "") -> BindAddress:
    """Return the tuple to bind or send to; for IPv6, with flow information and a scope as well.

    Args:
        address: The address.
        port: The port.
        scope_id: The scope of an IPv6 address.
        text: The address as text, if that is known.
    """
    if address.version == 4:
        return (text or str(address), port)
    return (text or str(address), port, 0, scope_id)


def bind_wildcard(family: Family, port: int) -> BindAddress:
    """Return the tuple to bind to every address of a family."""
    return ("0.0.0.0", port) if family == "ipv4" else ("::", port, 0, 0)


def group_destination(socket_spec: SocketSpec) -> Endpoint | None:
    """Return what datagrams to the socket's group are sent to; `None` for a socket without a group.

    A group of the scope of a link or an interface carries the zone, as another is meant elsewhere.
    """
    group = socket_spec.group
    if group is None:
        return None
    # The text of an IPv6 group begins with ff, flags and scope (RFC 4291 section 2.7).
    if ":" in group and int(group[3], 16) <= LINK_LOCAL_SCOPE:
        group = f"{group}%{zone_of(socket_spec.interface)}"
    return Endpoint(group, socket_spec.bind[1])


# A group, as text, and the name of an interface.
MembershipKey: TypeAlias = "tuple[str | None, str]"


def key_of(plan: MembershipPlan) -> MembershipKey:
    """Return the group and the name of the interface, which tell memberships apart."""
    return plan.group, plan.interface.name
