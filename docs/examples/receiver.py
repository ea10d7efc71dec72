"""Print what is sent to a group. Usage: python receiver.py [INTERFACE...]"""

import sys
from contextlib import suppress

import trio

from trio_mcast import open_mcast_receiver

GROUP, PORT = "239.1.2.3", 12345


async def main() -> None:
    names = sys.argv[1:] or None  # None: every interface except loopback
    async with open_mcast_receiver(GROUP, PORT, interfaces=names) as receiver:
        async for datagram in receiver:
            print(
                datagram.group,
                datagram.interface,
                datagram.source,
                datagram.data,
            )


with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
    trio.run(main)
