"""The frame of every command: errors as one sentence, exit statuses, and ends from outside.

The exit status is 0 if all went well, 1 if something failed, and 2 for wrong usage, unless the help
of a command says otherwise. Ctrl-C and SIGTERM end a command with its summary, if it has one. So
ended, it exits with 0 if it has no end of its own, and otherwise with 130 or 143, as shells report
these signals. A command whose output nobody reads any more ends quietly, likewise with 0 or 141.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import stat
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import metadata
from typing import Any, Generic, Literal, NoReturn, TextIO, TypeAlias, TypeVar

import attrs
import click
import trio

from .._values.errors import McastError
from .sentences import complain, describe, describe_os_error, leaves_of, one_line

if sys.version_info < (3, 11):
    # Trio depends on it there. Not every Python that types are checked on has it.
    from exceptiongroup import BaseExceptionGroup  # type: ignore[import-not-found,unused-ignore]

T = TypeVar("T")

FAILED, WRONG_USAGE = 1, 2

#: Ends from outside: Ctrl-C, SIGTERM, and a reader of the output that has gone.
Stop: TypeAlias = Literal["interrupted", "terminated", "closed pipe"]

# 128 plus the number of SIGINT, SIGTERM, SIGPIPE.
STOP_STATUS: dict[Stop, int] = {"interrupted": 130, "terminated": 143, "closed pipe": 141}


@attrs.frozen
class Outcome(Generic[T]):
    """The outcome of `run_until_stopped`.

    Attributes:
        result: The function's result; `None` if it was stopped.
        stop: The end from outside; `None` if the function came to its own end.
    """

    result: T | None = None
    stop: Stop | None = None

    def status(self, *, endless: bool) -> int:
        """Return the exit status, for a command that did what it should.

        Args:
            endless: Whether the command has no end of its own, so that a stop is its normal end.
        """
        return 0 if self.stop is None or endless else STOP_STATUS[self.stop]


def run_until_stopped(function: Callable[[], Awaitable[T]], *, endless: bool) -> Outcome[T]:
    """Run an async function in Trio, to its end or until it is stopped from outside.

    When stopped, the function is cancelled; what it has done so far is to be kept elsewhere, such
    as in the object whose method it is. After ``"closed pipe"``, print nothing more.

    Args:
        function: The function.
        endless: Whether the function has no end of its own. If so, it is stopped as soon as the
            reader of standard output goes, even while nothing is written.

    Raises:
        Exception: Whatever the function raises, except `BrokenPipeError`.
    """
    return trio.run(partial(_run, function, endless))


async def _run(function: Callable[[], Awaitable[T]], endless: bool) -> Outcome[T]:
    outcome: Outcome[T] | None = None
    failure: BaseException | None = None
    stops: list[Stop] = []
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        # What the function raises is carried around the nursery, which would wrap it in a group.
        # Only a group that holds a cancellation goes through it, and comes out without that.
        try:
            async with trio.open_nursery() as nursery:

                def stop(reason: Stop) -> None:
                    stops.append(reason)
                    nursery.cancel_scope.cancel()

                async def stop_at_signal() -> None:
                    async for number in signals:
                        stop("interrupted" if number == signal.SIGINT else "terminated")

                async def stop_without_reader() -> None:
                    await _wait_for_no_reader()
                    stop("closed pipe")

                nursery.start_soon(stop_at_signal)
                if endless:
                    nursery.start_soon(stop_without_reader)
                # A KeyboardInterrupt can be here if Ctrl-C was pressed while Trio started.
                try:
                    outcome = Outcome(await function())
                except (Exception, KeyboardInterrupt) as error:
                    failure = error
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as error:
            failure = error
    if failure is not None:
        if not all(isinstance(leaf, BrokenPipeError) for leaf in leaves_of(failure)):
            raise failure
        stops.append("closed pipe")
    return outcome or Outcome(stop=stops[0])


async def _wait_for_no_reader() -> None:
    """Return when standard output is a pipe that nobody reads any more; else never."""
    try:
        output = sys.stdout.fileno()
        is_pipe = stat.S_ISFIFO(os.fstat(output).st_mode)
    except (OSError, ValueError):  # Something else takes the place of standard output.
        is_pipe = False
    # Where there is no poll, a write will tell.
    while is_pipe and hasattr(select, "poll"):
        poll = select.poll()
        poll.register(output, 0)
        if poll.poll(0):
            return
        # The error condition of a pipe's writing end wakes whoever waits to read there.
        with suppress(OSError):
            await trio.lowlevel.wait_readable(output)
        await trio.sleep(0.05)
    await trio.sleep_forever()


class Failure(click.ClickException):
    """The failure of a command: one sentence, and exit status 1."""

    exit_code = FAILED


class _ClosedPipe(Exception):
    """The reader of the output has gone; click would take a `BrokenPipeError` for its own."""


class Command(click.Command):
    """A command of ``trio-mcast``.

    Its errors become one sentence, and its help ends with examples. Each example is a command line
    that works as it stands; a test runs all of them.
    """

    def __init__(self, *args: Any, examples: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        with formatter.section("Examples" if len(self.examples) > 1 else "Example"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Parse the arguments; the help may be all that is wanted, and is printed here."""
        with _errors_in_a_sentence():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and exit with the status that it returns, if any."""
        with _errors_in_a_sentence(), _warnings_in_a_sentence(_name(ctx)):
            status = super().invoke(ctx)
            _flush(sys.stdout)
        ctx.exit(status or 0)


class Commands(click.Group):
    """The ``trio-mcast`` command, which has all others."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command, and end the program."""
        run = partial(super().main, args, prog_name, complete_var, standalone_mode=False, **extra)
        if not standalone_mode:
            return run()
        prepare_streams()
        sys.exit(_status(run))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each with the whole first sentence of its help."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [
            (name, command.get_short_help_str(limit=1_000))
            for name, command in commands.items()
            if command is not None
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the arguments; the help may be all that is wanted, and is printed here."""
        with _errors_in_a_sentence():
            return super().make_context(*args, **extra)


def _status(run: Callable[[], Any]) -> int:
    """Run the command, say what went wrong, and return the exit status."""
    try:
        status = run()
        _flush(sys.stdout)
        return status if isinstance(status, int) else 0
    except click.ClickException as error:
        sentence = one_line(error.format_message())
        if isinstance(error, click.UsageError):
            # A sentence that click writes ends with a full stop, one of the library does not.
            sentence = f"{sentence.rstrip('.')} (see {_name(error.ctx)} --help)"
        complain(_name(getattr(error, "ctx", None)), sentence)
        _discard(sys.stdout)
        return error.exit_code
    except (_ClosedPipe, BrokenPipeError):
        _discard(sys.stdout)
        return STOP_STATUS["closed pipe"]
    except OSError as error:
        complain("trio-mcast", describe_os_error(error))
        _discard(sys.stdout)
        return FAILED
    except (click.Abort, KeyboardInterrupt):
        return STOP_STATUS["interrupted"]


@contextmanager
def usage_errors() -> Iterator[None]:
    """Make a `ValueError` of the block wrong usage: arguments that contradict each other."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(one_line(str(error))) from error


@contextmanager
def _errors_in_a_sentence() -> Iterator[None]:
    try:
        yield
    except click.exceptions.Exit:
        raise
    except click.ClickException as error:
        _set_context(error)
        raise
    except KeyboardInterrupt as error:
        raise click.exceptions.Exit(STOP_STATUS["interrupted"]) from error
    except (Exception, BaseExceptionGroup) as error:
        leaves = list(leaves_of(error))
        if all(isinstance(leaf, BrokenPipeError) for leaf in leaves):
            raise _ClosedPipe from error
        if all(isinstance(leaf, (McastError, OSError)) for leaf in leaves):
            sentences = dict.fromkeys(map(describe, leaves))
            raise _set_context(Failure("; ".join(sentences))) from error
        if all(isinstance(leaf, ValueError) for leaf in leaves):
            sentences = dict.fromkeys(one_line(str(leaf)) for leaf in leaves)
            raise _set_context(click.UsageError("; ".join(sentences))) from error
        raise


def _set_context(error: click.ClickException) -> click.ClickException:
    if getattr(error, "ctx", None) is None:
        error.ctx = click.get_current_context(silent=True)  # type: ignore[attr-defined]
    return error


def _name(context: click.Context | None) -> str:
    """Return ``trio-mcast COMMAND``, however the program was started."""
    names: list[str] = []
    while context is not None and context.parent is not None:
        names.insert(0, context.info_name or "")
        context = context.parent
    return " ".join(["trio-mcast", *names])


class _OneLiner(logging.Handler):
    """A handler that writes warnings of the library like errors of the command."""

    def __init__(self, command: str) -> None:
        super().__init__(logging.WARNING)
        self._command = command

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line on standard error, wherever that leads by now."""
        complain(self._command, one_line(record.getMessage()))


@contextmanager
def _warnings_in_a_sentence(command: str) -> Iterator[None]:
    logger, handler = logging.getLogger("trio_mcast"), _OneLiner(command)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def prepare_streams() -> None:
    """Make the standard streams fit for a command, whatever the program was started with.

    A stream that was closed is replaced: else the first file or socket to be opened would get its
    number, and then what is printed. An interface can have any name: what the encoding of standard
    output lacks is escaped, as on standard error.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def _flush(stream: TextIO) -> None:
    # At its end, Python would complain in words of its own about what cannot be written.
    stream.flush()


def _discard(stream: TextIO) -> None:
    """Let what was not written go nowhere, also when Python flushes it in the end."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def program_version() -> str:
    """Return the version of trio-mcast."""
    try:
        return metadata.version("trio-mcast")
    except metadata.PackageNotFoundError:
        return "(not installed, run from its source)"


def fail(sentence: str) -> NoReturn:
    """End the command with a sentence and exit status 1."""
    raise Failure(sentence)
