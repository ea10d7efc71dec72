"""Sockets that fail, or are closed because others do, while a pass over many of them goes on."""

from __future__ import annotations

import errno
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest
import trio

from tests.lab import Host
from tests.lab.machine import on
from tests.support.linux_sockets import open_sockets
from tests.support.readers import (
    groups_of,
    new_reader,
    one_pass,
    payloads_and_groups,
    poller_of,
    read_now,
    send_each,
)
from tests.support.traffic import PORT, plain_sender
from trio_mcast import Datagram, McastReceiver, open_mcast_receiver
from trio_mcast._host.portable_socket import PosixSocket
from trio_mcast._host.protocols import McastSocket
from trio_mcast._receive.reader import InterfaceReader

if sys.platform != "linux":
    pytest.skip("the ring is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import fast_path, read_many

GROUPS = groups_of("ipv4", 20)
# Of as many, but not all, something can be read.
READY = GROUPS[:15]
NET_DOWN = OSError(errno.ENETDOWN, "Network is down")
# Fewer than are read at once, and more.
ROOM = pytest.mark.parametrize("room", [1, 3, read_many.FEWEST - 1, 1_000])

# Without a ring, the sockets would be read another way.
pytestmark = pytest.mark.usefixtures("ring")


def reader_of_known(
    stack: ExitStack, host: Host, sender: socket.socket, room: int
) -> tuple[InterfaceReader, list[PosixSocket]]:
    """A reader of sockets that have been read together; how many datagrams it has room for."""
    sockets = open_sockets(stack, host, GROUPS)
    reader = new_reader(stack, host, sockets)
    # After all of them, only some have something, so that all are not expected to any more.
    for groups in (GROUPS, GROUPS, READY):
        sent = send_each(sender, groups, b"before")
        assert payloads_and_groups(read_now(reader)) == sent
    assert isinstance(sockets[0], fast_path.LinuxSocket)
    assert sockets[0].together
    reader._queue._max_buffered = room
    return reader, sockets


def all_passes(reader: InterfaceReader) -> list[Datagram]:
    """What is given until nothing more is, by passes that begin with what was left over."""
    found = one_pass(reader)
    poller = poller_of(reader)
    while poller._unread:
        found += poller.read(reader._queue.room)
    return found + read_now(reader)


def refuse_to_read(monkeypatch: pytest.MonkeyPatch, groups: Sequence[str]) -> list[PosixSocket]:
    """Have the system refuse to read the sockets of some groups; the list grows with each read."""
    read: list[PosixSocket] = []
    real: Any = fast_path.LinuxSocket.receive

    def receive(sock: PosixSocket, *arguments: Any) -> list[Datagram]:
        assert sock.fileno() >= 0, "it is closed"
        read.append(sock)
        if sock.socket_spec.group in groups:
            raise NET_DOWN
        return list(real(sock, *arguments))

    monkeypatch.setattr(fast_path.LinuxSocket, "receive", receive)
    monkeypatch.setattr(read_many.EachReader, "read", lambda *_: None)
    monkeypatch.setattr(read_many.EachReader, "read_together", lambda *_: None)
    return read


def close(reader: InterfaceReader, sock: McastSocket) -> None:
    """What `InterfaceReader.close_socket` does, where Trio does not run."""
    reader.stop_socket(sock)
    del reader.sockets[sock]
    assert isinstance(sock, fast_path.LinuxSocket)
    sock._sock.close()
    sock.number = -1


@ROOM
@pytest.mark.parametrize("count", [1, 5, 13])
def test_sockets_that_are_closed_with_one_that_fails_are_not_read(
    host: Host, monkeypatch: pytest.MonkeyPatch, room: int, count: int
) -> None:
    failed: list[McastSocket] = []

    def fail(reader: InterfaceReader, sock: McastSocket, _: OSError) -> None:
        failed.append(sock)
        for other in sockets[1 : 1 + count]:
            close(reader, other)

    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        reader, sockets = reader_of_known(stack, host, sender, room)
        poller_of(reader)._fail = lambda sock, error: fail(reader, sock, error)
        refuse_to_read(monkeypatch, [GROUPS[1]])
        sent = send_each(sender, READY, b"x")
        found = payloads_and_groups(all_passes(reader))
        assert found == sent - Counter((b"x", group) for group in GROUPS[1 : 1 + count])
        assert failed == [sockets[1]]


@ROOM
def test_socket_that_takes_the_number_of_a_closed_one_is_not_taken_for_it(
    host: Host, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    def fail(reader: InterfaceReader, sock: McastSocket, _: OSError) -> None:
        numbers = set()
        for other in sockets[1:4]:
            numbers.add(other.fileno())
            close(reader, other)
        new.extend(open_sockets(stack, host, more))
        assert numbers & {each.fileno() for each in new}
        for each in new:
            reader.add(each)
        sent.update(send_each(sender, more, b"new"))

    more = groups_of("ipv4", len(GROUPS) + 3)[len(GROUPS) :]
    new: list[PosixSocket] = []
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        reader, sockets = reader_of_known(stack, host, sender, room)
        poller_of(reader)._fail = lambda sock, error: fail(reader, sock, error)
        read = refuse_to_read(monkeypatch, [GROUPS[1]])
        sent = send_each(sender, READY, b"x")
        batch = one_pass(reader)
        read_first = list(read)
        found = payloads_and_groups(batch + all_passes(reader))
        assert found == sent - Counter((b"x", group) for group in GROUPS[1:4])
    if not reader._queue.room > len(GROUPS):
        assert not set(read_first) & set(new), "they were not among those that were looked at"


@pytest.mark.parametrize("max_buffered", [1_024, 7, 5, 1])
async def test_memberships_of_several_sockets_fail_at_once_and_the_others_go_on(
    host: Host, monkeypatch: pytest.MonkeyPatch, max_buffered: int
) -> None:
    # More sources than a socket takes: each membership has three sockets.
    sources = [f"127.0.0.{number}" for number in range(1, 26)]
    failing = GROUPS[:8]
    with ExitStack() as stack, trio.fail_after(10):
        stack.enter_context(on(host))
        senders = [
            stack.enter_context(plain_sender(host, GROUPS[0], "lo", sources[number]))
            for number in (24, 12, 0)
        ]
        async with open_mcast_receiver(
            GROUPS,
            PORT,
            interfaces="lo",
            sources=sources,
            max_buffered=max_buffered,
            follow_interfaces=False,
        ) as receiver:
            assert len(list(receiver._intake._sockets())) == 3 * len(GROUPS)
            for _ in range(2):
                sent = send_from_each(senders, b"before", READY)
                assert await take(receiver, sent.total()) == sent
            with monkeypatch.context() as patch:
                refuse_to_read(patch, failing)
                sent = send_from_each(senders[:1], b"x", READY)
                sent += send_from_each(senders[1:], b"x", GROUPS[5:])
                sent = Counter({key: sent[key] for key in sent if key[1] not in failing})
                assert await take(receiver, sent.total()) == sent
            states = {str(each.group): each.state for each in receiver.memberships}
            assert [group for group in GROUPS if states[group] == "failed"] == failing
            # The first that fails has its membership fail, and the rest of that is closed.
            assert receiver.statistics().sockets_failed == len(failing)
            sent = send_from_each(senders, b"y", GROUPS[8:])
            assert await take(receiver, sent.total()) == sent


def send_from_each(
    senders: Sequence[socket.socket], data: bytes, groups: Sequence[str] = GROUPS
) -> Counter[Any]:
    sent: Counter[Any] = Counter()
    for sender in senders:
        sent += send_each(sender, groups, data)
    return sent


async def take(receiver: McastReceiver, count: int) -> Counter[Any]:
    return payloads_and_groups([await receiver.receive() for _ in range(count)])
