"""The virtual network does what Linux does, in random scenarios.

Each scenario is made from a number: it opens receivers, senders, and plain sockets as other
programs have them, sends to groups and to hosts, joins, leaves and blocks, on two hosts of three
with two interfaces each. Interfaces have several addresses, of other networks and scopes, and other
mtus; hosts look at sources (rp_filter); buffers overflow. It runs on virtual hosts, and in network
namespaces. Every step has to end alike, every receiver to get the same, and all counts to be equal.

``tox -e differential`` runs 500 of them. ``TRIO_MCAST_SCENARIOS=10000`` in the environment runs
more, and ``TRIO_MCAST_FIRST_SCENARIO=321`` begins with another number than 0: with
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

from .scenarios import Outcome, Step, run, scenario
from .worlds import LabWorld, virtual_world

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

FIRST = int(os.environ.get("TRIO_MCAST_FIRST_SCENARIO", "0"))
COUNT = int(os.environ.get("TRIO_MCAST_SCENARIOS", "40"))
# So many are a test, some seconds long: several can run side by side.
AT_ONCE = 20
NUMBERS = range(FIRST, FIRST + COUNT)
TESTS = [NUMBERS[start : start + AT_ONCE] for start in range(0, COUNT, AT_ONCE)]

pytestmark = pytest.mark.once


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


@pytest.mark.parametrize("seeds", TESTS, ids=lambda seeds: f"{seeds[0]} to {seeds[-1]}")
async def test_virtual_hosts_do_what_linux_does(
    seeds: range, real_linux: LabWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    got = 0
    for seed in seeds:
        steps = scenario(seed)
        virtual, _ = await on_virtual_hosts(steps)
        real = await run(real_linux, steps)
        if virtual != real:
            lines = described(virtual), described(real)
            told = difflib.unified_diff(*lines, "virtual", "real", n=40, lineterm="")
            pytest.fail("\n".join([f"scenario {seed}", *told]), pytrace=False)
        got += sum(len(items) for found in real.got.values() for items in found.values())
    # Something got through: of one alone that may not be so.
    assert got or len(seeds) < AT_ONCE


async def test_a_scenario_gives_the_same_trace_twice(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for seed in range(20):
        steps = scenario(seed)
        assert steps == scenario(seed)
        outcome, trace = await on_virtual_hosts(steps)
        assert (outcome, trace) == await on_virtual_hosts(steps)
