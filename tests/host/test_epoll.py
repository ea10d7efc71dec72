"""The epolls of a poller on Linux: each socket is found, none stays open, and a wait is ended."""

from __future__ import annotations

import errno
import os
import random
import select
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.lab import Host
from tests.lab.machine import LabMachine, on
from tests.support import pollers
from tests.support.leftovers import open_descriptors
from tests.support.linux_sockets import open_sockets
from tests.support.readers import groups_of
from tests.support.traffic import PORT, plain_sender
from trio_mcast import SocketSetupError, open_mcast_receiver
from trio_mcast._host.poller import PassPoller
from trio_mcast._host.portable_socket import PosixSocket
from trio_mcast._host.protocols import McastSocket

if sys.platform != "linux":
    pytest.skip("epoll is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import chunk

CHUNK = chunk.CHUNK
GROUPS = groups_of("ipv4", 3 * CHUNK + 8)
# How many are watched, one number after the other.
GOALS = (
    len(GROUPS),
    2 * CHUNK + 2,
    CHUNK - 1,
    CHUNK + 1,
    2 * CHUNK + 12,
    2,
    CHUNK,
    1,
    0,
    CHUNK + 6,
    0,
)


def open_poller(stack: ExitStack, host: Host) -> PassPoller:
    poller = pollers.open_poller(LabMachine(host))
    stack.callback(poller.close)
    return poller


def found_ready(poller: PassPoller) -> set[McastSocket]:
    """All that can be read, each of which is read."""
    found: set[McastSocket] = set()
    while ready := [item for item in poller.likely_ready() if item.receive(10)]:
        found.update(ready)
    return found


# Which sockets are watched ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_each_socket_is_found_however_they_come_and_go(host: Host, seed: int) -> None:
    chance = random.Random(seed)
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS)
        before = open_descriptors()
        poller = open_poller(stack, host)
        watched: list[PosixSocket] = []
        rest = list(sockets)
        for goal in GOALS:
            while len(watched) != goal:
                come, go = (rest, watched) if len(watched) < goal else (watched, rest)
                moved = come.pop(chance.randrange(len(come)))
                go.append(moved)
                (poller.add if go is watched else poller.remove)(moved)
            for group in GROUPS:
                sender.sendto(b"x", (group, PORT))
            assert found_ready(poller) == set(watched)
            for sock in rest:
                assert len(sock.receive(10)) == 1
            # The outer epoll, the one above, and no chunk that is empty: some may be half full.
            chunks = len(open_descriptors() - before) - 2
            assert -(-goal // CHUNK) <= chunks <= goal
            if goal == GOALS[0]:
                assert chunks == 4
        poller.close()
        assert open_descriptors() == before


def test_epoll_is_closed_when_its_last_socket_is_removed(host: Host) -> None:
    with ExitStack() as stack:
        sockets = open_sockets(stack, host, GROUPS[: 2 * CHUNK])
        poller = open_poller(stack, host)
        empty = open_descriptors()
        for sock in sockets:
            poller.add(sock)
        assert len(open_descriptors() - empty) == 2
        for sock in sockets[:CHUNK]:
            assert len(open_descriptors() - empty) == 2
            poller.remove(sock)
        assert len(open_descriptors() - empty) == 1
        for sock in sockets[CHUNK:]:
            poller.remove(sock)
        assert open_descriptors() == empty
        poller.remove(sockets[0])  # Idempotent.


def test_room_in_a_chunk_is_used_again(host: Host) -> None:
    with ExitStack() as stack:
        sockets = open_sockets(stack, host, GROUPS[: 2 * CHUNK])
        poller = open_poller(stack, host)
        empty = open_descriptors()
        for sock in sockets:
            poller.add(sock)
        for _ in range(3):
            for sock in sockets[::3]:
                poller.remove(sock)
            for sock in sockets[::3]:
                poller.add(sock)
            assert len(open_descriptors() - empty) == 2


def test_chunks_take_turns(host: Host) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS[: 3 * CHUNK])
        poller = open_poller(stack, host)
        for sock in sockets:
            poller.add(sock)
        # Nothing is read, so that all of them stay ready.
        for group in GROUPS[: 3 * CHUNK]:
            sender.sendto(b"x", (group, PORT))
        looks = [frozenset(poller.likely_ready()) for _ in range(6)]
        assert set(map(len, looks)) == {CHUNK}
        assert looks[:3] == looks[3:]
        assert frozenset[McastSocket]().union(*looks) == set(sockets)


# What the system refuses -----------------------------------------------------------------------


@attrs.define
class Refusing:
    """In place of `select.epoll`: refuses a step once it was done so many times."""

    step: str
    after: int
    number: int
    made: int = 0

    def __call__(self) -> RefusingEpoll:
        self.count("epoll_create")
        return RefusingEpoll(self, select_epoll())

    def count(self, step: str) -> None:
        if step == self.step:
            self.made += 1
            if self.made > self.after:
                raise OSError(self.number, os.strerror(self.number))


select_epoll: Callable[[], Any] = select.epoll


@attrs.frozen
class RefusingEpoll:
    refusing: Refusing
    real: Any

    def register(self, number: int, events: int) -> None:
        self.refusing.count("epoll_ctl")
        self.real.register(number, events)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def refuse(
    monkeypatch: pytest.MonkeyPatch, step: str, after: int, number: int = errno.EMFILE
) -> Refusing:
    refusing = Refusing(step, after, number)
    monkeypatch.setattr(select, "epoll", refusing)
    return refusing


@pytest.mark.parametrize(("step", "after"), [("epoll_create", 0), ("epoll_create", 1)])
def test_refused_epoll_of_a_poller_is_explained(
    host: Host, monkeypatch: pytest.MonkeyPatch, step: str, after: int
) -> None:
    before = open_descriptors()
    refuse(monkeypatch, step, after)
    with pytest.raises(SocketSetupError, match="file descriptors") as caught:
        pollers.open_poller(LabMachine(host))
    assert (caught.value.step, caught.value.errno) == ("epoll_create", errno.EMFILE)
    assert open_descriptors() == before


# The socket that is refused is the one that needs another chunk, or the last one of a chunk. What
# is put into an epoll: the outer one into that above, each chunk into the outer one, and each
# socket.
REFUSALS = pytest.mark.parametrize(
    ("step", "after", "number", "added"),
    [
        ("epoll_create", 2, errno.EMFILE, 0),
        ("epoll_create", 3, errno.EMFILE, CHUNK),
        ("epoll_ctl", 1, errno.ENOMEM, 0),
        ("epoll_ctl", 2, errno.ENOSPC, 0),
        ("epoll_ctl", CHUNK + 1, errno.ENOSPC, CHUNK - 1),
        ("epoll_ctl", CHUNK + 2, errno.ENOMEM, CHUNK),
        ("epoll_ctl", CHUNK + 3, errno.ENOSPC, CHUNK),
    ],
)


@REFUSALS
def test_socket_that_cannot_be_watched_is_explained_and_leaves_the_others(
    host: Host, monkeypatch: pytest.MonkeyPatch, step: str, after: int, number: int, added: int
) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS[: added + 1])
        refusing = refuse(monkeypatch, step, after, number)
        poller = open_poller(stack, host)
        for sock in sockets[:added]:
            poller.add(sock)
        before = open_descriptors()
        with pytest.raises(SocketSetupError) as caught:
            poller.add(sockets[added])
        error = caught.value
        assert (error.errno, error.group, error.interface) == (number, GROUPS[added], "lo")
        assert error.step == step
        assert open_descriptors() == before
        for group in GROUPS[: added + 1]:
            sender.sendto(b"x", (group, PORT))
        assert found_ready(poller) == set(sockets[:added])
        refusing.after = 1_000
        poller.add(sockets[added])
        assert sockets[added] in poller.likely_ready()


@REFUSALS
async def test_receiver_that_cannot_watch_a_socket_is_not_opened_and_leaves_nothing_open(
    host: Host, monkeypatch: pytest.MonkeyPatch, step: str, after: int, number: int, added: int
) -> None:
    before = open_descriptors()
    refuse(monkeypatch, step, after, number)
    with on(host), pytest.raises(SocketSetupError) as caught:
        async with open_mcast_receiver(GROUPS[: added + 1], PORT, interfaces="lo"):
            raise AssertionError("it was opened")
    assert (caught.value.errno, caught.value.group) == (number, GROUPS[added])
    assert open_descriptors() == before


async def test_join_that_cannot_be_watched_is_refused_and_the_others_go_on(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on(host), plain_sender(host, GROUPS[0], "lo") as sender, trio.fail_after(5):
        async with open_mcast_receiver(GROUPS[:CHUNK], PORT, interfaces="lo") as receiver:
            await wait_all_tasks_blocked()
            before = open_descriptors()
            with monkeypatch.context() as patch:
                refuse(patch, "epoll_create", 0)
                with pytest.raises(SocketSetupError) as caught:
                    await receiver.join(GROUPS[CHUNK])
            assert caught.value.step == "epoll_create"
            assert open_descriptors() == before
            await receiver.join(GROUPS[CHUNK])
            for group in GROUPS[: CHUNK + 1]:
                sender.sendto(b"x", (group, PORT))
            found = [await receiver.receive() for _ in range(CHUNK + 1)]
            assert {item.group for item in found} == set(GROUPS[: CHUNK + 1])


# Waiting ---------------------------------------------------------------------------------------


async def wait_while(poller: PassPoller, change: Callable[[], object]) -> Sequence[McastSocket]:
    """What a wait gives during which something happens."""
    found: list[Sequence[McastSocket]] = []

    async def wait() -> None:
        found.append(await poller.wait_ready())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        change()
    (sockets,) = found
    return sockets


FIRST = pytest.mark.parametrize("first", [0, 1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])


@FIRST
async def test_wait_ends_for_a_socket_that_is_added_meanwhile(host: Host, first: int) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender, trio.fail_after(5):
        sockets = open_sockets(stack, host, GROUPS[: first + 1])
        poller = open_poller(stack, host)
        for sock in sockets[:first]:
            poller.add(sock)

        def change() -> None:
            poller.add(sockets[first])
            sender.sendto(b"x", (GROUPS[first], PORT))

        assert await wait_while(poller, change) == [sockets[first]]


@FIRST
async def test_wait_ends_for_a_socket_that_comes_in_place_of_others(host: Host, first: int) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender, trio.fail_after(5):
        sockets = open_sockets(stack, host, GROUPS[: first + 2])
        poller = open_poller(stack, host)
        for sock in sockets[:first]:
            poller.add(sock)

        def change() -> None:
            for sock in sockets[:first]:
                poller.remove(sock)
            for sock in sockets[first:]:
                poller.add(sock)
            for group in GROUPS[: first + 1]:
                sender.sendto(b"x", (group, PORT))

        assert await wait_while(poller, change) == [sockets[first]]


@FIRST
async def test_wait_goes_on_without_the_sockets_that_are_removed_meanwhile(
    host: Host, first: int
) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender, trio.fail_after(5):
        sockets = open_sockets(stack, host, GROUPS[: first + 1])
        poller = open_poller(stack, host)
        for sock in sockets:
            poller.add(sock)

        def change() -> None:
            for sock in sockets[:first]:
                poller.remove(sock)
                sock.close()
            sender.sendto(b"x", (GROUPS[first], PORT))

        assert await wait_while(poller, change) == [sockets[first]]


@pytest.mark.parametrize("count", [0, 1, 2, CHUNK + 1])
async def test_wait_ends_when_the_poller_is_closed(host: Host, count: int) -> None:
    with ExitStack() as stack, trio.fail_after(5):
        before = open_descriptors()
        poller = open_poller(stack, host)
        for sock in open_sockets(stack, host, GROUPS[: max(1, count)])[:count]:
            poller.add(sock)
        ended: list[str] = []

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await poller.wait_ready()
            ended.append("closed")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            poller.close()
        assert ended == ["closed"]
        with pytest.raises(trio.ClosedResourceError):
            await poller.wait_ready()
        assert poller.likely_ready() == []
        assert len(open_descriptors() - before) == max(1, count), "the sockets, and nothing more"


async def test_wait_that_has_lost_its_epoll_is_ended_by_an_interrupt(host: Host) -> None:
    with ExitStack() as stack, trio.fail_after(5):
        sockets = open_sockets(stack, host, GROUPS[:2])
        poller = open_poller(stack, host)
        for sock in sockets:
            poller.add(sock)
        found: list[Sequence[McastSocket]] = []

        async def wait() -> None:
            found.append(await poller.wait_ready())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            for sock in sockets:
                poller.remove(sock)
            poller.interrupt()
            await wait_all_tasks_blocked()
            assert found == [[]]


async def test_epoll_that_is_closed_is_waited_for_no_longer(host: Host) -> None:
    with ExitStack() as stack, trio.fail_after(5):
        sockets = open_sockets(stack, host, GROUPS[:2])
        poller = open_poller(stack, host)
        empty = open_descriptors()
        for sock in sockets:
            poller.add(sock)
        ((number, _),) = open_descriptors() - empty
        read_end, write_end = os.pipe()
        stack.callback(os.close, read_end)
        stack.callback(os.close, write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.wait)
            await wait_all_tasks_blocked()
            for sock in sockets:
                poller.remove(sock)
            await wait_all_tasks_blocked()
            # Something else takes its number, and can be waited for.
            stack.callback(os.close, os.dup2(read_end, number))
            os.write(write_end, b"x")
            await trio.lowlevel.wait_readable(number)
            nursery.cancel_scope.cancel()
