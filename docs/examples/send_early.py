"""Send the time each second, also before the network is.

Usage: python send_early.py [NAME]
"""

import sys
import time
from contextlib import suppress

import trio

from trio_mcast import open_mcast_sender


async def main() -> None:
    interface = sys.argv[1] if len(sys.argv) > 1 else None
    async with open_mcast_sender(
        "239.1.2.3", 12345, interfaces=interface, allow_missing=True
    ) as sender:
        while True:
            try:
                await sender.send(time.ctime().encode())
            except OSError as error:
                print(error)
            await trio.sleep(1)


with suppress(KeyboardInterrupt):
    trio.run(main)
