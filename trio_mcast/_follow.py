"""Following the interfaces of a machine: wait for a change, look, try again after a pause.

Receivers, senders and `watch_interfaces` do the same: each waits until the system says that
something may have changed, looks at all interfaces, and brings memberships, sockets or a list in
line. A look is refused at times (no file descriptor is left, say); then another look has to make up
for that, and must still know which interfaces were removed in the meantime. `Follower` is the part
that all of them share. A look itself is different for each.

Many messages of the system are answered by one look: see `_host.damped_watch`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable

import trio

from ._host.protocols import InterfaceWatcher
from ._values.errors import SocketSetupError

logger = logging.getLogger("trio_mcast")


class Backoff:
    """The pauses between attempts, each twice as long as the last one, up to the longest.

    Attributes:
        attempts: The number of pauses since the beginning or the last `reset`.
    """

    def __init__(self, first: float, longest: float) -> None:
        """Begin with the first pause.

        Args:
            first: The first pause, in seconds.
            longest: The longest pause, in seconds.
        """
        self.attempts = 0
        self._first = self._next = first
        self._longest = longest

    def next_pause(self) -> float:
        """Return the pause, in seconds, to make now."""
        pause = self._next
        self._next = min(2 * pause, self._longest)
        self.attempts += 1
        return pause

    def reset(self) -> None:
        """Begin again with the first pause."""
        self.attempts = 0
        self._next = self._first


class Follower:
    """The waits between the looks of one receiver, sender or watching program.

    Attributes:
        stale: Whether something may have changed since the last look that succeeded.
        removed: The indexes of the interfaces that were removed since then. An interface that has
            such an index now is another one.
    """

    def __init__(self, watcher: InterfaceWatcher | None) -> None:
        """Take over a watcher, which is closed with the follower.

        Args:
            watcher: Notices changes; `None` where nothing is to be followed.
        """
        self.stale = False
        self.removed: frozenset[int] = frozenset()
        self._watcher = watcher
        # Whether the watcher has raised something: the next wait does without it.
        self._watch_failed = False
        # The wait that goes on, or the last one.
        self._waiting = trio.CancelScope()

    async def wait(self, due: float = math.inf) -> None:
        """Wait until something may have changed since the last look, or until a time has come.

        A checkpoint, and none between the end of the wait and the caller's look. If the wait is
        cancelled, the next one ends for the same change.

        Args:
            due: The time at which to look in any case, by Trio's clock.

        Raises:
            trio.ClosedResourceError: The follower was closed, before or while waiting.
            SocketSetupError: The system refused to tell. After this, or any other error, the next
                wait ends at once: what the error has kept back shows in a look.
        """
        assert self._watcher is not None
        if self._watch_failed:
            await trio.lowlevel.checkpoint()
            self._watch_failed = False
            return
        with trio.CancelScope(deadline=-math.inf if self.stale else due) as self._waiting:
            try:
                self.removed |= await self._watcher.wait()
            except trio.ClosedResourceError:
                raise
            except Exception:
                self.stale = self._watch_failed = True
                raise
            self.stale = True

    def hurry(self, due: float) -> None:
        """Bring the end of the present wait forward to a time; later waits are as they are."""
        self._waiting.deadline = min(self._waiting.deadline, due)

    def look_again(self) -> None:
        """Have the next look come at once, although the interfaces may be what they were."""
        self.stale = True
        self.hurry(-math.inf)

    def looked(self) -> None:
        """Put down that a look has succeeded, and has minded `removed`."""
        self.stale, self.removed = False, frozenset()

    async def follow(
        self,
        look: Callable[[], Awaitable[None]],
        due: Callable[[], float],
        backoff: Backoff,
        *,
        complaint: str = "%s",
    ) -> None:
        """Look whenever something may have changed, until closed.

        Without a watcher, it returns at once: nothing is followed.

        Args:
            look: Looks, and brings things in line. After an error the look is tried again after a
                pause; trio.ClosedResourceError ends the following.
            due: Gives the time of the next look if nothing changes; asked before each wait.
            backoff: The pauses after looks that were refused.
            complaint: The text to log, with ``%s`` for an error. Each is logged once until a wait
                and a look succeed; one that is no refusal of the system, with its traceback.
        """
        if self._watcher is None:
            return
        logged = ""
        while True:
            watches = not self._watch_failed
            try:
                await self.wait(due())
                await look()
            except trio.ClosedResourceError:
                return
            except Exception as error:  # Also of a dependency: nothing of the world ends this.
                if repr(error) != logged:
                    logged = repr(error)
                    if isinstance(error, SocketSetupError):
                        logger.warning(complaint, error)
                    else:
                        unexpected = f"an error while following the interfaces: {error!r}"
                        logger.error(complaint, unexpected, exc_info=error)
                self.stale = True
                await trio.sleep(backoff.next_pause())
            else:
                self.looked()
                if watches:
                    logged = ""
                    backoff.reset()

    def close(self) -> None:
        """Close the watcher, and end `wait` and `follow`. Idempotent."""
        if self._watcher is not None:
            self._watcher.close()
