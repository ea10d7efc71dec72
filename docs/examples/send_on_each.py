"""Send on each interface at its own pace.

Usage: python send_on_each.py INTERFACE...
"""

import sys

import trio

from trio_mcast import open_mcast_sender


async def send_on(
    interface: str, readings: trio.MemoryReceiveChannel[bytes]
) -> None:
    async with open_mcast_sender(
        "239.1.2.3", 12345, interfaces=interface
    ) as sender:
        async for reading in readings:
            await sender.send(reading)


async def main() -> None:
    async with trio.open_nursery() as nursery:
        channels = {}
        for interface in sys.argv[1:]:
            channels[interface], readings = trio.open_memory_channel[bytes](100)
            nursery.start_soon(send_on, interface, readings)
        for number in range(3):
            for interface, channel in channels.items():
                try:
                    channel.send_nowait(b"number %d" % number)
                except trio.WouldBlock:
                    print(interface, "is too slow for number", number)
            await trio.sleep(0.1)
        for channel in channels.values():
            channel.close()


if len(sys.argv) < 2:
    sys.exit(__doc__)
trio.run(main)
