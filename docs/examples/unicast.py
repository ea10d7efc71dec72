"""Answer questions sent to a group, or to this machine. Usage: python unicast.py INTERFACE"""

import sys

import trio

from trio_mcast import open_mcast_receiver, open_mcast_sender

GROUP, PORT = "239.1.2.3", 12345


async def main() -> None:
    interface = sys.argv[1]
    async with (
        open_mcast_receiver(GROUP, PORT, interfaces=interface, accept_unicast=True) as receiver,
        open_mcast_sender(GROUP, PORT, interfaces=interface, source_port=PORT) as sender,
    ):
        async for datagram in receiver:
            if datagram.data == b"who is there?":
                how = "asked all" if datagram.group else "asked me"
                print(datagram.source, how, flush=True)
                try:
                    await sender.send(b"I am", to=datagram.source)
                except OSError as error:  # Anybody can send what cannot be answered.
                    print(f"no answer: {error}")


trio.run(main)
