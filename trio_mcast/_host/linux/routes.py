"""The way of an address's datagrams on Linux, asked by rtnetlink(7) without sending anything.

Decision: ask the kernel where datagrams go
===========================================

The portable way (`_host.connected_route`) connects a UDP socket and looks at the socket's local
address. The answer is an address, not an interface, and on Linux the two can part: with ``ip route
add 239.0.0.0/8 dev eth1 src ADDRESS_OF_ETH0``, or where eth1 has no address, the local address is
eth0's, but the datagrams go out through eth1. So the route itself is asked for (RTM_GETROUTE),
which has the index.

The answer has the address that a plain socket sends from, too. It is the route's own (``src``), or
one in the network of the route's gateway, or one that the kernel has chosen among those of the
interface. Or, where none of these fits, another interface's, which a group is not to be sent from
unless the route says so. For IPv6 the choice is another one as soon as there is a new address. So
in both cases the route is asked for as it is in the table (RTM_F_FIB_MATCH, since Linux 4.13),
without what the kernel has chosen.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from ..._plan.route import Route, RouteAnswer, RouteRefusal
from ..._values.addresses import IPAddress, is_link_scoped
from ..._values.interface import Interface
from ..connected_route import route_by_connecting

if not TYPE_CHECKING or sys.platform == "linux":
    from .netlink import (
        NLMSG_ERROR,
        ROUTE,
        RTM_GETROUTE,
        RTM_NEWROUTE,
        ask,
        open_netlink,
        pack_attribute,
        read_attributes,
    )

assert not TYPE_CHECKING or sys.platform == "linux"

# linux/rtnetlink.h
_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RTA_PREFSRC: Final = 7
_RTM_F_FIB_MATCH: Final = 0x2000
_OF_ROUTES: Final = frozenset({_RTA_OIF, _RTA_PREFSRC})

# The errors that routes and rules of a type answer with (fib_props in net/ipv4/fib_semantics.c,
# ip6_rt_type_to_error in net/ipv6/route.c), by the name of the type in `ip route`. Where there is
# no route the error is ENETUNREACH; so it is for the type "throw", which means that there is none,
# and for rules of the type "unreachable".
_REFUSALS: Final = {
    errno.EACCES: "prohibit",
    errno.EHOSTUNREACH: "unreachable",
    errno.EINVAL: "blackhole",
}

# The errors where a sandbox refuses netlink (RestrictAddressFamilies of systemd, seccomp).
_NO_NETLINK: Final = frozenset({errno.EAFNOSUPPORT, errno.EPERM, errno.EACCES})


def find_linux_route(address: IPAddress, interfaces: Sequence[Interface]) -> RouteAnswer:
    """Return the way of datagrams to an address through one of some interfaces.

    A group of link-local scope or less has no way, as every interface has such a link; but it can
    be refused.

    Raises:
        OSError: The system refuses to tell.
    """
    try:
        query = open_netlink()
    except OSError as error:
        if error.errno in _NO_NETLINK:
            return route_by_connecting(address, interfaces)
        raise
    with query:
        is_group = address.is_multicast
        as_in_table = _RTM_F_FIB_MATCH if is_group and address.version == 6 else 0
        kind, answer = ask(query, RTM_GETROUTE, _question(address, as_in_table))
        if kind == NLMSG_ERROR:
            number = -int.from_bytes(answer[:4], sys.byteorder, signed=True)
            refusal = _REFUSALS.get(number)
            return None if refusal is None else RouteRefusal(number, refusal)
        if is_group and is_link_scoped(address):
            return None
        index, source = _read(kind, answer)
        if as_in_table and not index:  # The kernel chooses one of several nexthops.
            index, _ = _read(*ask(query, RTM_GETROUTE, _question(address)))
        interface = next((each for each in interfaces if each.index == index), None)
        if is_group and address.version == 4 and not _has(interface, source):
            _, source = _read(*ask(query, RTM_GETROUTE, _question(address, _RTM_F_FIB_MATCH)))
        return Route(interface, None if source is None else ip_address(source))


def _has(interface: Interface | None, address: bytes | None) -> bool:
    return interface is not None and any(
        local.packed == address for local in interface.ipv4_addresses
    )


def _question(address: IPAddress, flags: int = 0) -> bytes:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    packed = address.packed
    route = ROUTE.pack(family, len(packed) * 8, 0, 0, 0, 0, 0, 0, flags)
    return route + pack_attribute(_RTA_DST, packed)


def _read(kind: int, answer: bytes) -> tuple[int, bytes | None]:
    """Return the index of the interface and the address to send from that an answer has."""
    if kind != RTM_NEWROUTE:
        return 0, None
    attributes = read_attributes(answer, ROUTE.size, _OF_ROUTES)
    index = int.from_bytes(attributes.get(_RTA_OIF, b""), sys.byteorder)
    return index, attributes.get(_RTA_PREFSRC)
