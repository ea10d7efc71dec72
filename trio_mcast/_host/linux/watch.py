"""The watcher of interfaces on Linux: rtnetlink(7) tells of changes."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Final

from ..damped_watch import DampedWatcher

if not TYPE_CHECKING or sys.platform == "linux":
    from .netlink import HEADER, LINK, RTM_DELLINK, open_netlink, split_messages

assert not TYPE_CHECKING or sys.platform == "linux"

# linux/rtnetlink.h: multicast groups of messages, as bits of the address to bind to. The header has
# names for some of the bits (RTMGRP_LINK), and numbers for all groups (RTNLGRP_LINK).
_LINK = 1 << 0
_IPV4_IFADDR = 1 << 4
_IPV4_ROUTE = 1 << 6
_IPV4_RULE = 1 << 7
_IPV6_IFADDR = 1 << 8
_IPV6_ROUTE = 1 << 10
_IPV6_RULE = 1 << 18
_IPV4_NETCONF = 1 << 23
_IPV6_NETCONF = 1 << 24
_NEXTHOP = 1 << 31
_GROUPS: Final = _LINK | _IPV4_IFADDR | _IPV6_IFADDR
# All that decides on the way of a datagram: the routes, the rules that say which table of routes
# counts, the nexthops that routes refer to, and the settings of interfaces, of which one is that
# routes without a cable count for nothing (ignore_routes_with_linkdown).
_ROUTE_GROUPS: Final = (
    _IPV4_ROUTE | _IPV6_ROUTE | _IPV4_RULE | _IPV6_RULE | _NEXTHOP | _IPV4_NETCONF | _IPV6_NETCONF
)


class NetlinkWatcher(DampedWatcher):
    """An `InterfaceWatcher` on Linux, for the network namespace that it was made in."""

    # The kernel sends each notification as one message by itself.
    _message_bytes = HEADER.size + LINK.size

    def __init__(self, *, routes: bool = False) -> None:
        """Watch from now on, the routes too if told so. OSError if the system refuses."""
        sock = open_netlink()
        try:
            sock.setblocking(False)
            sock.bind((0, _GROUPS | _ROUTE_GROUPS if routes else _GROUPS))
        except BaseException:
            sock.close()
            raise
        super().__init__(sock, "linux")

    def _removed_by(self, message: bytes) -> frozenset[int]:
        for kind, _flags, link in split_messages(message):
            if kind == RTM_DELLINK and len(link) == LINK.size:
                family, _hardware, index, _link_flags, _changed = LINK.unpack(link)
                # A port that leaves a bridge gives the same message, with the bridges' family.
                if family == socket.AF_UNSPEC:
                    return frozenset({index})
        return frozenset()
