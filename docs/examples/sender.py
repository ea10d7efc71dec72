"""Send to a group once a second. Usage: python sender.py [INTERFACE...]"""

import sys
from contextlib import suppress

import trio

from trio_mcast import open_mcast_sender

GROUP, PORT = "239.1.2.3", 12345


async def main() -> None:
    names = sys.argv[1:] or None  # None: as the system's routes say
    async with open_mcast_sender(GROUP, PORT, interfaces=names) as sender:
        for number in range(60):
            await sender.send(f"hello {number}".encode())
            await trio.sleep(1)


with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
    trio.run(main)
