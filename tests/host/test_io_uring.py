"""The ring by itself, and when the system does not go along: nothing is lost."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import random
import sys
from array import array
from collections import Counter
from contextlib import ExitStack

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.lab import Host
from tests.lab.machine import on
from tests.support.leftovers import open_descriptors
from tests.support.linux_sockets import open_sockets
from tests.support.readers import (
    expect,
    groups_of,
    new_reader,
    one_pass,
    payloads_and_groups,
    poller_of,
    read_now,
    send_each,
    together_of,
)
from tests.support.system_calls import ENTER, Calls, change_results, count_enters
from tests.support.traffic import PORT, plain_sender
from trio_mcast import Datagram, open_mcast_receiver
from trio_mcast._host.protocols import McastSocket

if sys.platform != "linux":
    pytest.skip("the ring is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import buffers, fast_path, io_uring

COUNT = 20
GROUPS = groups_of("ipv4", COUNT)
AT_ONCE = io_uring.SOCKETS_AT_ONCE

# Without a ring, the sockets would be read another way.
pytestmark = [pytest.mark.fast_path, pytest.mark.usefixtures("ring")]


# Where the rings stand -------------------------------------------------------------------------


def test_each_result_and_payload_is_in_its_slot_wherever_the_ring_stands(host: Host) -> None:
    chance = random.Random(1)
    groups = groups_of("ipv4", AT_ONCE)
    with ExitStack() as stack, plain_sender(host, groups[0], "lo") as sender:
        sockets = open_sockets(stack, host, groups)
        thread_buffers = buffers.thread_buffers()
        ring = io_uring.Ring(thread_buffers)
        stack.callback(ring.close)
        done = 0
        for number in range(120):
            chosen = chance.sample(
                range(AT_ONCE), chance.choice([1, 2, 7, 31, AT_ONCE - 1, AT_ONCE])
            )
            sizes = [chance.choice([-errno.EAGAIN, 0, 10, 1472]) for _ in chosen]
            payloads = [os.urandom(size) if size > 0 else b"" for size in sizes]
            for place, size, payload in zip(chosen, sizes, payloads, strict=True):
                if size >= 0:
                    sender.sendto(payload, (groups[place], PORT))
            numbers = memoryview(array("i", [sockets[place].fileno() for place in chosen]))
            assert list(ring.read(numbers, 16)) == sizes, number
            found = [max(0, size) for size in sizes]
            assert thread_buffers.payloads(range(len(found)), found) == payloads
            done += len(chosen)
        assert done > 10 * 2 * AT_ONCE, "both rings were gone round many times"
        assert not ring.is_broken


def test_random_sockets_are_read_right_in_many_rounds(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, groups = random.Random(2), groups_of("ipv4", 100)
    enters = count_enters(monkeypatch)
    with ExitStack() as stack, plain_sender(host, groups[0], "lo") as sender:
        reader = new_reader(stack, host, open_sockets(stack, host, groups))
        for number in range(60):
            chosen = chance.sample(groups, chance.choice([5, 9, 17, 30, 70, 99, 100]))
            sent = send_each(sender, chosen, b"%d" % number * chance.randint(1, 400))
            assert payloads_and_groups(read_now(reader)) == sent
    assert sum(enters) > 10 * 2 * AT_ONCE
    assert len({count % AT_ONCE for count in enters}) > 5


# Calls that fail -------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [-1, 0, 1, 5, COUNT - 1])
@pytest.mark.parametrize("good", [0, 2])
def test_ring_that_fails_loses_nothing_and_is_not_used_again(
    host: Host, calls: Calls, monkeypatch: pytest.MonkeyPatch, taken: int, good: int
) -> None:
    enters: list[int] = []

    def fail(ring: int, count: int) -> int:
        enters.append(count)
        if len(enters) <= good:
            return ENTER(ring, count)
        ctypes.set_errno(errno.EBUSY)
        return ENTER(ring, taken) if taken > 0 else taken

    monkeypatch.setattr(io_uring, "_enter", fail)
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS)
        reader = new_reader(stack, host, sockets)
        before = open_descriptors()
        for number in range(good + 1):
            sent = send_each(sender, GROUPS, b"%d" % number)
            assert payloads_and_groups(read_now(reader)) == sent
        assert enters == [COUNT] * (good + 1)
        assert calls.counts.total() >= COUNT - max(0, taken)
        for number in range(3):
            calls.counts.clear()
            calls.now += 1
            sent = send_each(sender, GROUPS, b"later %d" % number)
            assert payloads_and_groups(read_now(reader)) == sent
            assert calls.counts == {"recvmsg": COUNT}
            assert not any(map(together_of, sockets))
        assert enters == [COUNT] * (good + 1)
        assert open_descriptors() == before
        assert [sock.received for sock in sockets] == [good + 1 + 3] * COUNT


@pytest.mark.parametrize("step", [1, 2])
def test_ring_that_cannot_be_mapped_leaves_nothing_open(
    host: Host, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    enters, real, steps = count_enters(monkeypatch), mmap.mmap, []

    def refuse(*arguments: int, **options: int) -> mmap.mmap:
        steps.append(arguments)
        if len(steps) == step:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return real(*arguments, **options)

    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        reader = new_reader(stack, host, open_sockets(stack, host, GROUPS))
        before = open_descriptors()
        with monkeypatch.context() as patch:
            patch.setattr(mmap, "mmap", refuse)
            sent = send_each(sender, GROUPS, b"x")
            assert payloads_and_groups(read_now(reader)) == sent
        assert len(steps) == step
        assert open_descriptors() == before
        sent = send_each(sender, GROUPS, b"y")
        assert payloads_and_groups(read_now(reader)) == sent
    assert enters == []


def test_ring_of_an_old_kernel_is_not_used(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up = io_uring._set_up

    def old(params: bytearray) -> int:
        number = set_up(params)
        params[20:24] = (0b101).to_bytes(4, sys.byteorder)  # The features: no NODROP.
        return number

    monkeypatch.setattr(io_uring, "_set_up", old)
    thread_buffers = buffers.thread_buffers()
    before = open_descriptors()
    with pytest.raises(OSError, match=f"Errno {errno.ENOSYS}"):
        io_uring.Ring(thread_buffers)
    assert open_descriptors() == before


# Sockets that fail -----------------------------------------------------------------------------


@pytest.mark.parametrize("round_of_error", [0, 2])
def test_error_of_one_socket_is_raised_by_it_and_others_are_delivered(
    host: Host, monkeypatch: pytest.MonkeyPatch, round_of_error: int
) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS)
        reader = new_reader(stack, host, sockets)
        failing = sockets[3]
        for number in range(round_of_error):
            sent = send_each(sender, GROUPS, b"%d" % number)
            assert payloads_and_groups(read_now(reader)) == sent
        assert together_of(failing) == bool(round_of_error)
        sent = send_each(sender, GROUPS, b"x")
        poller = poller_of(reader)
        with monkeypatch.context() as patch:
            change_results(patch, lambda sizes: sizes.update({failing.fileno(): -errno.ENETDOWN}))
            batch: list[Datagram] = []
            left = poller._read_together(poller.likely_ready(), 1_000, batch)
        assert left == [failing]
        assert sent - payloads_and_groups(batch) == {(b"x", GROUPS[3]): 1}
        with pytest.raises(OSError, match=f"Errno {errno.ENETDOWN}"):
            failing.receive(1)
        assert failing.receive(1) == []
        assert sum(sock.received for sock in sockets) == COUNT * (round_of_error + 1) - 1
        sent = send_each(sender, GROUPS, b"again")
        assert payloads_and_groups(read_now(reader)) == sent


def test_error_behind_what_was_read_is_raised_in_the_next_pass(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, answers = buffers._recvmmsg, [True, False]
    assert real is not None

    def fail_second(*arguments: object) -> int:
        if answers.pop(0):
            return int(real(*arguments))
        ctypes.set_errno(errno.ENETDOWN)
        return -1

    failures: list[tuple[McastSocket, int | None]] = []
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS)
        reader = new_reader(stack, host, sockets)
        poller_of(reader)._fail = lambda sock, error: failures.append((sock, error.errno))
        failing = sockets[3]
        for number in range(2):
            sent = send_each(sender, GROUPS, b"%d" % number)
            assert payloads_and_groups(read_now(reader)) == sent
        sent = send_each(sender, GROUPS, b"x") + send_each(sender, [GROUPS[3]] * 100, b"more")
        with monkeypatch.context() as patch:
            patch.setattr(buffers, "_recvmmsg", fail_second)
            assert payloads_and_groups(one_pass(reader)) == sent - Counter(
                {(b"more", GROUPS[3]): 99}
            )
        assert failing.has_failed
        assert not failures
        # It is not hidden by reading that socket together with the others.
        sent = send_each(sender, GROUPS, b"next")
        one_pass(reader)
        assert failures == [(failing, errno.ENETDOWN)]


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EINTR])
def test_nothing_there_is_no_error(
    host: Host, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS)
        reader = new_reader(stack, host, sockets)
        send_each(sender, GROUPS, b"x")
        change_results(
            monkeypatch,
            lambda sizes: sizes.update({sock.fileno(): -number for sock in sockets[:5]}),
        )
        # What these five have is lost here, as it was read, after all.
        assert payloads_and_groups(read_now(reader)) == Counter(
            (b"x", group) for group in GROUPS[5:]
        )
        assert [sock.received for sock in sockets] == [0] * 5 + [1] * 15


async def test_membership_of_a_socket_that_fails_has_failed_and_others_go_on(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on(host), plain_sender(host, GROUPS[0], "lo") as sender, trio.fail_after(5):
        async with open_mcast_receiver(
            GROUPS, PORT, interfaces="lo", follow_interfaces=False
        ) as receiver:
            await wait_all_tasks_blocked()
            failing = next(
                sock for sock in receiver._intake._sockets() if sock.socket_spec.group == GROUPS[3]
            )
            assert isinstance(failing, fast_path.LinuxSocket)
            number = failing.number
            with monkeypatch.context() as patch:
                change_results(patch, lambda sizes: sizes.update({number: -errno.ENETDOWN}))
                await expect(receiver, send_each(sender, GROUPS, b"x") - lost(b"x", 3))
            states = {str(item.group): item.state for item in receiver.memberships}
            assert [states.pop(GROUPS[3]), *set(states.values())] == ["failed", "joined"]
            assert receiver.statistics().sockets_failed == 1
            for number in range(3):
                data = b"%d" % number
                await expect(receiver, send_each(sender, GROUPS, data) - lost(data, 3))


def lost(data: bytes, place: int) -> Counter[object]:
    return Counter([(data, GROUPS[place])])
