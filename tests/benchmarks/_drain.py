"""Draining: a socket is filled while nobody reads, then read until all has come, on the clock.

The clock is that of the processor time of the thread: what other programs take is not counted.
Nothing waits while a full socket is drained, so it is all there is to count.

Decision: as many as fit, and few
=================================

A program that has been away begins slowly: its code, and that of its event loop, has to come back
into the processor's caches. That takes as long whether 100 datagrams wait or 10,000, so it is no
cost of a datagram, and how much of it each is charged with would depend on a number that somebody
has chosen. Measured with 500, 2,000 and 7,000 datagrams, this library took 2.2, 1.5 and 1.4 times
as long as C, which has little that could go out of the caches. So a socket is filled with as many
as it holds, which tells what a datagram costs while they keep coming; and then, apart from that,
with few, which tells what it costs to begin.
"""

from __future__ import annotations

import socket
import statistics
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from ._network import GROUP, PORT, plain_receiver
from ._turns import Lost, Turns

UDP_SEGMENT = 103  # linux/udp.h

# The most that UDP_SEGMENT takes in one call, and a limit for the segments of older kernels.
_MOST_UNIT_BYTES = 65_507
_MOST_UNIT_SEGMENTS = 64

# What a datagram takes of the receive buffer: the kernel's bookkeeping and the rounded payload.
# Measured over veth on Linux 6.18, with some to spare.
_BUFFER_BYTES = {64: 1_024, 1_200: 2_560}

# How many are few, and how often a socket is filled with so many in a turn.
FEW = 500
_FEW_PER_TURN = 3

_NUMBER = struct.Struct(">Q")


@dataclass
class Drain:
    """Fills a socket, and keeps the times it took to drain it.

    Attributes:
        sender: Where the datagrams are sent from.
        size: Bytes of payload.
        units: Whether they are sent as units (UDP_SEGMENT), as big as they may be.
        counts: How many datagrams the socket is filled with, each time in a turn: as many as it
            holds, then few.
    """

    sender: socket.socket
    size: int
    units: bool
    counts: Sequence[int] = ()
    turns: Turns = field(default_factory=Turns)
    # By how many datagrams it was filled with: nanoseconds for each.
    _times: dict[int, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with plain_receiver() as sock:
            granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        full = granted // _BUFFER_BYTES[self.size]
        self.counts = (full, *[min(FEW, full)] * _FEW_PER_TURN)

    def fill(self, count: int) -> None:
        payloads = [_NUMBER.pack(number).ljust(self.size, b"x") for number in range(count)]
        if not self.units:
            for payload in payloads:
                self.sender.sendto(payload, (GROUP, PORT))
            return
        run = min(_MOST_UNIT_SEGMENTS, _MOST_UNIT_BYTES // self.size)
        control = (socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", self.size))
        for start in range(0, count, run):
            unit = b"".join(payloads[start : start + run])
            if sys.platform != "win32":  # Where the socket module has no sendmsg.
                self.sender.sendmsg([unit], [control], 0, (GROUP, PORT))

    def keep(self, elapsed_ns: float, count: int, last: bytes) -> None:
        """Keep a time, if what was read last is what was sent last: then nothing was lost."""
        number = _NUMBER.unpack_from(last)[0]
        if number != count - 1:
            raise Lost(f"datagram {count} is number {number + 1}: not all have arrived")
        self._times.setdefault(count, []).append(elapsed_ns / count)

    def report(self) -> None:
        """End a turn."""
        full, few = (statistics.median(self._times[self.counts[place]]) for place in (0, -1))
        self.turns.report(ns=full, ns_few=few, datagrams=self.counts[0])
        self._times.clear()

    def run(self, drain: Callable[[int], bytes]) -> None:
        """Measure a function that reads so many datagrams and returns the last one."""
        for _ in self.turns:
            for count in self.counts:
                self.fill(count)
                start = time.thread_time_ns()
                last = drain(count)
                self.keep(time.thread_time_ns() - start, count, last)
            self.report()

    async def run_async(self, drain: Callable[[int], Awaitable[bytes]]) -> None:
        """Do the same with an asynchronous function."""
        for _ in self.turns:
            for count in self.counts:
                self.fill(count)
                start = time.thread_time_ns()
                last = await drain(count)
                self.keep(time.thread_time_ns() - start, count, last)
            self.report()
