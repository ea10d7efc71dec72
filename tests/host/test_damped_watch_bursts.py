"""A burst of messages about interfaces is read with turns for others, and nothing of it is lost."""

from __future__ import annotations

import socket

import pytest
import trio

from trio_mcast._host import damped_watch
from trio_mcast._host.damped_watch import DampedWatcher
from trio_mcast._host.protocols import Ended

pytestmark = pytest.mark.once

MANY = 200


class Numbers(DampedWatcher):
    """A watcher whose messages are the indexes of interfaces that were removed."""

    _message_bytes = 8

    def _ended_by(self, message: bytes) -> Ended | None:
        return Ended(removed=frozenset({int(message)}))


@pytest.fixture
async def ends() -> tuple[socket.socket, Numbers]:
    ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    theirs = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ours.bind(("127.0.0.1", 0))
    theirs.connect(ours.getsockname())
    ours.setblocking(False)
    return theirs, Numbers(ours, "linux")


def burst(kernel: socket.socket) -> frozenset[int]:
    for number in range(1, MANY + 1):
        kernel.send(str(number).encode())
    return frozenset(range(1, MANY + 1))


async def test_burst_is_read_in_turns_and_told_whole(ends: tuple[socket.socket, Numbers]) -> None:
    kernel, watcher = ends
    with kernel:
        expected = burst(kernel)
        most = read = 0
        original = watcher._ended_by

        def count(message: bytes) -> Ended | None:
            nonlocal read
            read += 1
            return original(message)

        watcher._ended_by = count  # type: ignore[method-assign]

        async def take_turns() -> None:
            nonlocal most, read
            while True:
                await trio.lowlevel.checkpoint()
                most, read = max(most, read), 0

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_turns)
            with trio.fail_after(5):
                ended = await watcher.wait()
            nursery.cancel_scope.cancel()
        assert ended.removed == expected
        # Trio lets tasks run in any order: two turns can be between two looks.
        assert 0 < most <= 2 * damped_watch._AT_ONCE
        watcher.close()


async def test_burst_is_no_answer_to_the_look_of_another(
    ends: tuple[socket.socket, Numbers],
) -> None:
    kernel, watcher = ends
    with kernel:
        expected = burst(kernel)
        assert watcher.take() is None
        with trio.fail_after(5):
            assert (await watcher.wait()).removed == expected
        watcher.close()


async def test_wait_that_is_cancelled_in_a_burst_loses_nothing(
    ends: tuple[socket.socket, Numbers],
) -> None:
    kernel, watcher = ends
    with kernel:
        expected = burst(kernel)
        for turns in range(8):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:

                    async def cancel(scope: trio.CancelScope = scope, turns: int = turns) -> None:
                        while watcher._ended is None:
                            await trio.lowlevel.checkpoint()
                        for _ in range(turns % 2):
                            await trio.lowlevel.checkpoint()
                        scope.cancel()

                    nursery.start_soon(cancel)
                    ended = await watcher.wait()
                    nursery.cancel_scope.cancel()
            if not scope.cancelled_caught:
                break
        else:
            with trio.fail_after(5):
                ended = await watcher.wait()
        assert ended.removed == expected
        watcher.close()
