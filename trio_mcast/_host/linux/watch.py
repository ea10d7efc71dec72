"""The watcher of interfaces on Linux: rtnetlink(7) tells of changes."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ..._platform.current import current_platform
from ..._values.interface import families_without_room
from ..damped_watch import DampedWatcher
from ..protocols import Ended

if not TYPE_CHECKING or sys.platform == "linux":
    from .netlink import (
        IFLA_MTU,
        LINK,
        RTM_DELLINK,
        RTM_NEWLINK,
        open_netlink,
        read_attributes,
        split_messages,
    )

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

_MTU: Final = frozenset({IFLA_MTU})

# Room for messages, which come in bursts: 50 about interfaces fill the default of 208 KiB (measured
# on 6.18), and after lost ones every group has to be joined again. The memory is taken only while
# messages wait. Some 1,000 of them, which is arbitrary; SO_RCVBUFFORCE needs CAP_NET_ADMIN.
_ROOM_BYTES: Final = 4_194_304


class NetlinkWatcher(DampedWatcher):
    """An `InterfaceWatcher` on Linux, for the network namespace that it was made in."""

    # The kernel sends each notification as one message by itself. The mtu stands before the 100th
    # byte (rtnl_fill_ifinfo): the name, which has up to 16 bytes, and a few numbers come first.
    _message_bytes = 256

    def __init__(self, *, routes: bool = False) -> None:
        """Watch from now on, the routes too if told so. OSError if the system refuses."""
        sock = open_netlink()
        try:
            sock.setblocking(False)
            numbers = current_platform().constants
            for symbol in ("SO_RCVBUF", "SO_RCVBUFFORCE"):
                with suppress(OSError):
                    sock.setsockopt(numbers["SOL_SOCKET"], numbers[symbol], _ROOM_BYTES)
            sock.bind((0, _GROUPS | _ROUTE_GROUPS if routes else _GROUPS))
        except BaseException:
            sock.close()
            raise
        super().__init__(sock, "linux")

    def _ended_by(self, message: bytes) -> Ended:
        for kind, _flags, link in split_messages(message):
            if kind not in (RTM_NEWLINK, RTM_DELLINK) or len(link) < LINK.size:
                continue
            family, _hardware, index, _link_flags, _changed = LINK.unpack_from(link)
            if kind == RTM_NEWLINK:
                mtu = read_attributes(link, LINK.size, _MTU).get(IFLA_MTU, b"")
                lacking = families_without_room(int.from_bytes(mtu, sys.byteorder))
                return Ended(families=frozenset((index, lost) for lost in lacking))
            # A port that leaves a bridge gives the same message, with the bridges' family.
            if family == socket.AF_UNSPEC:
                return Ended(removed=frozenset({index}))
        return Ended()
