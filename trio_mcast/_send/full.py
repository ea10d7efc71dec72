"""The sockets of a sender whose send buffers are full, where the sender passes them over.

Decision: full until it is writable
===================================

A buffer that was full and has room for one datagram would take one and be full again, and each time
would be told. So a full socket is passed over until the system says that it is writable; on Linux,
that is when half of the buffer is free. Passing over costs no system call, so that the interfaces
that are free keep their pace. A slow link does not run dry meanwhile.
"""

from __future__ import annotations

import errno
import logging
from contextlib import suppress

import trio

from .._values.errors import SocketSetupError
from .stand_ins import Outlet

logger = logging.getLogger("trio_mcast")

# The pause before a socket is tried again whose interface's queue is full, of which readiness does
# not tell. Arbitrary.
_PAUSE_SECONDS = 0.01


class FullOutlets:
    """The sockets that are passed over, and the task that waits until they are writable.

    Attributes:
        errors: The sockets, each with the error of the first datagram that found no room.
    """

    def __init__(self) -> None:
        self.errors: dict[Outlet, SocketSetupError] = {}
        self._new: list[Outlet] = []
        self._changed = trio.Event()

    def add(self, outlet: Outlet, error: SocketSetupError) -> None:
        """Pass over a socket from now on, and log it."""
        logger.warning("datagrams are dropped until there is room again: %s", error)
        self.errors[outlet] = error
        self._new.append(outlet)
        self._changed.set()

    async def run(self) -> None:
        """Wait for room, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._changed.wait()
                self._changed = trio.Event()
                for outlet in self._new:
                    nursery.start_soon(self._wait_for_room, outlet)
                self._new.clear()

    async def _wait_for_room(self, outlet: Outlet) -> None:
        if self.errors[outlet].errno == errno.ENOBUFS:
            await trio.sleep(_PAUSE_SECONDS)
        with suppress(trio.ClosedResourceError):  # Another one has replaced the socket.
            await outlet.wait_writable()
            logger.info("there is room again on interface %s", outlet.socket_spec.interface)
        del self.errors[outlet]
