"""``trio-mcast doctor``: its arguments, and how a diagnosis is printed."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import click

from .._diagnosis.diagnosis import Diagnosis, Finding
from .._diagnosis.examination import Progress

# The exit statuses; wrong usage is 2, as click has it.
WELL, ERRORS_FOUND, NOTHING_FOUND = 0, 1, 3

_WIDTH = 80
_COLOURS = {"error": "red", "warning": "yellow", "note": "blue"}


def parse_target(text: str) -> tuple[str, int]:
    """Return the group and port of ``GROUP:PORT``, of IPv6 ``[GROUP]:PORT``.

    Raises:
        click.BadParameter: The text is not of this form.
    """
    group, colon, port = text.rpartition(":")
    if group.startswith("[") and group.endswith("]"):
        group = group[1:-1]
    elif ":" in group:
        raise click.BadParameter(f"{text!r}: write an IPv6 group in brackets: [ff15::1234]:5000")
    if not colon or not port.isdecimal():
        raise click.BadParameter(f"{text!r} is no GROUP:PORT, such as 239.1.2.3:5000")
    try:
        is_group = ip_address(group).is_multicast
    except ValueError:
        is_group = False
    if not is_group:
        raise click.BadParameter(f"{group!r} is no multicast group, such as 239.1.2.3")
    return group, int(port)


def parse_targets(texts: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """Return the groups and the port of some targets, which have the same port.

    Raises:
        click.BadParameter: A text is no target, or the ports differ.
    """
    targets = [parse_target(text) for text in texts]
    ports = {port for _, port in targets}
    if len(ports) > 1:
        raise click.BadParameter("give groups of one port: run it once for each port")
    return tuple(dict.fromkeys(group for group, _ in targets)), ports.pop()


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
