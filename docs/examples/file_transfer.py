"""Send a file to all who want it: what they miss they ask for.

Usage: python file_transfer.py send FILE INTERFACE, or fetch FILE INTERFACE
"""

import sys
from contextlib import suppress
from struct import Struct, pack, unpack

import trio

from trio_mcast import open_mcast_channel, open_mcast_sender

GROUP, PORT = "239.1.2.3", 12345
HEADER = Struct("!I I")  # The number of a block, and how many there are.
BLOCK = 1024
ASKED_AT_ONCE = 256


async def send(data: bytes, interface: str) -> None:
    """Send a file, and again what anybody asks for, until nobody asks."""
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    count = len(blocks)
    wanted = set(range(count))
    async with open_mcast_sender(
        GROUP, PORT, interfaces=interface, receive_replies=True
    ) as sender:
        quiet = 0
        while quiet < 5:
            for number in sorted(wanted):
                await sender.send(HEADER.pack(number, count) + blocks[number])
                await trio.sleep(0.001)
            wanted.clear()
            # A number that no block has: who misses any, say so.
            await sender.send(HEADER.pack(count, count))
            with trio.move_on_after(0.2):
                async for reply in sender.replies:
                    if not len(reply.data) % 4:
                        wanted |= set(
                            unpack(f"!{len(reply.data) // 4}I", reply.data)
                        )
            wanted &= set(range(count))
            quiet = 0 if wanted else quiet + 1


async def fetch(interface: str) -> bytes:
    """Wait for a file, and return it."""
    blocks: dict[int, bytes] = {}
    async with open_mcast_channel(GROUP, PORT, interfaces=interface) as channel:
        async for datagram in channel:
            if len(datagram.data) < HEADER.size:
                continue
            number, count = HEADER.unpack_from(datagram.data)
            if number < count:
                blocks[number] = datagram.data[HEADER.size :]
            missing = [n for n in range(count) if n not in blocks]
            if not missing:
                break
            if number == count:
                missing = missing[:ASKED_AT_ONCE]
                await channel.answer(
                    datagram, pack(f"!{len(missing)}I", *missing)
                )
    return b"".join(blocks[number] for number in sorted(blocks))


async def main(what: str, file: str, interface: str) -> None:
    path = trio.Path(file)
    if what == "send":
        await send(await path.read_bytes(), interface)
    else:
        await path.write_bytes(await fetch(interface))


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("send", "fetch"):
        sys.exit(__doc__)
    with suppress(KeyboardInterrupt):
        trio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
