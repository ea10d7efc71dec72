"""Runs that differ only in the order in which Trio runs tasks: traces and logs are the same."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.once

# A chain of tasks on each host: a heartbeat, a receiver that hands on, and an answer. In a process,
# the program runs several times; Trio's order is another in each run, and addresses in memory are
# in each process.
_PROGRAM = """
import hashlib, sys, trio
from trio.testing import MockClock
from trio_mcast import open_mcast_receiver, open_mcast_sender
from trio_mcast.testing import VirtualNetwork

GROUPS = ["239.1.2.3", "ff05::9"]

async def node(number, log):
    given, taken = trio.open_memory_channel(100)
    async with (
        open_mcast_receiver(GROUPS, 5000, interfaces="eth0") as receiver,
        open_mcast_sender(GROUPS, 5000, interfaces="eth0") as sender,
        trio.open_nursery() as nursery,
    ):
        async def beat():
            for count in range(4):
                await trio.sleep(0.1)
                await sender.send(b"%d %d" % (number, count))

        async def answer():
            async for data in taken:
                await sender.send(b"yes " + data)

        nursery.start_soon(beat)
        nursery.start_soon(answer)
        async for datagram in receiver:
            log.append((datagram.data, datagram.source.host))
            if ANSWERS and datagram.data.endswith(b"2") and not datagram.data.startswith(b"yes"):
                await given.send(datagram.data)

async def main(impairments):
    logs = [[] for _ in range(3)]
    async with VirtualNetwork(seed=1) as network, trio.open_nursery() as nursery:
        lan = network.switch("lan", **impairments)
        for number, log in enumerate(logs):
            host = network.host(f"h{number}", platform=("linux", "windows")[number % 2])
            host.plug("eth0", lan, f"10.0.0.{number + 1}/24", f"fd00::{number + 1}/64")
            with host:
                nursery.start_soon(node, number, log)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    lines = [*map(str, network.trace), *map(repr, logs)]
    assert len(lines) > 80, len(lines)
    print(hashlib.sha256("\\n".join(lines).encode()).hexdigest())

for _ in range(6):
    trio.run(main, dict(IMPAIRMENTS), clock=MockClock(autojump_threshold=0))
"""


# One task on each host, whose time is over in the very instant in which datagrams arrive: whether
# the library has read these before is Trio's affair.
_TIMEOUTS = """
import hashlib, trio
from trio.testing import MockClock
from trio_mcast import open_mcast_channel
from trio_mcast.testing import VirtualNetwork

async def node(number, log):
    count = 0
    while True:
        with trio.move_on_after(0.05 * (number + 1)):
            async with open_mcast_channel("239.1.2.3", 5000, interfaces="eth0") as channel:
                while True:
                    count += 1
                    await channel.send(b"%d %d" % (number, count))
                    await trio.sleep(0.02)
                    with trio.move_on_after(0.01):
                        log.append((await channel.receive()).data)

async def main():
    logs = [[] for _ in range(4)]
    async with VirtualNetwork() as network, trio.open_nursery() as nursery:
        lan = network.switch("lan", delay=0.01)
        for number, log in enumerate(logs):
            host = network.host(f"h{number}")
            host.plug("eth0", lan, f"10.0.0.{number + 1}/24")
            with host:
                nursery.start_soon(node, number, log)
        await trio.sleep(0.45)
        nursery.cancel_scope.cancel()
    lines = [*map(str, network.trace), *map(repr, logs)]
    assert len(lines) > 400, len(lines)
    print(hashlib.sha256("\\n".join(lines).encode()).hexdigest())

for _ in range(10):
    trio.run(main, clock=MockClock(autojump_threshold=0))
"""


def test_timeouts_while_datagrams_arrive_give_the_same_trace() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _TIMEOUTS], capture_output=True, text=True, check=True
    )
    assert len(set(ran.stdout.split())) == 1


@pytest.mark.parametrize(
    ("impairments", "answers"),
    [
        ("delay=0", False),  # Answers in the same instant come in Trio's order.
        ("delay=1e-6", True),
        ("delay=0.01, jitter=0.01, loss=0.1, duplicate=0.1, reorder=0.1, snooping=True", True),
    ],
)
def test_same_seed_gives_same_trace_in_fresh_processes(impairments: str, *, answers: bool) -> None:
    program = _PROGRAM.replace("IMPAIRMENTS", impairments).replace("ANSWERS", str(answers))
    hashes: list[str] = []
    for _ in range(2):
        ran = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        hashes += ran.stdout.split()
    assert len(hashes) == 12
    assert len(set(hashes)) == 1


# What a program gives as sets of texts, which have another order in each process.
_SETS = """
import trio
from trio.testing import MockClock
from trio_mcast import open_mcast_receiver, open_mcast_sender
from trio_mcast.testing import VirtualNetwork

GROUPS = {"239.1.2.3", "239.1.2.4", "239.1.2.5", "ff05::9"}
SOURCES = {"10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "fd00::2"}

async def main():
    async with VirtualNetwork() as network, trio.open_nursery() as nursery:
        lan = network.switch("lan", snooping=True)
        hosts = [network.host(name) for name in ("anna", "berta", "clara", "dora")]
        for number, host in enumerate(hosts, start=1):
            for interface in ("eth0", "eth1"):
                host.plug(interface, lan)
                address = f"{number}{interface[-1]}"
                host.interface(interface).add_address(f"10.0.0.{address}/24")
                host.interface(interface).add_address(f"fd00::{address}/64")
        lan.partition(set(hosts[:3]), {"dora"})
        with hosts[0]:
            async with (
                open_mcast_receiver(
                    GROUPS, {5000, 5001}, interfaces={"eth0", "eth1"}, sources=SOURCES
                ),
                open_mcast_sender(GROUPS, 5000, interfaces={"eth0", "eth1"}) as sender,
            ):
                await sender.send(b"hello")
        print(*network.trace, sep="\\n")

trio.run(main, clock=MockClock(autojump_threshold=0))
"""


def test_sets_of_a_program_have_one_order() -> None:
    outputs = set()
    for seed in range(3):
        ran = subprocess.run(
            [sys.executable, "-c", _SETS],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        )
        outputs.add(ran.stdout)
    assert len(outputs) == 1
    (output,) = outputs
    assert "partitioned (anna, berta, clara | dora)" in output
    assert output.count(" joined ") == 16
