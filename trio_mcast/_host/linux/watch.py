"""The watcher of interfaces on Linux: rtnetlink(7) tells of changes."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Final

from ..damped_watch import DampedWatcher

if not TYPE_CHECKING or sys.platform == "linux":
    from .netlink import HEADER, LINK, RTM_DELLINK, open_netlink, split_messages

assert not TYPE_CHECKING or sys.platform == "linux"

# linux/rtnetlink.h: multicast groups of messages, as bits of the address to bind to.
_RTMGRP_LINK = 0x1
_RTMGRP_IPV4_IFADDR = 0x10
_RTMGRP_IPV6_IFADDR = 0x100
_RTMGRP_IPV4_ROUTE = 0x40
_RTMGRP_IPV6_ROUTE = 0x400
_GROUPS: Final = _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR
_ROUTE_GROUPS: Final = _RTMGRP_IPV4_ROUTE | _RTMGRP_IPV6_ROUTE


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
