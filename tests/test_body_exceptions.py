"""The exceptions of a block's body leave the block, whatever else happens in it and around it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager

import pytest
import trio
import trio.testing

from tests.support.blocks import (
    ALL_BLOCKS,
    BLOCKS_WITH_TASKS,
    NESTED_BLOCKS,
    OTHER,
    Block,
    BodyError,
    Crash,
    CrashError,
    SiblingError,
    caught,
    in_receiver,
    leaves,
    receiver,
    sender,
)
from trio_mcast import watch_interfaces
from trio_mcast.testing import VirtualHost, VirtualNetwork
from trio_mcast.testing._poller import VirtualPoller

if sys.version_info < (3, 11):
    # Trio depends on it there. Not every Python that types are checked on has it.
    from exceptiongroup import (  # type: ignore[import-not-found,unused-ignore]
        BaseExceptionGroup,
        ExceptionGroup,
    )

# Every combination -------------------------------------------------------------------------------

BODIES = ["returns", "raises", "is cancelled", "raises while it is cancelled"]
AROUNDS = ["nothing", "a cancelled scope", "a crashing sibling"]


def combinations() -> Iterator[tuple[Block, str, str, str]]:
    for block in ALL_BLOCKS:
        for body in BODIES:
            for tasks in ("end", "crash") if block in BLOCKS_WITH_TASKS else ("end",):
                for around in AROUNDS:
                    if "cancelled" in body and (tasks, around) == ("end", "nothing"):
                        continue  # Then nothing cancels it.
                    yield block, body, tasks, around


@pytest.mark.parametrize(("block", "body", "tasks", "around"), [*combinations()])
async def test_everything_that_was_raised_comes_out(
    on_virtual_host: VirtualHost,
    monkeypatch: pytest.MonkeyPatch,
    block: Block,
    body: str,
    tasks: str,
    around: str,
) -> None:
    raised, crash, beside = BodyError("body"), Crash(monkeypatch, block), SiblingError("sibling")
    scope, disturbed = trio.CancelScope(), trio.Event()
    left: list[BaseException | None] = []

    async def run_body() -> None:
        if tasks == "crash":
            crash.set()
        if around == "a cancelled scope":
            scope.cancel()
        disturbed.set()
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked()
        try:
            if "is cancelled" in body:
                await trio.sleep_forever()
        finally:
            if "raises" in body:
                raise raised

    async def run_block() -> None:
        left.append(await caught(lambda: block(run_body)))
        if left[0] is not None:
            raise left[0]

    async def crash_beside() -> None:
        await disturbed.wait()
        raise beside

    async def run_all() -> None:
        with scope:
            if around == "a crashing sibling":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(crash_beside)
                    await run_block()
            else:
                await run_block()

    came_out = await caught(run_all)
    expected: list[BaseException] = [raised] if "raises" in body else []
    expected += [crash.error] if tasks == "crash" else []
    # The end of a block is a checkpoint, unless there is something to be raised.
    is_cancelled = around != "nothing" and not expected
    is_cancelled |= around != "nothing" and body == "is cancelled"
    is_cancelled |= around != "nothing" and body == "returns" and block in NESTED_BLOCKS
    others = [leaf for leaf in leaves(left[0]) if not isinstance(leaf, trio.Cancelled)]
    assert others == expected
    assert len(leaves(left[0])) - len(others) == is_cancelled
    if expected == [raised] or (is_cancelled and not expected):
        assert left == leaves(left[0])  # Not in a group.
    if around == "a crashing sibling":
        assert set(leaves(came_out)) == {beside, *expected}
    else:
        assert leaves(came_out) == expected
        assert scope.cancelled_caught == (is_cancelled and around == "a cancelled scope")
        if expected == [raised]:
            assert came_out is raised


async def test_body_that_waits_for_a_datagram_ends_when_a_task_cannot_read(
    on_virtual_host: VirtualHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = CrashError("reading")

    async def fail(_: object) -> None:
        await trio.testing.wait_all_tasks_blocked()
        raise error

    monkeypatch.setattr(VirtualPoller, "wait_ready_behind", fail)
    ended_by: list[BaseException | None] = []

    async def receive() -> None:
        async with receiver() as opened:
            ended_by.append(await caught(opened.receive))
            await trio.lowlevel.checkpoint()

    assert leaves(await caught(receive)) == [error]
    assert list(map(type, ended_by)) == [trio.Cancelled]


async def test_cancelled_body_that_fails_in_a_nursery_leaves_both_in_its_group(
    on_virtual_host: VirtualHost,
) -> None:
    raised = BodyError("body")

    async def run_body() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            scope.cancel()
            try:
                await trio.sleep_forever()
            finally:
                raise raised

    with trio.CancelScope() as scope:
        left = await caught(lambda: in_receiver(run_body))
        assert isinstance(left, BaseExceptionGroup)
        assert {type(leaf) for leaf in leaves(left)} == {BodyError, trio.Cancelled}


async def test_cleanup_that_is_shielded_can_still_receive(on_virtual_host: VirtualHost) -> None:
    got = []
    async with sender() as sending:
        with trio.CancelScope() as scope:
            async with receiver() as receiving:
                scope.cancel()
                try:
                    await trio.sleep_forever()
                finally:
                    with trio.move_on_after(1) as patience:
                        patience.shield = True
                        await trio.testing.wait_all_tasks_blocked()
                        await sending.send(b"goodbye")
                        got.append((await receiving.receive()).data)
        assert scope.cancelled_caught
    assert got == [b"goodbye"]


# What the exception is ---------------------------------------------------------------------------


class OwnGroup(ExceptionGroup[Exception]):  # type: ignore[misc,unused-ignore]
    """A group that Trio would copy as a plain one."""


RAISED = [
    ValueError("bad data"),
    KeyboardInterrupt(),
    SystemExit(3),
    GeneratorExit(),
    RuntimeError("x"),
    OwnGroup("own", [ValueError("bad data"), OwnGroup("inner", [KeyError()])]),
]


@pytest.mark.parametrize("block", ALL_BLOCKS)
@pytest.mark.parametrize("is_cancelled", [False, True], ids=["", "cancelled"])
@pytest.mark.parametrize("raised", RAISED, ids=lambda raised: type(raised).__name__)
async def test_exception_comes_out_as_it_was_raised(
    on_virtual_host: VirtualHost, block: Block, raised: BaseException, is_cancelled: bool
) -> None:
    cause, context = KeyError("cause"), KeyError("context")
    raised.__cause__, raised.__context__ = cause, context

    async def run_body() -> None:
        if is_cancelled:
            scope.cancel()
        raise raised

    with trio.CancelScope() as scope:
        came_out = await caught(lambda: block(run_body))
    assert came_out is raised
    assert (raised.__cause__, raised.__context__) == (cause, context)
    trace = raised.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    assert trace is not None
    assert trace.tb_frame.f_code.co_name == "run_body"
    raised.__traceback__ = raised.__cause__ = raised.__context__ = None


# A coroutine cannot raise these two: the blocks stand here themselves.
STOPS = [StopIteration(1), StopAsyncIteration()]


@pytest.mark.parametrize("raised", STOPS, ids=lambda raised: type(raised).__name__)
@pytest.mark.parametrize("opening", [receiver, sender, VirtualNetwork, watch_interfaces])
async def test_exception_that_ends_iterations_comes_out_of_a_block(
    on_virtual_host: VirtualHost,
    opening: Callable[[], AbstractAsyncContextManager[object]],
    raised: Exception,
) -> None:
    with trio.CancelScope() as scope:
        try:
            async with opening():
                scope.cancel()
                raise raised
        except type(raised) as error:
            assert error is raised  # noqa: PT017
            return
    pytest.fail("nothing came out")


@pytest.mark.parametrize("raised", STOPS, ids=lambda raised: type(raised).__name__)
async def test_exception_that_ends_iterations_comes_out_of_joined(
    on_virtual_host: VirtualHost, raised: Exception
) -> None:
    with trio.CancelScope() as scope:
        try:
            async with receiver() as opened, opened.joined(OTHER), opened:
                scope.cancel()
                raise raised
        except type(raised) as error:
            assert error is raised  # noqa: PT017
            return
    pytest.fail("nothing came out")
