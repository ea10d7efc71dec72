"""Latency: one datagram at a time, from another process, to a receiver that is idle."""

from __future__ import annotations

import os
import socket
import statistics
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from ._network import GROUP, PORT
from ._turns import Lost, Turns

_DATAGRAMS_PER_TURN = 200
_PAUSE_SECONDS = 0.001
_PAYLOAD_BYTES = 64

# A number, and when it was sent: CLOCK_MONOTONIC is the same for all processes.
_STAMP = struct.Struct("=QQ")


@dataclass
class Quiet:
    """A process that sends one datagram after the other, and how long each was on its way.

    Attributes:
        sender: Where the datagrams are sent from.
        count: How many in one turn.
    """

    sender: socket.socket
    count: int = _DATAGRAMS_PER_TURN
    turns: Turns = field(default_factory=Turns)
    _times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start the process that sends, before there is an event loop to disturb."""
        read, self._start = os.pipe()
        if sys.platform == "win32" or os.fork():
            os.close(read)
            return
        os.close(self._start)
        try:
            while os.read(read, 1):
                self._send()
        finally:
            os._exit(0)

    def __iter__(self) -> Iterator[None]:
        """For each turn, let the other process send ``count`` datagrams."""
        for _ in self.turns:
            self._times.clear()
            os.write(self._start, b"x")
            yield
            cuts = statistics.quantiles(self._times, n=100, method="inclusive")
            self.turns.report(p50=cuts[49], p99=cuts[98])

    def _send(self) -> None:
        for number in range(self.count):
            time.sleep(_PAUSE_SECONDS)
            payload = _STAMP.pack(number, time.monotonic_ns()).ljust(_PAYLOAD_BYTES, b"x")
            self.sender.sendto(payload, (GROUP, PORT))

    def arrived(self, payload: bytes) -> None:
        """Take the time of a datagram that has just been received."""
        now = time.monotonic_ns()
        number, sent = _STAMP.unpack_from(payload)
        if number != len(self._times):
            raise Lost(f"datagram {number} came when {len(self._times)} was due")
        self._times.append(now - sent)
