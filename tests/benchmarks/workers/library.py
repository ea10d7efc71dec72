"""This library."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
import trio.testing

from trio_mcast import McastReceiver, open_mcast_receiver, open_mcast_sender

from .._drain import Drain
from .._latency import Quiet
from .._near import Near
from .._network import GROUP, PORT, RECEIVE_BUFFER_BYTES
from .._send import Burst


async def _by_batch(receiver: McastReceiver, count: int) -> bytes:
    last = b""
    while count > 0:
        batch = await receiver.receive_batch()
        for datagram in batch:
            last = datagram.data
        count -= len(batch)
    return last


async def _singly(receiver: McastReceiver, count: int) -> bytes:
    last = b""
    async for datagram in receiver:
        last = datagram.data
        count -= 1
        if not count:
            break
    return last


def _drain(task: Drain, loop: Callable[[McastReceiver, int], Awaitable[bytes]]) -> None:
    async def main() -> None:
        async with open_mcast_receiver(
            GROUP, PORT, interfaces="eth0", receive_buffer_size=RECEIVE_BUFFER_BYTES
        ) as receiver:
            # A program that receives for a while has its reading task waiting.
            await trio.testing.wait_all_tasks_blocked()
            await task.run_async(lambda count: loop(receiver, count))

    trio.run(main)


def drain_batches(task: Drain) -> None:
    _drain(task, _by_batch)


def drain_singly(task: Drain) -> None:
    _drain(task, _singly)


def quiet(task: Quiet) -> None:
    async def main() -> None:
        async with open_mcast_receiver(GROUP, PORT, interfaces="eth0") as receiver:
            await trio.testing.wait_all_tasks_blocked()
            for _ in task:
                for _ in range(task.count):
                    datagram = await receiver.receive()
                    task.arrived(datagram.data)

    trio.run(main)


def near(task: Near) -> None:
    async def main() -> None:
        async with open_mcast_receiver(GROUP, PORT, interfaces="eth0") as receiver:
            await trio.testing.wait_all_tasks_blocked()

            await task.run(receiver.receive)

    trio.run(main)


def send_singly(task: Burst) -> None:
    async def main() -> None:
        async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:

            async def loop() -> None:
                for payload in task.payloads:
                    await sender.send(payload)

            await task.run_async(loop)

    trio.run(main)


def send_nowait(task: Burst) -> None:
    async def main() -> None:
        async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:

            def loop() -> None:
                for payload in task.payloads:
                    sender.send_nowait(payload)

            task.run(loop)

    trio.run(main)


def send_batch(task: Burst) -> None:
    async def main() -> None:
        async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:

            async def at_once() -> None:
                await sender.send_batch(task.payloads)

            await task.run_async(at_once)

    trio.run(main)
