"""The virtual network does what Linux does, in random scenarios.

Each scenario is made from a number: it opens receivers, senders, and plain sockets as other
programs have them, sends to groups and to hosts, joins, leaves and blocks, on two hosts of three
with two interfaces each. It runs on virtual hosts, and in network namespaces. Every step has to end
alike, every receiver to get the same, and all counts to be equal.

500 scenarios took 30 seconds on two cores, and 69 while these had other work (measured).
``TRIO_MCAST_SCENARIOS=10000`` in the environment runs more of them, and
``TRIO_MCAST_FIRST_SCENARIO=321`` begins with another number than 0: with
``TRIO_MCAST_SCENARIOS=1`` it runs one of them again.
"""

from __future__ import annotations

import difflib
import logging
import os
import sys

import pytest
import trio
import trio.testing

from tests.lab.fixtures import require_lab

from .scenarios import Outcome, Step, run, scenario
from .worlds import lab_world, virtual_world

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

FIRST = int(os.environ.get("TRIO_MCAST_FIRST_SCENARIO", "0"))
COUNT = int(os.environ.get("TRIO_MCAST_SCENARIOS", "500"))
# With so many that disagree, the others would tell nothing more.
MOST_TOLD = 5


def described(outcome: Outcome) -> list[str]:
    lines = list(outcome.steps)
    for name, found in sorted(outcome.got.items()):
        for key, items in sorted(found.items(), key=str):
            shown = [(data[:20], len(data), ttl) for data, ttl in items]
            lines.append(f"{name} got {key}: {shown}")
    return [*lines, *(f"{name}: {told}" for name, told in sorted(outcome.counts.items()))]


async def on_virtual_hosts(steps: tuple[Step, ...]) -> tuple[Outcome, list[object]]:
    async with virtual_world("linux") as world:
        return await run(world, steps), list(world.network.trace)


async def test_virtual_hosts_do_what_linux_does(caplog: pytest.LogCaptureFixture) -> None:
    require_lab()
    caplog.set_level(logging.CRITICAL)
    disagreements, got = [], 0
    with lab_world() as lab:
        for seed in range(FIRST, FIRST + COUNT):
            steps = scenario(seed)
            virtual, _ = await on_virtual_hosts(steps)
            real = await run(lab, steps)
            got += sum(len(items) for found in real.got.values() for items in found.values())
            if virtual != real:
                lines = described(virtual), described(real)
                told = "\n".join(difflib.unified_diff(*lines, "virtual", "real", n=40, lineterm=""))
                disagreements.append(f"scenario {seed}\n{told}")
                if len(disagreements) == MOST_TOLD:
                    break
    assert not disagreements, "\n\n".join(disagreements)
    assert got  # Some of it got through.


async def test_a_scenario_gives_the_same_trace_twice(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for seed in range(20):
        steps = scenario(seed)
        assert steps == scenario(seed)
        outcome, trace = await on_virtual_hosts(steps)
        assert (outcome, trace) == await on_virtual_hosts(steps)
