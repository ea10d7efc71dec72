"""Print genuine datagrams.

Usage: SIGNED_KEY=secret python signed_receiver.py INTERFACE
"""

import sys
from contextlib import suppress

import trio

from signed import Gate
from trio_mcast import open_mcast_receiver


async def main(interface: str) -> None:
    gate = Gate()
    async with open_mcast_receiver(
        "239.1.2.3", 12345, interfaces=interface
    ) as receiver:
        async for datagram in receiver:
            payload = gate.open(datagram.data)
            if payload is None:
                print("refused, from", datagram.source)
            else:
                print(datagram.source, payload)


if len(sys.argv) != 2:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):
    trio.run(main, sys.argv[1])
