"""What the programs of the documentation do when they are typed wrong, or ended by Ctrl-C."""

from __future__ import annotations

import os
import re
import runpy
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab._polling import wait_until_async
from tests.support.examples import EXAMPLES, PATIENCE_SECONDS, example

pytestmark = pytest.mark.once

PROGRAMS = {path.name: path.read_text() for path in sorted(EXAMPLES.glob("*.py"))}
NEEDING_ARGUMENTS = [name for name, text in PROGRAMS.items() if "sys.exit(__doc__)" in text]

# Those that have no end of their own, with arguments that suit a machine with nothing but "lo".
ENDLESS = {
    "receiver.py": ["lo"],
    "sender.py": ["lo"],
    "artnet_levels.py": ["lo"],
    "chosen_sources.py": ["192.0.2.1"],
    "election.py": ["name", "lo"],
    "excluded_sources.py": ["192.0.2.1"],
    "follow.py": ["eth0"],
    "follow_program.py": ["lo"],
    "metrics.py": ["9100", "lo"],
    "ports.py": [],
    "presence.py": ["name", "lo"],
    "responder.py": ["lo"],
    "send_early.py": ["eth0"],
    "several_groups.py": ["lo"],
    "telemetry.py": ["show", "lo"],
    "unicast.py": ["lo"],
    "watch_interfaces.py": [],
}

# Those that end by themselves, in their time or when something has come.
WAITING = {
    "asyncio_guest.py": ["lo"],
    "in_a_thread.py": ["lo"],
    "losses.py": ["600", "lo"],
    "receive_fast.py": ["600", "lo"],
    "ssdp_search.py": ["600", "lo"],
    "timeout.py": ["600", "lo"],
    "with_anyio.py": ["lo"],
}

# Runs a program whose receiver is never open: it says so, and waits. What it says passes by the
# stream, which Python would want at its end, perhaps before the writing thread has let go of it.
OPENING = """
import os, runpy, sys
from contextlib import asynccontextmanager
import trio, trio_mcast

@asynccontextmanager
async def opening(*_, **__):
    os.write(1, b"opening\\n")
    await trio.sleep_forever()
    yield

trio_mcast.open_mcast_receiver = opening
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("name", NEEDING_ARGUMENTS)
def test_program_without_its_arguments_says_how_it_is_used(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [name])
    monkeypatch.syspath_prepend(str(EXAMPLES))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert re.search(rf"Usage: (SIGNED_KEY=secret )?python {name} ", str(ended.value.code))


def test_no_other_program_needs_arguments() -> None:
    needs = re.compile(r"sys\.argv\[(\d\]|1:\](?! or None))")
    unchecked = [
        name
        for name, text in PROGRAMS.items()
        if needs.search(text) and "sys.exit(__doc__)" not in text and "len(sys.argv)" not in text
    ]
    assert unchecked == []


@pytest.mark.parametrize("started", [ENDLESS, WAITING], ids=["endless", "waiting"])
async def test_ctrl_c_ends_a_program_without_a_traceback(
    started: dict[str, list[str]], lab: Lab
) -> None:
    lan, host = lab.switch("lan"), lab.host("alone")
    host.plug("eth0", lan, "10.0.1.1/24")
    with ExitStack() as stack:
        programs = {
            name: stack.enter_context(
                host.popen(*example(name, *arguments), stderr=subprocess.STDOUT)
            )
            for name, arguments in started.items()
        }
        for name, program in programs.items():
            look = partial(waits, program.pid)
            await wait_until_async(look, bool, f"{name} to wait", PATIENCE_SECONDS)
        for program in programs.values():
            program.send_signal(signal.SIGINT)
        said = {name: said_at_the_end(name, program) for name, program in programs.items()}
        statuses = {name: program.returncode for name, program in programs.items()}
    assert [name for name, text in said.items() if "Traceback" in text] == []
    assert statuses == dict.fromkeys(started, 0)


def said_at_the_end(name: str, program: subprocess.Popen[str]) -> str:
    """What a program that was ended by Ctrl-C has written."""
    try:
        return program.communicate(timeout=PATIENCE_SECONDS)[0]
    except subprocess.TimeoutExpired:
        pytest.fail(f"Ctrl-C does not end {name}")


@pytest.mark.parametrize("name", ["asyncio_guest.py", "in_a_thread.py", "with_anyio.py"])
def test_ctrl_c_ends_a_program_beside_another_loop_while_it_opens(name: str, lab: Lab) -> None:
    opening = ("env", "--default-signal=INT", sys.executable, "-c", OPENING)
    command = (*opening, str(EXAMPLES / name), "lo")
    with lab.host("alone").popen(*command, stderr=subprocess.STDOUT) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "opening\n"
        program.send_signal(signal.SIGINT)
        assert said_at_the_end(name, program) == ""
    assert program.returncode == 0


# The sockets for datagrams, and those on which the system tells of interfaces.
TABLES = ("udp", "udp6", "netlink")


def waits(pid: int) -> bool:
    """Whether a process has opened what it receives or sends with, or watches, and now waits.

    Trio has sockets of its own, and while it starts, Ctrl-C ends a program like any other.
    """
    process, numbers = Path(f"/proc/{pid}"), set()
    for path in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # It has been closed meanwhile.
            numbers.update(re.findall(r"^socket:\[(\d+)\]$", os.readlink(path)))
    tables = [(process / "net" / name).read_text().splitlines() for name in TABLES]
    known = {line.split()[9] for lines in tables for line in lines[1:]}
    state = (process / "stat").read_text().rpartition(")")[2].split()[0]
    return not numbers.isdisjoint(known) and state == "S"
