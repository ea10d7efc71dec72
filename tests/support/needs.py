"""What tests need of the machine. A test that lacks something is skipped, and says what.

``TRIO_MCAST_REQUIRE_LAB=1`` in the environment turns these skips into failures, so that a machine
which is meant to run every test cannot leave some out unnoticed.

The marks that are made here are looked at before a test's fixtures, outside of Trio: of a skip that
is raised in an async test or an async fixture, pytest-trio (0.8) loses the reason.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import importlib.util
import os
import socket
import sys
from collections.abc import Callable

import pytest

from tests.lab import program_problem


def require(problem: str | None) -> None:
    """Skip the calling test, or fail it where the lab is required, if there is a problem."""
    if problem is None:
        return
    if os.environ.get("TRIO_MCAST_REQUIRE_LAB") == "1":
        pytest.fail(f"TRIO_MCAST_REQUIRE_LAB is set, but {problem}", pytrace=False)
    pytest.skip(problem)


def needs(find_problem: Callable[..., str | None], *arguments: str) -> pytest.MarkDecorator:
    """Mark a test, or all of a module, that can run only where this finds no problem."""
    return pytest.mark.needs.with_args(find_problem, *arguments)


def needs_program(*names: str) -> pytest.MarkDecorator:
    """Mark what runs these programs."""
    return needs(program_problem, *names)


def needs_module(name: str) -> pytest.MarkDecorator:
    """Mark what imports a Python module of the dependency group ``test``, maybe elsewhere."""
    return needs(_module_problem, name)


def _module_problem(name: str) -> str | None:
    if importlib.util.find_spec(name) is None:
        return f"the Python module {name} is not installed; it is in the dependency group test"
    return None


@functools.cache
def fast_path_problem() -> str | None:
    """Return why many datagrams cannot be read in one system call, if they cannot."""
    if sys.platform != "linux":
        return "the fast path is for Linux only"
    function = getattr(ctypes.CDLL(None, use_errno=True), "recvmmsg", None)
    if function is None:
        return "the C library has no recvmmsg"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # There is nothing to read into, and nothing to read.
        function(sock.fileno(), None, 0, socket.MSG_DONTWAIT, None)
        number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EPERM, errno.EACCES):
        return f"recvmmsg is refused here: {os.strerror(number)}"
    return None


def check(item: pytest.Item) -> None:
    """Skip a test, or fail it where the lab is required, if its marks find a problem."""
    if item.get_closest_marker("fast_path") is not None:
        require(fast_path_problem())
    for mark in item.iter_markers("needs"):
        find_problem, *arguments = mark.args
        require(find_problem(*arguments))
