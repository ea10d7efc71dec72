"""Waiting for many sockets with epoll, on Linux."""

from __future__ import annotations

import math
import select
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, cast, overload

from ..._live import call_each
from ..._platform.advice import explain_refusal
from ..._values.datagram import Datagram
from ..poller import READ_AT_ONCE, OnFailure, PassPoller, Wait
from ..protocols import Lookout, McastSocket

if not TYPE_CHECKING or sys.platform == "linux":
    from .fast_path import QUIET_SECONDS, LinuxSocket
    from .io_uring import SOCKETS_AT_ONCE
    from .lookout import EpollLookout
    from .read_many import FEWEST, EachReader, Together

assert not TYPE_CHECKING or sys.platform == "linux"

# How many sockets share an epoll file descriptor, and so can be found ready by one look: few, so
# that each can have a fair share of a pass that is worth a batch.
_CHUNK: Final = SOCKETS_AT_ONCE

# How many rounds there are, in which one datagram is read of each of many sockets, before sockets
# that still have more are read by themselves. To read a few more datagrams of a socket by itself
# costs twice as much per datagram; to read many, less. So where all rounds were not enough, each of
# the next so many reads has only one round, and then all are tried again. Both are arbitrary.
_ROUNDS: Final = 16
_ONCE_FOR: Final = 16


# After a pass with fewer datagrams, the next one begins with a simple read.
_FEW: Final = 8


class _Selection(Sequence[LinuxSocket]):
    """A part of the sockets that are known together, looked up only when asked for.

    A selection holds sockets as of the last look. Later in the pass, the failure of one socket can
    have others closed, and new sockets may get their numbers; a selection takes no notice.
    """

    def __init__(self, together: Together, numbers: list[int]) -> None:
        self.together = together
        self.numbers = memoryview(array("i", numbers))

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> LinuxSocket: ...

    @overload
    def __getitem__(self, place: slice) -> list[LinuxSocket]: ...

    def __getitem__(self, place: int | slice) -> LinuxSocket | list[LinuxSocket]:
        if isinstance(place, slice):
            return self.together.sockets_of(self.numbers[place])
        return self.together.sockets_of([self.numbers[place]])[0]


class _Chunk:
    """The sockets of one epoll."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.sockets: dict[int, LinuxSocket] = {}
        # The facts about the sockets, once many were ready; and whether the sockets do not fit.
        self.together: Together | None = None
        self._unfit = False
        # How many times more the sockets are expected to have many datagrams each.
        self._many_each = 0

    def look(self, *, is_ready: bool) -> Sequence[LinuxSocket]:
        """Return the sockets that can be read; or all, if one can and all are likely to.

        Args:
            is_ready: Whether a socket is known to be readable.
        """
        together = self.known_together
        if together is not None and together.all_expected:
            return together.sockets if is_ready or self.epoll.poll(0, 1) else []
        numbers = self._look()
        if len(numbers) >= FEWEST and not self._unfit:
            if together is None and Together.fit(self.sockets):
                together = self.together = Together(self.sockets)
            self._unfit = together is None
        if together is not None and len(numbers) >= FEWEST:
            together.all_expected = len(numbers) == len(self.sockets)
        return self._chosen(numbers)

    def _look(self) -> list[int]:
        return [number for number, _ in self.epoll.poll(0, _CHUNK)]

    def _chosen(self, numbers: list[int]) -> Sequence[LinuxSocket]:
        """Return the sockets of some file descriptors, to be read together if they are many."""
        together = self.known_together
        if together is None or len(numbers) < FEWEST:
            return [self.sockets[number] for number in numbers]
        if len(numbers) == len(self.sockets):
            return together.sockets
        return _Selection(together, numbers)

    @property
    def known_together(self) -> Together | None:
        """The facts about the sockets, if there are any that still hold."""
        together = self.together
        return together if together is not None and together.is_whole else None

    def look_at_each(self) -> list[LinuxSocket]:
        """Return the sockets that can be read."""
        sockets = self.sockets
        return [sockets[number] for number in self._look()]

    def read(
        self,
        reader: EachReader,
        sockets: Sequence[LinuxSocket],
        room: int,
        batch: list[Datagram],
    ) -> Sequence[LinuxSocket]:
        """Read one datagram or unit from each socket at a time, while many sockets have more.

        Args:
            reader: The reader of many sockets at once.
            sockets: Sockets of this chunk that can be read.
            room: How many datagrams there is room for. A unit may exceed the room.
            batch: Where to put the datagrams.

        Returns:
            The sockets that are to be read by themselves.
        """
        failed: Sequence[LinuxSocket] = ()
        for round_number in range(1 if self._many_each else _ROUNDS):
            asked, before = min(len(sockets), room), len(batch)
            read_result = self._read_one_of_each(reader, sockets, room, batch)
            if read_result is None:
                if not reader.usable:
                    self.part()
                if not round_number:
                    return sockets
                if reader.usable:
                    return []  # There is no room for more: epoll will tell of the sockets again.
                break
            failed, sockets = read_result, self._chosen(self._look())
            if failed or len(sockets) < FEWEST:
                break
            given = len(batch) - before
            if given < asked // 2:
                return []  # Most was rejected, or missing: other sockets must not wait for that.
            room -= max(asked, given)
        else:
            self._many_each = self._many_each - 1 if self._many_each else _ONCE_FOR
        for socket in sockets:
            socket.has_more()
        return [*failed, *sockets]

    def _read_one_of_each(
        self,
        reader: EachReader,
        sockets: Sequence[LinuxSocket],
        room: int,
        batch: list[Datagram],
    ) -> list[LinuxSocket] | None:
        """Read one datagram, or unit, of each socket. Returns as `EachReader.read`."""
        together = self.known_together
        if together is not None and sockets is together.sockets:
            return reader.read_together(together, together.numbers, room, batch)
        if isinstance(sockets, _Selection) and sockets.together is together:
            return reader.read_together(sockets.together, sockets.numbers, room, batch)
        return reader.read(sockets, room, batch)

    def part(self) -> None:
        """Forget the facts about the sockets. To call before sockets come or go."""
        if self.together is not None:
            self.together.part()
        self.together, self._unfit = None, False


class EpollPoller(PassPoller):
    """A `Poller` on epoll file descriptors, which Trio can wait for as for sockets.

    Decision: an epoll of epolls
    ============================

    epoll goes on telling of a socket until a second look at the socket finds nothing. With one
    epoll for thousands of sockets the second look comes when all other sockets have been read, and
    everything that belongs to the socket has to be fetched from memory again: measured with 4,000
    sockets that have one datagram each, 370 ns a socket. So 128 sockets share an epoll, and the
    epolls an outer one. Once the 128 have been read, a second look follows at once. The look costs
    100 ns a socket, and tells which sockets have more.

    While there is only one socket, the task waits for the socket itself, and while there are no
    more than 128, for the sockets' epoll: a quiet datagram then arrives some system calls sooner.
    """

    def __init__(self, fail: OnFailure) -> None:
        super().__init__(fail)
        # Sockets read since this time are busy; the way they are read pays off for busy ones only.
        self._busy_since = self._pass_ended = -math.inf
        self._outer = select.epoll()
        self._chunks: dict[int, _Chunk] = {}
        self._chunk_of: dict[int, _Chunk] = {}
        # All sockets, if there is no more than one.
        self._alone: list[LinuxSocket] | None = []
        # The look of the epoll of the only socket.
        self._look_alone: Callable[[float, int], object] = self._outer.poll
        # How many datagrams the last pass has read.
        self._read_last = 0
        # The chunk that the last socket was put into.
        self._filling: _Chunk | None = None
        # The chunk of the last look.
        self._current: _Chunk | None = None
        self._reader = EachReader()
        self._wait = Wait()

    def _watch(self, socket: McastSocket) -> None:
        assert isinstance(socket, LinuxSocket)
        number, chunk, step = socket.fileno(), self._with_room(), "epoll_create"
        try:
            if chunk is None:
                chunk = _Chunk()
                step = "epoll_ctl"
                self._outer.register(chunk.epoll.fileno(), select.EPOLLIN)
            step = "epoll_ctl"
            chunk.epoll.register(number, select.EPOLLIN)
        except OSError as error:
            if chunk is not None and not chunk.sockets:
                chunk.epoll.close()
            raise explain_refusal(
                error,
                step=step,
                group=socket.socket_spec.group,
                interface=socket.socket_spec.interface.name,
                platform="linux",
            ) from error
        self._wait.choose_again()
        chunk.part()
        self._chunks[chunk.epoll.fileno()] = self._filling = chunk
        chunk.sockets[number] = socket
        self._chunk_of[number] = chunk
        self._look_if_alone()

    def _with_room(self) -> _Chunk | None:
        if self._filling is None or len(self._filling.sockets) >= _CHUNK:
            chunks = self._chunks.values()
            self._filling = next((each for each in chunks if len(each.sockets) < _CHUNK), None)
        return self._filling

    def _unwatch(self, socket: McastSocket) -> None:
        assert isinstance(socket, LinuxSocket)
        number = socket.fileno()
        chunk = self._chunk_of.pop(number, None)
        if chunk is not None:
            del chunk.sockets[number]
            unregister = partial(chunk.epoll.unregister, number)
            drop = () if chunk.sockets else (partial(self._drop, chunk),)
            call_each((self._wait.choose_again, chunk.part, unregister, *drop, self._look_if_alone))

    def _look_if_alone(self) -> None:
        self._alone = self._find_alone()
        if self._alone:
            self._look_alone = next(iter(self._chunks.values())).epoll.poll

    def _find_alone(self) -> list[LinuxSocket] | None:
        if len(self._chunk_of) > 1:
            return None
        return [socket for chunk in self._chunks.values() for socket in chunk.sockets.values()]

    def _drop(self, chunk: _Chunk) -> None:
        number = chunk.epoll.fileno()
        del self._chunks[number]
        if self._current is chunk:
            self._current = None
        if self._filling is chunk:
            self._filling = None
        call_each((partial(self._outer.unregister, number), chunk.epoll.close))

    def interrupt(self) -> None:
        self._wait.interrupt()

    def fileno(self) -> int:
        """Return the file descriptor that can be read when any socket can."""
        return self._outer.fileno()

    def open_lookout(self) -> Lookout | None:
        return EpollLookout()

    def likely_ready(self) -> Sequence[McastSocket]:
        if self._alone is not None:
            return self._alone  # Reading will tell.
        if len(self._chunks) == 1:
            (self._current,) = self._chunks.values()
        else:
            events = self._outer.poll(0, 1)
            if not events:
                return []
            self._current = self._chunks[events[0][0]]
        if not self._reader.usable:
            return list(self._current.look_at_each())
        return self._current.look(is_ready=len(self._chunks) > 1)

    def _begin_pass(self, ready: Sequence[McastSocket], *, waited: bool) -> None:
        now = time.perf_counter()
        if now - self._pass_ended >= QUIET_SECONDS:
            self._busy_since = now  # Quiet sockets are read the short way.

    def read(self, room: int) -> list[Datagram]:
        if self._alone and not self._unread:
            batch = self._read_alone(self._alone[0], min(room, READ_AT_ONCE))
        else:
            batch = super().read(room)
            self._pass_ended = time.perf_counter()
        self._read_last = len(batch)
        return batch

    def _read_alone(self, socket: LinuxSocket, room: int) -> list[Datagram]:
        """Read the only socket: one datagram or unit the short way, then a batch if there is more.

        To look costs a fifth of a read that finds nothing. Who found something the last time is
        likely to find something again, and does not look.
        """
        waited, self._awaited = self._awaited, ()
        batch: list[Datagram] = []
        if waited or self._read_last or self._look_alone(0, 1):
            try:
                if self._read_last >= _FEW:
                    return socket.receive(room, -math.inf)
                batch = socket.receive_first(room)
                if batch and len(batch) < room and self._look_alone(0, 1):
                    batch += socket.receive(room - len(batch), -math.inf)
            except OSError as error:
                self._fail(socket, error)
        return batch

    def _read_together(
        self, ready: Sequence[McastSocket], room: int, batch: list[Datagram]
    ) -> Sequence[McastSocket]:
        chunk = self._current
        if len(ready) < FEWEST or chunk is None:
            return ready
        return chunk.read(self._reader, cast("Sequence[LinuxSocket]", ready), room, batch)

    def _takes_turns(self, ready: Sequence[McastSocket]) -> bool:
        return not cast("LinuxSocket", ready[0]).reads_batches

    def _receive_from(self, socket: McastSocket, max_datagrams: int) -> list[Datagram]:
        assert isinstance(socket, LinuxSocket)
        return socket.receive(max_datagrams, self._busy_since)

    async def wait_ready(self) -> Sequence[McastSocket]:
        return await self._wait.until_found(self._choose_descriptor, self.likely_ready)

    def _choose_descriptor(self) -> int | None:
        """Return the file descriptor that can be read when any socket can; `None` once closed."""
        if self._outer.closed:
            return None
        if len(self._chunks) != 1:
            return self._outer.fileno()
        (chunk,) = self._chunks.values()
        return next(iter(chunk.sockets)) if len(chunk.sockets) == 1 else chunk.epoll.fileno()

    def close(self) -> None:
        steps = [
            step for chunk in self._chunks.values() for step in (chunk.part, chunk.epoll.close)
        ]
        call_each([self._wait.choose_again, self._outer.close, *steps, self._reader.close])
        self._chunks.clear()
        self._chunk_of.clear()
        self._filling = None
        self._alone = []
        super().close()
