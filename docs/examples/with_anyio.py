"""Receive in an AnyIO program. Usage: python with_anyio.py INTERFACE"""

import sys
from contextlib import suppress

import anyio

from trio_mcast import open_mcast_receiver


async def main(interface: str) -> None:
    async with open_mcast_receiver(
        "239.1.2.3", 12345, interfaces=interface
    ) as receiver:
        with anyio.move_on_after(60):
            for _ in range(3):
                datagram = await receiver.receive()
                print(datagram.source, datagram.data)


if len(sys.argv) != 2:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
    anyio.run(main, sys.argv[1], backend="trio")
