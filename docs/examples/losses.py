"""Be slower than those who send, and tell what was lost where.

Usage: python losses.py SECONDS [INTERFACE...]
"""

import sys
from contextlib import suppress

import trio

from trio_mcast import DatagramCounts, open_mcast_receiver


def tell(name: str, counts: DatagramCounts) -> None:
    print(f"{name}: delivered {counts.delivered}, waiting {counts.waiting}")
    if counts.dropped_by_policy:
        print(f"  dropped, as max_buffered waited: {counts.dropped_by_policy}")
    if counts.dropped_by_kernel:
        print(f"  dropped by the kernel: {counts.dropped_by_kernel}")
    for reason, count in counts.rejected_by_reason.items():
        print(f"  rejected, {reason}: {count}")


async def main() -> None:
    seconds, interfaces = float(sys.argv[1]), sys.argv[2:] or None
    async with open_mcast_receiver(
        ["239.1.2.3", "239.1.2.4"],
        12345,
        interfaces=interfaces,
        loopback=False,
        max_buffered=10,
        overflow="drop_oldest",  # What is new is worth more than what is old.
    ) as receiver:
        with trio.move_on_after(seconds):
            async for _datagram in receiver:
                await trio.sleep(0.1)  # This stands for work.

        counted = receiver.statistics()
    tell("in all", counted)
    for item in counted.memberships:
        tell(f"{item.group} on {item.interface}", item)


if len(sys.argv) < 2:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
    trio.run(main)
