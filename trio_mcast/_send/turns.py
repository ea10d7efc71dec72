"""The order in which tasks wait for room in the send buffers of a sender's sockets.

Decision: whoever waits goes first
==================================

Only one task can wait for a socket at a time. And Linux says that there is room when less than half
of a send buffer is in use, but takes a datagram until all of it is: a task that sends whenever a
bit of room has come free could keep one that waits from ever being woken. So while anybody waits
for a socket, whoever comes later waits behind it. A task has its turn until the system has taken
something of it; with more to send, it waits anew, behind the others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import trio

from .._plan.socket_spec import BindAddress
from .outlets import Outlet


class Turns:
    """Hands datagrams over to sockets; who has to wait for room is served in order of coming.

    Attributes:
        taken: The sockets for which somebody waits, and the lock of whose turn it is.
    """

    def __init__(self, check_open: Callable[[], None]) -> None:
        """Begin with nobody waiting.

        Args:
            check_open: Raises `trio.ClosedResourceError` once the sender was closed.
        """
        self.taken: dict[Outlet, trio.StrictFIFOLock] = {}
        self._check_open = check_open

    async def hand_over(
        self, outlet: Outlet, address: BindAddress, payloads: Sequence[bytes], start: int
    ) -> int:
        """Have the system take some of the payloads from a position on; wait if it has no room.

        A checkpoint only if it has to wait.

        Returns:
            How many it took, at least one.

        Raises:
            OSError: It refuses the first of them.
            trio.ClosedResourceError: The sender was closed.
        """
        if outlet not in self.taken:
            count = _hand_over_now(outlet, address, payloads, start)
            if count:
                return count
        async with self._turn_at(outlet) as others_were_first:
            count = 0
            if others_were_first:  # They may have left room, or the socket may be closed.
                self._check_open()
                count = _hand_over_now(outlet, address, payloads, start)
            while not count:
                # Closed may be the replies, or this socket, but not the sender.
                with suppress(trio.ClosedResourceError):
                    await outlet.wait_writable()
                self._check_open()
                count = _hand_over_now(outlet, address, payloads, start)
        return count

    @asynccontextmanager
    async def _turn_at(self, outlet: Outlet) -> AsyncIterator[bool]:
        """Wait for the turn, and have it for a block.

        Yields whether others had it before; otherwise this is no checkpoint.
        """
        lock = self.taken.setdefault(outlet, trio.StrictFIFOLock())
        waits = lock.locked()
        try:
            if waits:
                await lock.acquire()
            else:
                lock.acquire_nowait()
            try:
                yield waits
            finally:
                lock.release()
        finally:
            if not lock.locked() and self.taken.get(outlet) is lock:
                del self.taken[outlet]


def _hand_over_now(
    outlet: Outlet, address: BindAddress, payloads: Sequence[bytes], start: int
) -> int:
    """Have the system take some of the payloads; how many it took, 0 if it has no room."""
    try:
        if len(payloads) > 1:
            return outlet.send_batch(payloads, start, address)
        outlet.send(payloads[0], address)
    except BlockingIOError:
        return 0
    return 1
