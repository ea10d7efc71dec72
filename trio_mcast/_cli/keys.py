"""Single keys from a terminal, without Enter."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from types import ModuleType

import trio

termios: ModuleType | None
tty: ModuleType
try:
    import termios
    import tty
except ImportError:  # Windows.
    termios = None


@contextmanager
def single_keys() -> Iterator[bool]:
    """Have the terminal give each key at once, and show none, for the length of a block.

    Yields:
        Whether there are keys to read: standard input is a terminal that can do this.
    """
    if termios is None or not sys.stdin.isatty():
        yield False
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield True
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


async def read_keys() -> AsyncGenerator[str, None]:
    """Yield each key as it is pressed, within `single_keys`; an arrow is several characters."""
    terminal = sys.stdin.fileno()
    while True:
        await trio.lowlevel.wait_readable(terminal)
        pressed = os.read(terminal, 64)
        if not pressed:  # The terminal has gone.
            return
        for character in pressed.decode(errors="replace"):
            yield character
