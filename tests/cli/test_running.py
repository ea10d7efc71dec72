"""The frame of the commands: errors, exit statuses, ends from outside. Most of it with the demo."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
import trio

from tests.lab.fixtures import TwoHosts
from trio_mcast import McastError, SocketSetupError
from trio_mcast._cli import running
from trio_mcast._cli.running import Command, Commands, run_until_stopped
from trio_mcast._cli.sentences import one_line
from trio_mcast._values.errors import all_failed, none_sent

from .test_demo import COMMAND, environment, run

pytestmark = pytest.mark.once

REFUSED = SocketSetupError(errno.EPERM, "no right to do this (EPERM)", step="bind")


def status_of(callback: Callable[[], object], *arguments: str) -> int:
    """Run a program whose only command is this, and return its exit status."""
    commands = Commands("trio-mcast")
    commands.add_command(Command("try", callback=callback, examples=()))
    with pytest.raises(SystemExit) as caught:
        commands.main(["try", *arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture(autouse=True)
def streams(monkeypatch: pytest.MonkeyPatch) -> None:
    # The streams of the tests are to stay as they are.
    monkeypatch.setattr(running, "_discard", lambda stream: None)


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (REFUSED, 1, "no right to do this (EPERM)"),
        (McastError("nothing\n  to do"), 1, "nothing; to do"),
        (all_failed("all failed", (REFUSED, REFUSED)), 1, None),
        (none_sent([REFUSED, SocketSetupError(1, "another", step="send")]), 1, None),
        (FileNotFoundError(2, "No such file or directory", "notes\udcff.txt"), 1, None),
        (OSError(errno.ENOSPC, "No space left on device"), 1, None),
        (McastError("name one in interfaces="), 1, "name one with --interface"),
        (
            ValueError("interfaces='' is empty"),
            2,
            "--interface '' is empty (see trio-mcast try --help)",
        ),
        (ValueError("one\nand two"), 2, "one; and two (see trio-mcast try --help)"),
        (click.UsageError("Not so."), 2, "Not so (see trio-mcast try --help)"),
    ],
)
def test_error_is_one_sentence(
    error: Exception, status: int, sentence: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert status_of(fail) == status
    output, complaint = capsys.readouterr()
    assert output == ""
    assert complaint.startswith("trio-mcast try: ")
    assert complaint.count("\n") == 1
    if sentence is not None:
        assert complaint == f"trio-mcast try: {sentence}\n"


def test_fault_of_the_program_is_not_hidden() -> None:
    def fail() -> None:
        raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        status_of(fail)


def test_error_with_causes_is_one_line() -> None:
    assert one_line("refused:\n  * one\n  * two") == "refused: one; two"
    assert one_line("") == ""


def test_status_that_a_command_returns_is_the_exit_status() -> None:
    assert status_of(lambda: 3) == 3
    assert status_of(lambda: None) == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"]
)
def test_signal_stops_what_runs_and_leaves_time_for_a_summary(
    number: signal.Signals, status: int
) -> None:
    cleaned_up = []

    async def sleep() -> None:
        try:
            os.kill(os.getpid(), number)
            await trio.sleep(30)
        finally:
            cleaned_up.append(True)

    outcome = run_until_stopped(sleep, endless=False)
    assert cleaned_up
    assert outcome.result is None
    assert (outcome.status(endless=False), outcome.status(endless=True)) == (status, 0)


def test_function_that_ends_by_itself_gives_its_result_or_its_error() -> None:
    async def answer() -> int:
        await trio.lowlevel.checkpoint()
        return 42

    async def fail() -> None:
        raise McastError("no")

    outcome = run_until_stopped(answer, endless=True)
    assert (outcome.result, outcome.stop, outcome.status(endless=False)) == (42, None, 0)
    with pytest.raises(McastError, match="no"):
        run_until_stopped(fail, endless=True)


def test_reader_that_has_gone_stops_what_writes() -> None:
    async def write() -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    outcome = run_until_stopped(write, endless=False)
    assert outcome.stop == "closed pipe"
    assert (outcome.status(endless=False), outcome.status(endless=True)) == (141, 0)


def test_reader_that_has_gone_stops_what_writes_in_a_task() -> None:
    async def write() -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    async def write_in_a_task() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)

    assert run_until_stopped(write_in_a_task, endless=False).stop == "closed pipe"


def test_reader_that_has_gone_while_a_command_is_stopped_does_not_change_its_status() -> None:
    async def write_at_the_end() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    async def work() -> None:
        # A group of the broken pipe and of a cancellation comes out.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(write_at_the_end)
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = run_until_stopped(work, endless=True)
    assert outcome.stop == "terminated"
    assert (outcome.status(endless=False), outcome.status(endless=True)) == (143, 0)


def test_reader_that_goes_stops_an_endless_command_that_writes_nothing() -> None:
    program = (
        "import sys, trio\n"
        "from trio_mcast._cli.running import run_until_stopped\n"
        "print('ready', flush=True)\n"
        "outcome = run_until_stopped(trio.sleep_forever, endless=True)\n"
        "sys.stderr.write(str(outcome.stop))\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.stdout.close()
        assert process.stderr.read() == "closed pipe"
        assert process.wait(timeout=10) == 0


# --- As processes ----------------------------------------------------------------------------

# Each prints to standard output.
PRINTING = pytest.mark.parametrize("arguments", [("--help",), ("demo", "--help"), ("--version",)])


@PRINTING
def test_full_disk_is_told_in_a_sentence(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*COMMAND, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            timeout=30,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr.endswith(": standard output: No space left on device\n")
    assert result.stderr.startswith("trio-mcast")
    assert result.stderr.count("\n") == 1


@contextmanager
def pipe_without_reader() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        yield writing
    finally:
        os.close(writing)


@PRINTING
def test_reader_that_has_gone_is_no_error_to_tell(arguments: tuple[str, ...]) -> None:
    with pipe_without_reader() as pipe:
        result = subprocess.run(
            [*COMMAND, *arguments],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            timeout=30,
            check=False,
        )
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(closed: str) -> None:
    command = " ".join(COMMAND)
    result = run("sh", "-c", f"{command} demo --help {closed}")
    assert (result.returncode, result.stderr) == (0, "")
    assert bool(result.stdout) is (">&-" not in closed.replace("2>&-", ""))


def test_wrong_usage_names_the_command_and_its_help() -> None:
    result = run(*COMMAND, "demo", "--loud")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("trio-mcast demo: No such option")
    assert result.stderr.endswith(" (see trio-mcast demo --help)\n")
    assert result.stderr.count("\n") == 1


def catches_sigterm(process: subprocess.Popen[str]) -> bool:
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
    )
    return bool(int(status["SigCgt"], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize(
    ("command", "status"),
    [(("send", "239.1.2.3:5000", "--file"), 143), (("listen", "239.1.2.3:5000", "--write"), 0)],
    ids=["send", "listen"],
)
def test_signal_ends_a_command_that_waits_for_the_other_end_of_a_named_pipe(
    two_hosts: TwoHosts, tmp_path: Path, command: tuple[str, ...], status: int
) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no named pipes of this kind")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    popen = two_hosts.a.popen(
        *COMMAND, *command, str(pipe), stderr=subprocess.PIPE, env=environment()
    )
    with popen as process:
        try:
            while not catches_sigterm(process):
                time.sleep(0.01)
            process.terminate()
            process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == status
