"""Readers of many sockets at once, on Linux, without a receiver and without a task."""

from __future__ import annotations

import functools
import itertools
import os
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from trio.testing import wait_all_tasks_blocked

from tests.lab import Host
from tests.lab.machine import LabMachine
from tests.support.pollers import unexpected_failure
from tests.support.traffic import PORT, Family, group_of
from trio_mcast import Datagram, McastReceiver
from trio_mcast._host.protocols import McastSocket
from trio_mcast._receive.queue import DatagramQueue
from trio_mcast._receive.reader import InterfaceReader

if sys.platform != "linux":
    pytest.skip("the ring is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import buffers, epoll, fast_path, io_uring, read_many
from trio_mcast._host.poller import READ_AT_ONCE

# What time it is when a pass begins: later than the one before.
_passes = itertools.count(1)


@functools.cache
def _ring_problem() -> str | None:
    try:
        io_uring.Ring(buffers.thread_buffers()).close()
    except OSError as error:
        return f"the system refuses to make an io_uring ({error})"
    return None


def require_ring() -> None:
    """Skip the calling test where there can be no ring, or fail it where the lab is required."""
    problem = _ring_problem()
    if problem is not None:
        if os.environ.get("TRIO_MCAST_REQUIRE_LAB") == "1":
            pytest.fail(f"TRIO_MCAST_REQUIRE_LAB is set, but {problem}", pytrace=False)
        pytest.skip(problem)


@pytest.fixture
def ring() -> None:
    """Skip the test where there can be no ring: its sockets would be read another way."""
    require_ring()


def groups_of(family: Family, count: int) -> list[str]:
    """Return so many groups of a family."""
    if family == "ipv4":
        return [f"239.1.{2 + number // 250}.{number % 250 + 1}" for number in range(count)]
    return [group_of(family, number) for number in range(1, count + 1)]


def poller_of(reader: InterfaceReader) -> Any:
    poller = reader._poller
    assert isinstance(poller, epoll.EpollPoller)
    return poller


def new_reader(
    stack: ExitStack, host: Host, sockets: Sequence[McastSocket], max_buffered: int = 1_000_000
) -> InterfaceReader:
    """Make a reader of sockets that are on one interface, without its task; the stack stops it."""
    poller = LabMachine(host).open_poller(unexpected_failure)
    # What else stopping does is to tell Trio, which need not be running here.
    stack.callback(poller.close)
    reader = InterfaceReader(sockets[0].socket_spec.interface, poller, DatagramQueue(max_buffered))
    for sock in sockets:
        reader.add(sock)
    return reader


def one_pass(reader: InterfaceReader) -> list[Datagram]:
    """Read what the task reads in one pass, after it was away."""
    poller = poller_of(reader)
    poller._busy_since = next(_passes)
    ready = poller.likely_ready()
    return list(poller._read_pass(ready, room_of(reader), looked=True))


def room_of(reader: InterfaceReader) -> int:
    """Return how many datagrams the reader's task would ask for in one pass."""
    return min(reader._queue.room, READ_AT_ONCE)


def read_now(reader: InterfaceReader) -> list[Datagram]:
    """Read all that waits, for at least two sockets."""
    assert len(reader.sockets) > 1
    datagrams = one_pass(reader)
    while ready := poller_of(reader).likely_ready():
        datagrams += poller_of(reader)._read_pass(ready, room_of(reader), looked=True)
    return datagrams


def send_each(sender: socket.socket, groups: Sequence[str], data: bytes) -> Counter[object]:
    """Send one datagram to each group, and return what is to arrive."""
    for group in groups:
        sender.sendto(data, (group, PORT))
    return Counter((data, group) for group in groups)


def payloads_and_groups(datagrams: Sequence[Datagram]) -> Counter[object]:
    return Counter((datagram.data, datagram.group) for datagram in datagrams)


def together_of(sock: McastSocket) -> bool:
    """Tell whether the socket is expected to have something whenever any of its chunk has."""
    assert isinstance(sock, fast_path.LinuxSocket)
    together = sock.together
    return isinstance(together, read_many.Together) and together.all_expected


async def expect(receiver: McastReceiver, sent: Counter[object]) -> None:
    """Receive what was sent; when all is quiet, no more has come."""
    datagrams = [await receiver.receive() for _ in range(sent.total())]
    assert payloads_and_groups(datagrams) == sent
    await wait_all_tasks_blocked()
    assert receiver.statistics().waiting == 0
