"""Send a reading a second, or show the latest of all who do.

Usage: python telemetry.py send NAME INTERFACE, or show INTERFACE
"""

import random
import sys
from contextlib import suppress
from struct import Struct

import trio

from trio_mcast import open_mcast_receiver, open_mcast_sender

GROUP, PORT = "239.1.2.3", 12345
READING = Struct("!16s I d")  # Who, the how manieth, and what.


async def send(name: str, interface: str) -> None:
    async with open_mcast_sender(GROUP, PORT, interfaces=interface) as sender:
        for number in range(2**32):
            value = 20 + random.random()
            await sender.send(READING.pack(name.encode(), number, value))
            await trio.sleep(1)


class Collector:
    def __init__(self) -> None:
        self.latest: dict[str, float] = {}
        self.missed: dict[str, int] = {}
        self._numbers: dict[str, int] = {}

    def put(self, data: bytes) -> None:
        if len(data) != READING.size:
            return
        padded, number, value = READING.unpack(data)
        name = padded.rstrip(b"\0").decode(errors="replace")
        missed = number - self._numbers.get(name, number - 1) - 1
        if missed >= 0:  # Else it is late, or there twice.
            self.missed[name] = self.missed.get(name, 0) + missed
            self.latest[name], self._numbers[name] = value, number

    async def run(self, interface: str) -> None:
        async with open_mcast_receiver(
            GROUP, PORT, interfaces=interface
        ) as receiver:
            async for datagram in receiver:
                self.put(datagram.data)


async def show(interface: str) -> None:
    collector = Collector()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collector.run, interface)
        with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
            while True:
                await trio.sleep(1)
                for name, value in sorted(collector.latest.items()):
                    missed = collector.missed[name]
                    print(f"{name}: {value:.1f}, missed {missed}")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", name, interface]:
            with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
                trio.run(send, name, interface)
        case ["show", interface]:
            trio.run(show, interface)
        case _:
            sys.exit(__doc__)
