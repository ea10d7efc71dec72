"""When interfaces change on Linux: rtnetlink(7) tells."""

from __future__ import annotations

import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

from ..damped_watch import DampedWatcher

assert not TYPE_CHECKING or sys.platform == "linux"

# linux/rtnetlink.h: multicast groups of messages, as bits of the address to bind to.
_RTMGRP_LINK = 0x1
_RTMGRP_IPV4_IFADDR = 0x10
_RTMGRP_IPV6_IFADDR = 0x100
_RTMGRP_IPV4_ROUTE = 0x40
_RTMGRP_IPV6_ROUTE = 0x400
_GROUPS: Final = _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR
_ROUTE_GROUPS: Final = _RTMGRP_IPV4_ROUTE | _RTMGRP_IPV6_ROUTE

# struct nlmsghdr (length, type, flags, sequence, port) and the start of struct ifinfomsg (family,
# hardware type, index), of which type, family and index are read. The kernel sends each
# notification as one message by itself.
_LINK_MESSAGE: Final = struct.Struct("=4xH10xB3xi")
_RTM_DELLINK: Final = 17


class NetlinkWatcher(DampedWatcher):
    """An `InterfaceWatcher` on Linux, for the network namespace that it was made in."""

    _message_bytes = _LINK_MESSAGE.size

    def __init__(self, *, routes: bool = False) -> None:
        """Watch from now on, the routes too if told so. OSError if the system refuses."""
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        try:
            sock.setblocking(False)
            sock.bind((0, _GROUPS | _ROUTE_GROUPS if routes else _GROUPS))
        except BaseException:
            sock.close()
            raise
        super().__init__(sock, "linux")

    def _removed_by(self, message: bytes) -> frozenset[int]:
        if len(message) == _LINK_MESSAGE.size:
            kind, family, index = _LINK_MESSAGE.unpack(message)
            # A port that leaves a bridge gives the same message, with the bridges' family.
            if (kind, family) == (_RTM_DELLINK, socket.AF_UNSPEC):
                return frozenset({index})
        return frozenset()
