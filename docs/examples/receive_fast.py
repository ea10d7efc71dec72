"""Receive in batches. Usage: python receive_fast.py SECONDS [INTERFACE...]"""

import sys
from contextlib import suppress

import trio

from trio_mcast import open_mcast_receiver


async def main() -> None:
    seconds, interfaces = float(sys.argv[1]), sys.argv[2:] or None
    async with open_mcast_receiver(
        "239.1.2.3",
        12345,
        interfaces=interfaces,
        max_buffered=10_000,  # datagrams, in this process
        receive_buffer_size=4 * 2**20,  # bytes, in the kernel
    ) as receiver:
        total = 0
        with trio.move_on_after(seconds):
            async for batch in receiver.batches():
                total += sum(len(datagram.data) for datagram in batch)

        counted = receiver.statistics()
        print("received", counted.delivered, "datagrams,", total, "bytes")
        print("dropped by the kernel:", counted.dropped_by_kernel)
        if counted.receive_buffer_granted < counted.receive_buffer_asked:
            granted = counted.receive_buffer_granted
            print("the receive buffer is limited to", granted, "bytes")


if len(sys.argv) < 2:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
    trio.run(main)
