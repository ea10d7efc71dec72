"""Measure how far this machine's clock is from a PTP master's (IEEE 1588-2008).

Usage: python ptp_offset.py INTERFACE, as root, for ports below 1024
"""

import secrets
import sys
from contextlib import suppress
from struct import Struct

import trio

from trio_mcast import open_mcast_channel

GROUP, EVENTS, GENERAL = "224.0.1.129", 319, 320
# Kind, version, length, correction (2**-16 ns), port, number, seconds, ns.
MESSAGE = Struct("!BBH4xq4x10sH4xII")
SYNC, DELAY_REQUEST, FOLLOW_UP, DELAY_RESPONSE = 0, 1, 8, 9


async def main(interface: str) -> None:
    me, mine = secrets.token_bytes(10), 0
    synced: tuple[bytes, int] | None = None
    came = left = from_master = 0  # When, and how long, in nanoseconds.
    async with open_mcast_channel(
        GROUP, [EVENTS, GENERAL], interfaces=interface, receive_timestamp=True
    ) as channel:
        async for datagram in channel:
            data, arrival = datagram.data, datagram.timestamp_ns
            if len(data) < MESSAGE.size or arrival is None:
                continue
            fields = MESSAGE.unpack_from(data)
            kind, *_, fraction, port, number, seconds, ns = fields
            time, correction = seconds * 10**9 + ns, fraction >> 16
            if kind & 15 == SYNC:
                came, synced = arrival - correction, (port, number)
            elif kind & 15 == FOLLOW_UP and (port, number) == synced:
                from_master = came - (time + correction)
                mine = (mine + 1) % 2**16
                request = MESSAGE.pack(DELAY_REQUEST, 2, 44, 0, me, mine, 0, 0)
                # What the interface drops never leaves.
                with trio.move_on_after(1):
                    left = await channel.send_timestamped(request)
            elif (
                kind & 15 == DELAY_RESPONSE
                and data[44:54] == me
                and number == mine
            ):
                to_master = time - correction - left
                offset = (from_master - to_master) / 2000
                text = "offset {:+.1f} us: {:.1f} from the master, {:.1f} to it"
                print(text.format(offset, from_master / 1000, to_master / 1000))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with suppress(KeyboardInterrupt):
        trio.run(main, sys.argv[1])
