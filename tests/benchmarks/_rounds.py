"""Runs the workers of a comparison, and gives them their turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ._instructions import count_instructions
from ._peers import BEFORE
from ._subjects import Comparison, Subject

# One figure of one subject, such as ("send-trio", "ns").
Key = tuple[str, str]


class WorkerFailed(Exception):
    """A worker has ended before it should; what it had to say is on standard error."""


@dataclass(frozen=True)
class Figures:
    """What was measured: the figures of each round, by subject and name."""

    rounds: dict[Key, list[float]]

    def median(self, subject: str, figure: str) -> float | None:
        """The median over the rounds; `None` if it was not measured."""
        found = self.rounds.get((subject, figure))
        return statistics.median(found) if found else None

    def ratio(self, one: Key, other: Key) -> float | None:
        """The median of the ratios of each round; `None` if one was not measured."""
        pairs = zip(self.rounds.get(one, ()), self.rounds.get(other, ()), strict=False)
        ratios = [above / below for above, below in pairs]
        return statistics.median(ratios) if ratios else None


class _Worker:
    def __init__(self, subject: Subject, process: subprocess.Popen[str]) -> None:
        self.subject = subject
        self._process = process

    def answer(self) -> dict[str, float]:
        """Its next answer: the first one says that it is ready."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise WorkerFailed(f"worker {self.subject.name} has ended with status {status}")
        figures: dict[str, float] = json.loads(line)
        return figures

    def turn(self) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.answer()


@contextmanager
def _working(subject: Subject) -> Iterator[_Worker]:
    command = [sys.executable, "-m", f"{__package__}.worker", subject.name]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C is for this process, which then kills its workers.
        start_new_session=True,
        # A module is looked for in the current folder first.
        cwd=os.environ[BEFORE] if subject.needs == "before" else None,
    ) as process:
        try:
            yield _Worker(subject, process)
        except BaseException:
            process.kill()
            raise
        # A worker ends with its input, which leaving this block closes.


def measure(
    comparison: Comparison, rounds: int, progress: Callable[[str], None]
) -> dict[Key, list[float]]:
    """The figures of each round. One more round comes first, in which everything warms up.

    Subjects that have a problem are skipped.
    """
    found: dict[Key, list[float]] = {}
    subjects = [subject for subject in comparison.subjects if subject.problem is None]
    if not subjects:
        return found
    if comparison.name == "instructions":
        return _count(subjects, progress)
    with ExitStack() as stack:
        workers = [stack.enter_context(_working(subject)) for subject in subjects]
        for worker in workers:
            worker.answer()
        for number in range(rounds + 1):
            progress(f"{comparison.title}: round {number} of {rounds}")
            for worker in _turned(workers, number):
                for figure, value in worker.turn().items():
                    if number:
                        found.setdefault((worker.subject.name, figure), []).append(value)
    return found


def _count(subjects: Sequence[Subject], progress: Callable[[str], None]) -> dict[Key, list[float]]:
    """Count instructions, once: each time they are nearly the same."""
    found: dict[Key, list[float]] = {}
    for subject in subjects:
        progress(f"Instructions of {subject.label}")
        for figure, count in count_instructions(subject.name).items():
            found[subject.name, figure] = [count]
    return found


def _turned(workers: Sequence[_Worker], number: int) -> list[_Worker]:
    """Another one begins in each round, so that nobody always comes after the same one."""
    start = number % len(workers)
    return [*workers[start:], *workers[:start]]
