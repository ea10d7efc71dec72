"""Send the same numbered datagrams to several feeds.

Usage: python send_feeds.py FEED FEED..., such as 239.1.2.3%eth0 239.1.2.4%eth1
"""

import sys
from contextlib import suppress

import trio

from trio_mcast import open_mcast_sender


async def main(feeds: list[str]) -> None:
    async with open_mcast_sender(feeds, 12345) as sender:
        for number in range(20):
            await sender.send(number.to_bytes(4, "big") + b"tick %d" % number)
            await trio.sleep(0.05)


if len(sys.argv) < 2:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):
    trio.run(main, sys.argv[1:])
