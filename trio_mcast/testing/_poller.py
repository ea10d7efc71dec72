"""Waiting for virtual sockets, and for changes of virtual interfaces."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

import trio

from .._host.poller import OnFailure
from .._host.protocols import NOTHING_ENDED, Ended, McastSocket
from .._host.woken_poller import WokenPoller
from .._live import call_each
from .._values.datagram import Datagram
from ._core import Core
from ._receive_buffer import ReadingOrder
from ._socket import VirtualSocket

# A socket with something to read: the order of its first datagram, its number, itself.
_Head: TypeAlias = tuple[ReadingOrder, int, VirtualSocket]


class VirtualPoller(WokenPoller):
    """A `Poller` of virtual sockets. Ready sockets come in the order of their datagrams."""

    def __init__(
        self, core: Core, host: str, all_open: dict[VirtualPoller, None], fail: OnFailure
    ) -> None:
        """Watch nothing yet.

        Args:
            core: The core of the network.
            host: The host's name.
            all_open: The pollers of the host that are not closed.
            fail: As for `PassPoller`.
        """
        super().__init__(fail)
        self._core = core
        self._host = host
        self._all_open = all_open
        all_open[self] = None
        self._ready: dict[VirtualSocket, None] = {}

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self._watched)} sockets"
        return f"<VirtualPoller of {self._host} ({state})>"

    def _watch(self, socket: McastSocket) -> None:
        assert isinstance(socket, VirtualSocket)
        socket.watchers[self] = None
        if socket.is_readable:
            self.became_ready(socket)

    def _unwatch(self, socket: McastSocket) -> None:
        if isinstance(socket, VirtualSocket):
            self._ready.pop(socket, None)
            socket.watchers.pop(self, None)

    def became_ready(self, socket: VirtualSocket) -> None:
        """Note that a socket has something to read."""
        self._ready[socket] = None
        self._wake.set()

    def _find_ready(self) -> Sequence[McastSocket]:
        if self._closed:
            raise trio.ClosedResourceError("this poller was closed")
        self._core.enter(self._host)
        if not self._ready:
            self._awaited = ()
            return ()
        ready: list[McastSocket] = [socket for socket in self._ready if socket.is_readable]
        # A socket that is still readable next time goes to the end, so each has its turn.
        self._ready = {socket: None for socket in ready if isinstance(socket, VirtualSocket)}
        self._awaited = ready
        return ready

    def _takes_turns(self, ready: Sequence[McastSocket]) -> bool:
        return False  # They are read in the order of arrival.

    def _read_together(
        self, ready: Sequence[McastSocket], room: int, batch: list[Datagram]
    ) -> Sequence[McastSocket]:
        """Read many sockets in the order of arrival, so that no split into passes can be seen."""
        heads: list[_Head] = [
            (socket.kernel.buffer.waiting[0].key, number, socket)
            for number, socket in enumerate(ready)
            if isinstance(socket, VirtualSocket) and socket.is_readable
        ]
        heapq.heapify(heads)
        while heads and room > 0:
            _key, number, socket = heapq.heappop(heads)
            datagrams = self._try_receive(socket, 1)
            batch += datagrams
            room -= len(datagrams)
            if socket in self._watched and socket.is_readable:
                heapq.heappush(heads, (socket.kernel.buffer.waiting[0].key, number, socket))
        return ()

    def close(self) -> None:
        """Close the poller and wake whoever waits. Idempotent."""
        self._closed = True
        removals = [partial(self.remove, socket) for socket in self._watched]
        call_each(
            [self._wake.set, *removals, super().close, partial(self._all_open.pop, self, None)]
        )


class VirtualWatcher:
    """An `InterfaceWatcher` of a virtual host. Tells every change at once."""

    def __init__(self, host: str, all_open: dict[VirtualWatcher, None]) -> None:
        """Watch from now on.

        Args:
            host: The host's name.
            all_open: The watchers of the host that are not closed.
        """
        self._host = host
        self._all_open = all_open
        all_open[self] = None
        self._changed = trio.Event()
        self._ended = NOTHING_ENDED
        self._closed = False

    def __repr__(self) -> str:
        return f"<VirtualWatcher of {self._host} ({'closed' if self._closed else 'open'})>"

    def notice(self, ended: Ended) -> None:
        """Note a change, with what it has ended."""
        self._ended |= ended
        self._changed.set()

    async def wait(self) -> Ended:
        """Wait until something may have changed since the last wait ended.

        Raises:
            trio.ClosedResourceError: The watcher was closed, or the network has ended.
        """
        while True:
            self._check_open()
            await self._changed.wait()
            self._check_open()
            ended = self.take()
            if ended is not None:
                return ended

    def take(self) -> Ended | None:
        """Take what the next wait would end for; `None` if nothing was noticed."""
        if not self._changed.is_set():
            return None
        ended, self._ended = self._ended, NOTHING_ENDED
        self._changed = trio.Event()
        return ended

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this watcher was closed")

    def close(self) -> None:
        """Close the watcher and wake whoever waits. Idempotent."""
        self._closed = True
        call_each((self._changed.set, partial(self._all_open.pop, self, None)))
