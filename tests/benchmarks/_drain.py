"""Draining: a socket is filled while nobody reads, then read until all has come, on the clock.

The clock is that of the processor time of the thread: what other programs take is not counted.
Nothing waits while a full socket is drained, so it is all there is to count.
"""

from __future__ import annotations

import socket
import statistics
import struct
import sys
import time
from collections.abc import Awaitable, Callable
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
_MOST_DATAGRAMS = 2_000

FILLS_PER_TURN = 3

_NUMBER = struct.Struct(">Q")


@dataclass
class Drain:
    """Fills a socket, and keeps the times it took to drain it.

    Attributes:
        sender: Where the datagrams are sent from.
        size: Bytes of payload.
        units: Whether they are sent as units (UDP_SEGMENT), as big as they may be.
        count: How many datagrams fill the socket.
    """

    sender: socket.socket
    size: int
    units: bool
    count: int = 0
    turns: Turns = field(default_factory=Turns)
    _times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        with plain_receiver() as sock:
            granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.count = min(_MOST_DATAGRAMS, granted // _BUFFER_BYTES[self.size])

    def fill(self) -> None:
        payloads = [_NUMBER.pack(number).ljust(self.size, b"x") for number in range(self.count)]
        if not self.units:
            for payload in payloads:
                self.sender.sendto(payload, (GROUP, PORT))
            return
        run = min(_MOST_UNIT_SEGMENTS, _MOST_UNIT_BYTES // self.size)
        control = (socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", self.size))
        for start in range(0, self.count, run):
            unit = b"".join(payloads[start : start + run])
            if sys.platform != "win32":  # Where the socket module has no sendmsg.
                self.sender.sendmsg([unit], [control], 0, (GROUP, PORT))

    def keep(self, elapsed_ns: float, last: bytes) -> None:
        """Keep a time, if what was read last is what was sent last: then nothing was lost."""
        number = _NUMBER.unpack_from(last)[0]
        if number != self.count - 1:
            raise Lost(f"datagram {self.count} is number {number + 1}: not all have arrived")
        self._times.append(elapsed_ns / self.count)

    def report(self) -> None:
        """End a turn."""
        self.turns.report(ns=statistics.median(self._times), datagrams=self.count)
        self._times.clear()

    def run(self, drain: Callable[[int], bytes]) -> None:
        """Measure a function that reads so many datagrams and returns the last one."""
        for _ in self.turns:
            for _ in range(FILLS_PER_TURN):
                self.fill()
                start = time.thread_time_ns()
                last = drain(self.count)
                self.keep(time.thread_time_ns() - start, last)
            self.report()

    async def run_async(self, drain: Callable[[int], Awaitable[bytes]]) -> None:
        """Do the same with an asynchronous function."""
        for _ in self.turns:
            for _ in range(FILLS_PER_TURN):
                self.fill()
                start = time.thread_time_ns()
                last = await drain(self.count)
                self.keep(time.thread_time_ns() - start, last)
            self.report()
