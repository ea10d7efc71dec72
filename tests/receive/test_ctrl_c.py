"""Ctrl-C at any line of queue, reader and channel gives KeyboardInterrupt, and nothing else.

So it does at any line of what waits for interfaces, addresses, or the end of a join.
"""

from __future__ import annotations

import inspect
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, TypeAlias

import pytest
import trio
import trio.testing

from tests.support.blocks import GROUP, INTERFACE, leaves, new_host
from trio_mcast import open_mcast_receiver, open_mcast_sender, watch_interfaces
from trio_mcast._follow import Follower, SharedLooks
from trio_mcast._live import Opening
from trio_mcast._receive import datagram_receiver, intake, queue, reader, store
from trio_mcast._receive.joining import Joining
from trio_mcast._receive.store import Overflow
from trio_mcast._send.opening import settle
from trio_mcast.testing import VirtualNetwork

FILES = {module.__file__ for module in (queue, store, reader, datagram_receiver, intake)}
ENDS = (Opening.__aenter__, Opening.__aexit__)
WAITS = {
    inspect.unwrap(function).__code__
    for function in (Follower.wait, SharedLooks._look, Joining.undo, settle, *ENDS)
}

Receive: TypeAlias = "Callable[[Overflow, Interrupting], Awaitable[None]]"


def is_of_queue(code: CodeType) -> bool:
    return code.co_filename in FILES


def is_of_wait(code: CodeType) -> bool:
    return code in WAITS


class Interrupting:
    """Interrupts like a signal, at one line of some code, or as soon after it as Trio lets it.

    Attributes:
        lines: The lines that have been run, each with its file.
        interrupted: Whether the interrupt has come.
    """

    def __init__(self, at_line: int, is_traced: Callable[[CodeType], bool] = is_of_queue) -> None:
        self.lines: list[tuple[str, int]] = []
        self.interrupted = False
        self._at_line = at_line
        self._is_traced = is_traced

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if not self._is_traced(frame.f_code):
            return None
        if event == "line":
            self.lines.append((frame.f_code.co_filename, frame.f_lineno))
            if len(self.lines) == self._at_line:
                self.interrupted = True
                # Trio's own handler, as the signal would call it. Raises unless protected.
                handler = signal.getsignal(signal.SIGINT)
                assert callable(handler)
                handler(signal.SIGINT, frame)
        return self._trace

    @contextmanager
    def tracing(self) -> Iterator[None]:
        sys.settrace(self._trace)
        try:
            yield
        finally:
            sys.settrace(None)


async def receive_in_every_way(overflow: Overflow, interrupting: Interrupting) -> None:
    """Receive with several tasks from two interfaces, borrowed and handed over, one and many."""
    async with VirtualNetwork() as network:
        host = new_host(network)
        lan = network.switch("other lan")
        host.plug("virtual1", lan, "10.0.1.1/24")
        with host, interrupting.tracing():
            names = [INTERFACE, "virtual1"]
            async with (
                open_mcast_receiver(
                    GROUP, 5000, interfaces=names, max_buffered=4, overflow=overflow
                ) as receiver,
                open_mcast_sender(GROUP, 5000, interfaces=names) as sender,
                trio.open_nursery() as nursery,
            ):
                for _ in range(3):
                    nursery.start_soon(receiver.receive)
                with trio.move_on_after(0):
                    await receiver.receive()
                await trio.testing.wait_all_tasks_blocked()
                await sender.send_batch([b"1", b"2", b"3", b"4", b"5"])
                await receiver.receive_batch(2)
                await sender.send_batch([b"6", b"7", b"8", b"9"])
                await trio.testing.wait_all_tasks_blocked()
                await receiver.receive()
                receiver.receive_nowait()
                await receiver.leave(GROUP, interfaces="virtual1")
                receiver.statistics()


async def receive_what_is_there(overflow: Overflow, interrupting: Interrupting) -> None:
    """Receive what has come already, over the real loopback interface: no other task reads."""
    with interrupting.tracing():
        async with (
            open_mcast_receiver(
                GROUP, 5000, interfaces="127.0.0.1", max_buffered=4, overflow=overflow
            ) as receiver,
            open_mcast_sender(GROUP, 5000, interfaces="127.0.0.1") as sender,
        ):
            await trio.testing.wait_all_tasks_blocked()
            await sender.send_batch([b"1", b"2", b"3"])
            await receiver.receive()
            await receiver.receive_batch()
            await sender.send(b"4")
            await receiver.receive_batch(1)


@pytest.fixture
def python_handles_ctrl_c() -> Iterator[None]:
    """As it is in a program that was started by hand; in one in the background it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("receive", "overflow", "step"),
    [
        # All lines take ten seconds: each Python has a share, and one of them all.
        (receive_in_every_way, "wait", 5),
        pytest.param(receive_in_every_way, "wait", 1, marks=pytest.mark.once),
        pytest.param(receive_in_every_way, "drop_oldest", 1, marks=pytest.mark.once),
        pytest.param(
            receive_what_is_there,
            "wait",
            1,
            marks=[
                pytest.mark.once,
                pytest.mark.skipif(sys.platform != "linux", reason="reads first on Linux"),
            ],
        ),
    ],
)
def test_ctrl_c_at_each_line_gives_keyboard_interrupt_only(
    receive: Receive, overflow: Overflow, step: int, python_handles_ctrl_c: None
) -> None:
    counting = Interrupting(0)
    trio.run(receive, overflow, counting)
    numbered = [*enumerate(counting.lines, 1)]
    first, last = ({where: n for n, where in some} for some in (reversed(numbered), numbered))
    assert len(first) > 150
    lines = {*first.values(), *(last.values() if overflow == "wait" else ())}
    for line in sorted(lines)[sys.version_info.minor % step :: step]:
        interrupting = Interrupting(line)
        error = None
        try:
            trio.run(with_timeout, receive, overflow, interrupting)
        except BaseException as raised:
            error = raised
        assert interrupting.interrupted == (error is not None), f"line event {line}"
        # In a group where a task of the test itself was interrupted, as Trio does.
        assert {type(leaf) for leaf in leaves(error)} <= {KeyboardInterrupt}, f"line event {line}"


async def with_timeout(receive: Receive, overflow: Overflow, interrupting: Interrupting) -> None:
    with trio.fail_after(30):
        await receive(overflow, interrupting)


async def wait_in_every_way(interrupting: Interrupting) -> None:
    """Wait for interfaces, for looks at them, and for an address; take back a join."""
    async with VirtualNetwork() as network:
        host = new_host(network)
        lan = network.switch("other lan")
        with host, interrupting.tracing(), trio.fail_after(5):
            async with open_mcast_sender(GROUP, 5000, interfaces=INTERFACE):
                pass
            async with (
                open_mcast_receiver(GROUP, 5000) as receiver,
                receiver.joined("239.1.2.9"),
            ):
                pass
            async with watch_interfaces() as changes:
                host.plug("virtual1", lan, "10.0.1.1/24")
                await changes.receive()


def test_ctrl_c_at_each_line_of_what_waits_gives_keyboard_interrupt_only(
    python_handles_ctrl_c: None,
) -> None:
    counting = Interrupting(0, is_of_wait)
    trio.run(wait_in_every_way, counting)
    numbered = [*enumerate(counting.lines, 1)]
    first, last = ({where: n for n, where in some} for some in (reversed(numbered), numbered))
    assert len(last) > 30
    for line in sorted({*first.values(), *last.values()}):
        interrupting = Interrupting(line, is_of_wait)
        error = None
        try:
            trio.run(wait_in_every_way, interrupting)
        except BaseException as raised:
            error = raised
        assert interrupting.interrupted == (error is not None), f"line event {line}"
        assert {type(leaf) for leaf in leaves(error)} <= {KeyboardInterrupt}, f"line event {line}"
