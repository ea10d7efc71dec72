"""Sending: bursts of datagrams over a cable, to a host where nobody has joined the group.

There the kernel drops them early. The cable's other end is served by the processor that sends, and
on a real network the receiver's share of the work is done by another machine.

Whether everything is sent is looked at between the bursts that are measured: then somebody joins.
"""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tests.lab import Host

from ._network import plain_receiver
from ._turns import Lost, Turns

BURSTS_PER_TURN = 3
_LONGEST_PAYLOAD = 2_048
_TIMEOUT_SECONDS = 5


@dataclass
class Burst:
    """What is sent in one go, and how long it took.

    Attributes:
        receiver: The host at the other end.
        payloads: What is sent.
    """

    receiver: Host
    payloads: Sequence[bytes]
    turns: Turns = field(default_factory=Turns)
    _times: list[float] = field(default_factory=list)

    def joined(self) -> socket.socket:
        """Join the group at the other end."""
        with self.receiver.inside():
            sock = plain_receiver()
        sock.settimeout(_TIMEOUT_SECONDS)
        return sock

    def check(self, member: socket.socket) -> None:
        """Read a burst, and leave the group."""
        with member:
            for payload in self.payloads:
                if member.recv(_LONGEST_PAYLOAD) != payload:
                    raise Lost("what arrives is not what was sent")

    def keep(self, elapsed_ns: float) -> None:
        self._times.append(elapsed_ns / len(self.payloads))

    def report(self) -> None:
        """End a turn."""
        self.turns.report(ns=statistics.median(self._times))
        self._times.clear()

    def run(self, send: Callable[[], None]) -> None:
        """Measure a function that sends everything."""
        for _ in self.turns:
            member = self.joined()
            send()
            self.check(member)
            for _ in range(BURSTS_PER_TURN):
                start = time.thread_time_ns()
                send()
                self.keep(time.thread_time_ns() - start)
            self.report()

    async def run_async(self, send: Callable[[], Awaitable[None]]) -> None:
        """Do the same with an asynchronous function."""
        for _ in self.turns:
            member = self.joined()
            await send()
            self.check(member)
            for _ in range(BURSTS_PER_TURN):
                start = time.thread_time_ns()
                await send()
                self.keep(time.thread_time_ns() - start)
            self.report()
