"""Send signed lines.

Usage: SIGNED_KEY=secret python signed_sender.py INTERFACE
"""

import secrets
import sys

import trio

from signed import seal
from trio_mcast import open_mcast_sender


async def main(interface: str) -> None:
    me = secrets.randbits(64)
    async with open_mcast_sender(
        "239.1.2.3", 12345, interfaces=interface
    ) as sender:
        for number in range(3):
            await sender.send(seal(me, number, b"number %d" % number))


if len(sys.argv) != 2:
    sys.exit(__doc__)
trio.run(main, sys.argv[1])
