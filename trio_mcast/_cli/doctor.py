"""``trio-mcast doctor``: its arguments, and how a diagnosis is printed."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import click

from .._diagnosis.diagnose import examine, parse_question
from .._diagnosis.diagnosis import Diagnosis, Finding
from .._diagnosis.examination import Progress
from .running import Command, run_until_stopped, usage_errors
from .targets import Target, interface_option, source_option, targets_argument

# The exit statuses; wrong usage is 2, as click has it.
WELL, ERRORS_FOUND, NOTHING_FOUND = 0, 1, 3

_WIDTH = 80
_COLOURS = {"error": "red", "warning": "yellow", "note": "blue"}


@click.command(
    cls=Command,
    examples=(
        "trio-mcast doctor 239.1.2.3:5000",
        "trio-mcast doctor 239.1.2.3:5000 --interface eth0 --duration 2 --json",
    ),
)
@targets_argument
@interface_option
@source_option
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
def doctor(
    targets: tuple[Target, ...],
    interfaces: tuple[str | int, ...],
    sources: tuple[str, ...],
    sender: bool,
    routed: bool,
    duration: float,
    as_json: bool,
) -> int:
    """Find out why nothing arrives.

    Joins the groups on this machine, counts what comes and what the system drops, and says what is
    wrong, how that is known, and what to type. Write IPv6 groups as [ff15::1234]:5000.

    Needs no privilege; as root, on Linux, it also sees the network and the rules of the firewall.
    Sends nothing but the reports of its joins, and leaves the groups again.

    The exit status is 0 if datagrams came and no error was found, 1 if errors were found, 2 for
    wrong usage, and 3 if nothing came and no cause was found on this machine.
    """
    groups, port, wanted = one_question(targets, sources)
    with usage_errors():
        question, named = parse_question(
            groups,
            port,
            interfaces=interfaces or None,
            sources=wanted or None,
            listen_seconds=duration,
            role="sender" if sender else "receiver",
            routed=routed,
        )
    try:
        outcome = run_until_stopped(
            partial(examine, question, named, show_progress()), endless=False
        )
    finally:
        end_progress()
    if outcome.result is None:
        return outcome.status(endless=False)
    if as_json:
        click.echo(outcome.result.to_json())
    else:
        print_diagnosis(outcome.result)
    return exit_status(outcome.result)


def one_question(
    targets: Sequence[Target], sources: Sequence[str]
) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
    """Return the groups, the port and the sources of targets that make one question.

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
    return tuple(groups), ports.pop(), tuple(dict.fromkeys((*wanted, *sources)))


def exit_status(diagnosis: Diagnosis) -> int:
    """Return the exit status that a diagnosis means."""
    if diagnosis.errors:
        return ERRORS_FOUND
    is_receiver = diagnosis.evidence.question.role == "receiver"
    return NOTHING_FOUND if is_receiver and not diagnosis.received else WELL


def show_progress() -> Callable[[Progress], None]:
    """Return what shows one line on standard error, if that is a terminal; else nothing."""
    if not sys.stderr.isatty():
        return lambda progress: None

    def show(progress: Progress) -> None:
        doing = {"before": "not joined", "widened": "looking more widely"}.get(
            progress.phase, progress.phase
        )
        line = f"{doing}, {progress.seconds:.0f} of {progress.of_seconds:.0f} s"
        click.echo(f"\r{line}, {progress.count} datagrams".ljust(_WIDTH - 1), nl=False, err=True)

    return show


def end_progress() -> None:
    """Take the line away."""
    if sys.stderr.isatty():
        click.echo("\r" + " " * (_WIDTH - 1) + "\r", nl=False, err=True)


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """Print the verdict, the findings, and what was not looked at."""
    click.secho(_fill(diagnosis.verdict), bold=True)
    for finding in diagnosis.findings:
        click.echo()
        for line in _describe(finding):
            click.echo(line)
    if diagnosis.not_checked:
        click.echo("\nNot looked at:")
        for one in diagnosis.not_checked:
            click.echo(_fill(f"{one.what}: {one.why}", "  * ", "    "))


def _describe(finding: Finding) -> Iterator[str]:
    place = "".join(f", {part}" for part in (finding.interface, finding.group) if part)
    title = f"{finding.severity} ({finding.certainty}): {finding.code}{place}"
    yield click.style(title, fg=_COLOURS[finding.severity])
    yield _fill(finding.what, "  ")
    for one in finding.evidence:
        yield _fill(f"{one.where}: {one.value}", "  - ", "    ")
    yield _fill(f"What to do: {finding.cure}", "  ")


def _fill(text: str, first: str = "", others: str | None = None) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=first if others is None else others,
        break_long_words=False,
        break_on_hyphens=False,
    )
