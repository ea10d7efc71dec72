"""Wait, but not for ever. Usage: python timeout.py SECONDS [INTERFACE...]"""

import sys
from contextlib import suppress

import trio

from trio_mcast import open_mcast_receiver


async def main() -> None:
    seconds, interfaces = float(sys.argv[1]), sys.argv[2:] or None
    async with open_mcast_receiver(
        "239.1.2.3", 12345, interfaces=interfaces
    ) as receiver:
        with trio.move_on_after(seconds) as waiting:
            datagram = await receiver.receive()
            print("received", datagram.data)
        if waiting.cancelled_caught:
            print("nothing came in", seconds, "seconds")


if len(sys.argv) < 2:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
    trio.run(main)
