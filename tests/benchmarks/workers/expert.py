"""multicast_expert."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterable

import multicast_expert

from .._drain import Drain
from .._network import GROUP, PORT, RECEIVE_BUFFER_BYTES
from .._send import Burst


def _enlarge_buffers(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


def drain(task: Drain) -> None:
    with multicast_expert.McastRxSocket(
        socket.AF_INET, mcast_ips=[GROUP], port=PORT, iface="eth0"
    ) as receiver:
        _enlarge_buffers(receiver.sockets)

        def loop(count: int) -> bytes:
            for _ in range(count):
                received = receiver.recvfrom()
            assert received is not None  # It is only with a timeout.
            return received[0]

        task.run(loop)


if sys.version_info >= (3, 11):  # multicast_expert has it from there on.

    def drain_async(task: Drain) -> None:
        async def main() -> None:
            with multicast_expert.AsyncMcastRxSocket(
                socket.AF_INET, mcast_ips=[GROUP], port=PORT, iface="eth0"
            ) as receiver:
                _enlarge_buffers(receiver.sockets)

                async def loop(count: int) -> bytes:
                    for _ in range(count):
                        last, _source = await receiver.recvfrom()
                    return last

                await asyncio.sleep(0)  # Let its task begin to wait.
                await task.run_async(loop)

        asyncio.run(main())


def send(task: Burst) -> None:
    with multicast_expert.McastTxSocket(socket.AF_INET, mcast_ips=[GROUP], iface="eth0") as sender:

        def loop() -> None:
            for payload in task.payloads:
                sender.sendto(payload, (GROUP, PORT))

        task.run(loop)
