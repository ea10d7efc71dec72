"""Receive and send in one program. Usage: python both.py [INTERFACE...]"""

import sys
from contextlib import suppress

import trio

from trio_mcast import McastSender, open_mcast_receiver, open_mcast_sender

GROUP, PORT = "239.1.2.3", 12345


async def send_numbers(sender: McastSender) -> None:
    for number in range(3):
        await sender.send(f"number {number}".encode())
        await trio.sleep(0.1)


async def main() -> None:
    interfaces = sys.argv[1:] or None
    async with (
        open_mcast_receiver(GROUP, PORT, interfaces=interfaces) as receiver,
        open_mcast_sender(GROUP, PORT, interfaces=interfaces) as sender,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(send_numbers, sender)
        for _ in range(3):
            datagram = await receiver.receive()
            print("received", datagram.data.decode(errors="backslashreplace"))
    print("left the group")


with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
    trio.run(main)
