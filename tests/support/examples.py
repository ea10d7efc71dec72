"""The programs of the documentation, run as people run them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import trio

from tests.lab import Switch

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"

# How long a program may take to start, and to say something. Nothing waits that long in vain.
PATIENCE_SECONDS = 60.0


def example(name: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs an example, its output unbuffered.

    Ctrl-C ends it as in a terminal, also where the tests run with SIGINT ignored.
    """
    python = ("env", "--default-signal=INT", sys.executable, "-u")
    return (*python, str(EXAMPLES / name), *arguments)


async def next_line(process: subprocess.Popen[str]) -> str:
    """The next line that a program writes; empty when it has ended."""
    assert process.stdout is not None
    with trio.fail_after(PATIENCE_SECONDS):
        line = await trio.to_thread.run_sync(process.stdout.readline, abandon_on_cancel=True)
    return line.rstrip("\n")


async def rest_of_output(process: subprocess.Popen[str]) -> list[str]:
    """What a program that ends by itself still writes; its exit status must be 0."""
    assert process.stdout is not None
    with trio.fail_after(PATIENCE_SECONDS):
        output = await trio.to_thread.run_sync(process.stdout.read, abandon_on_cancel=True)
        status = await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
    assert status == 0
    return output.splitlines()


async def interrupted(process: subprocess.Popen[str]) -> list[str]:
    """What a program still writes when Ctrl-C ends it; its exit status must be 0."""
    process.send_signal(signal.SIGINT)
    return await rest_of_output(process)


async def subscribed(lan: Switch, *groups: str) -> None:
    """Wait until the switch forwards the groups to somebody."""
    await lan.wait_for_async(
        lambda seen: set(groups) <= {item.group for item in seen}, PATIENCE_SECONDS
    )


async def unsubscribed(lan: Switch, group: str) -> None:
    """Wait until the switch forwards a group to nobody."""
    await lan.wait_for_async(
        lambda seen: group not in {item.group for item in seen}, PATIENCE_SECONDS
    )
