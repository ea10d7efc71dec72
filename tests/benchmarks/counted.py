"""What callgrind counts: ``valgrind --tool=callgrind ... python -m tests.benchmarks.counted NAME``.

Runs in the network of `_instructions`, which reads what callgrind has written.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio
import trio.testing

from trio_mcast import McastReceiver, open_mcast_receiver

from ._compiler import compiled
from ._drain import UDP_SEGMENT, UNIT_SEGMENTS
from ._network import GROUP, PORT, plain_receiver, plain_sender

_READ_BYTES = 2_048
_PAYLOAD = b"x" * 64

# Receives so many datagrams.
Receive = Callable[[int], Awaitable[None]]


class _Counter:
    """Counts the instructions of what is done to a socket, again and again."""

    def __init__(
        self, sender: socket.socket, units: bool, lengths: Sequence[int], bursts: Sequence[int]
    ) -> None:
        """Of the two hosts, the sender is a socket of the other one."""
        self._units = units
        self._sender = sender
        self._lengths = lengths
        self._bursts = bursts
        self._own_sender = plain_sender()
        self._callgrind = compiled("collect.c")

    async def run(self, receive: Receive) -> None:
        self._callgrind.start_instrumentation()
        for length in (1, *self._lengths):  # The first warms up.
            await self._section("nothing", length, _do_nothing, 0, 0)
            if not self._units:
                await self._section("self", length, partial(self._send_and, receive), 0, 1)
            for count in self._bursts:
                await self._section(f"burst_{count}", length, receive, count, count)

    async def _section(self, figure: str, length: int, act: Receive, fill: int, count: int) -> None:
        callgrind = self._callgrind
        callgrind.forget()
        for _ in range(length):
            self._fill(fill)
            callgrind.toggle()
            await act(count)
            callgrind.toggle()
        callgrind.write_down(f"{figure} {length}".encode())

    def _fill(self, count: int) -> None:
        if self._units and count and sys.platform != "win32":
            control = (socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", len(_PAYLOAD)))
            for start in range(0, count, UNIT_SEGMENTS):
                unit = _PAYLOAD * min(count - start, UNIT_SEGMENTS)
                self._sender.sendmsg([unit], [control], 0, (GROUP, PORT))
        else:
            for _ in range(count):
                self._sender.sendto(_PAYLOAD, (GROUP, PORT))

    async def _send_and(self, receive: Receive, count: int) -> None:
        self._own_sender.sendto(_PAYLOAD, (GROUP, PORT))
        await receive(count)


async def _do_nothing(count: int) -> None:
    """Cost what it costs to be called."""


async def _by_trio(count: Callable[[Receive], Awaitable[None]]) -> None:
    with trio.socket.from_stdlib_socket(plain_receiver()) as sock:

        async def receive(left: int) -> None:
            for _ in range(left):
                await sock.recvfrom(_READ_BYTES)

        await count(receive)


async def _by_library(count: Callable[[Receive], Awaitable[None]]) -> None:
    async with open_mcast_receiver(GROUP, PORT, interfaces="eth0") as receiver:
        await trio.testing.wait_all_tasks_blocked()
        await count(partial(_receive, receiver))


async def _receive(receiver: McastReceiver, left: int) -> None:
    if left == 1:
        await receiver.receive()
        return
    while left > 0:
        left -= len(await receiver.receive_batch())


def main() -> None:
    name, (sender, lengths, bursts) = sys.argv[1], json.loads(sys.argv[2])
    counter = _Counter(socket.socket(fileno=sender), name.endswith("-units"), lengths, bursts)
    trio.run(_by_trio if name == "instructions-trio" else _by_library, counter.run)


if __name__ == "__main__":
    main()
