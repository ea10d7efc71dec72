"""Counts of the system calls that read on Linux, and rings that are refused or tell otherwise."""

from __future__ import annotations

import ctypes
import socket
import sys
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from trio_mcast._platform.control import split_control
from trio_mcast._receive import reader as _reader

if sys.platform != "linux":
    pytest.skip("the system calls are those of Linux", allow_module_level=True)

from trio_mcast._host.linux import buffers, fast_path, io_uring

# The real call, also where a test has put another in its place.
ENTER = io_uring._enter


@attrs.define
class Calls:
    """The calls that asked the kernel for datagrams, and the time for those who read."""

    counts: Counter[str] = attrs.Factory(Counter)
    control: list[tuple[int, int, bytes]] = attrs.Factory(list)
    now: float = 1.0


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Count the calls that read without a ring; time stands still, so a busy socket stays busy."""
    calls = Calls()
    recvmmsg, recvmsg, recvfrom = (
        buffers._recvmmsg,
        socket.socket.recvmsg,
        socket.socket.recvfrom,
    )
    assert recvmmsg is not None

    def count(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            calls.counts[name] += 1
            result = real(*arguments)
            if name == "recvmsg":
                calls.control.extend(result[1])
            elif name == "split_control":
                result = list(result)
                calls.control.extend(result)
            return result

        return counted

    monkeypatch.setattr(buffers, "_recvmmsg", count("recvmmsg", recvmmsg))
    monkeypatch.setattr(fast_path, "split_control", count("split_control", split_control))
    monkeypatch.setattr(socket.socket, "recvmsg", count("recvmsg", recvmsg))
    monkeypatch.setattr(socket.socket, "recvfrom", count("recvfrom", recvfrom))
    clock = SimpleNamespace(perf_counter=lambda: calls.now)
    monkeypatch.setattr(fast_path, "time", clock)
    monkeypatch.setattr(_reader, "time", clock)
    return calls


def count_enters(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the number of requests of each call of a ring from now on; the list grows."""
    counts: list[int] = []

    def enter(ring: int, count: int) -> int:
        counts.append(count)
        return ENTER(ring, count)

    monkeypatch.setattr(io_uring, "_enter", enter)
    return counts


@pytest.fixture
def enters(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give the number of requests of each call of a ring in the test."""
    return count_enters(monkeypatch)


def refuse_ring(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Have the system refuse to make rings; the list grows with each that is asked for."""
    asked: list[int] = []

    def refuse(params: bytearray) -> int:
        asked.append(number)
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(io_uring, "_set_up", refuse)
    return asked


def change_results(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[int, int]], None]
) -> None:
    """Have a function change what the ring tells of each socket, by file descriptor."""
    read = io_uring.Ring.read

    def changed(ring: Any, sockets: memoryview, name_bytes: int) -> list[int]:
        sizes = dict(zip(sockets.tolist(), read(ring, sockets, name_bytes), strict=True))
        change(sizes)
        return list(sizes.values())

    monkeypatch.setattr(io_uring.Ring, "read", changed)
