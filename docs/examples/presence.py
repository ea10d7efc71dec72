"""Say that you are there, and know who else is.

Usage: python presence.py NAME INTERFACE
"""

import sys
from contextlib import suppress

import trio

from trio_mcast import McastSender, open_mcast_receiver, open_mcast_sender

GROUP, PORT = "239.1.2.3", 12345
INTERVAL, PATIENCE = 1.0, 3.5  # seconds


class Presence:
    def __init__(self, name: str) -> None:
        self.name = name
        self._heard: dict[str, float] = {}

    def others(self) -> set[str]:
        now = trio.current_time()
        return {
            name for name, when in self._heard.items() if now - when < PATIENCE
        }

    async def run(self, interface: str) -> None:
        async with (
            open_mcast_receiver(GROUP, PORT, interfaces=interface) as receiver,
            open_mcast_sender(GROUP, PORT, interfaces=interface) as sender,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._say, sender)
            async for datagram in receiver:
                name = datagram.data.decode(errors="backslashreplace")
                if name != self.name:
                    self._heard[name] = trio.current_time()

    async def _say(self, sender: McastSender) -> None:
        while True:
            await sender.send(self.name.encode())
            await trio.sleep(INTERVAL)


async def main(name: str, interface: str) -> None:
    presence = Presence(name)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(presence.run, interface)
        with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
            while True:
                await trio.sleep(INTERVAL)
                print("there are", *sorted(presence.others()))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    trio.run(main, sys.argv[1], sys.argv[2])
