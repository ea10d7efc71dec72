"""Receive many groups with several processes, each of which has its share.

Usage: python several_processes.py PROCESSES PORT GROUP...
"""

import multiprocessing
import sys
from contextlib import suppress

import trio

from trio_mcast import open_mcast_receiver


async def receive(groups: list[str], port: int) -> None:
    received = 0
    async with open_mcast_receiver(groups, port) as receiver:
        try:
            async for batch in receiver.batches():
                received += len(batch)  # Here is the work of your program.
        finally:
            print(f"{received} datagrams of {', '.join(groups)}")


def run(groups: list[str], port: int) -> None:
    with suppress(KeyboardInterrupt):  # Ctrl-C reaches every process.
        trio.run(receive, groups, port)


def main(count: int, port: int, groups: list[str]) -> None:
    # "spawn" starts each process afresh, on every platform.
    context = multiprocessing.get_context("spawn")
    shares = [groups[first::count] for first in range(count)]
    processes = [
        context.Process(target=run, args=(share, port))
        for share in shares
        if share
    ]
    for process in processes:
        process.start()
    with suppress(KeyboardInterrupt):
        for process in processes:
            process.join()
    for process in processes:
        process.join()


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
