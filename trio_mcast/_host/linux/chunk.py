"""The sockets of one epoll, on Linux, and how they are read together."""

from __future__ import annotations

import select
import sys
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, overload

from ..._values.datagram import Datagram

if not TYPE_CHECKING or sys.platform == "linux":
    from .fast_path import LinuxSocket
    from .io_uring import SOCKETS_AT_ONCE
    from .read_many import FEWEST, EachReader, Together

assert not TYPE_CHECKING or sys.platform == "linux"

# How many sockets share an epoll file descriptor, and so can be found ready by one look: few, so
# that each can have a fair share of a pass that is worth a batch.
CHUNK: Final = SOCKETS_AT_ONCE

# How many rounds there are, in which one datagram is read of each of many sockets, before sockets
# that still have more are read by themselves. To read a few more datagrams of a socket by itself
# costs twice as much per datagram; to read many, less. So where all rounds were not enough, each of
# the next so many reads has only one round, and then all are tried again. Both are arbitrary.
_ROUNDS: Final = 16
_ONCE_FOR: Final = 16


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


class Chunk:
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
        return [number for number, _ in self.epoll.poll(0, CHUNK)]

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
