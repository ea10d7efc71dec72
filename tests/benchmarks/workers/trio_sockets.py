"""Trio's own sockets."""

from __future__ import annotations

import trio

from .._drain import Drain
from .._latency import Quiet
from .._near import Near
from .._network import GROUP, PORT, plain_receiver, plain_sender
from .._send import Burst

_READ_BYTES = 2_048


def drain(task: Drain) -> None:
    async def main() -> None:
        with trio.socket.from_stdlib_socket(plain_receiver()) as sock:

            async def loop(count: int) -> bytes:
                for _ in range(count):
                    last, _source = await sock.recvfrom(_READ_BYTES)
                return last

            await task.run_async(loop)

    trio.run(main)


def quiet(task: Quiet) -> None:
    async def main() -> None:
        with trio.socket.from_stdlib_socket(plain_receiver()) as sock:
            for _ in task:
                for _ in range(task.count):
                    data, _source = await sock.recvfrom(_READ_BYTES)
                    task.arrived(data)

    trio.run(main)


def near(task: Near) -> None:
    async def main() -> None:
        with trio.socket.from_stdlib_socket(plain_receiver()) as sock:
            await task.run(lambda: sock.recvfrom(_READ_BYTES))

    trio.run(main)


def send(task: Burst) -> None:
    async def main() -> None:
        with trio.socket.from_stdlib_socket(plain_sender()) as sock:

            async def loop() -> None:
                for payload in task.payloads:
                    await sock.sendto(payload, (GROUP, PORT))

            await task.run_async(loop)

    trio.run(main)
