"""Send one datagram. Usage: python moved_sender.py INTERFACE"""

import sys

import trio

from trio_mcast import open_mcast_sender


async def main(interface: str) -> None:
    async with open_mcast_sender(
        "239.1.2.3", 12345, interfaces=interface, loopback=False
    ) as sender:
        await sender.send(b"hello")


if len(sys.argv) != 2:
    sys.exit(__doc__)
trio.run(main, sys.argv[1])
