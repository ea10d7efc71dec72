"""Following the interfaces of a machine: wait for a change, look, try again after a pause.

Receivers, senders and `watch_interfaces` do the same: each waits until the system says that
something may have changed, looks at all interfaces, and brings memberships, sockets or a list in
line. A look is refused at times (no file descriptor is left, say); then another look has to make up
for that, and must still know which interfaces were removed in the meantime. `Follower` is the part
that all of them share. A look itself is different for each.

Many messages of the system are answered by one look: see `_host.damped_watch`.

Decision: one look for all
==========================

Each follower has a watcher of its own, and one change wakes all of them. If each then looked, a
program with 50 receivers would look 50 times at the same. So whoever wakes first looks, and takes
the messages from the watchers of all others that wait on the same host in the same run of Trio.
What these messages tell of has happened before the look, so the look answers them, and all get its
result. No task of its own is needed, and no follower gets an answer older than what woke it: a
message that comes after the look has begun wakes for another one.

A look gives other tasks a turn after each step. A look that is cancelled or refused on the way is
begun anew by one of those that wait for it.

A thread may go from one network namespace to another. A look is taken only by those who would have
looked into the same namespace.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from weakref import WeakValueDictionary

import trio
from trio.lowlevel import enable_ki_protection

from ._host.current import current_network
from ._host.protocols import NOTHING_ENDED, Ended, Host, InterfaceWatcher
from ._live import Signal
from ._values.errors import SocketSetupError
from ._values.interface import Interface

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
        self.attempts: int = 0
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


# The followers whose messages are taken before other tasks have their turn. Each takes 10 us and
# more. Arbitrary.
_AT_ONCE = 16


class _Look:
    """A look at the interfaces.

    Attributes:
        number: Its number among the looks at the host, in the order in which they began.
        network: The network that was looked into.
        interfaces: The interfaces; `None` until the look is at its end, and if it was refused or
            cancelled.
        ending: Given when nothing more comes; `None` from then on.
    """

    def __init__(self, number: int, network: int | None) -> None:
        self.number = number
        self.network = network
        self.interfaces: list[Interface] | None = None
        self.ending: Signal | None = Signal()

    def end(self) -> None:
        """Note that nothing more comes."""
        if self.ending is not None:
            self.ending.give()
            self.ending = None


class SharedLooks:
    """The looks at the interfaces of one host, for all who follow them in one run of Trio.

    Attributes:
        begun: The number of looks so far. Each has its number, from 1.
        waiting: The followers that wait for a change.
    """

    def __init__(self, host: Host) -> None:
        self.begun = 0
        self.waiting: set[Follower] = set()
        self._host = host
        self._last: _Look | None = None

    @classmethod
    def at(cls, host: Host) -> SharedLooks:
        """Return the looks at a host; they exist as long as somebody has them."""
        looks_by_host = _looks_by_host.get(None)
        if looks_by_host is None:
            looks_by_host = WeakValueDictionary()
            _looks_by_host.set(looks_by_host)
        looks = looks_by_host.get(id(host))
        if looks is None:
            looks = looks_by_host[id(host)] = cls(host)
        return looks

    async def take(self, least: int) -> tuple[int, list[Interface]]:
        """Return the last look if it is new enough, else look.

        Args:
            least: The least number that the look may have.

        Returns:
            The number of the look, and the interfaces, by index.

        Raises:
            SocketSetupError: The system refused to list the interfaces.
        """
        network = current_network(self._host)
        while True:
            look = self._last
            if look is not None and look.number >= least and look.network == network:
                if look.interfaces is not None:
                    return look.number, look.interfaces
                if look.ending is not None:
                    await look.ending.wait()
                    continue
            return await self._look(network)

    @enable_ki_protection  # Else Ctrl-C could leave a look without an end, for which others wait.
    async def _look(self, network: int | None) -> tuple[int, list[Interface]]:
        self.begun += 1
        look = self._last = _Look(self.begun, network)
        try:
            for count, follower in enumerate(list(self.waiting), 1):
                if follower in self.waiting:
                    follower.be_answered_by(look.number)
                if not count % _AT_ONCE:
                    await trio.lowlevel.checkpoint()
            with closing(self._host.look()) as steps:
                for interfaces in steps:
                    if interfaces is not None:
                        look.interfaces = interfaces
                        break
                    await trio.lowlevel.checkpoint()
        finally:
            look.end()
        assert look.interfaces is not None
        return look.number, look.interfaces


# The looks of a run, by the id of the host: as long as there are looks, they keep their host.
_looks_by_host: trio.lowlevel.RunVar[WeakValueDictionary[int, SharedLooks] | None]
_looks_by_host = trio.lowlevel.RunVar("trio_mcast.looks", None)


class Follower:
    """The waits between the looks of one receiver, sender or watching program.

    Attributes:
        stale: Whether something may have changed since the last look that succeeded.
        ended: What the system has ended since then. An interface that has the index of one that
            was removed is another one now.
    """

    def __init__(self, watcher: InterfaceWatcher | None, host: Host) -> None:
        """Take over a watcher, which is closed with the follower.

        Args:
            watcher: Notices changes; `None` where nothing is to be followed.
            host: The machine whose interfaces are followed.
        """
        self.stale: bool = False
        self.ended: Ended = NOTHING_ENDED
        self._watcher = watcher
        # Whether the watcher has raised something: the next wait does without it.
        self._watch_failed = False
        # The wait that goes on, or the last one.
        self._waiting: trio.CancelScope | None = None
        self._looks = SharedLooks.at(host)
        self._closed = False
        # The number that the next look has to have at least: one that began after the last wait.
        self._least = 1
        # The look of another follower that has taken what this wait would have ended for.
        self._answered_by: int | None = None

    @enable_ki_protection  # Else Ctrl-C could come after the wait, and before the end of its scope.
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
            self._least = self._looks.begun + 1
            return
        self._answered_by = None
        self._looks.waiting.add(self)
        try:
            with trio.CancelScope(deadline=-math.inf if self.stale else due) as self._waiting:
                self.ended |= await self._watcher.wait()
                self.stale = True
        except trio.ClosedResourceError:
            raise
        except Exception:
            self.stale = self._watch_failed = True
            raise
        finally:
            self._looks.waiting.discard(self)
            self._least = self._looks.begun + 1 if self._answered_by is None else self._answered_by

    def be_answered_by(self, number: int) -> None:
        """Have a look that begins now answer what the watcher has noticed, if it has.

        Only while the follower waits: whoever is not ready for the answer gets a later one.

        Args:
            number: The number of the look.
        """
        assert self._watcher is not None
        with suppress(
            Exception
        ):  # The wait itself will raise it, and that ends no look of another.
            ended = self._watcher.take()
            if ended is not None:
                self.ended |= ended
                self._answered_by = number
                self.look_again()

    async def look(self, *, anew: bool = False) -> list[Interface]:
        """Look at the interfaces, or take the look of another follower.

        Args:
            anew: Whether the look has to begin now.

        Returns:
            The interfaces, by index, as they were when the last wait ended, or later.

        Raises:
            SocketSetupError: The system refused to list the interfaces.
            trio.ClosedResourceError: The follower was closed meanwhile.
        """
        least = self._looks.begun + 1 if anew else self._least
        self._least, interfaces = await self._looks.take(least)
        self.check_open()
        return interfaces

    def check_open(self) -> None:
        """Raise trio.ClosedResourceError if the follower was closed."""
        if self._closed:
            raise trio.ClosedResourceError("nothing is followed any more")

    def hurry(self, due: float) -> None:
        """Bring the end of the present wait forward to a time; later waits are as they are."""
        if self._waiting is not None:
            self._waiting.deadline = min(self._waiting.deadline, due)

    def look_again(self) -> None:
        """Have the next look come at once, although the interfaces may be what they were."""
        self.stale = True
        self.hurry(-math.inf)

    def looked(self) -> None:
        """Put down that a look has succeeded, and has minded `ended`."""
        self.stale, self.ended = False, NOTHING_ENDED

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
        self._closed = True
        if self._watcher is not None:
            self._watcher.close()
