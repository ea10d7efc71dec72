"""Send to two groups, beyond the next router.

Usage: python send_options.py INTERFACE
"""

import sys

import trio

from trio_mcast import open_mcast_sender


async def main() -> None:
    async with open_mcast_sender(
        ["239.1.2.3", "239.1.2.4"],
        12345,
        interfaces=sys.argv[1],
        ttl=8,  # through up to seven routers
        loopback=False,  # not to programs on this machine
        traffic_class=0xB8,  # DSCP 46, expedited forwarding
        source_port=12346,
    ) as sender:
        print("sending from", *sender.local_endpoints)
        await sender.send(b"to both groups")
        await sender.send(b"to one group", to="239.1.2.4")
        await sender.send(b"to another port", to=("239.1.2.4", 12347))
        await sender.send_batch([b"one", b"two", b"three"], to="239.1.2.3")
        print("sent", sender.statistics().sent)


if len(sys.argv) < 2:
    sys.exit(__doc__)
trio.run(main)
