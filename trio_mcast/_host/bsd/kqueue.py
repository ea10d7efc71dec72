"""Waiting for many sockets with kqueue, on macOS and FreeBSD. Never run on either.

Trio's own kqueue can wait for another kqueue's file descriptor, which is readable while one of the
other kqueue's events waits.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Awaitable, Sequence
from contextlib import ExitStack
from functools import partial
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

    While there is only one socket, `wait` is for the socket itself: a quiet datagram then arrives
    two system calls sooner. `wait_behind` is for another kqueue, a gate with the first one in it,
    which is shut while somebody is in `wait`.
    """

    def __init__(self, platform: PlatformName, fail: OnFailure) -> None:
        super().__init__(fail)
        self._platform = platform
        with ExitStack() as opened:
            self._kqueue = select.kqueue()
            opened.callback(self._kqueue.close)
            self._gate = select.kqueue()
            opened.callback(self._gate.close)
            self._turn_gate(select.KQ_EV_ADD)
            opened.pop_all()
        self._sockets: dict[int, McastSocket] = {}
        self._wait = Wait()
        self._wait_behind = Wait()

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

    def wait_ready(self) -> Awaitable[Sequence[McastSocket]]:
        leave = partial(self._turn_gate, select.KQ_EV_ENABLE)
        return self._wait.until_found(self._shut_gate, self._find_ready, leave)

    def _turn_gate(self, action: int) -> None:
        """Put the first kqueue into the gate, or shut or open the gate, unless closed."""
        if not self._gate.closed:
            change = select.kevent(self._kqueue.fileno(), select.KQ_FILTER_READ, action)
            self._gate.control([change], 0)

    def _shut_gate(self) -> int | None:
        """Shut the gate, and return the file descriptor to wait for ahead of it."""
        self._turn_gate(select.KQ_EV_DISABLE)
        return self._choose_descriptor()

    def wait_ready_behind(self) -> Awaitable[Sequence[McastSocket]]:
        return self._wait_behind.until_found(self._choose_gate, self._find_ready)

    def _choose_gate(self) -> int | None:
        """Return the gate's file descriptor; `None` once closed."""
        return None if self._gate.closed else self._gate.fileno()

    def _choose_descriptor(self) -> int | None:
        """Return the file descriptor that can be read when any socket can; `None` once closed."""
        if self._kqueue.closed:
            return None
        alone = len(self._sockets) == 1
        return next(iter(self._sockets)) if alone else self._kqueue.fileno()

    def close(self) -> None:
        waits = (self._wait.choose_again, self._wait_behind.choose_again)
        call_each((*waits, self._gate.close, self._kqueue.close))
        self._sockets.clear()
        super().close()
