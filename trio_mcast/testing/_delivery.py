"""The rules of sharing a port, and of which sockets get a datagram, on each system. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from .._values.addresses import IPAddress
from ._frames import Packet
from ._state import SocketState
from ._users import ROOT

# --- Binding ------------------------------------------------------------------------------------


def may_share(new: SocketState, address: IPAddress | None, other: SocketState) -> bool:
    """Tell whether a socket can be bound while another is bound to the same port.

    Args:
        new: The socket.
        address: The address of the new bind; `None` for the wildcard.
        other: The socket that has the port already.
    """
    same = address == other.address and new.family == other.family
    overlap = same or _covers(new, address, other) or _covers(other, other.address, new, address)
    if not overlap:
        return True
    if new.platform.name == "linux":
        # udp_lib_lport_inuse in net/ipv4/udp.c: both have to agree, unless each is restricted to
        # an interface of its own. That SO_REUSEPORT counts among programs of one user is left out.
        apart = new.device and other.device and new.device != other.device
        by_port = new.reuse_port and other.reuse_port
        return bool(apart) or by_port or (new.reuse_address and other.reuse_address)
    if new.platform.name == "windows":
        # "Using SO_REUSEADDR and SO_EXCLUSIVEADDRUSE": whoever asks gets it.
        return new.reuse_address or not same
    if address is not None and address.is_multicast and new.reuse_address:
        # in_pcbbind: for a group, SO_REUSEADDR stands for both, and either will do for the other.
        return other.reuse_address or other.reuse_port
    if new.user not in (ROOT, other.user) and not (address is None and same):
        # in_pcbbind: an address is shared among the programs of one user only.
        return False
    if same:
        return new.reuse_port and other.reuse_port
    # Wildcard and address: looked for only if neither option was set.
    return new.reuse_address or new.reuse_port


def _covers(
    wide: SocketState,
    address: IPAddress | None,
    other: SocketState,
    other_address: IPAddress | None = None,
) -> bool:
    """Tell whether a bind is a wildcard that takes in the bind of another socket."""
    if address is not None:
        return False
    if wide.family == other.family:
        return True
    # An IPv6 wildcard takes in IPv4, unless the socket was told otherwise.
    return wide.family == "ipv6" and not wide.ipv6_only


# --- Groups -------------------------------------------------------------------------------------


def gets_group(
    state: SocketState,
    packet: Packet,
    index: int,
    *,
    looped: bool,
    addresses: Sequence[IPAddress],
) -> str | None:
    """Tell whether a socket gets a datagram to a group that the host has taken in.

    Args:
        state: The socket, bound to the datagram's port.
        packet: The datagram.
        index: The index of the interface of arrival.
        looped: Whether this host sent the datagram.
        addresses: The addresses of that interface.

    Returns:
        `None` if the socket gets the datagram, else why not.
    """
    if state.family != packet.family:
        # An IPv6 socket that takes IPv4 as well gets IPv4 groups only after joins by IPv4 options,
        # whatever IPV6_MULTICAST_ALL says (measured on Linux).
        return "the socket is of another family"
    if state.peer not in (None, (packet.source, packet.source_port)):
        return "connected to another address"
    check = _CHECKS[state.platform.name]
    return check(state, packet, index, looped, addresses)


def _linux_gets(
    state: SocketState, packet: Packet, index: int, looped: bool, addresses: Sequence[IPAddress]
) -> str | None:
    """Follow `__udp_is_mcast_sock` and `__udp_v6_is_mcast_sock` (net/ipv{4,6}/udp.c)."""
    group = packet.destination
    if state.address not in (None, group):
        return "bound to another address"
    if state.device not in (0, index):
        return "bound to another interface"
    if packet.family == "ipv4":  # ip_mc_sf_allow
        wanted = state.memberships.get((group, index))
    else:  # inet6_mc_check: the interface is not compared; the latest join of the group counts.
        filters = [joins for (joined, _), joins in state.memberships.items() if joined == group]
        wanted = filters[-1] if filters else None
    if wanted is None:
        return None if state.multicast_all else "the socket has not joined the group"
    return None if wanted.allows(packet.source) else "the source is filtered out"


def _bsd_gets(
    state: SocketState, packet: Packet, index: int, looped: bool, addresses: Sequence[IPAddress]
) -> str | None:
    """Follow `udp_input` and `udp6_input` of XNU and FreeBSD."""
    group, is_darwin = packet.destination, state.platform.name == "darwin"
    # XNU's udp6_input does not look at the socket's bind.
    if state.address not in (None, group) and not (is_darwin and packet.family == "ipv6"):
        return "bound to another address"
    if is_darwin and str(group) == "224.0.0.1":
        return None
    if not state.has_multicast_options and packet.family in state.rules.delivers_without_membership:
        return None
    wanted = state.memberships.get((group, index))
    if wanted is None:
        return "the socket has not joined the group on this interface"
    # imo_multi_filter: a blocked source has the mode of the filter, and passes like any other.
    is_wanted = wanted.mode == "exclude" or wanted.allows(packet.source)
    return None if is_wanted else "the source is filtered out"


def _windows_gets(
    state: SocketState, packet: Packet, index: int, looped: bool, addresses: Sequence[IPAddress]
) -> str | None:
    """Follow Winsock's documentation of IP_ADD_MEMBERSHIP, IP_MULTICAST_LOOP and of binding."""
    if state.address is not None and state.address not in addresses:
        return "bound to an address that is not of this interface"
    if looped and not state.multicast_loop:
        return "IP_MULTICAST_LOOP is off on the receiving socket"
    wanted = state.memberships.get((packet.destination, index))
    if wanted is None:
        return "the socket has not joined the group on this interface"
    return None if wanted.allows(packet.source) else "the source is filtered out"


_CHECKS: Final = {
    "linux": _linux_gets,
    "windows": _windows_gets,
    "darwin": _bsd_gets,
    "freebsd": _bsd_gets,
}

# --- Unicast ------------------------------------------------------------------------------------


def gets_unicast(
    sockets: Iterable[SocketState], packet: Packet, index: int, *, is_loopback: bool
) -> SocketState | None:
    """Return the one socket that gets a unicast datagram.

    The most specific bind wins. A link-local address is another one on each link. Of equals, the
    last bind wins on Linux, macOS and FreeBSD, which put new sockets at the head of their lists; on
    Windows, where Microsoft calls the order undefined, here the first.

    Args:
        sockets: The sockets, bound to the datagram's port.
        packet: The datagram.
        index: The index of the interface of arrival.
        is_loopback: Whether that is the loopback interface.
    """
    matches = [
        sock
        for sock in sockets
        if (sock.family == packet.family or (packet.family == "ipv4" and sock.takes_both_families))
        and sock.address in (None, packet.destination)
        and sock.device in (0, index)
        and (is_loopback or sock.scope in (0, index))
        and sock.peer in (None, (packet.source, packet.source_port))
    ]

    def rank(state: SocketState) -> tuple[bool, bool, bool, int]:
        order = -state.number if state.platform.name == "windows" else state.number
        return (
            state.address is not None,
            bool(state.device),
            state.family == packet.family,
            order,
        )

    return max(matches, key=rank, default=None)
