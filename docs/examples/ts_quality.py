"""Tell what an MPEG transport stream has lost, for each of its parts.

Usage: python ts_quality.py GROUP PORT [INTERFACE...]
"""

import sys
from contextlib import suppress

import trio

from trio_mcast import open_mcast_receiver

PACKET, SYNC, RTP_HEADER = 188, 0x47, 12
NO_PAYLOAD, FILLER = 0x10, 0x1FFF  # A bit of byte 3; a PID that says nothing.


class Part:
    """Sound, pictures or a table: what has one PID."""

    def __init__(self) -> None:
        self.packets = self.lost = 0
        self.number: int | None = None

    def count(self, number: int) -> None:
        self.packets += 1
        if self.number is not None and number != self.number:
            # Four bits: 16 packets that are lost in a row are not noticed.
            self.lost += (number - self.number - 1) % 16
        self.number = number


def count(parts: dict[int, Part], data: bytes) -> None:
    """Count the packets in a datagram, which may begin with an RTP header."""
    if len(data) % PACKET == RTP_HEADER:
        data = data[RTP_HEADER:]
    for start in range(0, len(data) - PACKET + 1, PACKET):
        sync, high, low, flags = data[start : start + 4]
        pid = (high & 0x1F) << 8 | low
        # A packet without payload has the number of the one before it.
        if sync == SYNC and flags & NO_PAYLOAD and pid != FILLER:
            parts.setdefault(pid, Part()).count(flags & 0x0F)


async def main(group: str, port: int, interfaces: list[str] | None) -> None:
    parts: dict[int, Part] = {}
    async with open_mcast_receiver(
        group, port, interfaces=interfaces
    ) as receiver:
        try:
            async for batch in receiver.batches():
                for datagram in batch:
                    count(parts, datagram.data)
        finally:
            for pid, part in sorted(parts.items()):
                print(f"{pid:#06x}: {part.packets} packets, {part.lost} lost")


if len(sys.argv) < 3:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):
    group, port, *interfaces = sys.argv[1:]
    trio.run(main, group, int(port), interfaces or None)
