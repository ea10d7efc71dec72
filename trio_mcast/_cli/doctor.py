"""``trio-mcast doctor``: its arguments, and what it does with them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click

from .._diagnosis.diagnose import MOST_SENT, examine, parse_question
from .._diagnosis.diagnosis import Diagnosis
from .._diagnosis.phases import Progress
from .._diagnosis.rules.lanes import probes_came
from .diagnosis_text import print_diagnosis
from .output import can_redraw, open_console
from .rendering import counted
from .running import Command, fail, run_until_stopped, usage_errors
from .sentences import one_line
from .targets import TARGET, Seconds, Target, interface_option, source_option

# The exit statuses; wrong usage is 2, as click has it.
WELL, ERRORS_FOUND, NOTHING_FOUND = 0, 1, 3

_STANDARD_INPUT = "-"


@click.command(
    cls=Command,
    examples=(
        "trio-mcast doctor 239.1.2.3:5000",
        "trio-mcast doctor 239.1.2.3:5000 --interface eth0 --duration 2 --json",
        "trio-mcast doctor 239.1.2.3:5000 --sender --send 20 --duration 2",
        "trio-mcast doctor --duration 2 --mask --report report.json",
    ),
)
@click.argument("targets", metavar="[GROUP:PORT...]", nargs=-1, type=TARGET)
@interface_option
@source_option
@click.option("--sender", is_flag=True, help="This machine is the one that sends.")
@click.option(
    "--send",
    type=click.IntRange(1, MOST_SENT),
    metavar="N",
    help="With --sender: send N datagrams, and tell what becomes of them. Else it sends nothing.",
)
@click.option("--routed", is_flag=True, help="A router stands between sender and receiver.")
@click.option(
    "--duration",
    type=Seconds(min=0, min_open=True),
    default=6,
    show_default=True,
    metavar="SECONDS",
    help="How long to listen: at least three times the time between two datagrams.",
)
@click.option(
    "--peer",
    metavar="HOST",
    help="Another machine, on which trio-mcast respond runs: probe the way there and back.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all the evidence.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Save all of it, with the evidence, for --read on any machine.",
)
@click.option(
    "--mask", is_flag=True, help="Replace addresses of machines, in what is printed and saved."
)
@click.option(
    "--read", type=click.Path(dir_okay=False), metavar="FILE", help="Print a saved report."
)
@click.pass_context
def doctor(
    context: click.Context,
    targets: tuple[Target, ...],
    interfaces: tuple[str | int, ...],
    sources: tuple[str, ...],
    sender: bool,
    send: int | None,
    routed: bool,
    duration: float,
    peer: str | None,
    as_json: bool,
    report: str | None,
    mask: bool,
    read: str | None,
) -> int:
    """Find out why nothing arrives.

    Joins the groups on this machine, counts what comes and what the system drops, and says what is
    wrong, how that is known, and what to type. Write IPv6 groups as [ff15::1234]:5000. Without a
    group, it looks at the machine itself: interfaces, joined groups, ports, filters, queriers.

    Needs no privilege; as root, on Linux, it also sees the network and the rules of the firewall.
    Sends nothing but the reports of its joins, unless --send or --peer says so, and leaves the
    groups again.

    The exit status is 0 if datagrams came and no error was found, 1 if errors were found, 2 for
    wrong usage, and 3 if nothing came and no cause was found on this machine.
    """
    if read is not None:
        _refuse_others(context, "as_json", "mask", "read", "report")
        diagnosis = read_report(read)
    else:
        if report is not None:
            check_report(report)
        groups, port, wanted = one_question(targets, sources)
        _check_options(context, has_group=bool(groups))
        with usage_errors():
            question, named = parse_question(
                groups,
                port,
                interfaces=interfaces or None,
                sources=wanted or None,
                listen_seconds=duration,
                role="sender" if sender else "receiver",
                routed=routed,
                send=send,
                peer=peer,
            )
        try:
            outcome = run_until_stopped(
                partial(examine, question, named, show_progress()), endless=False
            )
        finally:
            end_progress()
        if outcome.result is None:
            return outcome.status(endless=False)
        diagnosis = outcome.result
    try:
        return _tell(diagnosis.masked() if mask else diagnosis, report, as_json=as_json)
    except ValueError as error:
        if read is None:
            raise
        # It has what no report has, such as an address that is none.
        fail(f"{read}: this is no diagnosis: {one_line(str(error))}")


def _tell(diagnosis: Diagnosis, report: str | None, *, as_json: bool) -> int:
    """Print a diagnosis, save it, and return the exit status."""
    if as_json:
        click.echo(diagnosis.to_json())
    else:
        print_diagnosis(diagnosis)
    if report is not None:
        try:
            Path(report).write_text(diagnosis.to_json() + "\n", encoding="utf-8")
        except OSError as error:
            fail(f"the report cannot be saved in {report}: {error.strerror or error}")
    return exit_status(diagnosis)


def _refuse_others(context: click.Context, *allowed: str) -> None:
    """Refuse arguments that are about looking, where a report is read.

    Raises:
        click.UsageError: There is one.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        is_given = source is click.core.ParameterSource.COMMANDLINE
        if is_given and parameter.name not in allowed:
            name = parameter.opts[-1] if parameter.opts[-1].startswith("-") else "a group"
            raise click.UsageError(f"--read prints a saved report: {name} is for looking")


def _check_options(context: click.Context, *, has_group: bool) -> None:
    """Refuse options that do not go together, by the names that they have on the shell.

    Raises:
        click.UsageError: There are some.
    """
    given = context.params
    about_groups = {
        "--source": given["sources"],
        "--sender": given["sender"],
        "--routed": given["routed"],
        "--peer": given["peer"] is not None,
    }
    options = [name for name, is_given in about_groups.items() if is_given]
    if given["send"] is not None and not given["sender"]:
        raise click.UsageError("--send is for a machine that sends: add --sender")
    if options and not has_group:
        listed = ", ".join(options)
        raise click.UsageError(f"{listed}: name at least one group as well, as 239.1.2.3:5000")


def read_report(name: str) -> Diagnosis:
    """Return the diagnosis that was saved in a file; ``-`` is standard input.

    Raises:
        click.ClickException: The file cannot be read, or is no report.
    """
    try:
        if name == _STANDARD_INPUT:
            return Diagnosis.from_json(sys.stdin.buffer.read())
        return Diagnosis.from_json(Path(name).read_bytes())
    except OSError as error:
        fail(f"{name}: {error.strerror or error}")
    except ValueError as error:
        fail(f"{name}: {error}")


def check_report(name: str) -> None:
    """Tell before the listening that a report could not be saved.

    Raises:
        click.ClickException: There is no such directory, or it may not be written to.
    """
    path = Path(name)
    place = path if path.exists() else path.parent
    if not place.exists():
        fail(f"the report cannot be saved in {name}: there is no {place}")
    if not os.access(place, os.W_OK):
        fail(f"the report cannot be saved in {name}: it may not be written")


def one_question(
    targets: Sequence[Target], sources: Sequence[str]
) -> tuple[tuple[str, ...], int | None, tuple[str, ...]]:
    """Return the groups, the port and the sources of targets that make one question.

    Without a target, there is no group and no port: the question is about the machine itself.

    Raises:
        click.UsageError: The ports differ, or some targets have a source and others have none.
    """
    ports = {target.port for target in targets}
    if len(ports) > 1:
        raise click.UsageError("give groups of one port: run it once for each port")
    wanted = [target.source for target in targets if target.source is not None]
    if wanted and len(wanted) < len(targets):
        raise click.UsageError("give a source to each group or to none: run it once for each")
    groups = dict.fromkeys(
        target.group if target.interface is None else f"{target.group}%{target.interface}"
        for target in targets
    )
    port = ports.pop() if ports else None
    return tuple(groups), port, tuple(dict.fromkeys((*wanted, *sources)))


def exit_status(diagnosis: Diagnosis) -> int:
    """Return the exit status that a diagnosis means."""
    if diagnosis.errors:
        return ERRORS_FOUND
    is_receiver = diagnosis.evidence.question.subject == "receiver"
    came = diagnosis.received or probes_came(diagnosis.evidence.peer)
    return NOTHING_FOUND if is_receiver and not came else WELL


def progress_line(progress: Progress) -> str:
    """Return the state of the listening as a line."""
    if progress.phase == "probing":
        return progress.doing
    places = ", ".join(progress.interfaces) or "no interface"
    doing = {
        "before": "not joined yet",
        "joined": f"joined on {places}",
        "widened": f"joined more widely on {places}",
        "left": "left again",
        "rejoined": f"joined again on {places}",
    }[progress.phase]
    line = f"{doing}, {progress.seconds:.0f} of {progress.of_seconds:.0f} s"
    if progress.phase not in ("before", "left"):
        line += f", {counted(progress.count)} of the group"
    return line if progress.others is None else f"{line}, {progress.others} of others"


def show_progress() -> Callable[[Progress], None]:
    """Return what shows one line on standard error, if that can be redrawn; else nothing."""
    console = open_console(stderr=True)
    if not can_redraw(console):
        return lambda progress: None

    def show(progress: Progress) -> None:
        # One column is left free: in the last one, some terminals begin a new line.
        line = progress_line(progress)[: console.width - 1]
        click.echo("\r" + line.ljust(console.width - 1), nl=False, err=True)

    return show


def end_progress() -> None:
    """Take the line away."""
    console = open_console(stderr=True)
    if can_redraw(console):
        click.echo("\r" + " " * (console.width - 1) + "\r", nl=False, err=True)
