"""Receive from all but some.

Usage: python excluded_sources.py SOURCE [SOURCE...]
"""

import sys
from contextlib import suppress

import trio

from trio_mcast import open_mcast_receiver


async def main() -> None:
    excluded = sys.argv[1:]
    async with open_mcast_receiver(
        "239.1.2.3", 12345, excluded_sources=excluded
    ) as receiver:
        async for datagram in receiver:
            print("from", datagram.source.host, datagram.data)


if len(sys.argv) < 2:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):
    trio.run(main)
