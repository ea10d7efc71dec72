"""The speed and the memory of the virtual network: ``python -m tests.benchmarks.virtual``.

What counts is the processor time of the process, and the memory that it had at most. Needs no
privilege: nothing is sent on any network.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple

import trio
import trio.testing

from trio_mcast import open_mcast_receiver, open_mcast_sender
from trio_mcast.testing import VirtualNetwork

GROUP, PORT = "239.1.2.3", 5000
HOSTS_OF_A_DAY, MINUTES_OF_A_DAY = 50, 1_440


class Goal(NamedTuple):
    """What is measured, and how much it may be."""

    name: str
    most: float
    unit: str


GOALS: Final = {
    "plug_and_open": Goal("3,000 hosts plugged and opened", 2, "s"),
    "delivery": Goal("a delivery", 40, "us"),
    "day": Goal("a day of 50 hosts, each with a heartbeat a minute", 300, "s"),
    "memory": Goal("the memory of that day", 300, "MB"),
}


def _address(number: int) -> str:
    return f"10.0.{number // 250}.{number % 250 + 1}/16"


async def plug_and_open(size: float) -> dict[str, float]:
    """Plug in 3,000 hosts, and open a receiver on each."""
    start = time.process_time()
    async with VirtualNetwork() as network, AsyncExitStack() as stack:
        lan = network.switch("lan", delay=0.001)
        for number in range(round(3_000 * size)):
            host = network.host(f"h{number}")
            host.plug("eth0", lan, _address(number))
            with host:
                opening = open_mcast_receiver(GROUP, PORT, interfaces="eth0")
                await stack.enter_async_context(opening)
        seconds = time.process_time() - start
    return {"plug_and_open": seconds}


async def a_day(size: float) -> dict[str, float]:
    """Have 50 hosts hear each other's heartbeats for a day."""
    heard = 0

    async def talk_and_listen() -> None:
        nonlocal heard
        async with (
            open_mcast_receiver(GROUP, PORT, interfaces="eth0") as receiver,
            open_mcast_sender(GROUP, PORT, interfaces="eth0", loopback=False) as sender,
            trio.open_nursery() as nursery,
        ):

            async def talk() -> None:
                while True:
                    await sender.send(b"I am here")
                    await trio.sleep(60)

            nursery.start_soon(talk)
            async for _ in receiver:
                heard += 1

    start = time.process_time()
    async with VirtualNetwork() as network, trio.open_nursery() as nursery:
        lan = network.switch("lan", delay=0.001)
        for number in range(HOSTS_OF_A_DAY):
            host = network.host(f"h{number}")
            host.plug("eth0", lan, _address(number))
            with host:
                nursery.start_soon(talk_and_listen)
        minutes = max(round(MINUTES_OF_A_DAY * size), 2)
        await trio.sleep(60 * minutes - 1)
        nursery.cancel_scope.cancel()
    seconds = time.process_time() - start
    assert heard == minutes * HOSTS_OF_A_DAY * (HOSTS_OF_A_DAY - 1)
    return {"day": seconds, "delivery": seconds / heard * 1e6, "memory": most_memory()}


def most_memory() -> float:
    """How many MB this process had at most."""
    if sys.platform == "win32":
        return 0.0
    else:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (1_000_000 if sys.platform == "darwin" else 1_000)


PARTS: Final[dict[str, Callable[[float], Coroutine[Any, Any, dict[str, float]]]]] = {
    "plug_and_open": plug_and_open,
    "a_day": a_day,
}


def measure(part: str, size: float) -> dict[str, float]:
    """Measure one part in this process."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(PARTS[part], size, clock=clock)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.virtual", description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="a part of it all, such as 0.1")
    parser.add_argument("--part", choices=[*PARTS], help="one part, in this process")
    arguments = parser.parse_args()
    if arguments.part is not None:
        for name, value in measure(arguments.part, arguments.size).items():
            goal = GOALS[name]
            verdict = "met" if value <= goal.most else "NOT met"
            print(f"{goal.name:<52} {value:8.1f} {goal.unit:<3} (at most {goal.most}: {verdict})")
        return 0
    for part in PARTS:  # Each in a process of its own, whose memory and caches are its own.
        command = [sys.executable, "-m", "tests.benchmarks.virtual", "--part", part]
        subprocess.run([*command, "--size", str(arguments.size)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
