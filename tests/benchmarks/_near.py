"""Datagrams that are there when the program asks for them, or are the answer to its own.

`_latency` tells how long a program waits that does nothing else. Here the program sends and then
receives, so that waking up a processor does not hide what a call costs.

* Sent by the program itself: processor time of one ``sendto`` and one receiving.
* After a pause: one that has come while the program did something else for 5 milliseconds, which
  takes its code, and that of its event loop, out of the processor's caches; the receiving only.
* Request and reply: another process answers; the time until the answer is there.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from ._network import GROUP, PORT, plain_receiver
from ._turns import Turns

_REQUESTS = "239.1.2.4"
_REPEATS, _PAUSES = 200, 20
_PAUSE_SECONDS = 0.005
# What the program does meanwhile: reads this text again and again.
_WORK = json.dumps({str(number): [number] * 8 for number in range(200)})
_PAYLOAD = b"x" * 64

# Receives one datagram.
Receive = Callable[[], Awaitable[object]]


@dataclass
class Near:
    """A program that receives what it has sent, with another process that answers requests.

    Attributes:
        sender: A socket of the receiving host.
    """

    sender: socket.socket
    turns: Turns = field(default_factory=Turns)

    def __post_init__(self) -> None:
        """Start the process that answers, which ends with this one."""
        parent = os.getpid()
        if sys.platform == "win32" or os.fork():
            return
        try:
            with plain_receiver(_REQUESTS) as requests:
                requests.settimeout(1)
                while os.getppid() == parent:
                    with suppress(TimeoutError):
                        self.sender.sendto(requests.recv(2_048), (GROUP, PORT))
        finally:
            os._exit(0)

    async def run(self, receive: Receive) -> None:
        """Measure a function that receives one datagram."""
        for _ in self.turns:
            self.turns.report(
                self=await self._own(receive),
                pause=await self._after_a_pause(receive),
                rpc=await self._answer(receive),
            )

    async def _own(self, receive: Receive) -> float:
        times: list[float] = []
        for _ in range(_REPEATS):
            start = time.thread_time_ns()
            self.sender.sendto(_PAYLOAD, (GROUP, PORT))
            await receive()
            times.append(time.thread_time_ns() - start)
        return statistics.median(times)

    async def _after_a_pause(self, receive: Receive) -> float:
        times: list[float] = []
        for _ in range(_PAUSES):
            self.sender.sendto(_PAYLOAD, (GROUP, PORT))
            end = time.perf_counter() + _PAUSE_SECONDS
            while time.perf_counter() < end:
                json.loads(_WORK)
            start = time.thread_time_ns()
            await receive()
            times.append(time.thread_time_ns() - start)
        return statistics.median(times)

    async def _answer(self, receive: Receive) -> float:
        times: list[float] = []
        for _ in range(_REPEATS):
            start = time.perf_counter_ns()
            self.sender.sendto(_PAYLOAD, (_REQUESTS, PORT))
            await receive()
            times.append(time.perf_counter_ns() - start)
        return statistics.median(times)
