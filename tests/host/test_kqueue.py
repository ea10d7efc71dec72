"""Waiting with kqueue, on a Linux that has something like it: never run on macOS or FreeBSD.

The kqueue here is made of epoll, and real sockets are waited for. What it does is what kqueue(2)
says of the few calls that are made; whether the real one does it too is not shown here.
"""

from __future__ import annotations

import errno
import importlib
import os
import select
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import attrs
import pytest
import trio

from tests.lab import Host
from tests.lab.machine import LabMachine
from tests.support.pollers import unexpected_failure
from tests.support.traffic import PORT, group_of, plain_sender
from trio_mcast import McastReceiverSpec, SocketSetupError, open_mcast_receiver
from trio_mcast._host.current import host_variable
from trio_mcast._host.poller import OnFailure, PassPoller
from trio_mcast._host.portable_socket import PosixSocket
from trio_mcast._host.protocols import McastSocket, Poller

if sys.platform != "linux":
    pytest.skip("the kqueue here is made of epoll", allow_module_level=True)

KQ_FILTER_READ = -1
KQ_EV_ADD, KQ_EV_DELETE, KQ_EV_ENABLE, KQ_EV_DISABLE = 1, 2, 4, 8


@attrs.frozen
class Kevent:
    """What `select.kevent` is, as far as it is used."""

    ident: int
    filter: int = KQ_FILTER_READ
    flags: int = KQ_EV_ADD


class Kqueue:
    """What `select.kqueue` is, as far as it is used."""

    # What to refuse the next change with.
    refusal: int | None = None

    def __init__(self) -> None:
        self._epoll = select.epoll()

    @property
    def closed(self) -> bool:
        return self._epoll.closed

    def fileno(self) -> int:
        return self._epoll.fileno()

    def close(self) -> None:
        self._epoll.close()

    def control(
        self, changes: Sequence[Kevent] | None, max_events: int, timeout: float | None = None
    ) -> list[Kevent]:
        for change in changes or ():
            assert change.filter == KQ_FILTER_READ
            if self.refusal is not None:
                raise OSError(self.refusal, os.strerror(self.refusal))
            if change.flags == KQ_EV_ADD:
                self._epoll.register(change.ident, select.EPOLLIN)
            elif change.flags == KQ_EV_DELETE:
                self._epoll.unregister(change.ident)
            else:
                enabled = {KQ_EV_ENABLE: select.EPOLLIN, KQ_EV_DISABLE: 0}
                self._epoll.modify(change.ident, enabled[change.flags])
        if not max_events:
            return []
        assert timeout == 0, "it would block"
        return [Kevent(number) for number, _ in self._epoll.poll(0, max_events)]


@pytest.fixture
def kqueue(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module under test, with a kqueue to wait with."""
    monkeypatch.setattr(Kqueue, "refusal", None)
    for name, value in {
        "kqueue": Kqueue,
        "kevent": Kevent,
        "KQ_FILTER_READ": KQ_FILTER_READ,
        "KQ_EV_ADD": KQ_EV_ADD,
        "KQ_EV_DELETE": KQ_EV_DELETE,
        "KQ_EV_ENABLE": KQ_EV_ENABLE,
        "KQ_EV_DISABLE": KQ_EV_DISABLE,
    }.items():
        monkeypatch.setattr(select, name, value, raising=False)
    return importlib.import_module("trio_mcast._host.bsd.kqueue")


@attrs.define
class Bench:
    """Three sockets for a group each, with a poller, and somebody who sends to them."""

    poller: PassPoller
    sockets: list[McastSocket]
    sender: socket.socket

    def send(self, number: int, data: bytes = b"x") -> None:
        self.sender.sendto(data, (group_of("ipv4", number + 1), PORT))

    async def wait(self) -> list[int]:
        """Which sockets are ready."""
        with trio.fail_after(5):
            return sorted(self.sockets.index(item) for item in await self.poller.wait_ready())


@contextmanager
def set_up(kqueue: Any, host: Host) -> Iterator[Bench]:
    machine = LabMachine(host)
    spec = McastReceiverSpec([group_of("ipv4", n) for n in (1, 2, 3)], PORT, interfaces="lo")
    poller: PassPoller = kqueue.KqueuePoller("freebsd", unexpected_failure)
    with plain_sender(host, group_of("ipv4"), "lo") as sender:
        sockets = [machine.open_socket(item) for item in spec.plan(machine.list_interfaces())]
        try:
            yield Bench(poller, sockets, sender)
        finally:
            poller.close()
            for item in sockets:
                item.close()


async def test_poller_gives_the_sockets_that_can_be_read(kqueue: Any, host: Host) -> None:
    with set_up(kqueue, host) as bench:
        for item in bench.sockets:
            bench.poller.add(item)
        bench.send(1)
        assert await bench.wait() == [1]
        # It tells as long as there is something to read.
        assert await bench.wait() == [1]
        bench.send(2)
        assert await bench.wait() == [1, 2]
        assert len(bench.sockets[1].receive(10)) == 1
        assert await bench.wait() == [2]


async def test_waiting_is_a_checkpoint(kqueue: Any, host: Host) -> None:
    with set_up(kqueue, host) as bench:
        for item in bench.sockets:
            bench.poller.add(item)
            bench.send(0)
            with trio.testing.assert_checkpoints():
                await bench.poller.wait_ready()


@pytest.mark.parametrize("before", [0, 1, 2])
async def test_socket_that_is_added_while_somebody_waits_is_waited_for(
    before: int, kqueue: Any, host: Host
) -> None:
    with set_up(kqueue, host) as bench:
        for item in bench.sockets[:before]:
            bench.poller.add(item)
        found: list[list[int]] = []
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                found.append(await bench.wait())

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            bench.poller.add(bench.sockets[before])
            await trio.testing.wait_all_tasks_blocked()
            assert not found
            bench.send(before)
        assert found == [[before]]


@pytest.mark.parametrize("left", [0, 1])
async def test_socket_that_is_removed_while_somebody_waits_is_waited_for_no_longer(
    left: int, kqueue: Any, host: Host
) -> None:
    with set_up(kqueue, host) as bench:
        for item in bench.sockets[: left + 1]:
            bench.poller.add(item)
        found: list[list[int]] = []
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                found.append(await bench.wait())

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            bench.poller.remove(bench.sockets[left])
            bench.poller.remove(bench.sockets[2])  # It was never added.
            bench.send(left)
            await trio.testing.wait_all_tasks_blocked()
            assert not found
            bench.poller.add(bench.sockets[2])
            bench.send(2)
        assert found == [[2]]


async def test_number_of_a_removed_socket_is_forgotten_at_once(
    kqueue: Any, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    notify_closing = trio.lowlevel.notify_closing

    def notify(number: Any) -> None:
        told.append(number)
        notify_closing(number)

    monkeypatch.setattr(trio.lowlevel, "notify_closing", notify)
    with set_up(kqueue, host) as bench:
        first, second, third = bench.sockets
        assert isinstance(first, PosixSocket)
        bench.poller.add(first)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.wait)
            await trio.testing.wait_all_tasks_blocked()
            number = first.fileno()
            bench.poller.remove(first)
            # From here on it may be something else, for which somebody waits.
            bench.poller.add(second)
            bench.poller.add(third)
            bench.poller.interrupt()
        assert told == [number]


@pytest.mark.parametrize("count", [1, 3])
async def test_who_waits_behind_is_not_woken_for_what_is_read_ahead(
    count: int, kqueue: Any, host: Host
) -> None:
    with set_up(kqueue, host) as bench:
        for item in bench.sockets[:count]:
            bench.poller.add(item)
        ended: list[str] = []

        async def behind() -> None:
            await bench.poller.wait_behind()
            ended.append("behind")

        async def ahead() -> None:
            await bench.poller.wait()
            ended.append(f"ahead: {len(bench.poller.read(10))}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(behind)
            nursery.start_soon(ahead)
            await trio.testing.wait_all_tasks_blocked()
            bench.send(0)
            await trio.testing.wait_all_tasks_blocked()
            assert ended == ["ahead: 1"]
            bench.send(0)
        assert ended == ["ahead: 1", "behind"]


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_closing_wakes_who_waits(count: int, kqueue: Any, host: Host) -> None:
    with set_up(kqueue, host) as bench:
        for item in bench.sockets[:count]:
            bench.poller.add(item)

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await bench.wait()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            bench.poller.close()
        bench.poller.close()
        await wait()


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_interrupted_wait_returns_nothing(count: int, kqueue: Any, host: Host) -> None:
    with set_up(kqueue, host) as bench:
        for item in bench.sockets[:count]:
            bench.poller.add(item)
        found: list[list[int]] = []

        async def wait() -> None:
            found.append(await bench.wait())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            bench.poller.interrupt()
        assert found == [[]]


def test_refusal_to_watch_a_socket_is_explained(
    kqueue: Any, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    poller = kqueue.KqueuePoller("freebsd", unexpected_failure)
    spec = McastReceiverSpec("239.1.2.3", PORT, interfaces="lo")
    machine = LabMachine(host)
    (plan,) = spec.plan(machine.list_interfaces())
    sock: Any = machine.open_socket(plan)
    monkeypatch.setattr(Kqueue, "refusal", errno.ENOMEM)
    with closing(poller), sock._sock, pytest.raises(SocketSetupError) as caught:
        poller.add(sock)
    assert (caught.value.errno, caught.value.step) == (errno.ENOMEM, "kevent")
    assert (caught.value.group, caught.value.interface) == ("239.1.2.3", "lo")


class KqueueMachine(LabMachine):
    """A lab host that waits with kqueue."""

    def __init__(self, host: Host, kqueue: Any) -> None:
        super().__init__(host)
        self._kqueue = kqueue

    def open_poller(self, fail: OnFailure) -> Poller:
        poller: Poller = self._kqueue.KqueuePoller("freebsd", fail)
        return poller


@pytest.mark.parametrize("groups", [1, 100])
async def test_receiver_reads_through_it(groups: int, kqueue: Any, host: Host) -> None:
    names = [group_of("ipv4", number + 1) for number in range(groups)]
    token = host_variable.set(KqueueMachine(host, kqueue))
    try:
        with plain_sender(host, names[0], "lo") as sender, trio.fail_after(10):
            async with open_mcast_receiver(names, PORT, interfaces="lo") as receiver:
                for turn in range(3):
                    for name in names:
                        sender.sendto(b"%d" % turn, (name, PORT))
                    found = [await receiver.receive() for _ in names]
                    assert {item.group for item in found} == set(names)
                    assert {item.data for item in found} == {b"%d" % turn}
    finally:
        host_variable.reset(token)
