"""The interface to which Linux routes a group, asked by rtnetlink(7) without sending anything.

Decision: ask the kernel where a group goes
===========================================

The portable way (`_host.bsd.routes`) connects a UDP socket and looks at the socket's local address.
The answer is an address, not an interface, and on Linux the two can part: with ``ip route add
239.0.0.0/8 dev eth1 src ADDRESS_OF_ETH0``, or where eth1 has no address, the local address is
eth0's, but the datagrams go out through eth1. So the route itself is asked for (RTM_GETROUTE),
which has the index.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..._values.addresses import Group
from ..._values.interface import Interface

if not TYPE_CHECKING or sys.platform == "linux":
    from .netlink import (
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
_RTA_DST = 1
_RTA_OIF = 4


def routed_interface(group: Group, interfaces: Sequence[Interface]) -> Interface | None:
    """Return the interface, of some, to which this machine routes a group, if any."""
    with open_netlink() as query:
        kind, route = ask(query, RTM_GETROUTE, _question(group))
    if kind != RTM_NEWROUTE:
        return None  # An error: the network is unreachable.
    raw = read_attributes(route, ROUTE.size, frozenset({_RTA_OIF})).get(_RTA_OIF)
    index = None if raw is None else int.from_bytes(raw, sys.byteorder)
    return next((interface for interface in interfaces if interface.index == index), None)


def _question(group: Group) -> bytes:
    family = socket.AF_INET if group.family == "ipv4" else socket.AF_INET6
    packed = group.address.packed
    route = ROUTE.pack(family, len(packed) * 8, 0, 0, 0, 0, 0, 0, 0)
    return route + pack_attribute(_RTA_DST, packed)
