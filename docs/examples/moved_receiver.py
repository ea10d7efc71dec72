"""Receive one datagram, or none. Usage: python moved_receiver.py"""

import trio

from trio_mcast import open_mcast_receiver


async def main() -> None:
    async with open_mcast_receiver(
        "239.1.2.3", 12345, loopback=False
    ) as receiver:
        with trio.move_on_after(10):
            datagram = await receiver.receive()
            print(datagram.source, datagram.data)


trio.run(main)
