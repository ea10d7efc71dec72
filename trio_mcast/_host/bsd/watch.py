"""The watcher of interfaces on macOS and FreeBSD: route(4) tells of changes. Never run on either.

A routing socket gets every message. Many are about routes and say nothing of interfaces: these are
passed over. FreeBSD announces that an interface has gone; on macOS only the look shows that.
"""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ..._platform import bsd
from ..._platform.model import Platform
from ..damped_watch import DampedWatcher
from ..protocols import Ended

assert not TYPE_CHECKING or sys.platform != "win32"

# Room for messages about routes, which may come in crowds. The systems' own default is 8 KiB; this
# number is arbitrary.
_ROOM_BYTES: Final = 262_144


class RoutingSocketWatcher(DampedWatcher):
    """An `InterfaceWatcher` on macOS and FreeBSD."""

    _message_bytes = bsd.MESSAGE_BYTES

    def __init__(self, platform: Platform, sock: socket.socket | None = None) -> None:
        """Watch from now on.

        Args:
            platform: macOS or FreeBSD.
            sock: The routing socket; `None` to open one.

        Raises:
            OSError: The system refuses.
        """
        if sock is None:
            sock = socket.socket(bsd.AF_ROUTE, socket.SOCK_RAW, socket.AF_UNSPEC)
        try:
            sock.setblocking(False)
            numbers = platform.constants
            # Neither option is needed: with less room a message may be lost among others.
            for symbol, value in (("SO_RCVBUF", _ROOM_BYTES), ("SO_RERROR", 1)):
                if symbol in numbers:
                    with suppress(OSError):
                        sock.setsockopt(numbers["SOL_SOCKET"], numbers[symbol], value)
        except BaseException:
            sock.close()
            raise
        self._announces = platform.announces_departures
        super().__init__(sock, platform.name)

    def _ended_by(self, message: bytes) -> Ended | None:
        removed = bsd.removed_interfaces(message, announces=self._announces)
        return None if removed is None else Ended(removed)
