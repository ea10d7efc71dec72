"""Answer each datagram to its sender alone.

Usage: python responder.py INTERFACE
"""

import sys
from contextlib import suppress

import trio

from trio_mcast import open_mcast_receiver, open_mcast_sender

GROUP, PORT = "239.1.2.3", 12345


async def main() -> None:
    async with (
        open_mcast_receiver(GROUP, PORT, interfaces=sys.argv[1]) as receiver,
        open_mcast_sender(GROUP, PORT, interfaces=sys.argv[1]) as sender,
    ):
        async for datagram in receiver:
            if datagram.data == b"who is there?":
                try:
                    await sender.send(b"I am", to=datagram.source)
                # Anybody can send what cannot be answered.
                except OSError as error:
                    print(f"no answer: {error}")


if len(sys.argv) < 2:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):
    trio.run(main)
