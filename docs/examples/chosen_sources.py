"""Receive from some only. Usage: python chosen_sources.py SOURCE [SOURCE...]"""

import sys
from contextlib import suppress

import trio

from trio_mcast import open_mcast_receiver


async def main() -> None:
    async with open_mcast_receiver(
        "232.1.2.3", 12345, sources=sys.argv[1:]
    ) as receiver:
        async for datagram in receiver:
            print("from", datagram.source.host, datagram.data)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with suppress(KeyboardInterrupt):
        trio.run(main)
