"""Waiting for sockets of which somebody else notices that they can be read."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

import trio

from .poller import OnFailure, PassPoller
from .protocols import McastSocket


class WokenPoller(PassPoller):
    """A `Poller` that is woken: by the tasks of its sockets on Windows, by a virtual network.

    Whoever notices that a socket can be read sets ``_wake``.
    """

    def __init__(self, fail: OnFailure) -> None:
        super().__init__(fail)
        self._wake = trio.Event()
        self._closed = False
        # Whether somebody is in `wait`, and was interrupted.
        self._ahead = False
        self._interrupted = False

    async def wait_ready(self) -> Sequence[McastSocket]:
        self._ahead, self._interrupted = True, False
        try:
            await trio.lowlevel.checkpoint()
            while not (self._find_ready() or self._interrupted):
                await self._wait_for_change()
            return self._awaited
        finally:
            self._ahead = False
            self._wake.set()

    async def wait_ready_behind(self) -> Sequence[McastSocket]:
        if self._ahead or not self._find_ready():
            await self._wait_for_change()
        else:
            await trio.lowlevel.checkpoint()
        while self._ahead or not self._find_ready():
            await self._wait_for_change()
        return self._awaited

    def _wait_for_change(self) -> Awaitable[None]:
        if self._wake.is_set():
            self._wake = trio.Event()
        return self._wake.wait()

    def interrupt(self) -> None:
        self._interrupted = True
        self._wake.set()
