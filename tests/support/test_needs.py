"""A test that lacks something says so: it is skipped, or fails where the lab is required."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CONFTEST = "from tests.conftest import pytest_runtest_setup\n"
TESTS = """
from tests.support.needs import needs_module, needs_program

pytestmark = needs_program("sh")


@needs_program("no-such-program", "sh")
async def test_program() -> None: ...


@needs_module("no_such_module")
async def test_module() -> None: ...


async def test_nothing() -> None: ...
"""
REASONS = (
    "programs are not installed, or not in PATH: no-such-program (Debian package no-such-program)",
    "the Python module no_such_module is not installed",
)

# It is about pytest, which is the same on each Python.
pytestmark = pytest.mark.once


def outcome(directory: Path, **variables: str) -> str:
    """What pytest tells of async tests of which two lack something."""
    (directory / "conftest.py").write_text(CONFTEST)
    (directory / "test_it.py").write_text(TESTS)
    environment = {key: value for key, value in os.environ.items() if "REQUIRE_LAB" not in key}
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    return subprocess.run(
        (*command, "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(directory), str(directory)),
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        env={**environment, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **variables},
    ).stdout


def test_tests_that_lack_something_are_skipped_and_say_what(tmp_path: Path) -> None:
    told = outcome(tmp_path)
    assert "1 passed, 2 skipped" in told
    assert all(reason in told for reason in REASONS)


def test_tests_that_lack_something_fail_if_a_lab_is_required(tmp_path: Path) -> None:
    told = outcome(tmp_path, TRIO_MCAST_REQUIRE_LAB="1")
    assert "1 passed, 2 errors" in told
    assert all(f"TRIO_MCAST_REQUIRE_LAB is set, but {reason}" in told for reason in REASONS)


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
def test_fast_path_that_is_refused_is_a_reason() -> None:
    source = """
from tests.platforms.sandbox import PROFILES, refuse
from tests.support.needs import fast_path_problem
print(fast_path_problem())
fast_path_problem.cache_clear()
refuse(PROFILES["no-recvmmsg"])
print(fast_path_problem())
"""
    command = [sys.executable, "-c", source]
    process = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert process.stdout == "None\nrecvmmsg is refused here: Operation not permitted\n"
