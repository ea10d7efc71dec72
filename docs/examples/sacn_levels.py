"""Show the latest levels of sACN universes (ANSI E1.31), five times a second.

Usage: python sacn_levels.py FIRST LAST [INTERFACE...], such as 1 60 eth0
"""

import sys
from contextlib import suppress
from struct import Struct

import trio

from trio_mcast import open_mcast_receiver

PORT = 5568
ROOT = bytes.fromhex("0010 0000") + b"ASC-E1.17\0\0\0"
# Vectors of root and framing layer, source, priority, options, universe, start.
HEADER = Struct("!16x 2xI 16x 2xI 64s B 3x B H 10x B")
ROOT_DATA, FRAMING_DATA = 4, 2
ENDED = 0x40  # This option says that the source stops sending to the universe.


def describe(data: bytes) -> str | None:
    """Return what a packet says, or None if it is no packet of levels."""
    if len(data) < HEADER.size or not data.startswith(ROOT):
        return None
    root, framing, name, priority, options, universe, start = (
        HEADER.unpack_from(data)
    )
    if (root, framing, start) != (ROOT_DATA, FRAMING_DATA, 0):
        return None
    source = name.rstrip(b"\0").decode(errors="replace")
    if options & ENDED:
        return f"universe {universe}: {source!r} has ended"
    levels = list(data[HEADER.size :][:4])
    return f"universe {universe}: {levels} from {source!r}, priority {priority}"


async def main(first: int, last: int, interfaces: list[str] | None) -> None:
    groups = [f"239.255.{n >> 8}.{n & 255}" for n in range(first, last + 1)]
    async with open_mcast_receiver(
        groups, PORT, interfaces=interfaces, overflow="latest"
    ) as receiver:
        try:
            while True:
                for datagram in await receiver.receive_batch():
                    if description := describe(datagram.data):
                        print(description)
                await trio.sleep(0.2)
        finally:
            replaced = receiver.statistics().dropped_by_policy
            print(f"not shown, since there were newer ones: {replaced}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with suppress(KeyboardInterrupt):
        trio.run(main, int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or None)
