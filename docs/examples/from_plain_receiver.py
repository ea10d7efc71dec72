"""Receive one datagram. Usage: python from_plain_receiver.py ADDRESS"""

import sys

import trio

from trio_mcast import open_mcast_receiver


async def main(address: str) -> None:
    async with open_mcast_receiver(
        "239.1.2.3", 12345, interfaces=address
    ) as receiver:
        with trio.fail_after(10):
            datagram = await receiver.receive()
        print(datagram.source, datagram.data)


if len(sys.argv) != 2:
    sys.exit(__doc__)
trio.run(main, sys.argv[1])
