"""The interface to which Linux routes a group, asked by rtnetlink(7) without sending anything.

Decision: ask the kernel where a group goes
===========================================

The portable way (`_host.routes`) connects a UDP socket and looks at its local address. It answers
with an address, not an interface, and on Linux the two can part: with ``ip route add 239.0.0.0/8
dev eth1 src ADDRESS_OF_ETH0``, or where eth1 has no address, the local address is eth0's, but the
datagrams go out through eth1. So the route itself is asked for (RTM_GETROUTE), which has the index.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..._values.addresses import Group
from ..._values.interface import Interface

assert not TYPE_CHECKING or sys.platform == "linux"

# linux/netlink.h and linux/rtnetlink.h.
_RTM_NEWROUTE = 24
_RTM_GETROUTE = 26
_NLM_F_REQUEST = 1
_RTA_DST = 1
_RTA_OIF = 4
_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=8BI")
_ATTRIBUTE = struct.Struct("=HH")
_ANSWER_BYTES = 8_192


def routed_interface(group: Group, interfaces: Sequence[Interface]) -> Interface | None:
    """Return the one of these interfaces to which this machine routes a group, if there is one."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as query:
        query.sendto(_question(group), (0, 0))
        index = _index_in(query.recv(_ANSWER_BYTES))
    return next((interface for interface in interfaces if interface.index == index), None)


def _question(group: Group) -> bytes:
    family = socket.AF_INET if group.family == "ipv4" else socket.AF_INET6
    packed = group.address.packed
    route = _ROUTE.pack(family, len(packed) * 8, 0, 0, 0, 0, 0, 0, 0)
    destination = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), _RTA_DST) + packed
    size = _HEADER.size + len(route) + len(destination)
    return _HEADER.pack(size, _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0) + route + destination


def _index_in(answer: bytes) -> int | None:
    size, kind, *_ = _HEADER.unpack_from(answer)
    if kind != _RTM_NEWROUTE:
        return None  # An error: the network is unreachable.
    position = _HEADER.size + _ROUTE.size
    while position + _ATTRIBUTE.size <= min(size, len(answer)):
        length, attribute = _ATTRIBUTE.unpack_from(answer, position)
        if attribute == _RTA_OIF:
            return int(struct.unpack_from("=I", answer, position + _ATTRIBUTE.size)[0])
        position += max(_ATTRIBUTE.size, (length + 3) & ~3)
    return None
