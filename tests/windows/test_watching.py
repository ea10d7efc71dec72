"""Noticing changes of the interfaces on Windows, by what the system calls back and by looking."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from trio_mcast import Interface, InterfaceChange, SocketSetupError, watch_interfaces
from trio_mcast._host.protocols import Ended, LookSteps
from trio_mcast._host.system import SystemHost
from trio_mcast._host.windows import watch as watching
from trio_mcast._host.windows.api import MIB_DELETE_INSTANCE, IpInterfaceRow

assert not TYPE_CHECKING or sys.platform == "win32"

ADD_INSTANCE = 1


def notified(watcher: watching.WindowsWatcher) -> watching.WindowsWatcher:
    """As where the system tells, which Wine does not."""
    watcher._known = None
    return watcher


def call_back(watcher: watching.WindowsWatcher, index: int, kind: int) -> None:
    """What the system does, on a thread of its own."""
    row = IpInterfaceRow(InterfaceIndex=index)
    watcher._notifications._callbacks[0](None, ctypes.addressof(row), kind)


async def test_what_the_system_calls_back_ends_the_wait() -> None:
    watcher = notified(watching.WindowsWatcher())
    try:
        await trio.to_thread.run_sync(call_back, watcher, 7, ADD_INSTANCE)
        await trio.to_thread.run_sync(call_back, watcher, 8, MIB_DELETE_INSTANCE)
        with trio.fail_after(10):
            assert await watcher.wait() == Ended(frozenset({8}))
        await trio.to_thread.run_sync(watcher._notifications._callbacks[1], None, None, 0)
        with trio.fail_after(10):
            assert await watcher.wait() == Ended()
    finally:
        watcher.close()


async def test_wait_that_was_cancelled_has_lost_nothing() -> None:
    watcher = notified(watching.WindowsWatcher())
    try:
        await trio.to_thread.run_sync(call_back, watcher, 8, MIB_DELETE_INSTANCE)
        with trio.CancelScope() as scope:
            scope.cancel()
            await watcher.wait()
        assert scope.cancelled_caught
        with trio.fail_after(10):
            assert await watcher.wait() == Ended(frozenset({8}))
    finally:
        watcher.close()


@pytest.mark.parametrize("by_notification", [True, False])
async def test_closing_wakes_who_waits(by_notification: bool) -> None:
    watcher = watching.WindowsWatcher()
    if by_notification:
        notified(watcher)
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await watcher.wait()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        watcher.close()
        watcher.close()
    assert not watching._asked
    with pytest.raises(trio.ClosedResourceError):
        await watcher.wait()


async def test_looking_finds_what_has_changed(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [[Interface("one", 1), Interface("two", 2)]] * 3 + [[Interface("one", 1)]]
    monkeypatch.setattr(watching, "read_windows_interfaces", lambda: looks.pop(0))
    monkeypatch.setattr(watching, "_Notifications", Silent)
    watcher = watching.WindowsWatcher()
    assert await watcher.wait() == Ended(frozenset({2}))
    assert looks == []
    watcher.close()


async def test_changed_route_ends_the_wait_of_who_asks_for_routes() -> None:
    watcher = notified(watching.WindowsWatcher(routes=True))
    try:
        *_, routes = watcher._notifications._callbacks
        assert len(watcher._notifications._callbacks) == 3
        await trio.to_thread.run_sync(routes, None, None, ADD_INSTANCE)
        with trio.fail_after(10):
            assert await watcher.wait() == Ended()
    finally:
        watcher.close()


async def test_looking_may_mean_that_a_route_has_changed(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_Notifications", Silent)
    watcher = watching.WindowsWatcher(routes=True)
    assert await watcher.wait() == Ended()
    watcher.close()


async def test_look_that_is_refused_is_an_error(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_Notifications", Silent)
    watcher = watching.WindowsWatcher()

    def refuse() -> list[Interface]:
        raise OSError(8, "no memory")

    monkeypatch.setattr(watching, "read_windows_interfaces", refuse)
    with pytest.raises(SocketSetupError, match="watch interfaces failed"):
        await watcher.wait()
    watcher.close()


class Silent:
    """A system that does not tell."""

    active = False

    def __init__(self, note: object, *, routes: bool) -> None:
        pass

    def cancel(self) -> None:
        pass


async def test_change_comes_through_the_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = Interface("one", 1), Interface("one", 1, mtu=9_000)
    looks = [before]

    def look(self: SystemHost) -> LookSteps:
        yield list(looks)

    monkeypatch.setattr(SystemHost, "look", look)
    made: list[watching.WindowsWatcher] = []
    original = watching.WindowsWatcher.__init__

    def note(self: watching.WindowsWatcher, *, routes: bool) -> None:
        original(self, routes=routes)
        made.append(notified(self))

    monkeypatch.setattr(watching.WindowsWatcher, "__init__", note)
    async with watch_interfaces() as changes:
        looks[:] = [after]
        await trio.to_thread.run_sync(call_back, made[0], 1, 0)
        with trio.fail_after(10):
            assert await changes.receive() == InterfaceChange(before, after)
