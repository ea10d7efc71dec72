"""The command line: what commands there are, their options, and their exit statuses."""

from __future__ import annotations

import platform
import signal
from collections.abc import Awaitable, Callable
from importlib import metadata

import click
import trio

from .._errors import McastError
from ._demo import prepare_demo, run_demo
from ._view import open_console, print_introduction, print_result, show_arrivals

# What shells report for a program that SIGINT ended: 128 plus its number.
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
    try:
        status = trio.run(_until_interrupted, _demo)
    except KeyboardInterrupt:
        status = _INTERRUPTED
    context.exit(status)


async def _demo() -> int:
    """Run the demo and show it; the exit status."""
    console = open_console()
    try:
        setup = prepare_demo()
        print_introduction(console, setup)
        with show_arrivals(console) as show:
            result = await run_demo(setup, show)
    except McastError as error:
        click.echo(f"trio-mcast demo: {error}", err=True)
        return 1
    print_result(console, result)
    return 0 if result.complete else 1


async def _until_interrupted(command: Callable[[], Awaitable[int]]) -> int:
    """Run a command until it ends or Ctrl-C is pressed; the exit status.

    Trio would turn Ctrl-C into a KeyboardInterrupt in whichever task runs at that moment, which may
    leave a nursery as part of an exception group. As a cancellation it is the same everywhere.
    """
    status = _INTERRUPTED
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def cancel_at_signal() -> None:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(cancel_at_signal)
            status = await command()
            nursery.cancel_scope.cancel()
    return status
