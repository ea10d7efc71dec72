"""Waiting for many sockets with kqueue, on macOS and FreeBSD. Never run on either.

Trio's own kqueue can wait for another kqueue's file descriptor, which is readable while one of the
other kqueue's events waits.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..._live import call_each
from ..._platform.advice import explain_refusal
from ..._platform.model import PlatformName
from ..poller import OnFailure, PassPoller, Wait
from ..portable_socket import PosixSocket
from ..protocols import McastSocket

assert not TYPE_CHECKING or (sys.platform != "linux" and sys.platform != "win32")

# How many sockets are taken to be ready at once: few, so that each can have a fair share of a pass
# that is worth a batch. Later ones come first the next time, as the system puts the sockets that it
# has shown at the end of its list.
_READY_AT_ONCE: Final = 64


class KqueuePoller(PassPoller):
    """A `Poller` on a kqueue.

    While there is only one socket, the task waits for the socket itself: a quiet datagram then
    arrives two system calls sooner.
    """

    def __init__(self, platform: PlatformName, fail: OnFailure) -> None:
        super().__init__(fail)
        self._platform = platform
        self._kqueue = select.kqueue()
        self._sockets: dict[int, McastSocket] = {}
        self._wait = Wait()

    def _watch(self, socket: McastSocket) -> None:
        assert isinstance(socket, PosixSocket)
        number = socket.fileno()
        try:
            self._change(number, select.KQ_EV_ADD)
        except OSError as error:
            raise explain_refusal(
                error,
                step="kevent",
                group=socket.socket_spec.group,
                interface=socket.socket_spec.interface.name,
                platform=self._platform,
            ) from error
        self._sockets[number] = socket
        self._wait.choose_again()

    def _unwatch(self, socket: McastSocket) -> None:
        for number, watched in list(self._sockets.items()):
            if watched is socket:
                del self._sockets[number]
                self._change(number, select.KQ_EV_DELETE)
                self._wait.choose_again()

    def _change(self, number: int, action: int) -> None:
        """Begin or end to watch a socket, which shows as long as there is something to read."""
        self._kqueue.control([select.kevent(number, select.KQ_FILTER_READ, action)], 0)

    def interrupt(self) -> None:
        self._wait.interrupt()

    def likely_ready(self) -> list[McastSocket]:
        if len(self._sockets) <= 1:
            return list(self._sockets.values())  # Reading will tell.
        # Without a time limit of 0 the call would wait.
        events = self._kqueue.control(None, _READY_AT_ONCE, 0)
        return [self._sockets[event.ident] for event in events]

    async def wait_ready(self) -> Sequence[McastSocket]:
        return await self._wait.until_found(self._choose_descriptor, self.likely_ready)

    def _choose_descriptor(self) -> int | None:
        """Return the file descriptor that can be read when any socket can; `None` once closed."""
        if self._kqueue.closed:
            return None
        alone = len(self._sockets) == 1
        return next(iter(self._sockets)) if alone else self._kqueue.fileno()

    def close(self) -> None:
        call_each((self._wait.choose_again, self._kqueue.close))
        self._sockets.clear()
        super().close()
