"""Every example that a help has works as it stands; live views have tests of their own."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import click
import pytest

from tests.lab.fixtures import TwoHosts
from tests.support.captures import ethernet, pcap, pcapng, udp
from trio_mcast._cli.app import cli
from trio_mcast._cli.running import Command

from .test_demo import COMMAND, environment
from .test_listen import sending

pytestmark = pytest.mark.once

CONTEXT = click.Context(cli)
COMMANDS = {name: cli.get_command(CONTEXT, name) for name in cli.list_commands(CONTEXT)}
EXAMPLES = [
    example
    for command in COMMANDS.values()
    if isinstance(command, Command)
    for example in command.examples
]
# The commands that go on until Ctrl-C, unless they are told an end.
ENDLESS = ("listen", "measure", "mesh", "respond")
ENDS = ("--count", "--duration", "| head")
# The seconds from its first output after which an example that goes on is ended by Ctrl-C.
GOES_ON = 4
# The seconds for which an example may say nothing.
PATIENCE = 60


def test_every_command_has_an_example_in_its_help() -> None:
    for name, command in COMMANDS.items():
        assert isinstance(command, Command)
        assert command.examples, name
        assert all(f"trio-mcast {name}" in example for example in command.examples)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that examples name, and the command itself."""
    frames = [(n * 10**7, ethernet(udp("10.0.0.9", "239.1.2.3", b"%d" % n))) for n in range(5)]
    (tmp_path / "capture.pcap").write_bytes(pcap(frames))
    (tmp_path / "capture.pcapng").write_bytes(pcapng(frames))
    (tmp_path / "notes.txt").write_bytes(b"a note\n" * 1000)
    program = tmp_path / "bin" / "trio-mcast"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("example", [example for example in EXAMPLES if "--live" not in example])
def test_example_works(example: str, two_hosts: TwoHosts, folder: Path) -> None:
    two_hosts.a.run("ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
    env = {**environment(), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    # So that the process is the command itself, except in a pipe.
    script = f"cd {folder} && {example if '|' in example else f'exec {example}'}"
    command = ("env", "--default-signal=INT", "sh", "-c", script)
    is_measured = " measure " in example and "--sender" in example
    goes_on = example.split()[1] in ENDLESS and not any(end in example for end in ENDS)
    with ExitStack() as stack:
        stack.enter_context(sending(two_hosts.b, "239.1.2.3"))
        if " ping " in example or is_measured:
            respond = (*COMMAND, "respond", "239.1.2.3:5000")
            responder = stack.enter_context(two_hosts.b.popen(*respond, env=environment()))
            assert responder.stdout is not None
            assert "control port" in responder.stdout.readline()
            stack.callback(responder.kill)
        files = [stack.enter_context((folder / name).open("w+")) for name in ("out", "err")]
        process = stack.enter_context(
            two_hosts.a.popen(*command, stdout=files[0].fileno(), stderr=files[1].fileno(), env=env)
        )
        wait_or_interrupt(process, folder / "out", GOES_ON if goes_on else PATIENCE)
    output, errors = (folder / "out").read_text(), (folder / "err").read_text()
    assert "Traceback" not in errors
    # The status of the doctor tells its findings.
    # A measurement has an end of its own, which takes longer than this test waits.
    allowed = {0, 1} if " doctor" in example else {0, 130} if is_measured else {0}
    assert process.returncode in allowed, (output, errors)


def wait_or_interrupt(process: subprocess.Popen[str], output: Path, seconds: float) -> None:
    """Wait for the end of a command; press Ctrl-C so many seconds after its first output."""
    start = time.monotonic()
    first: float | None = None
    while process.poll() is None:
        now = time.monotonic()
        assert now - start < PATIENCE
        if first is None and output.stat().st_size:
            first = now
        if first is not None and now - first > seconds:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=PATIENCE)
        time.sleep(0.02)
