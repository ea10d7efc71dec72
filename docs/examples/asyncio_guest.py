"""Receive in an asyncio program. Usage: python asyncio_guest.py INTERFACE"""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio

from trio_mcast import Datagram, open_mcast_receiver


async def receive_all(
    interface: str, deliver: Callable[[Datagram], object]
) -> None:
    async with open_mcast_receiver(
        "239.1.2.3", 12345, interfaces=interface
    ) as receiver:
        async for datagram in receiver:
            deliver(datagram)


async def main(interface: str) -> None:
    loop = asyncio.get_running_loop()
    # None when nothing more will come.
    datagrams: asyncio.Queue[Datagram | None] = asyncio.Queue()
    ended: asyncio.Future[Any] = loop.create_future()
    scope = trio.CancelScope()

    async def in_trio() -> None:
        with scope:
            await receive_all(interface, datagrams.put_nowait)

    def end(outcome: Any) -> None:
        ended.set_result(outcome)
        datagrams.put_nowait(None)

    # Trio is a guest of the same thread: nothing here needs a lock.
    trio.lowlevel.start_guest_run(
        in_trio,
        run_sync_soon_threadsafe=loop.call_soon_threadsafe,
        done_callback=end,
    )
    try:
        for _ in range(3):
            datagram = await datagrams.get()
            if datagram is None:
                break
            print(datagram.source, datagram.data)
    finally:
        scope.cancel()
        (await ended).unwrap()


if len(sys.argv) != 2:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
    asyncio.run(main(sys.argv[1]))
