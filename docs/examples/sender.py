"""Send to a group once a second. Usage: python sender.py [INTERFACE...]"""

import sys

import trio

from trio_mcast import open_mcast_sender


async def main() -> None:
    interfaces = sys.argv[1:] or None  # None: the interface that the system's routes give
    async with open_mcast_sender("239.1.2.3", 12345, interfaces=interfaces) as sender:
        for number in range(60):
            await sender.send(f"hello {number}".encode())
            await trio.sleep(1)


trio.run(main)
