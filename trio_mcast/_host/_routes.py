"""Which interface the system routes a group to, asked without sending anything.

The portable way is to connect a UDP socket and to look at its local address. Its answer is an
address, not an interface, and on Linux the two can part: a route through an interface without an
address takes its source address from another interface. The kernel's own answer, by rtnetlink(7),
has the index; so that is asked on Linux.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Sequence
from ipaddress import ip_address

from .._addresses import Group
from .._interface import Interface

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


# The port that is connected to. Nothing is sent, but it must not be 0; 9 is the one whose service
# would discard what comes.
_DISCARD_PORT = 9
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL})


def routed_interface(group: Group, interfaces: Sequence[Interface]) -> Interface | None:
    """The one of these interfaces to which this machine routes a group; `None` without a route."""
    if sys.platform == "linux":
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as query:
            query.sendto(_question(group), (0, 0))
            index = _index_in(query.recv(_ANSWER_BYTES))
        return next((item for item in interfaces if item.index == index), None)
    else:
        return interface_by_connecting(group, interfaces)


def interface_by_connecting(group: Group, interfaces: Sequence[Interface]) -> Interface | None:
    """The same, the portable way: the first interface with the address that would be sent from."""
    family = socket.AF_INET if group.family == "ipv4" else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as query:
        try:
            query.connect((str(group.address), _DISCARD_PORT))
        except OSError as error:
            if error.errno in _NO_ROUTE:
                return None
            raise
        host, _port, *rest = query.getsockname()
    local = ip_address(str(host).partition("%")[0])
    index = int(rest[1]) if rest else 0  # The scope of a link-local address.
    return next(
        (
            item
            for item in interfaces
            if local in item.addresses(group.family) and index in (0, item.index)
        ),
        None,
    )


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
