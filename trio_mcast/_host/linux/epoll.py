"""Waiting for many sockets with epoll, on Linux."""

from __future__ import annotations

import math
import select
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from ..._live import call_each
from ..._platform.advice import explain_refusal
from ..._values.datagram import Datagram
from ..poller import READ_AT_ONCE, OnFailure, PassPoller, Wait
from ..protocols import Lookout, McastSocket

if not TYPE_CHECKING or sys.platform == "linux":
    from .chunk import CHUNK, Chunk
    from .fast_path import QUIET_SECONDS, LinuxSocket
    from .lookout import EpollLookout
    from .read_many import FEWEST, EachReader

assert not TYPE_CHECKING or sys.platform == "linux"

# A file descriptor, and an epoll in which it is.
_Gate: TypeAlias = "tuple[int, select.epoll]"

# Before every read: a socket that was never read since then is not quiet.
_NEVER: Final = -math.inf

# After a pass with fewer datagrams, the next one begins with a simple read.
_FEW: Final = 8


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

    While there is only one socket, `wait` is for the socket itself, and while there are no more
    than 128, for the sockets' epoll: a quiet datagram then arrives some system calls sooner.

    Decision: a gate for who waits behind
    =====================================

    `wait_behind` is for the epoll above the one that `wait` is for, which has an epoll above even
    the outer one for that. Whoever is in `wait` has shut it: the epoll above does not show what can
    be read. To shut it and to open it is a system call each (0.5 us). So what can be read wakes one
    task, and the other one waits on as it is; to have it end its wait and begin another one took a
    pass of the scheduler for each quiet datagram.
    """

    def __init__(self, fail: OnFailure) -> None:
        super().__init__(fail)
        # Sockets read since this time are busy; the way they are read pays off for busy ones only.
        self._busy_since = self._pass_ended = -math.inf
        with ExitStack() as opened:
            self._outer = select.epoll()
            opened.callback(self._outer.close)
            self._top = select.epoll()
            opened.callback(self._top.close)
            self._top.register(self._outer.fileno(), select.EPOLLIN)
            opened.pop_all()
        # What can be read when any socket can, in the epoll above it; `None` once closed. And the
        # same while it is shut.
        self._gate: _Gate | None = (self._outer.fileno(), self._top)
        self._shut: _Gate | None = None
        self._chunks: dict[int, Chunk] = {}
        self._chunk_of: dict[int, Chunk] = {}
        # All sockets, if there is no more than one.
        self._alone: list[LinuxSocket] | None = []
        # The look of the epoll of the only socket.
        self._look_alone: Callable[[float, int], object] = self._outer.poll
        # How many datagrams the last pass has read.
        self._read_last = 0
        # The chunk that the last socket was put into.
        self._filling: Chunk | None = None
        # The chunk of the last look.
        self._current: Chunk | None = None
        self._reader = EachReader()
        self._wait = Wait()
        self._wait_behind = Wait()

    def _watch(self, socket: McastSocket) -> None:
        assert isinstance(socket, LinuxSocket)
        number, chunk, step = socket.fileno(), self._with_room(), "epoll_create"
        try:
            if chunk is None:
                chunk = Chunk()
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
        self._choose_again()
        chunk.part()
        self._chunks[chunk.epoll.fileno()] = self._filling = chunk
        chunk.sockets[number] = socket
        self._chunk_of[number] = chunk
        self._note_change()

    def _with_room(self) -> Chunk | None:
        if self._filling is None or len(self._filling.sockets) >= CHUNK:
            chunks = self._chunks.values()
            self._filling = next((each for each in chunks if len(each.sockets) < CHUNK), None)
        return self._filling

    def _unwatch(self, socket: McastSocket) -> None:
        assert isinstance(socket, LinuxSocket)
        number = socket.fileno()
        chunk = self._chunk_of.pop(number, None)
        if chunk is not None:
            del chunk.sockets[number]
            unregister = partial(chunk.epoll.unregister, number)
            drop = () if chunk.sockets else (partial(self._drop, chunk),)
            call_each((self._choose_again, chunk.part, unregister, *drop, self._note_change))

    def _note_change(self) -> None:
        """Note what follows from which sockets there are."""
        chunk = next(iter(self._chunks.values()), None)
        self._alone = None
        self._gate = self._outer.fileno(), self._top
        if chunk is None:
            self._alone = []
        elif len(self._chunk_of) == 1:
            ((number, socket),) = chunk.sockets.items()
            self._alone = [socket]
            self._look_alone = chunk.epoll.poll
            self._gate = number, chunk.epoll
        elif len(self._chunks) == 1:
            self._gate = chunk.epoll.fileno(), self._outer

    def _drop(self, chunk: Chunk) -> None:
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
            batch = self._read_alone(self._alone[0], room)
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
        if not (self._awaited or self._read_last or self._look_alone(0, 1)):
            return []
        self._awaited = ()
        batch: list[Datagram] = []
        try:
            if self._read_last >= _FEW:
                return socket.receive(min(room, READ_AT_ONCE), _NEVER)
            batch = socket.receive_first(room)
            if batch and len(batch) < room and self._look_alone(0, 1):
                batch += socket.receive(min(room, READ_AT_ONCE) - len(batch), _NEVER)
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

    def wait_ready(self) -> Awaitable[Sequence[McastSocket]]:
        return self._wait.until_found(self._shut_gate, self._find_ready, self._open_gate)

    def wait_ready_behind(self) -> Awaitable[Sequence[McastSocket]]:
        return self._wait_behind.until_found(self._choose_behind, self._find_ready)

    def _choose_again(self) -> None:
        """Have both waits choose a descriptor again. To call before one is closed."""
        call_each((self._wait.choose_again, self._wait_behind.choose_again))

    def _shut_gate(self) -> int | None:
        """Shut the gate, and return the file descriptor to wait for ahead of it."""
        if self._shut is not None:
            self._open_gate()  # Another one: sockets have come or gone.
        gate = self._gate
        if gate is None:
            return None
        number, above = gate
        above.modify(number, 0)
        self._shut = gate
        return number

    def _open_gate(self) -> None:
        gate, self._shut = self._shut, None
        if gate is not None:
            number, above = gate
            if gate is self._gate:
                above.modify(number, select.EPOLLIN)
            else:
                with suppress(OSError, ValueError):  # It may have been removed, or closed.
                    above.modify(number, select.EPOLLIN)

    def _choose_behind(self) -> int | None:
        """Return the file descriptor to wait for behind the gate; `None` once closed."""
        return None if self._gate is None else self._gate[1].fileno()

    def close(self) -> None:
        steps = [
            step for chunk in self._chunks.values() for step in (chunk.part, chunk.epoll.close)
        ]
        epolls = (self._top.close, self._outer.close)
        call_each([self._choose_again, *epolls, *steps, self._reader.close])
        self._chunks.clear()
        self._chunk_of.clear()
        self._filling = self._gate = None
        self._alone = []
        super().close()
