"""Answer each datagram to its sender alone. Usage: python responder.py INTERFACE"""

import sys

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
                except OSError as error:  # Anybody can send what cannot be answered.
                    print(f"no answer: {error}")


trio.run(main)
