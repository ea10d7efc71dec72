"""Print what is sent to a group, on interfaces that come and go.

Usage: python follow.py NAME...
"""

import logging
import sys
from contextlib import suppress

import trio

from trio_mcast import open_mcast_receiver


async def main() -> None:
    # Tells each change: "group ... on interface ... is joined".
    logging.basicConfig(
        level=logging.INFO, format="%(message)s", stream=sys.stdout
    )
    async with open_mcast_receiver(
        "239.1.2.3", 12345, interfaces=sys.argv[1:], allow_missing=True
    ) as receiver:
        for membership in receiver.memberships:
            print(membership.group, membership.interface, membership.state)
        async for datagram in receiver:
            print(datagram.interface, datagram.data)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with suppress(KeyboardInterrupt):
        trio.run(main)
