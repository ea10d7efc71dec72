"""Print what is sent to a group. Usage: python receiver.py [INTERFACE...]"""

import sys

import trio

from trio_mcast import open_mcast_receiver


async def main() -> None:
    interfaces = sys.argv[1:] or None  # None: every interface except loopback
    async with open_mcast_receiver("239.1.2.3", 12345, interfaces=interfaces) as receiver:
        async for datagram in receiver:
            print(datagram.group, datagram.interface, datagram.source, datagram.data)


trio.run(main)
