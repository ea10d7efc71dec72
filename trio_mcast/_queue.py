"""The memory channel between the interface tasks and the program: lists of datagrams, bounded.

Decision: a channel of lists
============================

Passing each datagram through a channel by itself costs a pass of the scheduler per datagram
(measured: 13,100 ns, against 1,180 ns with lists). So the tasks that read put what they read in one
go into one list, and send the list. Trio's memory channel counts items, which are lists here; the
bound that users care about is one of datagrams, so it is kept beside the channel: who reads from
the sockets asks for `room` first and reads no more than that.

Decision: resume at half
========================

A queue that was full and has room for one would wake the reading task for one datagram, and again
for the next. It is woken when the queue has drained to half of the bound.
"""

from __future__ import annotations

import math
from collections import Counter, deque

import trio

from ._datagram import Datagram


class DatagramQueue:
    """A bounded queue of datagrams, filled with lists and emptied in lists or one by one."""

    def __init__(self, max_buffered: int, owner: str = "this receiver") -> None:
        self._max_buffered = max_buffered
        self._owner = owner
        self._send_channel, self._receive_channel = trio.open_memory_channel[list[Datagram]](
            math.inf
        )
        # What is left of the list that was taken last. It belongs to all consumers.
        self._head: deque[Datagram] = deque()
        # Only one consumer at a time waits on the channel: the others wait for this lock, and find
        # what the first one left in the head.
        self._turn = trio.StrictFIFOLock()
        self._room_made = trio.lowlevel.ParkingLot()
        self._closed = False
        self.received = 0
        self.delivered = 0
        self.dropped: Counter[tuple[str | None, str]] = Counter()

    @property
    def waiting(self) -> int:
        """How many datagrams are in the queue."""
        return self.received - self.delivered - self.dropped.total()

    @property
    def room(self) -> int:
        """How many more datagrams may be read."""
        return self._max_buffered - self.waiting

    async def wait_for_room(self) -> None:
        """Wait until at least one datagram may be put. A checkpoint only if it has to wait."""
        while self.room <= 0:
            await self._room_made.park()

    def put(self, batch: list[Datagram]) -> None:
        """Add datagrams: no more than there is room for, but for the rest of a unit."""
        self.received += len(batch)
        self._send_channel.send_nowait(batch)

    def put_last(self, batch: list[Datagram]) -> None:
        """Add datagrams of a socket that is being closed, as far as there is room."""
        fitting = batch[: max(0, self.room)]
        if fitting:
            self.put(fitting)
        for datagram in batch[len(fitting) :]:
            self.received += 1
            self.dropped[datagram.group, datagram.interface.name] += 1

    def _taken(self, count: int) -> None:
        self.delivered += count
        if self._room_made and self.waiting <= self._max_buffered // 2:
            self._room_made.unpark_all()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError(f"{self._owner} was closed")

    def _take_one(self) -> Datagram:
        datagram = self._head.popleft()
        self.delivered += 1
        if self._room_made:
            self._taken(0)
        return datagram

    def _take_head(self, max_datagrams: int | None) -> list[Datagram]:
        count = len(self._head)
        if max_datagrams is not None and max_datagrams < count:
            count = max_datagrams
            batch = [self._head.popleft() for _ in range(count)]
        else:
            batch = list(self._head)
            self._head.clear()
        self._taken(count)
        return batch

    def get_nowait(self) -> Datagram:
        """The next datagram.

        Raises:
            trio.WouldBlock: There is none.
            trio.ClosedResourceError: The queue was closed.
        """
        self._check_open()
        if not self._head:
            if self._turn.locked():
                # Another consumer waits, and may have been handed a list that it has not seen yet:
                # what is in the channel now came later, and must not get into the head first.
                raise trio.WouldBlock
            self._head.extend(self._receive_channel.receive_nowait())
        return self._take_one()

    async def get(self) -> Datagram:
        """The next datagram. A checkpoint; if cancelled, nothing has been taken."""
        if self._head:
            await trio.lowlevel.checkpoint()
            if self._head:  # Unless another consumer was quicker.
                return self._take_one()
        self._check_open()
        await self._fill_head()
        return self._take_one()

    async def get_batch(self, max_datagrams: int | None) -> list[Datagram]:
        """One or more datagrams, without waiting for more than one. A checkpoint, as `get`."""
        self._check_open()
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._head:
            batch = self._take_head(max_datagrams)
            await trio.lowlevel.cancel_shielded_checkpoint()
            return batch
        await self._wait_for_turn()
        try:
            if not self._head:
                batch = await self._receive_channel.receive()
                if max_datagrams is None or len(batch) <= max_datagrams:
                    # Handed on as it is. No checkpoint lies between the receiving and here.
                    self._taken(len(batch))
                    return batch
                self._head.extend(batch)
        finally:
            self._turn.release()
        return self._take_head(max_datagrams)

    async def _fill_head(self) -> None:
        """Wait until the head has something. No checkpoint lies between its filling and the end."""
        await self._wait_for_turn()
        try:
            while not self._head:
                self._head.extend(await self._receive_channel.receive())
        finally:
            self._turn.release()

    async def _wait_for_turn(self) -> None:
        try:
            self._turn.acquire_nowait()  # Mostly: and then no pass through the scheduler is due.
        except trio.WouldBlock:
            await self._turn.acquire()

    def close(self) -> None:
        """End it: every call from now on, and every call that waits, gives ClosedResourceError."""
        self._closed = True
        self._head.clear()  # Else a consumer whose turn has just come would still take from it.
        self._receive_channel.close()
        self._send_channel.close()
