"""Answer questions sent to a group, or to this machine.

Usage: python unicast.py INTERFACE
"""

import sys
from contextlib import suppress

import trio

from trio_mcast import open_mcast_receiver, open_mcast_sender

GROUP, PORT = "239.1.2.3", 12345


async def main() -> None:
    interface = sys.argv[1]
    async with (
        open_mcast_receiver(
            GROUP, PORT, interfaces=interface, accept_unicast=True
        ) as receiver,
        open_mcast_sender(
            GROUP, PORT, interfaces=interface, source_port=PORT
        ) as sender,
    ):
        async for datagram in receiver:
            if datagram.data == b"who is there?":
                how = "asked all" if datagram.group else "asked me"
                print(datagram.source, how, flush=True)
                try:
                    await sender.send(b"I am", to=datagram.source)
                # Anybody can send what cannot be answered.
                except OSError as error:
                    print(f"no answer: {error}")


if len(sys.argv) < 2:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):
    trio.run(main)
