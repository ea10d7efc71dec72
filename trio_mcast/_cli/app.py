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

from .._diagnosis.diagnose import examine, parse_question
from .._values.errors import McastError
from .demo import prepare_demo, run_demo
from .doctor import end_progress, exit_status, parse_targets, print_diagnosis, show_progress
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
    """UDP multicast for Trio: see it work on this machine, and find out why it does not."""
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


@cli.command()
@click.argument("targets", metavar="GROUP:PORT...", nargs=-1, required=True)
@click.option(
    "--interface",
    "interfaces",
    multiple=True,
    metavar="NAME",
    help="The interface to look at; may be given more than once. Else those fit for multicast.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="ADDRESS",
    help="The only source that is wanted; may be given more than once. Else any.",
)
@click.option("--sender", is_flag=True, help="This machine is the one that sends.")
@click.option("--routed", is_flag=True, help="A router stands between sender and receiver.")
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    default=6,
    show_default=True,
    metavar="SECONDS",
    help="How long to listen: at least three times the time between two datagrams.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all the evidence.")
@click.pass_context
def doctor(
    context: click.Context,
    targets: tuple[str, ...],
    interfaces: tuple[str, ...],
    sources: tuple[str, ...],
    sender: bool,
    routed: bool,
    duration: float,
    as_json: bool,
) -> None:
    """Find out why nothing arrives.

    Joins the groups on this machine, counts what comes and what the system drops, and says what is
    wrong, how that is known, and what to type. Write IPv6 groups as [ff15::1234]:5000.

    Needs no privilege; as root, on Linux, it also sees the network and the rules of the firewall.
    Sends nothing but the reports of its joins, and leaves the groups again.

    The exit status is 0 if datagrams came and no error was found, 1 if errors were found, 2 for
    wrong usage, and 3 if nothing came and no cause was found on this machine.
    """
    groups, port = parse_targets(targets)
    try:
        question, named = parse_question(
            groups,
            port,
            interfaces=interfaces or None,
            sources=sources or None,
            listen_seconds=duration,
            role="sender" if sender else "receiver",
            routed=routed,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    try:
        examination = partial(examine, question, named, show_progress())
        diagnosis = trio.run(_run_interruptible, examination)
    except McastError as error:
        click.echo(f"trio-mcast doctor: {error}", err=True)
        context.exit(1)
    except KeyboardInterrupt:
        context.exit(_INTERRUPTED)
    finally:
        end_progress()
    if as_json:
        click.echo(diagnosis.to_json())
    else:
        print_diagnosis(diagnosis)
    context.exit(exit_status(diagnosis))


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
