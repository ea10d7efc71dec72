"""The parts of a poller that are the same on several systems.

`PassPoller` makes one pass over the readable sockets; a subclass says which sockets are readable,
and may have a faster way for many. `Wait` waits for a file descriptor that stands for many sockets,
such as an epoll's or a kqueue's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import trio

from .._values.datagram import Datagram
from .protocols import Lookout, McastSocket

# How many datagrams are read, from all sockets of an interface together, before other tasks have
# their turn. A pass through selector, channel and scheduler costs 15 us or, as reading has taken
# the processor's caches, up to 80. So many are better: with datagrams that come as units, reading
# 1,024 in a pass took up to a tenth less per datagram than reading 512 (measured). They take half a
# millisecond then; of those that come one by one, a socket gives no more than 512 at once. From a
# thousand sockets, one each, they take two and a half.
READ_AT_ONCE: Final = 1_024

# The least that each of many sockets may give in one pass, so that a pass is worth a batch. If that
# is too much for all sockets together, the last ones come first in the next pass.
_LEAST_SHARE: Final = 16

# How often the sockets are looked at in one pass, where there are several. At each look up to 128
# of them are read, so that a pass can be as large where each has one datagram (measured: 5 per cent
# less per datagram than with 4). If all that was read was rejected, one look is enough: rejected
# datagrams must not keep other tasks waiting.
_LOOKS_AT_ONCE: Final = 8

# How many datagrams a socket gives at one turn, where each takes a call of its own: then few, so
# that a group with many does not keep others waiting; and so many that the look after each turn
# costs little. At the first turn it is one. The number is arbitrary.
TURN: Final = 16

OnFailure: TypeAlias = Callable[[McastSocket, OSError], None]


class PassPoller(ABC):
    """A `Poller` without the waiting, which differs between the systems."""

    def __init__(self, fail: OnFailure) -> None:
        """Begin with no sockets.

        Args:
            fail: Called for a socket that the system refuses to read. Has to `remove` the socket,
                which would be ready again at once.
        """
        self._fail = fail
        self._watched: dict[McastSocket, None] = {}
        # The sockets that the last wait has found; and those that were ready in the last pass, and
        # for which there was no room.
        self._awaited: Sequence[McastSocket] = ()
        self._unread: Sequence[McastSocket] = ()

    # For subclasses to define

    @abstractmethod
    def _watch(self, socket: McastSocket) -> None:
        """Watch a socket from now on."""

    @abstractmethod
    def _unwatch(self, socket: McastSocket) -> None:
        """Stop watching a socket."""

    # A function that returns the coroutine of another one saves what a frame of its own costs, each
    # time that somebody begins to wait and is woken.

    @abstractmethod
    def wait_ready(self) -> Awaitable[Sequence[McastSocket]]:
        """Wait until sockets can be read, and return them; none if interrupted. A checkpoint.

        The sockets are kept for the next `read`.

        Raises:
            trio.ClosedResourceError: The poller was closed.
        """

    @abstractmethod
    def wait_ready_behind(self) -> Awaitable[Sequence[McastSocket]]:
        """Wait as `wait_ready`, whose end comes first, and which only can be interrupted."""

    @abstractmethod
    def interrupt(self) -> None:
        """End a `wait` that is going on, or just ending, without a further checkpoint."""

    def likely_ready(self) -> Sequence[McastSocket]:
        """Return the sockets that can probably be read now, without waiting.

        Returns none where a look costs as much as a wait for sockets that can be read already.
        """
        return ()

    def _begin_pass(self, ready: Sequence[McastSocket], *, waited: bool) -> None:
        """Prepare for reading sockets that a wait has found, or else a look."""

    def _read_together(
        self, ready: Sequence[McastSocket], room: int, batch: list[Datagram]
    ) -> Sequence[McastSocket]:
        """Read many sockets in one go, as far as that costs less than one by one.

        Args:
            ready: The sockets that the last look, or wait, has returned.
            room: How many datagrams there is room for. A unit may exceed the room.
            batch: Where to put the datagrams.

        Returns:
            The sockets still to be read one by one, because there is more, or nothing was read, or
            reading will raise an error.
        """
        return ready

    def _takes_turns(self, ready: Sequence[McastSocket]) -> bool:
        """Tell whether sockets are read by turns, as to read many of one takes long.

        Args:
            ready: The sockets that can be read, at least one.
        """
        return True

    def _receive_from(self, socket: McastSocket, max_datagrams: int) -> list[Datagram]:
        """Read one socket. OSError if the system refuses."""
        return socket.receive(max_datagrams)

    def open_lookout(self) -> Lookout | None:
        """Return a lookout for pollers like this one, where the system has one."""
        return None

    # The pass

    def add(self, socket: McastSocket) -> None:
        self._watch(socket)
        self._watched[socket] = None

    def remove(self, socket: McastSocket) -> None:
        if socket in self._watched:
            del self._watched[socket]
            self._awaited = ()  # It may be among them, and closed by the time of the read.
            self._unwatch(socket)

    def wait(self) -> Awaitable[object]:
        return self._pause() if self._unread else self.wait_ready()

    def wait_behind(self) -> Awaitable[object]:
        return self._pause() if self._unread else self.wait_ready_behind()

    async def _pause(self) -> None:
        await trio.lowlevel.checkpoint()

    def _find_ready(self) -> Sequence[McastSocket]:
        """Look for what a wait has ended for, and keep that for the next `read`."""
        self._awaited = ready = self.likely_ready()
        return ready

    def read(self, room: int) -> list[Datagram]:
        waited, self._awaited = self._awaited, ()
        unread, self._unread = [socket for socket in self._unread if socket in self._watched], ()
        ready = unread or waited or self.likely_ready()
        self._begin_pass(ready, waited=bool(waited))
        return self._read_pass(ready, min(room, READ_AT_ONCE), looked=not unread)

    def _read_pass(
        self, ready: Sequence[McastSocket], room: int, *, looked: bool
    ) -> list[Datagram]:
        """Read some of what the sockets have, and where there are several, look for more.

        Args:
            ready: The sockets.
            room: How many datagrams at the most.
            looked: Whether the sockets were found just now; else they were left over.
        """
        batch: list[Datagram] = []
        if ready and len(self._watched) > 1 and self._takes_turns(ready):
            return self._read_by_turns(ready, room, looked=looked)
        for _ in range(_LOOKS_AT_ONCE):
            if not ready:
                break
            before = len(batch)
            if looked and len(ready) > 1:
                ready = self._read_together(ready, room - before, batch)
            share = max(_LEAST_SHARE, READ_AT_ONCE // max(1, len(ready)))
            for position, socket in enumerate(ready):
                left = room - len(batch)
                if left <= 0:
                    self._unread = ready[position:]  # They come first the next time.
                    return batch
                datagrams = self._try_receive(socket, min(share, left))
                # To copy a list is to touch every datagram.
                if batch:
                    batch += datagrams
                else:
                    batch = datagrams
            if len(ready) == 1 or not before < len(batch) < room:
                break
            ready, looked = self.likely_ready(), True
        return batch

    def _read_by_turns(
        self, ready: Sequence[McastSocket], room: int, *, looked: bool
    ) -> list[Datagram]:
        """Read as `_read_pass`, a few datagrams of each socket at a time."""
        batch: list[Datagram] = []
        share = 1
        if looked and len(ready) > 1:
            ready = self._read_together(ready, room, batch)
        while ready:
            before, more = len(batch), list[McastSocket]()
            for position, socket in enumerate(ready):
                wanted = min(share, room - len(batch))
                if wanted <= 0:
                    self._unread = [*ready[position:], *more]
                    return batch
                datagrams = self._try_receive(socket, wanted)
                batch += datagrams
                if len(datagrams) == wanted:
                    more.append(socket)
            if len(batch) == before:
                break
            share = TURN
            # Where a look costs as much as a wait, those go on that may have more.
            ready = self.likely_ready() or more
        return batch

    def _try_receive(self, socket: McastSocket, max_datagrams: int) -> list[Datagram]:
        """Read one socket, unless removed in this very pass."""
        if socket in self._watched:
            try:
                return self._receive_from(socket, max_datagrams)
            except OSError as error:
                self._fail(socket, error)
        return []

    def close(self) -> None:
        """Watch no socket any more. Idempotent."""
        self._watched.clear()
        self._awaited = self._unread = ()


class Wait:
    """The waiting of one task for a file descriptor, such as an epoll's or a kqueue's.

    Other tasks may have the waiting task choose another descriptor, or end the wait. A descriptor
    may be closed meanwhile, and its number given to something else. So the number is forgotten as
    soon as the task is about to be woken.
    """

    def __init__(self) -> None:
        self._waiting_for: int | None = None
        self._interrupted = False

    def choose_again(self) -> None:
        """Have the waiting task choose a descriptor again. To call before one is closed."""
        if self._waiting_for is not None:
            trio.lowlevel.notify_closing(self._waiting_for)
            self._waiting_for = None

    def interrupt(self) -> None:
        """Have the waiting task find nothing. Nothing happens if no task waits."""
        self._interrupted = True
        self.choose_again()

    async def until_found(
        self,
        choose: Callable[[], int | None],
        find: Callable[[], Sequence[McastSocket]],
        leave: Callable[[], object] = lambda: None,
    ) -> Sequence[McastSocket]:
        """Wait until sockets are found, and return them; none if interrupted. A checkpoint.

        Args:
            choose: Returns the file descriptor that can be read when there may be sockets to find;
                `None` once there is no such descriptor any more.
            find: Looks for sockets, when the descriptor can be read.
            leave: Called at the end, whatever that is.

        Raises:
            trio.ClosedResourceError: There is nothing to wait for any more.
        """
        self._interrupted = False
        try:
            while (number := choose()) is not None:
                self._waiting_for = number
                try:
                    await trio.lowlevel.wait_readable(number)
                except trio.ClosedResourceError:
                    if self._interrupted:
                        return []
                    continue
                sockets = find()
                if sockets or self._interrupted:
                    return sockets
            raise trio.ClosedResourceError
        finally:
            self._waiting_for = None
            leave()
