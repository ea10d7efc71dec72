"""`watch_interfaces`: the changes of this machine's interfaces, as a channel.

Decision: no task
=================

A task that looks and fills a channel needs a bound: changes that nobody takes would pile up, and a
program that takes few would get old ones. So nothing runs in between. `receive` itself waits until
the system says that something happened, looks, and works out what is different from the last look.
While nobody receives, the system's messages wait in a socket, and any number of them is answered by
one look: what has come and gone in the meantime is not told. And nothing can outlive the block.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio

from ._block import Closeable, at_end
from ._changes import InterfaceChange, interface_changes
from ._host import Host, InterfaceWatcher, current_host


def watch_interfaces() -> AbstractAsyncContextManager[trio.abc.ReceiveChannel[InterfaceChange]]:
    """Follow the interfaces of this machine as they come, go and change.

    ``async with watch_interfaces() as changes``: from when the block has been entered, every
    difference to how the interfaces were then comes as an `InterfaceChange`: one was added, one was
    removed, or one has another name, address, MTU or anything else that an `Interface` has.
    `list_interfaces` inside the block gives what there is. A change that happens between entering
    and that call is in the list and comes as a change, too.

    The channel's ``receive()`` and ``async for`` give one change at a time. Of what happened at the
    same time, what was removed comes first, then what changed, then what was added, each by index.
    One after the other, the changes lead from how it was to how it is; none is empty or told twice.
    But they are not a record of everything that happened: what is there too briefly is not told,
    and what happens within some milliseconds, or while nobody receives, is told as its result. So
    it does no harm to receive seldom: nothing piles up.

    Several tasks may receive: each change goes to one of them. The channel never ends by itself.
    Nothing is sent, no privilege is needed, and no task runs.

    Returns:
        An asynchronous context manager that gives a `trio.abc.ReceiveChannel` of `InterfaceChange`.

    Raises:
        SocketSetupError: The system refused. On entering, nothing stays open then. When receiving,
            nothing is lost: the next call looks again.
        trio.ClosedResourceError: When receiving: the block was left or the channel was closed,
            before or while waiting.

    Cancellation:
        Entering, leaving and receiving are checkpoints. If entering is cancelled, nothing stays
        open. If receiving is cancelled, no change has been taken: the next call gives it.

    Platforms:
        Linux; Windows, run under Wine only; macOS and FreeBSD, where it was never run. A
        change comes some 20 milliseconds after it happened, and up to 100 when there are many. On
        macOS, one that the routing socket does not tell of comes with the next that it does. Under
        Wine, which does not tell, interfaces are compared once a second.
    """
    return _watch_interfaces()


@asynccontextmanager
async def _watch_interfaces() -> AsyncIterator[trio.abc.ReceiveChannel[InterfaceChange]]:
    host = current_host()
    await trio.lowlevel.checkpoint()
    # Before the first look: what changes after it is then noticed, too.
    watcher = host.watch()
    with at_end(watcher.close):  # Also if the first look is refused.
        changes = _InterfaceChanges(host, watcher)
        with at_end(changes.close):
            yield changes
    await trio.lowlevel.checkpoint()


class _InterfaceChanges(Closeable, trio.abc.ReceiveChannel[InterfaceChange]):
    def __init__(self, host: Host, watcher: InterfaceWatcher) -> None:
        self._host = host
        self._watcher = watcher
        self._last = host.list_interfaces()
        # What the last look has shown and nobody has taken yet.
        self._pending: deque[InterfaceChange] = deque()
        # Whether something may have changed since the last look.
        self._stale = False
        self._closed = False
        # One task at a time waits and looks; the others then find what it has left.
        self._turn = trio.StrictFIFOLock()

    async def receive(self) -> InterfaceChange:
        self._check_open()
        async with self._turn:
            self._check_open()
            while not self._pending:
                if not self._stale:
                    await self._watcher.wait()
                    self._stale = True  # No checkpoint lies between this and the end of the wait.
                self._look()
            return self._pending.popleft()

    def _look(self) -> None:
        now = self._host.list_interfaces()
        self._pending.extend(interface_changes(self._last, now))
        self._last, self._stale = now, False

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("watching the interfaces has ended")

    def close(self) -> None:
        self._closed = True
        self._pending.clear()
        self._watcher.close()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()
