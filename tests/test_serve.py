"""What is opened in a nursery lives there until it is closed, or the nursery ends."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_mcast import (
    InterfaceNotFoundError,
    McastReceiver,
    McastReceiverSpec,
    McastSenderSpec,
    SocketSetupError,
    SocketSpec,
)
from trio_mcast.testing import VirtualHost, VirtualNetwork

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "examples"))
from keep_open import Chat

GROUP, PORT = "239.1.2.3", 12345
SPECS = [McastReceiverSpec(GROUP, PORT), McastSenderSpec(GROUP, PORT)]
EVERY_SPEC = pytest.mark.parametrize("spec", SPECS, ids=["receiver", "sender"])


@asynccontextmanager
async def on_host() -> AsyncIterator[VirtualHost]:
    async with VirtualNetwork() as network:
        host = network.host("a")
        host.plug("eth0", network.switch("lan"), "10.0.0.1/24")
        with host:
            yield host


@EVERY_SPEC
@pytest.mark.parametrize("way", ["close", "aclose"])
async def test_serving_returns_when_closed(spec: Any, way: str, autojump_clock: MockClock) -> None:
    async with on_host():
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                live = await nursery.start(spec.serve)
                assert repr(live).endswith((": 1 joined>", ": on eth0>"))
                await trio.sleep(50)
                assert len(nursery.child_tasks) == 1
                closing = getattr(live, way)()
                if closing is not None:
                    await closing
                await wait_all_tasks_blocked()
                assert not nursery.child_tasks
        assert repr(live).endswith(": closed>")


@EVERY_SPEC
async def test_cancelling_the_nursery_closes(spec: Any, autojump_clock: MockClock) -> None:
    async with on_host():
        async with trio.open_nursery() as nursery:
            live = await nursery.start(spec.serve)
            nursery.cancel_scope.cancel()
        assert repr(live).endswith(": closed>")


@EVERY_SPEC
async def test_refusal_comes_out_of_start_as_itself(
    spec: Any, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = SocketSetupError(errno.EPERM, "refused", step="bind")

    def refuse(socket_spec: SocketSpec) -> None:
        raise error

    async with on_host() as host, trio.open_nursery() as nursery:
        with pytest.raises(InterfaceNotFoundError):
            await nursery.start(type(spec)(GROUP, PORT, interfaces="eth9").serve)
        monkeypatch.setitem(vars(host), "open_socket", refuse)
        with pytest.raises(SocketSetupError) as caught:
            await nursery.start(spec.serve)
        assert caught.value is error
        assert not nursery.child_tasks


async def test_objects_are_closed_in_any_order_by_any_task(autojump_clock: MockClock) -> None:
    async with on_host(), trio.open_nursery() as nursery:
        specs = [McastReceiverSpec(f"239.1.2.{number}", PORT) for number in range(4)]
        receivers: list[McastReceiver] = [await nursery.start(spec.serve) for spec in specs]

        async def close(number: int) -> None:
            await receivers[number].aclose()

        for number in (0, 2, 3, 1):
            async with trio.open_nursery() as closing:
                closing.start_soon(close, number)


STACKS = """
import contextlib
import trio
from trio_mcast import McastReceiverSpec
from trio_mcast.testing import VirtualNetwork

async def main():
    async with VirtualNetwork() as network:
        host = network.host("a")
        host.plug("eth0", network.switch("lan"), "10.0.0.1/24")
        with host:
            stacks = [contextlib.AsyncExitStack(), contextlib.AsyncExitStack()]
            for stack in stacks:
                await stack.enter_async_context(McastReceiverSpec("239.1.2.3", 12345).open())
            for stack in stacks:
                await stack.aclose()

trio.run(main)
"""


def test_two_exit_stacks_in_the_order_of_opening_end_in_an_internal_error() -> None:
    # The reason for all this: should it go one day, so may the warning in the documentation.
    ended = subprocess.run((sys.executable, "-c", STACKS), capture_output=True, text=True)
    assert ended.returncode == 1
    assert "trio.TrioInternalError" in ended.stderr


# The class of the documentation


async def test_class_closes_both_also_when_cancelled(autojump_clock: MockClock) -> None:
    async with on_host(), trio.open_nursery() as nursery:
        chat = await Chat.start(nursery, GROUP, PORT, "eth0")
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.sleep_forever()
            finally:
                chat.close()
        assert repr(chat.receiver).endswith(": closed>")
        assert repr(chat.sender).endswith(": closed>")


async def test_class_whose_second_is_refused_leaves_nothing_open(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_host() as host:
        real, opened = host.open_socket, []

        def open_socket(socket_spec: SocketSpec) -> Any:
            if socket_spec.group is None:
                raise SocketSetupError(errno.EPERM, "refused", step="bind")
            opened.append(real(socket_spec))
            return opened[-1]

        monkeypatch.setitem(vars(host), "open_socket", open_socket)
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                with pytest.raises(SocketSetupError, match="refused"):
                    await Chat.start(nursery, GROUP, PORT, "eth0")
        (socket,) = opened
        with pytest.raises(OSError, match="Bad file descriptor"):
            socket.send(b"", (GROUP, PORT))
