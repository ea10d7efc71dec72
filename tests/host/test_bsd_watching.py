"""Watching interfaces on macOS and FreeBSD: messages made by hand, over a socket on this system.

Nothing here was ever run on either of the two.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from trio_mcast import SocketSetupError
from trio_mcast._platform import bsd
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._platform.model import PlatformName

if sys.platform == "win32":
    pytest.skip("not for Windows", allow_module_level=True)

from trio_mcast._host.bsd import watch
from trio_mcast._host.protocols import Ended, InterfaceWatcher

# Messages of a routing socket -----------------------------------------------------------------


def message(kind: int, index: int = 7, what: int = 0) -> bytes:
    """A message with as much as all of them have; only an announcement says what happened."""
    return struct.pack("=HBBH16sH", 24, 5, kind, index, b"em0", what) + bytes(100)


ADD_ROUTE, NEW_ADDRESS, DELETE_ADDRESS, INFORMATION, ANNOUNCE = 0x1, 0xC, 0xD, 0xE, 0x11
MESSAGES: list[tuple[bytes, bool, frozenset[int] | None]] = [
    *((message(kind), False, frozenset()) for kind in (NEW_ADDRESS, DELETE_ADDRESS, INFORMATION)),
    *((message(kind), True, frozenset()) for kind in (NEW_ADDRESS, DELETE_ADDRESS, INFORMATION)),
    (message(ANNOUNCE, 7, what=0), True, frozenset()),
    (message(ANNOUNCE, 7, what=1), True, frozenset({7})),
    # On macOS that is another message, and says nothing of interfaces.
    (message(ANNOUNCE, 7, what=1), False, None),
    (message(ADD_ROUTE), True, None),
    (message(ADD_ROUTE), False, None),
    # Cut short.
    (message(ANNOUNCE, 7, what=1)[:23], True, frozenset()),
    (message(INFORMATION)[:3], True, None),
    (b"", True, None),
]


@pytest.mark.parametrize(("raw", "announces", "expected"), MESSAGES)
def test_message_tells_of_interfaces(
    raw: bytes, announces: bool, expected: frozenset[int] | None
) -> None:
    assert bsd.removed_interfaces(raw, announces=announces) == expected
    assert bsd.removed_interfaces(raw[: bsd.MESSAGE_BYTES], announces=announces) == expected


@given(st.binary(max_size=40), st.booleans())
def test_message_tells_something_or_nothing_whatever_the_bytes(raw: bytes, announces: bool) -> None:
    removed = bsd.removed_interfaces(raw, announces=announces)
    assert removed is None or announces or not removed


# The watcher, on a socket that hands over messages just as a routing socket does ---------------


@attrs.define
class Kernel:
    """The other end of a watcher's socket: what is sent there is a message of the kernel."""

    _ours: socket.socket
    theirs: socket.socket

    def send(self, raw: bytes) -> None:
        self._ours.send(raw)

    def watcher(self, platform: PlatformName = "freebsd") -> InterfaceWatcher:
        return watch.RoutingSocketWatcher(PLATFORMS[platform], self.theirs)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        yield Kernel(ours, theirs)


async def test_watcher_tells_which_interfaces_were_removed(
    kernel: Kernel, autojump_clock: trio.testing.MockClock
) -> None:
    watcher = kernel.watcher()
    for raw in (message(ADD_ROUTE), message(ANNOUNCE, 7, 1), message(ANNOUNCE, 9, 1)):
        kernel.send(raw)
    assert await watcher.wait() == Ended(frozenset({7, 9}))
    kernel.send(message(NEW_ADDRESS))
    assert await watcher.wait() == Ended()
    watcher.close()


async def test_watcher_on_macos_knows_of_no_removals(
    kernel: Kernel, autojump_clock: trio.testing.MockClock
) -> None:
    watcher = kernel.watcher("darwin")
    kernel.send(message(ANNOUNCE, 7, 1))
    kernel.send(message(INFORMATION, 7))
    assert await watcher.wait() == Ended()
    watcher.close()


async def test_messages_about_routes_wake_nobody(
    kernel: Kernel, mock_clock: trio.testing.MockClock
) -> None:
    mock_clock.autojump_threshold = 0
    watcher, told = kernel.watcher(), trio.Event()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            assert await watcher.wait() == Ended()
            told.set()

        nursery.start_soon(wait)
        for _ in range(3):
            kernel.send(message(ADD_ROUTE))
            await trio.sleep(1)
        assert not told.is_set()
        began = trio.current_time()
        kernel.send(message(INFORMATION))
        await told.wait()
        assert trio.current_time() - began < 1
    watcher.close()


async def test_wait_that_was_cancelled_has_taken_nothing(
    kernel: Kernel, autojump_clock: trio.testing.MockClock
) -> None:
    watcher = kernel.watcher()
    kernel.send(message(ANNOUNCE, 7, 1))
    with trio.move_on_after(0.01) as scope:
        await watcher.wait()
    assert scope.cancelled_caught
    assert await watcher.wait() == Ended(frozenset({7}))
    watcher.close()


async def test_lost_messages_mean_that_something_may_have_changed(
    kernel: Kernel, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher, errors = kernel.watcher(), [errno.ENOBUFS]
    real = socket.socket.recv

    def recv(sock: socket.socket, size: int) -> bytes:
        if errors:
            raise OSError(errors.pop(), "lost")
        return real(sock, size)

    kernel.send(message(ADD_ROUTE))
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "recv", recv)
        assert await watcher.wait() == Ended(unknown=True)
        errors.append(errno.EBADF)
        kernel.send(message(ANNOUNCE, 7, 1))
        with pytest.raises(SocketSetupError, match="watch interfaces failed"):
            await watcher.wait()
    assert await watcher.wait() == Ended(frozenset({7}))
    watcher.close()


async def test_closing_a_watcher_ends_its_wait(
    kernel: Kernel, autojump_clock: trio.testing.MockClock
) -> None:
    watcher = kernel.watcher()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await watcher.wait()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        watcher.close()
    watcher.close()
    await wait()


def test_socket_for_watching_that_is_refused_is_closed(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket.socket, "setblocking", refuse)
    with pytest.raises(OSError, match="Too many"):
        kernel.watcher()
    assert kernel.theirs.fileno() < 0
