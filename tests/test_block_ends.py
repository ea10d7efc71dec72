"""The end of a block: what fails there comes out with the body's exception, not instead."""

from __future__ import annotations

import copy
import gc
import signal
import sys
import weakref
from functools import partial

import pytest
import trio
import trio.testing

from tests.support.blocks import (
    ALL_BLOCKS,
    Block,
    BodyError,
    Crash,
    CrashError,
    caught,
    in_closed_receiver,
    in_closed_sender,
    in_closed_watching,
    in_joined,
    in_network,
    in_receiver,
    in_sender,
    in_sender_with_replies,
    in_watching,
    leaves,
    new_host,
    receiver,
    sender,
)
from trio_mcast._live import running
from trio_mcast._receive.joining import Joining
from trio_mcast.testing import VirtualHost, VirtualNetwork
from trio_mcast.testing._poller import VirtualPoller, VirtualWatcher

if sys.version_info < (3, 11):
    # Trio depends on it there. Not every Python that types are checked on has it.
    from exceptiongroup import (  # type: ignore[import-not-found,unused-ignore]
        BaseExceptionGroup,
    )

ENDS = [
    (in_receiver, VirtualWatcher, "close"),
    (in_sender, VirtualWatcher, "close"),
    (in_watching, VirtualWatcher, "close"),
    (in_closed_watching, VirtualWatcher, "close"),
    (in_closed_receiver, VirtualWatcher, "close"),
    (in_closed_sender, VirtualWatcher, "close"),
    (in_receiver, VirtualPoller, "close"),
    (in_sender_with_replies, VirtualPoller, "close"),
    (in_joined, Joining, "undo"),
    (in_network, VirtualHost, "shut_down"),
]


@pytest.mark.parametrize(("block", "owner", "name"), ENDS)
@pytest.mark.parametrize("times", [1, 10])
@pytest.mark.parametrize("raises", [False, True])
async def test_error_at_the_end_does_not_replace_the_exception(
    on_virtual_host: VirtualHost,
    monkeypatch: pytest.MonkeyPatch,
    block: Block,
    owner: type,
    name: str,
    times: int,
    raises: bool,
) -> None:
    raised, original = BodyError("body"), getattr(owner, name)
    errors = [CrashError(f"end {number}") for number in range(times)]

    def fail(self: object, *args: object) -> object:
        done = original(self, *args)
        if errors:
            raise errors.pop()
        return done

    async def fail_undoing(self: object, *args: object) -> None:
        await original(self, *args)
        raise errors.pop()

    async def run_body() -> None:
        monkeypatch.setattr(owner, name, fail_undoing if name == "undo" else fail)
        if raises:
            raise raised

    came_out = await caught(lambda: block(run_body))
    errors.clear()
    assert (raised in leaves(came_out)) == raises
    kinds = {type(leaf) for leaf in leaves(came_out)}
    assert kinds == ({BodyError, CrashError} if raises else {CrashError})


async def test_group_of_what_failed_shows_it_and_can_be_copied(
    on_virtual_host: VirtualHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised, crash = BodyError("body"), Crash(monkeypatch, in_receiver)

    async def run_body() -> None:
        crash.set()
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked()
        raise raised

    came_out = await caught(lambda: in_receiver(run_body))
    assert isinstance(came_out, BaseExceptionGroup)
    assert "BodyError('body')" in repr(came_out)
    assert "CrashError('a task')" in repr(came_out)
    copied = copy.copy(came_out)
    assert list(map(type, leaves(copied))) == [BodyError, CrashError]


async def test_body_and_task_that_raise_the_very_same_exception_are_one_failure() -> None:
    shared, both = CrashError("shared"), trio.Event()

    async def run() -> None:
        await both.wait()
        raise shared

    async def run_block(*, task_raises: bool, end_raises: bool) -> None:
        def end() -> None:
            if end_raises:
                raise shared

        async with running(lambda _: run(), end, name="a task"):
            if task_raises:
                both.set()
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked()
            raise shared

    for task_raises, end_raises in ((False, True), (True, False), (True, True)):
        came_out = await caught(partial(run_block, task_raises=task_raises, end_raises=end_raises))
        assert came_out is shared


def test_ctrl_c_during_the_end_comes_out_with_the_exception() -> None:
    raised = BodyError("body")

    @trio.lowlevel.enable_ki_protection
    async def run() -> None:
        try:
            await trio.sleep_forever()
        finally:
            signal.raise_signal(signal.SIGINT)
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked(0.01)  # By then it has been delivered.

    async def run_block(*failures: Exception) -> None:
        async with running(lambda _: run(), lambda: None, name="a task"):
            await trio.testing.wait_all_tasks_blocked()
            for failure in failures:
                raise failure

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # It may be ignored.
    try:
        with pytest.raises(KeyboardInterrupt):
            trio.run(run_block)
        with pytest.raises(BaseExceptionGroup) as both:
            trio.run(run_block, raised)
    finally:
        signal.signal(signal.SIGINT, before)
    assert [type(leaf) for leaf in both.value.exceptions] == [BodyError, KeyboardInterrupt]


@pytest.mark.filterwarnings("ignore::trio.TrioDeprecationWarning")
@pytest.mark.parametrize("around", ["nothing", "a cancelled scope"])
def test_exceptions_come_out_where_trio_does_not_wrap_them(around: str) -> None:
    raised = BodyError("body")

    async def run_body() -> None:
        with trio.CancelScope() as scope:
            async with VirtualNetwork() as network:
                with new_host(network):
                    async with receiver(), sender():
                        if around != "nothing":
                            scope.cancel()
                        raise raised

    with pytest.raises(BodyError) as alone:
        trio.run(run_body, strict_exception_groups=False)
    assert alone.value is raised


@pytest.mark.parametrize("block", ALL_BLOCKS)
@pytest.mark.parametrize("tasks", ["end", "crash"])
async def test_exception_is_freed_without_the_garbage_collector(
    on_virtual_host: VirtualHost, monkeypatch: pytest.MonkeyPatch, block: Block, tasks: str
) -> None:
    crash = Crash(monkeypatch, block)
    freed: weakref.ref[BaseException] | None = None

    async def fail() -> None:
        if tasks == "crash":
            crash.set()
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked()
        raise BodyError

    gc.disable()
    try:
        try:
            await block(fail)
        except BaseException as error:
            freed = weakref.ref(error)
        await trio.lowlevel.checkpoint()
        assert freed is not None
        assert freed() is None
    finally:
        gc.enable()
