"""The output of every command: tables for people, and JSON, one object a line, for programs."""

from __future__ import annotations

import json
import os
import select
import stat
import sys
from typing import Any

import trio
from rich.console import Console

# The width of tables where there is no terminal, unless COLUMNS says otherwise.
WIDTH = 80

# Windows has only some of its names.
_select: Any = select


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise the `BrokenPipeError` that is being handled: rich would exit with status 1."""
        raise


def open_console(*, stderr: bool = False) -> Console:
    """Return a console for standard output or standard error.

    Without a terminal there are no colours and no control characters, and the console is at least
    80 columns wide. Everywhere, it honours COLUMNS; NO_COLOR, which leaves no colours; and
    TERM=dumb, which leaves no control characters at all.
    """
    console = _Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)
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


class Output:
    """Bytes to a file or pipe, for a program that has more to do than to wait for its reader."""

    def __init__(self, file: int) -> None:
        """Write to a file without a buffer.

        Args:
            file: The file descriptor.
        """
        self._file = file
        # A file takes everything at once; and where there is no poll, nobody knows.
        self._is_file = stat.S_ISREG(os.fstat(self._file).st_mode)
        self._poll = _select.poll() if hasattr(_select, "poll") else None
        if self._poll is not None:
            self._poll.register(self._file, _select.POLLOUT)

    async def write(self, data: bytes) -> None:
        """Write all of the data; whoever reads has it when this returns.

        Raises:
            OSError: The data cannot be written.

        Cancellation:
            A checkpoint if the reader is slow. If writing is cancelled, a thread is left that waits
            for the reader, and ends with the program.
        """
        if self._takes(len(data)):
            self._write(data)
        elif data:
            await trio.to_thread.run_sync(self._write, data, abandon_on_cancel=True)

    def _takes(self, size: int) -> bool:
        """Tell whether so many bytes are taken without waiting."""
        if self._is_file or self._poll is None:
            return True
        # So much room has a pipe that can be written to at all.
        return size <= _select.PIPE_BUF and bool(self._poll.poll(0))

    def _write(self, data: bytes) -> None:
        remaining = memoryview(data)
        while remaining:
            remaining = remaining[os.write(self._file, remaining) :]
