"""Receive RTP and, on the next port, the RTCP reports about it."""

from contextlib import suppress

import trio

from trio_mcast import open_mcast_receiver

GROUP, RTP, RTCP = "239.1.2.3", 5004, 5005


async def main() -> None:
    async with open_mcast_receiver(GROUP, [RTP, RTCP]) as receiver:
        async for datagram in receiver:
            kind = "report" if datagram.destination.port == RTCP else "media"
            size, sender = len(datagram.data), datagram.source.host
            print(f"{kind}: {size} bytes from {sender}")


with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
    trio.run(main)
