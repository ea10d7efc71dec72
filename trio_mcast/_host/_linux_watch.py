"""When interfaces change on Linux: rtnetlink(7) tells.

Decision: a message says "look again", and little more
=======================================================

The kernel's messages carry what changed. They are not added up: the kernel drops them when the
socket's buffer is full (and then says so, with ENOBUFS), so whoever adds them up has to be able to
start afresh from a look at everything. A look is right whatever was lost; so there is mostly that.

One thing a look cannot show: that an interface was removed, and with it every membership, and has
come back under the same name and index, as one does that is moved to another network namespace and
back. So the indexes of removed interfaces are read off the messages.

Decision: when to look
======================

One action gives several messages: plugging in a cable and giving the interface two addresses, done
by three commands, gave 7 within 6 ms. A look costs 0.5 ms with 4 interfaces, 5.6 ms with 104 and
48 ms with 1,004 (all measured on Linux 6.18). So:

* the look comes 20 ms after the first message, and what came in the meantime is answered by it;
* two looks are 100 ms apart, however many messages come. Removing 50 interfaces took the kernel
  1.7 s, with a message every 35 ms: waiting for a pause would be one look for each, or none until
  the end.

So a lone change is seen after 20 ms, and any after 100 ms. Both numbers are arbitrary beyond that.

Messages are taken from the socket only after the pause, right before the look. Until then the
kernel keeps them: a wait that was cancelled has lost nothing.
"""

from __future__ import annotations

import errno
import math
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

import trio

from .._errors import explain_refusal

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

# From the first message to the look, and from one look to the next.
_PAUSE_SECONDS: Final = 0.02
_INTERVAL_SECONDS: Final = 0.1


class NetlinkWatcher:
    """An `InterfaceWatcher` on Linux, for the network namespace that it was made in."""

    def __init__(self, *, routes: bool = False) -> None:
        """Watch from now on, the routes too if told so. OSError if the system refuses."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        try:
            self._socket.setblocking(False)
            self._socket.bind((0, _GROUPS | _ROUTE_GROUPS if routes else _GROUPS))
        except BaseException:
            self._socket.close()
            raise
        self._closed = trio.Event()
        # When the messages that wait in the socket were first noticed; and when the last ones were
        # answered.
        self._noticed: float | None = None
        self._answered = -math.inf

    async def wait(self) -> frozenset[int]:
        self._check_open()
        await trio.lowlevel.wait_readable(self._socket)
        if self._noticed is None:
            self._noticed = trio.current_time()
        # The time counts from when they were noticed, also if that was in a call that has been
        # cancelled: else whoever calls with short timeouts would never get to the end of the pause.
        due = max(self._noticed + _PAUSE_SECONDS, self._answered + _INTERVAL_SECONDS)
        with trio.move_on_at(due):
            await self._closed.wait()
        self._check_open()
        # From here to the caller's look there must be no checkpoint.
        removed = self._drain()
        self._noticed = None
        self._answered = trio.current_time()
        return removed

    def _check_open(self) -> None:
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError("this watcher was closed")

    def _drain(self) -> frozenset[int]:
        """Take every message out of the socket; the indexes of interfaces that were removed."""
        removed = set()
        while True:
            try:
                message = self._socket.recv(_LINK_MESSAGE.size)  # The rest of it is discarded.
                if len(message) == _LINK_MESSAGE.size:
                    kind, family, index = _LINK_MESSAGE.unpack(message)
                    # A port that leaves a bridge gives the same message, with the bridges' family.
                    if (kind, family) == (_RTM_DELLINK, socket.AF_UNSPEC):
                        removed.add(index)
            except BlockingIOError:
                return frozenset(removed)
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # Messages were lost; the look makes up for them.
                    raise explain_refusal(
                        error, step="watch interfaces", group=None, interface=None
                    ) from error

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            self._closed.set()
