"""Rings and buffers do not outlive their readers, and a child process has its own."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.lab import Host
from tests.lab.machine import on
from tests.support.leftovers import open_descriptors
from tests.support.linux_sockets import open_sockets, read_all
from tests.support.readers import (
    expect,
    groups_of,
    new_reader,
    one_pass,
    payloads_and_groups,
    poller_of,
    read_now,
    send_each,
)
from tests.support.traffic import PORT, plain_sender
from trio_mcast import Datagram, open_mcast_receiver

if sys.platform != "linux":
    pytest.skip("the ring is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import buffers, fast_path

COUNT = 20
GROUPS = groups_of("ipv4", COUNT)

# Without a ring, the sockets would be read another way.
pytestmark = [pytest.mark.fast_path, pytest.mark.usefixtures("ring")]


# What stays open -------------------------------------------------------------------------------


async def test_receiver_that_used_a_ring_leaves_nothing_open(host: Host) -> None:
    before = open_descriptors()
    with on(host), trio.fail_after(5):
        async with open_mcast_receiver(GROUPS, PORT, interfaces="lo") as receiver:
            with plain_sender(host, GROUPS[0], "lo") as sender:
                await wait_all_tasks_blocked()
                opened = open_descriptors()
                await expect(receiver, send_each(sender, GROUPS, b"x"))
                assert len(open_descriptors() - opened) == 3
    assert open_descriptors() == before


async def test_cancelled_receiver_that_used_a_ring_leaves_nothing_open(host: Host) -> None:
    before = open_descriptors()
    opened = before
    found: list[Datagram] = []

    async def receive_for_ever() -> None:
        async with open_mcast_receiver(GROUPS, PORT, interfaces="lo") as receiver:
            async for datagram in receiver:
                found.append(datagram)

    with on(host), trio.fail_after(5), plain_sender(host, GROUPS[0], "lo") as sender:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_for_ever)
            await wait_all_tasks_blocked()
            opened = open_descriptors()
            sent = send_each(sender, GROUPS, b"x")
            await wait_all_tasks_blocked()
            assert payloads_and_groups(found) == sent
            assert len(open_descriptors() - opened) == 3
            nursery.cancel_scope.cancel()
    assert open_descriptors() == before


async def test_group_that_is_left_takes_the_ring_along_when_it_was_the_last(host: Host) -> None:
    with on(host), plain_sender(host, GROUPS[0], "lo") as sender, trio.fail_after(5):
        async with open_mcast_receiver(GROUPS, PORT, interfaces="lo") as receiver:
            await expect(receiver, send_each(sender, GROUPS, b"x"))
            await receiver.leave(GROUPS)
            left = open_descriptors()
            await receiver.join(GROUPS)
            await expect(receiver, send_each(sender, GROUPS, b"y"))
            await receiver.leave(GROUPS)
            assert open_descriptors() == left


# A process that forks --------------------------------------------------------------------------


def in_child(work: Callable[[], None]) -> None:
    """Do something in a child of this process; fail if that fails."""
    with warnings.catch_warnings():
        # Other tests have left threads that are idle; none of what they hold is needed here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:
            work()
        except BaseException as error:
            os.write(2, f"in the child: {error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_child_of_a_fork_reads_into_buffers_of_its_own(host: Host) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        reader = new_reader(stack, host, open_sockets(stack, host, GROUPS))
        send_each(sender, GROUPS, b"parent")
        assert len(read_now(reader)) == COUNT
        thread_buffers = buffers.thread_buffers()
        # The other ones are also kept by those who read into them.
        children = ExitStack()

        def read_in_child() -> None:
            own = buffers.thread_buffers()
            assert own is not thread_buffers
            assert own is buffers.thread_buffers()
            assert own.headers_address != thread_buffers.headers_address
            sockets = open_sockets(children, host, GROUPS)
            here = new_reader(children, host, sockets)
            assert poller_of(here)._reader._buffers is own
            sent = send_each(sender, GROUPS, b"child!")
            assert payloads_and_groups(read_now(here)) == sent
            assert own.payloads(range(COUNT), [6] * COUNT) == [b"child!"] * COUNT
            assert thread_buffers.payloads(range(COUNT), [6] * COUNT) == [b"parent"] * COUNT

        in_child(read_in_child)
        assert buffers.thread_buffers() is thread_buffers
        assert thread_buffers.payloads(range(COUNT), [6] * COUNT) == [b"parent"] * COUNT
        # What the child sent has come here as well.
        assert {item.data for item in one_pass(reader)} == {b"child!"}


def test_what_a_child_reads_from_its_parents_sockets_is_not_seen_by_the_parent(host: Host) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        reader = new_reader(stack, host, open_sockets(stack, host, GROUPS))
        send_each(sender, GROUPS, b"parent")
        assert len(read_now(reader)) == COUNT
        thread_buffers = buffers.thread_buffers()
        send_each(sender, GROUPS, b"child!")

        def read_in_child() -> None:
            for sock in reader.sockets:
                assert isinstance(sock, fast_path.LinuxSocket)
                sock.has_more()
                assert [item.data for item in read_all(sock)] == [b"child!"]
            assert thread_buffers.payloads(range(1), [6]) == [b"child!"]

        in_child(read_in_child)
        assert thread_buffers.payloads(range(COUNT), [6] * COUNT) == [b"parent"] * COUNT
