"""Show the levels that Art-Net sends to this machine.

Usage: python artnet_levels.py [INTERFACE...]
"""

import sys
from contextlib import suppress
from struct import Struct

import trio

from trio_mcast import open_mcast_receiver

PORT = 6454
HEADER = Struct("<8s H 4x H 2x")  # Name, kind, universe; then the levels.
NAME, LEVELS = b"Art-Net\0", 0x5000


async def main(interfaces: list[str] | None) -> None:
    # No group: Art-Net is sent to each lamp by unicast.
    async with open_mcast_receiver(
        (), PORT, interfaces=interfaces, accept_unicast=True
    ) as receiver:
        async for datagram in receiver:
            if len(datagram.data) < HEADER.size:
                continue
            name, kind, universe = HEADER.unpack_from(datagram.data)
            if (name, kind) == (NAME, LEVELS):
                levels = list(datagram.data[HEADER.size :][:4])
                print(f"universe {universe}: {levels} from {datagram.source}")


with suppress(KeyboardInterrupt):
    trio.run(main, sys.argv[1:] or None)
