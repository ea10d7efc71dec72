"""Join and leave groups as others say.

Usage: python follow_program.py [INTERFACE...]
"""

import sys
from contextlib import suppress

import trio

from trio_mcast import Datagram, McastReceiver, open_mcast_receiver

PROGRAM = "239.1.2.3"


async def obey(receiver: McastReceiver, datagram: Datagram) -> None:
    order = datagram.data.decode("ascii", "replace")
    command, _, address = order.partition(" ")
    if command == "join":
        await receiver.join(address)
    elif command == "leave":
        await receiver.leave(address)
    elif command == "block":
        await receiver.block_source(address)


async def main() -> None:
    async with open_mcast_receiver(
        PROGRAM, 12345, interfaces=sys.argv[1:] or None
    ) as receiver:
        async for datagram in receiver:
            if datagram.group != PROGRAM:
                print(datagram.group, datagram.data)
                continue
            try:
                await obey(receiver, datagram)
            # No group, joined already, or refused.
            except (ValueError, OSError) as error:
                print(f"no: {error}")
            else:
                groups = [str(item.group) for item in receiver.memberships]
                print(", ".join(groups))


with suppress(KeyboardInterrupt):
    trio.run(main)
