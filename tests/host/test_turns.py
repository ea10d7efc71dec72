"""A group with many datagrams does not keep a quiet one waiting, however the sockets are read."""

from __future__ import annotations

import ctypes
import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import closing

import attrs
import pytest

from tests.lab import Lab
from tests.lab.machine import LabMachine
from tests.support.pollers import open_poller
from tests.support.traffic import PORT, plain_sender
from trio_mcast import Datagram, McastReceiverSpec
from trio_mcast._host.poller import TURN, PassPoller
from trio_mcast._host.portable_socket import PosixSocket
from trio_mcast._host.protocols import McastSocket

if sys.platform != "linux":
    pytest.skip("the lab and the ways of reading are those of Linux", allow_module_level=True)

from trio_mcast._host.linux import buffers, fast_path, read_many

pytestmark = pytest.mark.once

FLOODED, QUIET = "239.1.2.3", "239.1.2.4"
FLOOD = 600


def read_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert buffers.READS_BATCHES


def have_no_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fast_path, read_many):
        monkeypatch.setattr(module, "READS_BATCHES", False)


def refuse_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        ctypes.set_errno(errno.ENOSYS)
        return -1

    monkeypatch.setattr(buffers, "_recvmmsg", refuse)


@attrs.frozen
class Bench:
    """A poller of two sockets, and what sends to a group."""

    poller: PassPoller
    send: Callable[[str], object]


@pytest.fixture(params=[True, False], ids=["flooded first", "quiet first"])
def groups(request: pytest.FixtureRequest) -> list[str]:
    return [FLOODED, QUIET] if request.param else [QUIET, FLOODED]


WAYS = {"batches": read_in_batches, "no batches": have_no_batches, "refused": refuse_batches}
PORTABLE_WAYS = ["no batches", "refused"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(
    way: str,
    groups: list[str],
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:
    WAYS[way](monkeypatch)
    host = lab.host("a")
    machine = LabMachine(host)
    plan = McastReceiverSpec(groups, PORT, interfaces="lo").plan(machine.list_interfaces())
    sockets = [machine.open_socket(socket_spec) for socket_spec in plan]
    poller = open_poller(machine)
    for sock in sockets:
        poller.add(sock)
    with plain_sender(host, FLOODED, "lo") as sender, closing(poller):
        yield Bench(poller, lambda group: sender.sendto(group.encode(), (group, PORT)))
    for sock in sockets:
        assert isinstance(sock, PosixSocket)
        sock._sock.close()  # The whole one is closed in Trio only.


def read_until_quiet(poller: PassPoller) -> list[Datagram]:
    """Return all datagrams up to the one of the quiet group."""
    datagrams: list[Datagram] = []
    while len(datagrams) < FLOOD:
        batch = poller.read(1_024)
        assert batch
        for datagram in batch:
            datagrams.append(datagram)
            if datagram.group == QUIET:
                return datagrams
    raise AssertionError("the quiet group has never had a turn")


def test_quiet_group_comes_first_or_second(bench: Bench) -> None:
    for _ in range(FLOOD):
        bench.send(FLOODED)
    bench.send(QUIET)
    assert len(read_until_quiet(bench.poller)) <= 2


@pytest.mark.parametrize("way", PORTABLE_WAYS)  # A batch is one call: nothing can come in.
def test_quiet_group_has_a_turn_while_another_is_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(FLOOD):
        bench.send(FLOODED)
    receive_from = bench.poller._receive_from
    turns = 0

    def receive(sock: McastSocket, max_datagrams: int) -> list[Datagram]:
        nonlocal turns
        turns += 1
        if turns == 3:
            bench.send(QUIET)
        return receive_from(sock, max_datagrams)

    monkeypatch.setattr(bench.poller, "_receive_from", receive)
    assert len(read_until_quiet(bench.poller)) <= 5 * TURN
