"""Talk to everybody on the network. Usage: python chat.py NAME INTERFACE"""

import sys

import trio

from trio_mcast import McastChannel, open_mcast_channel

GROUPS, PORT = ["239.1.2.3", "ff02::4242"], 12345


class Chat:
    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: list[str] = []
        self._number = 0
        self._seen: set[tuple[str, str]] = set()

    async def say(self, channel: McastChannel, text: str) -> None:
        """Say it by both families, and twice, in case one is lost."""
        self._number += 1
        self.lines.append(f"{self.name}: {text}")
        for _ in range(2):
            await channel.send(f"{self.name}\n{self._number}\n{text}".encode())
            await trio.sleep(0.1)

    async def listen(self, channel: McastChannel) -> None:
        async for datagram in channel:
            name, _, rest = datagram.data.decode(errors="replace").partition(
                "\n"
            )
            number, _, text = rest.partition("\n")
            if (name, number) not in self._seen:
                self._seen.add((name, number))
                self.lines.append(f"{name}: {text}")
                print(self.lines[-1])


async def main(name: str, interface: str) -> None:
    chat = Chat(name)
    async with (
        open_mcast_channel(GROUPS, PORT, interfaces=interface) as channel,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(chat.listen, channel)
        async for line in trio.wrap_file(sys.stdin):
            await chat.say(channel, line.rstrip("\n"))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    trio.run(main, sys.argv[1], sys.argv[2])
