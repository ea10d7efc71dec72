"""A progress bar on standard error, for people who wait at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .output import can_redraw, open_console


@contextmanager
def progress_bar(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how far a work is, for the length of a block; gone after it, and nothing in a pipe.

    Args:
        label: The work.
        total: The number of its steps, or `None` if unknown.

    Yields:
        A function to call with the number of steps done in all.
    """
    console = open_console(stderr=True)
    if not can_redraw(console):
        yield lambda done: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    # Drawn by a thread of its own, some times a second, whatever is done meanwhile.
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.update(task, completed=done)
