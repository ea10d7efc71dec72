"""Making, running and ending a live object, so that no exception is lost by it.

Live objects have no public constructor: they come from the functions that open them.

The body of a block, its tasks and its end can each fail, and a ``finally`` or a nursery then drops
or wraps one of the exceptions. So each block here collects what has failed and raises it in the
end: one exception as itself, several in a group.

To let the body's exception through the nursery and unwrap it afterwards is not enough: a nursery
that an exception has cancelled makes new groups for all that it takes `trio.Cancelled` out of, also
where there is none. A group that the body has raised would come out as a copy.
"""

from __future__ import annotations

import sys
from abc import ABCMeta, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

import trio
from trio.lowlevel import enable_ki_protection

if sys.version_info < (3, 11):
    # Trio depends on it there. Not every Python that types are checked on has it.
    from exceptiongroup import (  # type: ignore[import-not-found,unused-ignore]
        BaseExceptionGroup,
    )

_T = TypeVar("_T")
_Co = TypeVar("_Co", covariant=True)


class OpenedOnly(ABCMeta):
    """A metaclass whose classes cannot be called, only made through ``_create``."""

    def __call__(cls, *args: object, **kwargs: object) -> Any:
        raise TypeError(
            f"{cls.__name__} has no public constructor: use trio_mcast.open_mcast_receiver, "
            "trio_mcast.open_mcast_sender or trio_mcast.open_mcast_channel"
        )

    def _create(cls: type[_T], *args: object, **kwargs: object) -> _T:
        made: _T = super().__call__(*args, **kwargs)  # type: ignore[misc]  # of the metaclass
        return made


class _Tasks:
    """The tasks of a block, in a nursery of their own, which the first task opens.

    Attributes:
        crashes: The errors of the tasks.
    """

    __slots__ = ("_body_scope", "_has_ended", "_nursery", "crashes")

    def __init__(self, body_scope: trio.CancelScope) -> None:
        """Run no task yet.

        Args:
            body_scope: Cancelled if a task fails.
        """
        self.crashes: tuple[BaseException, ...] = ()
        self._body_scope = body_scope
        self._nursery: trio.Nursery | None = None
        self._has_ended = False

    @enable_ki_protection
    async def run(self, run: Callable[[trio.Nursery], Awaitable[object]]) -> None:
        """Run the first task, and those that it starts, until `end`. Raises nothing."""
        if self._has_ended:
            return
        try:
            async with trio.open_nursery() as self._nursery:
                # What cancels the body is not to cancel what its clean-up may still use.
                self._nursery.cancel_scope.shield = True
                try:
                    await run(self._nursery)
                    await trio.sleep_forever()  # More tasks may be started, at any time.
                except Exception as error:  # Before the nursery wraps it.
                    self.crashes += (error,)
                    self._nursery.cancel_scope.cancel()
        except BaseException as error:  # Of the other tasks.
            self.crashes += tuple(getattr(error, "exceptions", [error]))
        if self.crashes:
            self._body_scope.cancel()

    def end(self) -> None:
        """Cancel the tasks."""
        self._has_ended = True
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()


@asynccontextmanager
@enable_ki_protection  # Else Ctrl-C could leave the shielded task without an end.
async def running(
    run: Callable[[trio.Nursery], Awaitable[object]], stop: Callable[[], object], *, name: str
) -> AsyncIterator[None]:
    """Run tasks for the length of a block, and call a function at its end.

    If a task fails, the body is cancelled. The end of the block is a checkpoint.

    Args:
        run: The first task runs this until cancelled. It is given its own nursery, for more tasks.
        stop: Called when the body has ended, while the tasks still run.
        name: The name of the first task.
    """
    failures: list[BaseException] = []
    body_scope = trio.CancelScope()
    tasks = _Tasks(body_scope)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tasks.run, run, name=name)
            try:
                # This scope catches the cancellation by a crash of a task, and no other.
                with body_scope:
                    yield
            except BaseException as error:
                failures.append(error)
            try:
                stop()
            except BaseException as error:
                failures.append(error)
            finally:
                tasks.end()
    except BaseException as error:
        # The first task raises nothing: this is Ctrl-C during the wait for its end.
        failures += getattr(error, "exceptions", [error])
    failures += tasks.crashes
    tasks.crashes = ()
    if failures:
        raise_together(failures)
    await trio.lowlevel.checkpoint_if_cancelled()


class Closes(Protocol):
    """Something that can be closed at once."""

    def close(self) -> object:
        """Close it."""


class closing_each:  # Used like `contextlib.closing`.
    """Close each at the end of a ``with`` block; an error of that does not replace the body's."""

    __slots__ = ("_resources",)

    def __init__(self, *resources: Closes) -> None:
        self._resources = resources

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        failures: list[BaseException] = []
        for resource in self._resources:
            try:
                resource.close()
            except BaseException as another:
                failures.append(another)
        if failures:
            if error is not None:
                failures.insert(0, error)
            del error
            raise_together(failures)


class Signal:
    """A way to wake all tasks that wait, which takes next to nothing while none does."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: trio.Event | None = None

    async def wait(self) -> None:
        """Wait for the next `give`. A checkpoint."""
        if self._event is None:
            self._event = trio.Event()
        await self._event.wait()

    def give(self) -> None:
        """Wake the tasks that wait now."""
        event, self._event = self._event, None
        if event is not None:
            event.set()


class Opening(AbstractAsyncContextManager[_Co]):
    """The ``async with`` block of a function that opens something, and the answer to other uses.

    Args:
        block: The block itself.
        usage: The way to use it, as in the source of a program.
    """

    def __init__(self, block: AbstractAsyncContextManager[_Co], usage: str) -> None:
        self._block: AbstractAsyncContextManager[_Co] = block
        self._usage: str = usage
        self._entered: bool = False

    @enable_ki_protection  # Else Ctrl-C before or behind the body could leave the tasks.
    async def __aenter__(self) -> _Co:
        check_trio()
        if self._entered:
            raise RuntimeError(f"this has been entered before: {self._advice}, anew each time")
        self._entered = True
        return await self._block.__aenter__()

    @enable_ki_protection
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._block.__aexit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"<not open yet: {self._advice}>"

    @property
    def _advice(self) -> str:
        return f'use "async with {self._usage}"'

    # Unknown to type checkers, which then report these mistakes themselves.
    if not TYPE_CHECKING:

        def __enter__(self) -> NoReturn:
            raise TypeError(f'{self._advice}, not "with"')

        def __exit__(self, *_: object) -> NoReturn:
            raise AssertionError("never entered")

        def __await__(self) -> NoReturn:
            raise TypeError(f'{self._advice}, not "await"')

        def __aiter__(self) -> NoReturn:
            raise TypeError(f'{self._advice}, and "async for" inside it')

        def __iter__(self) -> NoReturn:
            raise TypeError(f'{self._advice}, and "async for" inside it')

        def __getattr__(self, name: str) -> NoReturn:
            # Looked up by `copy`, `pickle` and others, who expect the plain answer.
            advice = "" if name.startswith("_") else f": {self._advice}"
            raise AttributeError(f"nothing is open yet that could have {name!r}{advice}")


def check_trio() -> None:
    """Check that Trio runs this task.

    Raises:
        RuntimeError: Something else does, or nothing.
    """
    try:
        trio.lowlevel.current_trio_token()
    except RuntimeError:
        # It need not be imported to be asked: where it runs, it is.
        asyncio = sys.modules.get("asyncio")
        is_asyncio = asyncio is not None and asyncio._get_running_loop() is not None
        raise RuntimeError(_THIS_IS_ASYNCIO if is_asyncio else _NOT_TRIO) from None


_NOT_TRIO = "trio_mcast needs Trio: start the program with trio.run()"
_THIS_IS_ASYNCIO = (
    "this is asyncio; trio_mcast needs Trio: start the program with trio.run(), or run both side "
    "by side, as https://trio.readthedocs.io/en/stable/reference-lowlevel.html#guest-mode explains"
)


class Closeable(trio.abc.AsyncResource):
    """A resource whose ``async with`` block closes it and lets the body's exception out.

    Trio's own ends with a checkpoint in any case, which replaces the exception where it is
    cancelled.
    """

    def __init__(self) -> None:
        self._run_token = trio.lowlevel.current_trio_token()
        # For `serve_until_closed`, if that has opened it. Set by those that can be served.
        self._closing: trio.Event | None = None
        # Where the tasks run, once they do.
        self._tasks: trio.Nursery | None = None

    def _note_closing(self) -> None:
        if self._closing is not None:
            self._closing.set()

    def _cancel_tasks(self) -> None:
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    def _check_run(self) -> None:
        """Raise an error, before anything is done, if this is not the run that it was opened in.

        In another thread nothing can be woken or cancelled: a task that waits would wait for ever.

        Raises:
            RuntimeError: This is another thread, or another run of Trio.
        """
        try:
            is_same = trio.lowlevel.current_trio_token() is self._run_token
        except RuntimeError:
            is_same = False
        if not is_same:
            raise RuntimeError(
                "this is closed in the thread, and the run of Trio, in which it was opened: from "
                "another thread use trio.from_thread.run_sync"
            )

    @abstractmethod
    def close(self) -> None:
        """Close it, at once. Idempotent."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        closing_each(self).__exit__(kind, error, traceback)
        if error is None:
            await trio.lowlevel.checkpoint()


_Closeable = TypeVar("_Closeable", bound=Closeable)


async def serve_until_closed(
    opening: AbstractAsyncContextManager[_Closeable], task_status: trio.TaskStatus[_Closeable]
) -> None:
    """Open something in a task of its own, and keep it open until it is closed.

    Args:
        opening: The block that opens it.
        task_status: Given the live object, once that is open.
    """
    async with opening as live:
        closing = live._closing = trio.Event()
        task_status.started(live)
        await closing.wait()


def call_each(calls: Iterable[Callable[[], object]]) -> None:
    """Call each function, also after one has raised; then raise what has failed.

    Args:
        calls: The steps of closing something. Each has to be one that can be repeated.
    """
    failures: list[BaseException] = []
    for call in calls:
        try:
            call()
        except BaseException as error:
            failures.append(error)
    if failures:
        raise_together(failures)


def raise_together(failures: list[BaseException]) -> NoReturn:
    """Raise one exception as itself, several in a group.

    Args:
        failures: At least one; the same one may stand there twice. The list is emptied: tracebacks
            refer to the frames that have it, and it to the exceptions.
    """
    different = list({id(failure): failure for failure in failures}.values())
    failures.clear()
    error = different[0]
    if len(different) > 1:
        # The group keeps the list that it is given, and shows it.
        error = BaseExceptionGroup("a block failed in more than one way", [*different])
    different.clear()
    context = error.__context__
    try:
        raise error
    finally:
        # What is being handled right now is not what led to it.
        error.__context__ = context
        del error, context
