"""``trio-mcast mesh`` on hosts of the lab: in pipes, and live in a terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Host
from tests.lab._polling import wait_until_async
from tests.lab.fixtures import TwoHosts
from tests.support.needs import needs_program
from tests.support.privileges import UNPRIVILEGED

from .test_demo import COLOUR, COMMAND, environment

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 5000
TARGET = f"{GROUP}:{PORT}"
PATIENCE_SECONDS = 60
# Whatever a test waits for in vain ends with the command.
MESH = (
    *("timeout", "--foreground", str(PATIENCE_SECONDS)),
    *("env", "--default-signal=INT", *UNPRIVILEGED, *COMMAND, "mesh"),
)


def arguments(host: Host, *more: str) -> tuple[str, ...]:
    return (*MESH, TARGET, "--name", host.name, "--interval=0.2", *more)


class Member:
    """A running ``trio-mcast mesh --json``, and what it has written."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.names: dict[str, str] = {}

    def until(self, *wanted: str) -> None:
        """Read until all of these have happened, such as "came b"."""
        start = len(self.events)
        assert self.process.stdout is not None
        while missing := {*wanted} - set(map(self._text_of, self.events[start:])):
            line = self.process.stdout.readline()
            assert line, f"ended without {missing}"
            event = json.loads(line)
            assert event["event"] != "matrix", f"ended without {missing}: {self.events}"
            self.events.append(event)
            for station in stations_of(event):
                self.names[station["run"]] = station["name"] or self.names.get(station["run"], "")

    def _text_of(self, event: dict[str, Any]) -> str:
        # One that others tell of before it has come has no name yet.
        return " ".join([event["event"], *(self.names[one["run"]] for one in stations_of(event))])

    def end(self) -> dict[str, Any]:
        """Press Ctrl-C; return the matrix."""
        self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert self.process.returncode == 0
        matrix = json.loads(output.splitlines()[-1])
        assert matrix["event"] == "matrix"
        assert isinstance(matrix, dict)
        return matrix


def stations_of(event: dict[str, Any]) -> list[dict[str, Any]]:
    return [event[role] for role in ("who", "whom") if role in event]


@contextmanager
def members(*hosts: Host) -> Iterator[list[Member]]:
    with ExitStack() as stack:
        yield [
            Member(stack.enter_context(host.popen(*arguments(host, "--json"), env=environment())))
            for host in hosts
        ]


def drop_from(host: Host, source: str, condition: str = "") -> None:
    """Have a host's firewall drop what comes to the port from an address."""
    rule = f"ip saddr {source} udp dport {PORT} {condition} drop"
    chain = f"{{ type filter hook input priority 0; {rule}; }}"
    host.run("nft", "-f", "-", input=f"table inet losses {{ chain losses {chain}; }}")


@needs_program("nft")
def test_each_machine_learns_who_hears_whom(two_hosts: TwoHosts) -> None:
    c = two_hosts.lab.host("c")
    c.plug("eth0", two_hosts.lan, "10.0.1.3/24")
    # b gets nothing of a, and every second beacon of c.
    drop_from(two_hosts.b, "10.0.1.1")
    two_hosts.b.run(
        "nft",
        "add rule inet losses losses ip saddr 10.0.1.3 udp dport 5000 numgen inc mod 2 == 1 drop",
    )
    with members(two_hosts.a, two_hosts.b, c) as (a, b, third):
        a.until("came b", "came c", "hears a b", "hears b c", "hears c a", "hears c b", "loss b c")
        b.until("hears c ")  # The name of a is not known there.
        matrix = third.end()
        a.until("left c")
        seen_by_a, seen_by_b = a.end(), b.end()
    names = [station["name"] for station in matrix["stations"]]
    assert sorted(names) == ["a", "b", "c"]
    hearing = {
        (station["name"], names[cell["station"]]): cell["lost"] / cell["expected"]
        for station in matrix["stations"]
        for cell in station["hears"]
        if cell["hears"]
    }
    assert set(hearing) == {("a", "b"), ("a", "c"), ("b", "c"), ("c", "a"), ("c", "b")}
    assert 0.2 < hearing.pop(("b", "c")) < 0.6
    assert set(hearing.values()) == {0}
    addresses = {station["name"]: station["address"] for station in matrix["stations"]}
    assert addresses == {"a": "10.0.1.1", "b": "10.0.1.2", "c": "10.0.1.3"}
    assert {s["state"] for s in seen_by_a["stations"] if s["name"] == "c"} == {"left"}
    # a is known to b by what c tells alone: without a name.
    states = {s["name"]: s["state"] for s in seen_by_b["stations"]}
    # It may have gone with c, which has left.
    assert states.get("", "unheard") == "unheard"


def test_mesh_into_a_pipe_is_a_line_for_each_change_and_the_matrix(two_hosts: TwoHosts) -> None:
    with (
        two_hosts.a.popen(
            *arguments(two_hosts.a), stderr=subprocess.STDOUT, env=environment()
        ) as a,
        two_hosts.b.popen(*arguments(two_hosts.b), env=environment()) as b,
    ):
        assert a.stdout is not None
        lines: list[str] = []
        while not lines or "b:eth0 hears a:eth0" not in lines[-1]:
            lines.append(a.stdout.readline())
            assert lines[-1]
        b.send_signal(signal.SIGINT)
        while "b:eth0 left" not in lines[-1]:
            lines.append(a.stdout.readline())
            assert lines[-1]
        a.send_signal(signal.SIGINT)
        remaining = a.stdout.read().splitlines()
        assert (a.wait(), b.wait()) == (0, 0)
    assert all(re.match(r"\d\d:\d\d:\d\d [ab]:eth0 ", line) for line in lines)
    assert lines[0][9:] == "a:eth0 came (here)\n"
    assert remaining[:2] == ["", f"Mesh of {TARGET}: 1 station"]
    assert re.fullmatch(r"1  a:eth0  10\.0\.1\.1 +- +0%", remaining[3])
    assert re.fullmatch(r"2  b:eth0  10\.0\.1\.2  left +0% +-", remaining[4])
    assert max(map(len, remaining)) <= 80


@contextmanager
def mesh_on_terminal(
    host: Host, **variables: str
) -> Iterator[tuple[subprocess.Popen[str], Callable[[], str]]]:
    """Run a mesh on a terminal of 80 x 24: the process, and what it writes next."""
    if sys.platform == "win32":
        pytest.skip("Windows has no pseudo-terminals")
    terminal, its_side = os.openpty()

    def read() -> str:
        with suppress(OSError):
            return os.read(terminal, 65536).decode(errors="replace")
        return ""

    env = environment(TERM="xterm-256color", COLUMNS="80", LINES="24", **variables)
    try:
        with host.popen(*arguments(host), stdout=its_side, stderr=its_side, env=env) as process:
            os.close(its_side)
            yield process, read
    finally:
        os.close(terminal)


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}], ids=["colours", "no-color"])
def test_mesh_on_a_terminal_redraws_its_matrix(
    two_hosts: TwoHosts, variables: dict[str, str]
) -> None:
    with mesh_on_terminal(two_hosts.a, **variables) as (process, read):
        output = ""
        while "1 station" not in output:
            output += read() or pytest.fail(output)
        with members(two_hosts.b) as (b,):
            b.until("hears b a")
            while "2 stations" not in output:
                output += read() or pytest.fail(output)
            b.end()
        while not re.search(r"b:eth0  10\.0\.1\.2  left", output):
            output += read() or pytest.fail(output)
        process.send_signal(signal.SIGINT)
        while piece := read():
            output += piece
        assert process.wait() == 0
    # Up again to the first line of the matrix, and the cursor is there in the end.
    assert "\x1b[1A" in output
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")
    assert bool(COLOUR.search(output)) is not bool(variables)
    assert "Traceback" not in output


@needs_program("tmux")
async def test_mesh_in_tmux_stays_in_place(two_hosts: TwoHosts, tmp_path: Path) -> None:
    socket = str(tmp_path / "tmux")

    def tmux(*command: str) -> str:
        return two_hosts.a.run("tmux", "-S", socket, *command, env=environment()).stdout

    async def screen_with(text: str) -> list[str]:
        screen = await wait_until_async(
            lambda: tmux("capture-pane", "-p"),
            lambda screen: text in screen,
            f"{text!r} on the screen",
            PATIENCE_SECONDS,
        )
        return screen.splitlines()

    inner = " ".join((*arguments(two_hosts.a), "; echo status $?; exec sleep 60"))
    tmux("new-session", "-d", "-x", "80", "-y", "24", inner)
    try:
        await screen_with("1 station")
        with members(two_hosts.b) as (b,):
            lines = await screen_with("2 stations")
            assert [line for line in lines if "Mesh of" in line] == [lines[0]]
            lines = await screen_with("b:eth0  10.0.1.2    0%     -")
            assert lines[2].startswith("1  a:eth0  10.0.1.1     -    0%")
            tmux("send-keys", "C-c")
            lines = await screen_with("status ")
            b.until("left a")
        assert [line for line in lines if "Mesh of" in line] == [lines[0]]
    finally:
        tmux("kill-server")


def test_mesh_says_no_to_a_source(two_hosts: TwoHosts) -> None:
    result = two_hosts.a.run(*MESH, f"10.0.1.2@{TARGET}", check=False, env=environment())
    assert (result.returncode, result.stdout) == (2, "")
    assert "everybody sends in a mesh" in result.stderr
