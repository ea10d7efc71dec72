"""Waiting for many sockets with kqueue, on macOS and FreeBSD. Never run on either.

A kqueue's file descriptor can itself be waited for, by Trio's own kqueue: it is readable while one
of its events waits.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import trio

from .._datagram import Datagram
from .._errors import explain_refusal
from ._posix_io import PosixSocket
from ._protocols import McastSocket

assert not TYPE_CHECKING or (sys.platform != "linux" and sys.platform != "win32")

# How many sockets are taken to be ready at once: few, so that each can have a fair share of a pass
# that is worth a batch. Those behind them come first the next time, as the system puts the ones it
# has shown at the end of its list.
_READY_AT_ONCE: Final = 64


class KqueuePoller:
    """A `Poller` on a kqueue.

    While there is only one socket, that is waited for instead: a quiet datagram then arrives two
    system calls sooner.
    """

    def __init__(self) -> None:
        self._kqueue = select.kqueue()
        self._sockets: dict[int, McastSocket] = {}
        self._waiting_for: int | None = None
        self._interrupted = False

    def add(self, socket: McastSocket) -> None:
        assert isinstance(socket, PosixSocket)
        number = socket.fileno()
        try:
            self._change(number, select.KQ_EV_ADD)
        except OSError as error:
            raise explain_refusal(
                error,
                step="kevent",
                group=socket.spec.group,
                interface=socket.spec.interface.name,
            ) from error
        self._sockets[number] = socket
        self._wake()

    def remove(self, socket: McastSocket) -> None:
        for number, known in list(self._sockets.items()):
            if known is socket:
                del self._sockets[number]
                self._change(number, select.KQ_EV_DELETE)
                self._wake()

    def _change(self, number: int, action: int) -> None:
        """Begin or end to watch for what can be read; it is told as long as there is something."""
        self._kqueue.control([select.kevent(number, select.KQ_FILTER_READ, action)], 0)

    def _wake(self) -> None:
        """Have who waits choose again what to wait for."""
        if self._waiting_for is not None:
            trio.lowlevel.notify_closing(self._waiting_for)

    def interrupt(self) -> None:
        if self._waiting_for is not None:
            self._interrupted = True
            self._wake()

    def likely_ready(self) -> list[McastSocket]:
        if len(self._sockets) <= 1:
            return list(self._sockets.values())  # Reading will tell.
        # Without a time limit of 0 it would wait itself.
        events = self._kqueue.control(None, _READY_AT_ONCE, 0)
        return [self._sockets[event.ident] for event in events]

    def read_each(
        self, sockets: Sequence[McastSocket], room: int, batch: list[Datagram]
    ) -> Sequence[McastSocket]:
        return sockets

    async def wait(self) -> list[McastSocket]:
        self._interrupted = False
        while not self._kqueue.closed:
            alone = len(self._sockets) == 1
            self._waiting_for = next(iter(self._sockets)) if alone else self._kqueue.fileno()
            try:
                await trio.lowlevel.wait_readable(self._waiting_for)
            except trio.ClosedResourceError:
                if self._interrupted:
                    return []
                continue
            finally:
                self._waiting_for = None
            sockets = self.likely_ready()
            if sockets:
                return sockets
        raise trio.ClosedResourceError

    def close(self) -> None:
        if not self._kqueue.closed:
            self._wake()
            self._kqueue.close()
            self._sockets.clear()
