"""Merge feeds of the same numbered datagrams, and tell what each has lost.

Usage: python two_feeds.py FEED FEED...
A feed is GROUP%INTERFACE, or SOURCE@GROUP%INTERFACE to have it from one source.
"""

import sys
from collections.abc import Iterator
from contextlib import suppress

import trio

from trio_mcast import open_mcast_receiver

WINDOW = 1000  # A feed that is this far behind is not waited for.


class Merger:
    def __init__(self, feeds: list[str]) -> None:
        self.last = dict.fromkeys(feeds, -1)  # The last number of each feed.
        self.missed = dict.fromkeys(feeds, 0)
        self.waiting: dict[int, bytes] = {}  # What came before its turn.
        self.next = -1
        self.duplicates = self.gaps = 0

    def put(self, feed: str, data: bytes) -> Iterator[bytes]:
        """Take what a feed brings, and yield what is next in order."""
        number = int.from_bytes(data[:4], "big")
        last = self.last[feed]
        self.missed[feed] += max(number - last - 1, 0) if last >= 0 else 0
        self.last[feed] = max(number, last)
        self.next = number if self.next < 0 else self.next
        if number < self.next or number in self.waiting:
            self.duplicates += 1
        else:
            self.waiting[number] = data[4:]
        # What all feeds have passed, none can bring any more.
        due = max(min(self.last.values()), max(self.last.values()) - WINDOW) + 1
        while self.waiting:
            first = min(self.waiting)
            if first > max(self.next, due):
                break
            self.gaps += first - self.next
            self.next = first + 1
            yield self.waiting.pop(first)


async def main(feeds: list[str]) -> None:
    async with open_mcast_receiver((), 12345) as receiver:
        for feed in feeds:
            source, _, group = feed.rpartition("@")
            await receiver.join(group, sources=source or None)
        merger = Merger(
            [f"{m.group}%{m.interface}" for m in receiver.memberships]
        )
        try:
            async for datagram in receiver:
                feed = f"{datagram.group}%{datagram.interface}"
                for data in merger.put(feed, datagram.data):
                    print(data.decode(errors="replace"))
        finally:
            for feed, missed in merger.missed.items():
                print(f"{feed} missed {missed}")
            print(f"duplicates: {merger.duplicates}, gaps: {merger.gaps}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with suppress(KeyboardInterrupt):
        trio.run(main, sys.argv[1:])
