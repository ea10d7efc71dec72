"""A diagnosis as text: the verdict, the findings, the machine, and what was not looked at."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import click

from .._diagnosis.diagnosis import Diagnosis, Finding
from .._values.errors import printable
from .machine_text import describe_machine
from .rendering import payload_text

_WIDTH = 80
_COLOURS = {"error": "red", "warning": "yellow", "note": "blue"}


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """Print the verdict, the findings, what was joined for it, and what was not looked at."""
    click.secho(_fill(diagnosis.verdict), bold=True)
    for finding in diagnosis.findings:
        click.echo()
        for line in _describe(finding):
            click.echo(line)
    if diagnosis.evidence.question.subject == "machine":
        for title, lines in describe_machine(diagnosis.evidence):
            click.echo()
            click.secho(title, bold=True)
            for line in lines:
                click.echo(_fill(line, "  ", "    "))
    joined = _joined(diagnosis)
    if joined:
        click.echo()
        click.echo(_fill(f"Joined for this, and left again: {joined}."))
    if diagnosis.not_checked:
        click.echo("\nNot looked at:")
        for one in diagnosis.not_checked:
            click.echo(_fill(f"{one.what}: {one.why}", "  * ", "    "))


def _joined(diagnosis: Diagnosis) -> str:
    """Return what was joined, with what was tried in addition as a number."""
    heard = [one for one in diagnosis.evidence.heard or () if one.refusal is None]
    asked = dict.fromkeys(
        f"{one.group} on {one.interface}" for one in heard if one.phase == "joined"
    )
    widened = {(one.group, one.interface, one.port) for one in heard if one.phase == "widened"}
    more = f"; then {len(widened)} more, on other interfaces and ports" if widened else ""
    return ", ".join(asked) + more if asked else ""


def _describe(finding: Finding) -> Iterator[str]:
    place = "".join(f", {part}" for part in (finding.interface, finding.group) if part)
    title = f"{finding.severity} ({finding.certainty}): {finding.code}{place}"
    yield click.style(_shown(title), fg=_COLOURS[finding.severity])
    yield _fill(finding.what, "  ")
    for one in finding.evidence:
        yield _fill(f"{one.where}: {one.value}", "  - ", "    ")
    yield _fill(f"What to do: {finding.cure}", "  ")


def _shown(text: str) -> str:
    """Return a text in one line, without what moves a cursor: a report may be anybody's."""
    return payload_text(printable(" ".join(text.split())).encode())


def _fill(text: str, first: str = "", others: str | None = None) -> str:
    return textwrap.fill(
        _shown(text),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=first if others is None else others,
        break_long_words=False,
        break_on_hyphens=False,
    )
