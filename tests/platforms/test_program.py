"""The program that makes the checks on other platforms: what it says of those that fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from tests.lab import lab_problem
from tests.platforms import __main__ as program
from tests.platforms.kinds import PLATFORMS
from tests.platforms.roots import PROJECT, Unavailable, run
from tests.platforms.sandbox import PROFILES
from tests.support.needs import needs

pytestmark = [pytest.mark.once, needs(lab_problem)]


@attrs.frozen
class Made:
    """A platform whose checks are a line of a shell, or which cannot be had."""

    name: str
    line: str = ""
    problem: str = ""
    description: str = "made up"

    def prepare(self, directory: Path) -> None:
        if self.problem:
            raise Unavailable(self.problem)

    def run(self, directory: Path, log: Path) -> int:
        return run(["sh", "-c", self.line], log, 1.0)


GOOD = Made("good", "echo 3 passed, 0 failed, 1 left out")
ABSENT = Made("absent", problem="there is no qemu")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    def call(platforms: list[Made], *names: str, require: str = "") -> int:
        monkeypatch.setattr(program, "PLATFORMS", platforms)
        monkeypatch.setenv("TRIO_MCAST_REQUIRE_LAB", require)
        monkeypatch.setattr(sys, "argv", ["platforms", str(tmp_path), *names])
        return program.main()

    return call


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("echo 2 passed, 1 failed, 0 left out; exit 1", "status 1 (2 passed, 1 failed"),
        ("echo 2 passed, 1 failed, 0 left out", "status 0 (2 passed, 1 failed"),
        ("echo 12 passed, 10 failed, 0 left out", "status 0 (12 passed, 10 failed"),
        ("echo Segmentation fault; exit 139", "status 139 (no result)"),
        ("true", "status 0 (no result)"),
        ("sleep 20", "status 124 (no result)"),
    ],
)
def test_platform_that_fails_is_told_with_what_it_printed(
    line: str, outcome: str, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call([GOOD, Made("bad", line)]) == 1
    output = capsys.readouterr().out
    assert "good           3 passed, 0 failed, 1 left out, " in output
    assert f"bad            FAILED with {outcome}" in output
    assert output.endswith("1 passed, 1 failed, 0 skipped\n")


def test_platform_that_cannot_be_had_is_named(
    call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call([GOOD, ABSENT]) == 0
    output = capsys.readouterr().out
    assert "absent         left out (there is no qemu), " in output
    assert output.endswith("1 passed, 0 failed, 1 skipped\n")


def test_platform_that_is_required_must_not_be_left_out(call: Callable[..., int]) -> None:
    assert call([GOOD, ABSENT], "good", require="1") == 0
    assert call([GOOD, ABSENT], "good", "absent", require="1") == 1
    assert call([GOOD, ABSENT], "no-such") == 2


def test_platforms_are_prepared_by_name(
    call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    # As .ci/run has it: the names after the option.
    assert call([GOOD, ABSENT], "--prepare", "good") == 0
    assert "good           ready, " in capsys.readouterr().out


def test_every_platform_has_a_name_of_its_own() -> None:
    names = [platform.name for platform in PLATFORMS]
    assert len(set(names)) == len(names)
    assert {f"seccomp-{profile}" for profile in PROFILES} <= set(names)


def test_sandbox_refuses_what_its_profile_says() -> None:
    source = """
import errno, os, socket, sys
from tests.platforms.sandbox import PROFILES, refuse
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
refuse(PROFILES["systemd"])
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
try:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    command = [sys.executable, "-c", source]
    process = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    assert process.stdout == "EAFNOSUPPORT\n"
