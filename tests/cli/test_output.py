"""The console of the commands, and JSON lines."""

from __future__ import annotations

import io
import json
import shlex
import sys

import pytest

from trio_mcast._cli.output import can_redraw, json_line, open_console, print_json

from .test_demo import COMMAND, run

pytestmark = pytest.mark.once


class Terminal(io.StringIO):
    """A standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def printed(monkeypatch: pytest.MonkeyPatch, stdout: io.StringIO) -> tuple[str, bool]:
    monkeypatch.setattr(sys, "stdout", stdout)
    console = open_console()
    console.print("[red]x[/red] :smile: 12", style="red")
    return stdout.getvalue(), can_redraw(console)


def test_pipe_gets_plain_text_and_no_redraw(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(monkeypatch, io.StringIO()) == ("[red]x[/red] :smile: 12\n", False)


def test_terminal_gets_colour_and_redraw(monkeypatch: pytest.MonkeyPatch) -> None:
    text, redraw = printed(monkeypatch, Terminal())
    assert "\x1b[31m" in text
    assert redraw


@pytest.mark.parametrize(
    ("name", "value", "redraws"), [("NO_COLOR", "1", True), ("TERM", "dumb", False)]
)
def test_terminal_without_colours_gets_none(
    name: str, value: str, redraws: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    text, redraw = printed(monkeypatch, Terminal())
    assert "\x1b[3" not in text
    assert redraw is redraws


def test_forced_colour_in_a_pipe_is_no_redraw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    text, redraw = printed(monkeypatch, io.StringIO())
    assert "\x1b[31m" in text
    assert not redraw


@pytest.mark.parametrize(("columns", "width"), [(None, 80), ("40", 80), ("200", 200)])
def test_pipe_is_at_least_80_columns_wide(
    columns: str | None, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert open_console().width == width


def test_json_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": "größer\n", "list": [1, None, 2.5]}
    print_json(value)
    line = capsys.readouterr().out
    assert line == json_line(value) + "\n"
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line) == value


def test_table_for_a_reader_that_has_gone_ends_as_sigpipe_does() -> None:
    command = shlex.join((*COMMAND, "interfaces"))
    # The reader has ended before anything is written.
    script = f"(sleep 0.2; {command}; echo $? >&2) | true"
    result = run("sh", "-c", script)
    assert (result.stdout, result.stderr) == ("", "141\n")
