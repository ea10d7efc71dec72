"""The command line: the commands, their options, and their exit statuses."""

from __future__ import annotations

import platform
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import metadata
from typing import TypeVar

import click
import trio

from .._values.errors import McastError
from .demo import prepare_demo, run_demo
from .view import open_console, print_introduction, print_result, show_arrivals

T = TypeVar("T")

# The exit status of a program that SIGINT ended, as shells report it: 128 plus the signal's number.
_INTERRUPTED = 130


def _version() -> str:
    try:
        return metadata.version("trio-mcast")
    except metadata.PackageNotFoundError:
        return "(not installed, run from its source)"


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    _version(),
    "-V",
    "--version",
    message=f"trio-mcast %(version)s, trio {trio.__version__}, "
    f"Python {platform.python_version()}, {platform.system()}",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """UDP multicast for Trio: see it work on this machine."""
    # click's own way of showing the help here ends with status 0 or 2, depending on its version.
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command()
@click.pass_context
def demo(context: click.Context) -> None:
    """Send and receive real multicast on this machine, in two seconds.

    Opens one receiver for two groups and a sender for each of them, all on the loopback interface:
    nothing reaches the network, and it needs no privilege, no route and no other machine. Shows
    each datagram as it arrives, then what receiver and senders have counted.

    The exit status is 0 if every datagram arrived, each once, and 1 otherwise.
    """
    console = open_console()
    try:
        setup = prepare_demo()
        print_introduction(console, setup)
        with show_arrivals(console) as show:
            result = trio.run(_run_interruptible, partial(run_demo, setup, show))
        print_result(console, result)
    except McastError as error:
        click.echo(f"trio-mcast demo: {error}", err=True)
        context.exit(1)
    except KeyboardInterrupt:
        context.exit(_INTERRUPTED)
    context.exit(0 if result.complete else 1)


async def _run_interruptible(function: Callable[[], Awaitable[T]]) -> T:
    """Run a function and return the result; Ctrl-C cancels the run and raises KeyboardInterrupt.

    Trio alone would raise the KeyboardInterrupt in whichever task runs at that moment, as part of
    an exception group after a nursery. With this function the exception is the same everywhere.
    """
    outcome: list[T] = []
    failure: McastError | KeyboardInterrupt | None = None
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def cancel_at_signal() -> None:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(cancel_at_signal)
            # Carried around the nursery, which would wrap it in a group. A KeyboardInterrupt can be
            # here if Ctrl-C was pressed while Trio started.
            try:
                outcome.append(await function())
            except (McastError, KeyboardInterrupt) as error:
                failure = error
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if not outcome:
        raise KeyboardInterrupt
    return outcome[0]
