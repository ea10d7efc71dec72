"""The order in which tasks wait for room in the send buffers of a sender's sockets.

Decision: whoever waits goes first
==================================

Only one task can wait for a socket at a time. And Linux says that there is room when less than half
of a send buffer is in use, but takes datagrams until all of the buffer is: a task that sends
whenever a bit of room has come free could keep a waiting task from ever being woken. So while a
task waits for a socket, later tasks wait behind it. A task has its turn until the system has taken
a payload or more; a task with more to send waits anew, behind the others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import trio

from .._plan.socket_spec import BindAddress
from .stand_ins import Outlet


def take_now(outlet: Outlet, address: BindAddress, payloads: Sequence[bytes], start: int) -> int:
    """Have the system take some of the payloads; return their number, 0 if there is no room."""
    try:
        if len(payloads) > 1:
            return outlet.send_batch(payloads, start, address)
        outlet.send(payloads[0], address)
    except BlockingIOError:
        return 0
    return 1


# Has the system take payloads from a position on, as `take_now` does.
Take: TypeAlias = Callable[[Outlet, BindAddress, Sequence[bytes], int], int]


class Turns:
    """Hands datagrams over to sockets; tasks that have to wait for room have turns, as they come.

    Attributes:
        taken: The sockets that a task waits for, each with the lock that the task in turn holds.
    """

    def __init__(self, check_open: Callable[[], None]) -> None:
        """Begin with nobody waiting.

        Args:
            check_open: Raises `trio.ClosedResourceError` once the sender was closed.
        """
        self.taken: dict[Outlet, trio.StrictFIFOLock] = {}
        self._check_open = check_open

    async def hand_over(
        self,
        outlet: Outlet,
        address: BindAddress,
        payloads: Sequence[bytes],
        start: int,
        take: Take = take_now,
    ) -> int:
        """Have the system take some of the payloads; wait if there is no room.

        A checkpoint only if the task has to wait.

        Args:
            outlet: The socket.
            address: The address to send to.
            payloads: The payloads.
            start: The position of the first payload that has not been taken yet.
            take: Has the system take payloads, without waiting.

        Returns:
            The number of payloads that were taken, at least one.

        Raises:
            OSError: The system refuses the first of them.
            trio.ClosedResourceError: The sender was closed.
        """
        count = self.hand_over_now(outlet, address, payloads, start, take)
        if count:
            return count
        async with self._turn_at(outlet) as others_were_first:
            count = 0
            if others_were_first:  # Now there may be room, or the socket may be closed.
                self._check_open()
                count = take(outlet, address, payloads, start)
            while not count:
                # Closed may be the replies, or this socket, but not the sender.
                with suppress(trio.ClosedResourceError):
                    await outlet.wait_writable()
                self._check_open()
                count = take(outlet, address, payloads, start)
        return count

    def hand_over_now(
        self,
        outlet: Outlet,
        address: BindAddress,
        payloads: Sequence[bytes],
        start: int,
        take: Take = take_now,
    ) -> int:
        """`hand_over` without waiting: 0 if there is no room, or others wait for room already.

        Raises:
            OSError: The system refuses the first of the payloads.
        """
        return 0 if outlet in self.taken else take(outlet, address, payloads, start)

    @asynccontextmanager
    async def _turn_at(self, outlet: Outlet) -> AsyncIterator[bool]:
        """Wait for the turn at a socket, and have the turn for a block.

        Yields whether the task waited; otherwise entering is no checkpoint.
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
