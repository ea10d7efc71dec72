"""The output of every command: tables for people, and JSON, one object a line, for programs."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console

# The width of tables where there is no terminal, unless COLUMNS says otherwise.
WIDTH = 80


def open_console(*, stderr: bool = False) -> Console:
    """Return a console for standard output or standard error.

    Without a terminal there are no colours and no control characters, and the console is at least
    80 columns wide. Everywhere, it honours COLUMNS; NO_COLOR, which leaves no colours; and
    TERM=dumb, which leaves no control characters at all.
    """
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    return console


def can_redraw(console: Console) -> bool:
    """Tell whether what was drawn can be drawn again in its place.

    FORCE_COLOR makes rich take a pipe for a terminal, but a pipe has no cursor that can move.
    """
    return console.is_interactive and not console.is_dumb_terminal and console.file.isatty()


def json_line(value: Any) -> str:
    """Return a value as one line of JSON, in ASCII, so that any terminal and any pipe takes it."""
    return json.dumps(value, separators=(", ", ": "), allow_nan=False)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, at once."""
    sys.stdout.write(json_line(value) + "\n")
    sys.stdout.flush()
