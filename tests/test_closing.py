"""Closing: a step that fails does not keep the others from being done, and can be done again."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import pytest
import trio
import trio.testing

from tests.lab import Host
from tests.lab.machine import on
from tests.support.blocks import GROUP, INTERFACE, OTHER, CrashError, caught, leaves, sender
from tests.support.leftovers import nothing_left_over, open_descriptors
from trio_mcast import open_mcast_receiver, open_mcast_sender, watch_interfaces
from trio_mcast._live import Closeable
from trio_mcast._receive.intake import Intake
from trio_mcast._receive.ledger import Ledger
from trio_mcast._send.replies import Replies
from trio_mcast.testing import VirtualHost
from trio_mcast.testing._poller import VirtualPoller, VirtualWatcher
from trio_mcast.testing._socket import VirtualSocket

LINUX_CLASSES = {"EpollPoller": "epoll", "LinuxSocket": "fast_path", "NetlinkWatcher": "watch"}

Opening: TypeAlias = Callable[[], AbstractAsyncContextManager[Any]]


def open_receiver() -> AbstractAsyncContextManager[Closeable]:
    return open_mcast_receiver([GROUP, OTHER], 5000, interfaces=INTERFACE)


def open_sender() -> AbstractAsyncContextManager[Closeable]:
    return sender()


def open_sender_with_replies() -> AbstractAsyncContextManager[Closeable]:
    return sender(receive_replies=True)


def open_watching() -> AbstractAsyncContextManager[Any]:
    return watch_interfaces()


@asynccontextmanager
async def open_replies() -> AsyncIterator[Closeable]:
    async with sender(receive_replies=True) as opened:
        yield opened.replies


def fail_once(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> CrashError:
    """Have a method raise once before it has done anything; return the error that it raises."""
    error, original = CrashError(f"{owner.__name__}.{name}"), getattr(owner, name)
    errors = [error]

    def fail(self: object, *args: object) -> object:
        if errors:
            raise errors.pop()
        return original(self, *args)

    monkeypatch.setattr(owner, name, fail)
    return error


def open_on(host: VirtualHost) -> int:
    return len(host._watchers) + len(host._pollers) + len(host._opened)


# What fails once, and how much then stays open until the second call: nothing if one call tries it
# twice.
FAILING = [
    (open_receiver, VirtualWatcher, "close", 1),
    (open_receiver, VirtualPoller, "close", 0),
    (open_receiver, VirtualSocket, "close", 1),
    (open_receiver, Ledger, "memberships", 0),
    (open_receiver, Intake, "stop", 0),
    (open_sender, VirtualWatcher, "close", 1),
    (open_sender, VirtualSocket, "close", 1),
    (open_sender_with_replies, VirtualWatcher, "close", 1),
    (open_sender_with_replies, VirtualPoller, "close", 0),
    (open_sender_with_replies, Ledger, "memberships", 0),
    (open_sender_with_replies, Replies, "close", 1),
    (open_watching, VirtualWatcher, "close", 1),
]


@pytest.mark.parametrize(("opening", "owner", "name", "left"), FAILING)
async def test_close_that_fails_closes_the_rest_and_the_next_call_the_whole(
    on_virtual_host: VirtualHost,
    monkeypatch: pytest.MonkeyPatch,
    opening: Opening,
    owner: type,
    name: str,
    left: int,
) -> None:
    with trio.fail_after(5):
        async with opening() as opened:
            await trio.testing.wait_all_tasks_blocked()
            error = fail_once(monkeypatch, owner, name)
            with pytest.raises(CrashError) as raised:
                opened.close()
            assert raised.value is error
            assert open_on(on_virtual_host) == left
            opened.close()
            assert open_on(on_virtual_host) == 0
    assert open_on(on_virtual_host) == 0


@pytest.mark.parametrize(("opening", "owner", "name", "left"), FAILING)
async def test_block_ends_and_closes_all_after_a_close_that_failed(
    on_virtual_host: VirtualHost,
    monkeypatch: pytest.MonkeyPatch,
    opening: Opening,
    owner: type,
    name: str,
    left: int,
) -> None:
    with trio.fail_after(5):
        async with opening() as opened:
            fail_once(monkeypatch, owner, name)
            with contextlib.suppress(CrashError):
                opened.close()
    assert open_on(on_virtual_host) == 0


async def test_all_steps_of_close_that_fail_come_out_together(
    on_virtual_host: VirtualHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_receiver() as opened:
        errors = {
            fail_once(monkeypatch, owner, "close")
            for owner in (VirtualWatcher, VirtualPoller, VirtualSocket)
        }

        async def close() -> None:
            opened.close()

        assert set(leaves(await caught(close))) == errors


@pytest.mark.parametrize(("owner", "name"), [(VirtualSocket, "close"), (Ledger, "keep_counts")])
async def test_leave_that_fails_leaves_the_others_and_closing_closes_all(
    on_virtual_host: VirtualHost, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    async with open_mcast_receiver([GROUP, OTHER], 5000, interfaces=INTERFACE) as receiver:
        fail_once(monkeypatch, owner, name)
        with pytest.raises(CrashError):
            await receiver.leave([GROUP, OTHER])
        assert receiver.memberships == ()
        assert len(on_virtual_host._opened) == 0
    assert open_on(on_virtual_host) == 0


OPENINGS = [open_receiver, open_sender, open_sender_with_replies, open_replies, open_watching]


@pytest.mark.parametrize("opening", OPENINGS)
async def test_close_in_another_thread_is_refused_and_changes_nothing(
    on_virtual_host: VirtualHost, opening: Opening
) -> None:
    with trio.fail_after(5):
        async with opening() as opened:
            before = open_on(on_virtual_host)
            with pytest.raises(RuntimeError, match=r"trio\.from_thread\.run_sync"):
                await trio.to_thread.run_sync(opened.close)
            assert open_on(on_virtual_host) == before
            await trio.to_thread.run_sync(lambda: trio.from_thread.run_sync(opened.close))
            # Nothing is left to be done, so it does not matter where.
            await trio.to_thread.run_sync(opened.close)
    assert open_on(on_virtual_host) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the real sockets of Linux")
@pytest.mark.parametrize("thing", LINUX_CLASSES)
async def test_close_on_linux_that_fails_leaves_no_descriptor_open(
    host: Host, monkeypatch: pytest.MonkeyPatch, thing: str
) -> None:
    module = importlib.import_module(f"trio_mcast._host.linux.{LINUX_CLASSES[thing]}")
    with on(host):
        await check_descriptors(monkeypatch, getattr(module, thing))


async def check_descriptors(monkeypatch: pytest.MonkeyPatch, owner: type) -> None:
    async with open_mcast_receiver([GROUP, OTHER], 5000, interfaces="lo"):
        pass  # What is opened once for the whole process is open now.
    with nothing_left_over(), trio.fail_after(5):
        before = open_descriptors()
        async with open_mcast_receiver([GROUP, OTHER], 5000, interfaces="lo") as receiver:
            await trio.testing.wait_all_tasks_blocked()
            fail_once(monkeypatch, owner, "close")
            with pytest.raises(CrashError):
                receiver.close()
            left = open_descriptors() - before
            assert len(left) == (0 if owner.__name__ == "EpollPoller" else 1)
            receiver.close()
            assert open_descriptors() == before


@pytest.mark.skipif(sys.platform != "linux", reason="the real sockets of Linux")
async def test_close_in_another_thread_is_refused_on_linux_and_receiving_goes_on(
    host: Host,
) -> None:
    with on(host), nothing_left_over(), trio.fail_after(5):
        async with open_mcast_receiver(GROUP, 5000, interfaces="lo") as receiver:
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(RuntimeError):
                await trio.to_thread.run_sync(receiver.close)
            async with sender_on_lo() as opened:
                await opened.send(b"still")
                assert (await receiver.receive()).data == b"still"


def sender_on_lo() -> AbstractAsyncContextManager[Any]:
    return open_mcast_sender(GROUP, 5000, interfaces="lo")
