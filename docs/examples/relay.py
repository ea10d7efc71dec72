"""Send on each of two interfaces what comes to a group on the other.

Usage: python relay.py GROUP PORT INTERFACE INTERFACE, both by name
"""

import sys
from contextlib import suppress

import trio

from trio_mcast import open_mcast_receiver, open_mcast_sender


async def main(group: str, port: int, first: str, second: str) -> None:
    across, both = {first: second, second: first}, [first, second]
    async with (
        open_mcast_receiver(
            group, port, interfaces=both, receive_ttl=True
        ) as receiver,
        # Not to programs of this machine: they hear both networks.
        open_mcast_sender(
            group, port, interfaces=both, loopback=False
        ) as sender,
    ):
        async for datagram in receiver:
            if datagram.ttl is None or datagram.ttl < 2:
                # Meant for its own network, or relayed already.
                continue
            out = across[datagram.interface.name]
            try:
                await sender.send(datagram.data, interface=out)
            except OSError as error:  # An interface may be down for a while.
                print(f"not relayed: {error}")


if len(sys.argv) != 5:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):
    group, port, first, second = sys.argv[1:]
    trio.run(main, group, int(port), first, second)
