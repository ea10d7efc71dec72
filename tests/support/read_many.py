"""For tests of reading from many sockets at once, on Linux: readers without a receiver."""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from tests.lab import Host
from tests.lab.machine import LabMachine
from tests.support.needs import require
from tests.support.pollers import unexpected_failure
from tests.support.traffic import PORT, Family, group_of
from trio_mcast import Datagram
from trio_mcast._host.protocols import McastSocket
from trio_mcast._receive.queue import DatagramQueue
from trio_mcast._receive.reader import InterfaceReader

if sys.platform != "linux":
    pytest.skip("the ring is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import buffers as _linux_buffers
from trio_mcast._host.linux import epoll as _linux_epoll
from trio_mcast._host.linux import fast_path as _linux_io
from trio_mcast._host.linux import io_uring as _linux_ring
from trio_mcast._host.linux import read_many as _linux_each
from trio_mcast._host.poller import READ_AT_ONCE

# What time it is when a pass begins: later than the one before.
_passes = itertools.count(1)

# The real call, also where a test has put another in its place.
ENTER = _linux_ring._enter


@functools.cache
def _ring_problem() -> str | None:
    try:
        _linux_ring.Ring(_linux_buffers.thread_buffers()).close()
    except OSError as error:
        return f"the system refuses to make an io_uring ({error})"
    return None


def require_ring() -> None:
    """Skip the calling test where there can be no ring, or fail it where the lab is required."""
    require(_ring_problem())


def groups_of(family: Family, count: int) -> list[str]:
    if family == "ipv4":
        return [f"239.1.{2 + number // 250}.{number % 250 + 1}" for number in range(count)]
    return [group_of(family, number) for number in range(1, count + 1)]


def descriptors() -> set[str]:
    """What is open. To list them takes one, which is closed by the second look."""
    listed = os.listdir("/proc/self/fd")
    return {item for item in listed if os.path.lexists(f"/proc/self/fd/{item}")}


def poller_of(reader: InterfaceReader) -> Any:
    poller = reader._poller
    assert isinstance(poller, _linux_epoll.EpollPoller)
    return poller


def new_reader(
    stack: ExitStack, host: Host, sockets: Sequence[McastSocket], max_buffered: int = 1_000_000
) -> InterfaceReader:
    """A reader of sockets that are on one interface, without its task, stopped in the end."""
    poller = LabMachine(host).open_poller(unexpected_failure)
    # The rest of stopping tells Trio, which need not be running here.
    stack.callback(poller.close)
    reader = InterfaceReader(sockets[0].spec.interface, poller, DatagramQueue(max_buffered))
    for item in sockets:
        reader.add(item)
    return reader


def one_pass(reader: InterfaceReader) -> list[Datagram]:
    """What the task reads in one pass, after it was away."""
    poller = poller_of(reader)
    poller._busy_since = next(_passes)
    ready = poller.likely_ready()
    return list(poller._read_pass(ready, room_of(reader), looked=True))


def room_of(reader: InterfaceReader) -> int:
    """Return how many datagrams the reader's task would ask for in one pass."""
    return min(reader._queue.room, READ_AT_ONCE)


def read_now(reader: InterfaceReader) -> list[Datagram]:
    """All that waits, for at least two sockets."""
    assert len(reader.sockets) > 1
    found = one_pass(reader)
    while ready := poller_of(reader).likely_ready():
        found += poller_of(reader)._read_pass(ready, room_of(reader), looked=True)
    return found


def send_each(sender: socket.socket, groups: Sequence[str], data: bytes) -> Counter[object]:
    """Send one to each of some groups, and tell what is to arrive."""
    for group in groups:
        sender.sendto(data, (group, PORT))
    return Counter((data, group) for group in groups)


def told(datagrams: Sequence[Datagram]) -> Counter[object]:
    return Counter((item.data, item.group) for item in datagrams)


def count_enters(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many requests each call of the ring had, from now on."""
    counts: list[int] = []

    def enter(ring: int, count: int) -> int:
        counts.append(count)
        return ENTER(ring, count)

    monkeypatch.setattr(_linux_ring, "_enter", enter)
    return counts


def refuse_ring(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Have the system refuse to make rings; the list grows with each that is asked for."""
    asked: list[int] = []

    def refuse(params: bytearray) -> int:
        asked.append(number)
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(_linux_ring, "_set_up", refuse)
    return asked


def change_results(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[int, int]], None]
) -> None:
    """Have a function change what the ring tells of each socket, by file descriptor."""
    read = _linux_ring.Ring.read

    def changed(ring: Any, sockets: memoryview, name_bytes: int) -> list[int]:
        sizes = dict(zip(sockets.tolist(), read(ring, sockets, name_bytes), strict=True))
        change(sizes)
        return list(sizes.values())

    monkeypatch.setattr(_linux_ring.Ring, "read", changed)


def together_of(sock: McastSocket) -> bool:
    """Whether it is expected to have something whenever any of its chunk has."""
    assert isinstance(sock, _linux_io.LinuxSocket)
    together = sock.together
    return isinstance(together, _linux_each.Together) and together.all_expected
