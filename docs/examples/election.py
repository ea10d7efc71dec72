"""Agree on a leader: of those that are there, the first in the alphabet.

Usage: python election.py NAME INTERFACE
"""

import sys
from contextlib import suppress

import trio

from presence import INTERVAL, Presence


class Election(Presence):
    def leader(self) -> str:
        return min(self.others() | {self.name})


async def main(name: str, interface: str) -> None:
    election, leader = Election(name), ""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(election.run, interface)
        with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
            while True:
                await trio.sleep(INTERVAL)
                if election.leader() != leader:
                    leader = election.leader()
                    print("the leader is", leader)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    trio.run(main, sys.argv[1], sys.argv[2])
