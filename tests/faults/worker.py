"""Runs of the program, each with another fault, in a process that has the library loaded."""

from __future__ import annotations

import argparse
import json
import logging
import random
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Final

import attrs
import trio
import trio.testing

from tests.faults.library import Fault, Kernel, faults_of
from tests.support.leftovers import open_descriptors

if not TYPE_CHECKING or sys.platform == "linux":
    from tests.faults.program import PHASES, USES, Use, run
    from tests.faults.world import World, errors_of

assert sys.platform == "linux"

# By the clock of the machine; a run takes some hundredths of it.
_HANG_SECONDS: Final = 30


class Hang(BaseException):
    """A run did not end."""


def run_once(kernel: Kernel, use: Use, phase: str, fault: Fault | None) -> World:
    """Run the program with a fault in one phase, and return what came of it."""
    world = World(kernel, phase, fault)
    before = open_descriptors()
    # Jumps where nothing happens, and runs where somebody is busy.
    clock = trio.testing.MockClock(rate=1.0, autojump_threshold=0.002)

    async def main() -> None:
        for descriptor, _ in open_descriptors() - before:
            kernel.spare(descriptor)  # Trio's own.
        world.open_plain_sockets(use.sender["groups"])
        try:
            await run(world, use)
        finally:
            world.close_plain_sockets()
            for descriptor, _ in open_descriptors() - before:
                kernel.spare(descriptor, spare=False)

    signal.alarm(_HANG_SECONDS)
    try:
        trio.run(main, clock=clock)
    except BaseException as error:
        world.wrong.append(f"{world.now}: the run ended with {error!r}")
    finally:
        signal.alarm(0)
    left = {name for _, name in open_descriptors()} - {name for _, name in before}
    if left:
        world.wrong.append(f"left open: {sorted(left)}")
    return world


def every_fault(kernel: Kernel) -> Iterator[tuple[Use, str, Fault]]:
    """Yield each fault of each call that the program makes, as often as it makes it."""
    for use in USES:
        world = run_once(kernel, use, "", None)
        assert not world.wrong, world.wrong
        assert not world.errors, world.errors
        for phase in PHASES:
            for call, count in sorted(world.counts[phase].items()):
                for fault in faults_of(call, count):
                    yield use, phase, fault


def _hang(_number: int, frame: FrameType | None) -> None:
    raise Hang(f"at {frame}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.worker")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    logging.disable()
    signal.signal(signal.SIGALRM, _hang)
    kernel = Kernel()
    faults = list(every_fault(kernel))
    if arguments.only:
        faults = [
            (use, phase, fault)
            for use, phase, fault in faults
            if arguments.only in f"{phase} {fault.call} {fault.error}"
        ]
    if arguments.sample:
        faults = random.Random(arguments.seed).sample(faults, min(arguments.sample, len(faults)))
    for use, phase, fault in faults:
        world = run_once(kernel, use, phase, fault)
        report = {
            "use": use.name,
            "phase": phase,
            "fault": attrs.asdict(fault),
            "refusals": world.refusals,
            "errors": errors_of(world),
            "states": sorted(world.states),
            "wrong": world.wrong,
        }
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
