"""Draining: a socket is filled while nobody reads, then read until all has come, on the clock.

The clock is that of the processor time of the thread: what other programs take is not counted.
Nothing waits while a full socket is drained, so it is all there is to count.

Decision: as many as fit, and few
=================================

A program that has been away begins slowly: its code, and that of its event loop, has to come back
into the processor's caches. That takes as long whether 100 datagrams wait or 10,000, so it is no
cost of a datagram, and how much of it each is charged with would depend on a number that somebody
has chosen. C has little that could go out of the caches. So a socket is filled with as many as it
holds, which tells what a datagram costs while they keep coming; and then, apart from that, with
2,000, 500, 100, 5 and 2, which tells what it costs to begin.
"""

from __future__ import annotations

import socket
import statistics
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ._network import GROUP, PORT, plain_receiver
from ._turns import Lost, Turns

UDP_SEGMENT = 103  # linux/udp.h

# The most that UDP_SEGMENT takes in one call, and a limit for the segments of older kernels.
_MOST_UNIT_BYTES = 65_507
UNIT_SEGMENTS = 64

# What a datagram takes of the receive buffer: the kernel's bookkeeping and the rounded payload.
# Measured over veth on Linux 6.18, with some to spare.
_BUFFER_BYTES = {64: 1_024, 1_200: 2_560}

# How often a socket is filled with so many in a turn: few take little time, and are less exact.
BURSTS = {2_000: 2, 500: 3, 100: 5, 5: 20, 2: 20}

_NUMBER = struct.Struct(">Q")


@dataclass
class Drain:
    """Fills a socket, and keeps the times it took to drain it.

    Attributes:
        sender: Where the datagrams are sent from.
        size: Bytes of payload.
        units: Whether they are sent as units (UDP_SEGMENT), as big as they may be.
        full: How many datagrams the socket holds.
    """

    sender: socket.socket
    size: int
    units: bool
    full: int = 0
    turns: Turns = field(default_factory=Turns)

    def __post_init__(self) -> None:
        with plain_receiver() as sock:
            granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.full = granted // _BUFFER_BYTES[self.size]

    def fill(self, count: int) -> None:
        payloads = [_NUMBER.pack(number).ljust(self.size, b"x") for number in range(count)]
        if not self.units:
            for payload in payloads:
                self.sender.sendto(payload, (GROUP, PORT))
            return
        run = min(UNIT_SEGMENTS, _MOST_UNIT_BYTES // self.size)
        control = (socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", self.size))
        for start in range(0, count, run):
            unit = b"".join(payloads[start : start + run])
            if sys.platform != "win32":  # Where the socket module has no sendmsg.
                self.sender.sendmsg([unit], [control], 0, (GROUP, PORT))

    def _fills(self) -> Iterator[tuple[str, int, int]]:
        """What each turn has: the figure, how many datagrams, how often."""
        yield "ns", self.full, 1
        for count, repeats in BURSTS.items():
            if count <= self.full:
                yield f"ns_{count}", count, repeats

    def _report(self, figure: str, count: int, times: Sequence[float]) -> None:
        self.turns.report(**{figure: statistics.median(times) / count})

    def run_timed(self, drain: Callable[[int], tuple[float, int]]) -> None:
        """Measure what tells itself how long it took, and the number in the last datagram."""
        for _ in self.turns:
            for figure, count, repeats in self._fills():
                times = []
                for _ in range(repeats):
                    self.fill(count)
                    elapsed_ns, number = drain(count)
                    _check_last(number, count)
                    times.append(elapsed_ns)
                self._report(figure, count, times)

    def run(self, drain: Callable[[int], bytes]) -> None:
        """Measure a function that reads so many datagrams and returns the last one."""

        def timed(count: int) -> tuple[float, int]:
            start = time.thread_time_ns()
            last = drain(count)
            elapsed_ns = time.thread_time_ns() - start
            return elapsed_ns, number_of(last)

        self.run_timed(timed)

    async def run_async(self, drain: Callable[[int], Awaitable[bytes]]) -> None:
        """Do the same with an asynchronous function."""
        for _ in self.turns:
            for figure, count, repeats in self._fills():
                times: list[float] = []
                for _ in range(repeats):
                    self.fill(count)
                    start = time.thread_time_ns()
                    last = await drain(count)
                    times.append(time.thread_time_ns() - start)
                    _check_last(number_of(last), count)
                self._report(figure, count, times)


def number_of(payload: bytes) -> int:
    """The number that a datagram carries."""
    number: int = _NUMBER.unpack_from(payload)[0]
    return number


def _check_last(number: int, count: int) -> None:
    """What was read last has to be what was sent last: then nothing was lost."""
    if number != count - 1:
        raise Lost(f"datagram {count} is number {number + 1}: not all have arrived")
