"""Waiting for many sockets on Windows."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.support.pollers import open_poller
from trio_mcast import McastReceiverSpec, list_interfaces
from trio_mcast._host.current import current_host
from trio_mcast._host.poller import PassPoller
from trio_mcast._host.protocols import McastSocket

assert not TYPE_CHECKING or sys.platform == "win32"

COUNT = 100


@pytest.fixture
async def sockets() -> AsyncIterator[list[McastSocket]]:
    """Give sockets on the loopback interface, each on a port of its own."""
    host = current_host()
    (loopback,) = (item for item in list_interfaces() if item.is_loopback)
    found = []
    for number in range(COUNT):
        spec = McastReceiverSpec("239.1.2.3", 6_000 + number, interfaces=loopback)
        found += [host.open_socket(item) for item in spec.plan([loopback])]
    yield found
    for each in found:
        each.close()


@pytest.fixture
async def poller(sockets: list[McastSocket]) -> PassPoller:
    poller = open_poller(current_host())
    for each in sockets:
        poller.add(each)
    return poller


def send_to(*sockets: McastSocket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for each in sockets:
            # Nobody has joined the group for this port's other sockets, which is all Windows says.
            with suppress(OSError):
                sender.sendto(b"hello", ("239.1.2.3", each.local_endpoint.port))


async def test_wait_returns_what_can_be_read_until_it_was_read(
    sockets: list[McastSocket], poller: PassPoller
) -> None:
    send_to(sockets[3], sockets[3], sockets[5])
    found: set[McastSocket] = set()
    with trio.fail_after(10):
        while found != {sockets[3], sockets[5]}:
            found |= set(await poller.wait_ready())
        assert len(sockets[5].receive(10)) == 1
        assert len(sockets[3].receive(1)) == 1
        for _ in range(3):  # There is one more.
            assert await poller.wait_ready() == [sockets[3]]
        assert len(sockets[3].receive(10)) == 1
        send_to(sockets[7])
        assert await poller.wait_ready() == [sockets[7]]
    poller.close()


async def test_all_have_their_turn(sockets: list[McastSocket], poller: PassPoller) -> None:
    send_to(*sockets)
    found: set[McastSocket] = set()
    with trio.fail_after(10):
        while len(found) < COUNT:
            ready = await poller.wait_ready()
            assert len(ready) <= 64
            found |= set(ready)  # They are not read, so they can always be read.
    poller.close()


async def test_removed_socket_is_not_returned(
    sockets: list[McastSocket], poller: PassPoller
) -> None:
    send_to(sockets[1])
    with trio.fail_after(10):
        assert await poller.wait_ready() == [sockets[1]]
        poller.remove(sockets[1])
        send_to(sockets[2])
        assert await poller.wait_ready() == [sockets[2]]
        poller.add(sockets[1])
        found: set[McastSocket] = set()
        while found != {sockets[1], sockets[2]}:
            found |= set(await poller.wait_ready())
    poller.close()


async def test_cancelled_wait_loses_nothing(sockets: list[McastSocket], poller: PassPoller) -> None:
    send_to(sockets[4])
    with trio.CancelScope() as scope:
        scope.cancel()
        await poller.wait_ready()
    assert scope.cancelled_caught
    with trio.fail_after(10):
        assert await poller.wait_ready() == [sockets[4]]
        with trio.CancelScope() as scope:
            scope.cancel()
            await poller.wait_ready()
        assert await poller.wait_ready() == [sockets[4]]
    poller.close()


async def test_closing_wakes_who_waits_and_ends_every_task(poller: PassPoller) -> None:
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await poller.wait_ready()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        tasks = trio.lowlevel.current_statistics().tasks_living
        poller.close()
        poller.close()
    await trio.testing.wait_all_tasks_blocked()
    # Those of the sockets, and the one that has waited.
    assert trio.lowlevel.current_statistics().tasks_living == tasks - COUNT - 1
    with pytest.raises(trio.ClosedResourceError):
        await poller.wait_ready()


async def test_interrupted_wait_returns_nothing(poller: PassPoller) -> None:
    found: list[Sequence[McastSocket]] = []

    async def wait() -> None:
        found.append(await poller.wait_ready())

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            poller.interrupt()
    assert found == [[]]
    poller.close()
