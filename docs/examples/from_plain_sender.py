"""Send one datagram. Usage: python from_plain_sender.py ADDRESS"""

import sys

import trio

from trio_mcast import open_mcast_sender


async def main(address: str) -> None:
    async with open_mcast_sender(
        "239.1.2.3", 12345, interfaces=address, ttl=4, loopback=False
    ) as sender:
        await sender.send(b"hello")


if len(sys.argv) != 2:
    sys.exit(__doc__)
trio.run(main, sys.argv[1])
