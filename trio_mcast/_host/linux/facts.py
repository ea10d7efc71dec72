"""Facts about links and routes of Linux that only a diagnosis asks for, by rtnetlink(7)."""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

from ..._values.addresses import IPAddress
from ..fact_values import LinkFacts, RouteFacts

if not TYPE_CHECKING or sys.platform == "linux":
    from .netlink import (
        LINK,
        NLMSG_ERROR,
        ROUTE,
        RTM_GETLINK,
        RTM_GETROUTE,
        SHORT_LINKS,
        ask,
        dump_parts,
        dump_sockets,
        open_netlink,
        pack_attribute,
        read_attributes,
        read_list,
    )

assert not TYPE_CHECKING or sys.platform == "linux"

# linux/if.h
_IFF_POINTOPOINT: Final = 0x10
_IFF_RUNNING: Final = 0x40
# linux/if_link.h
_IFLA_LINK: Final = 5
_IFLA_LINKINFO: Final = 18
_IFLA_INFO_KIND: Final = 1
_IFLA_CARRIER: Final = 33
_IFLA_LINK_NETNSID: Final = 37
_OF_LINKS: Final = frozenset({_IFLA_LINK, _IFLA_LINKINFO, _IFLA_CARRIER, _IFLA_LINK_NETNSID})
# linux/rtnetlink.h
_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_OF_ROUTES: Final = frozenset({_RTA_OIF, _RTA_GATEWAY})
# linux/inet_diag.h: a question for all sockets of a family and protocol; the end of an answer, its
# inode; the attribute with the options of a socket, and IP_MULTICAST_LOOP in its first byte.
_ALL_SOCKETS: Final = struct.Struct("=BBBxI48x")
_ANSWER: Final = struct.Struct("=68xI")
_SOCKOPT: Final = 22
_MC_LOOP: Final = 1 << 4
_ANY_STATE: Final = 0xFFFFFFFF
_ROUTE_KINDS: Final = {
    1: "unicast",
    2: "local",
    3: "broadcast",
    4: "anycast",
    5: "multicast",
    6: "blackhole",
    7: "unreachable",
    8: "prohibit",
    9: "throw",
}


def read_link_facts() -> dict[int, LinkFacts]:
    """Return the facts about every link, by index.

    Raises:
        OSError: The system refuses to tell.
    """
    facts = {}
    with open_netlink() as query:
        for messages, _unchanged in dump_parts(query, RTM_GETLINK, SHORT_LINKS):
            for message in messages:
                _family, _hardware, index, flags, _changed = LINK.unpack_from(message)
                facts[index] = _read_link(flags, read_attributes(message, LINK.size, _OF_LINKS))
    return facts


def _read_link(flags: int, attributes: dict[int, bytes]) -> LinkFacts:
    kinds = read_list(attributes.get(_IFLA_LINKINFO, b""), _IFLA_INFO_KIND)
    kind = os.fsdecode(kinds[0].partition(b"\0")[0]) if kinds else ""
    has_carrier = attributes.get(_IFLA_CARRIER, b"\1") != b"\0"
    is_running = bool(flags & _IFF_RUNNING) and has_carrier
    # Of a veth, it is the other end. A link of another namespace has the attribute of that, too.
    is_stacked = kind not in ("", "veth") and _IFLA_LINK_NETNSID not in attributes
    lower = int.from_bytes(attributes.get(_IFLA_LINK, b""), sys.byteorder) if is_stacked else 0
    return LinkFacts(is_running, bool(flags & _IFF_POINTOPOINT), kind, lower)


def ask_route(address: IPAddress, through: int) -> RouteFacts:
    """Return the way of datagrams to an address. Nothing is sent.

    Args:
        address: The address.
        through: The index of the interface through which they are to go; 0 for any.

    Raises:
        OSError: The system refuses to tell.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    packed = address.packed
    question = ROUTE.pack(family, len(packed) * 8, 0, 0, 0, 0, 0, 0, 0)
    question += pack_attribute(_RTA_DST, packed)
    if through:
        question += pack_attribute(_RTA_OIF, through.to_bytes(4, sys.byteorder))
    with open_netlink() as query:
        kind, answer = ask(query, RTM_GETROUTE, question)
    if kind == NLMSG_ERROR:
        return RouteFacts(errno=-int.from_bytes(answer[:4], sys.byteorder, signed=True))
    attributes = read_attributes(answer, ROUTE.size, _OF_ROUTES)
    gateway = attributes.get(_RTA_GATEWAY)
    return RouteFacts(
        int.from_bytes(attributes.get(_RTA_OIF, b""), sys.byteorder),
        "" if gateway is None else socket.inet_ntop(family, gateway),
        _ROUTE_KINDS.get(ROUTE.unpack_from(answer)[7], ""),
    )


def read_socket_loops() -> dict[int, bool]:
    """Return for each UDP socket of IPv4, by inode, whether it has ``IP_MULTICAST_LOOP``.

    The sockets are those of all users.

    Raises:
        OSError: The system refuses to tell.
    """
    question = _ALL_SOCKETS.pack(socket.AF_INET, socket.IPPROTO_UDP, 0, _ANY_STATE)
    loops = {}
    for answer in dump_sockets(question):
        options = read_attributes(answer, _ANSWER.size, frozenset({_SOCKOPT})).get(_SOCKOPT)
        if options:
            (inode,) = _ANSWER.unpack_from(answer)
            loops[inode] = bool(options[0] & _MC_LOOP)
    return loops
