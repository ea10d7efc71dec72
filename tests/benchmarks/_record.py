"""What was measured: kept as JSON, in docs/performance/ and wherever it is wanted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._machine import QUIET_SHARE
from ._rounds import Figures
from ._subjects import Comparison

# More would say nothing: rounds differ by several per cent.
_DIGITS = 4


@dataclass(frozen=True)
class Measured:
    """What one run has found about one comparison.

    Attributes:
        date: When, such as ``"2026-11-29"``.
        machine: What it was measured on.
        busy: The share of the processors' time that other programs took just before.
        figures: The figures of each round.
        skipped: Why something was not measured, by its label.
    """

    date: str
    machine: dict[str, str]
    busy: float
    figures: Figures
    skipped: dict[str, str]

    @property
    def quiet(self) -> bool:
        return self.busy <= QUIET_SHARE

    @property
    def rounds(self) -> int:
        return max((len(values) for values in self.figures.rounds.values()), default=0)

    def skipped_lines(self) -> Iterator[str]:
        """Say what was skipped, and why."""
        for label, problem in self.skipped.items():
            yield f"Skipped: {label}: {problem}."

    def as_plain(self) -> dict[str, object]:
        figures: dict[str, dict[str, list[float]]] = {}
        for (subject, figure), values in self.figures.rounds.items():
            rounded = [float(f"{value:.{_DIGITS}g}") for value in values]
            figures.setdefault(subject, {})[figure] = rounded
        plain: dict[str, object] = {
            "date": self.date,
            "machine": self.machine,
            "busy": round(self.busy, 2),
        }
        if not self.quiet:
            plain["note"] = "beside other programs: to be measured again on a quiet machine"
        return plain | {"skipped": self.skipped, "figures": figures}


@dataclass(frozen=True)
class Record:
    """What was measured, by the name of the comparison."""

    measured: dict[str, Measured] = field(default_factory=dict)

    @property
    def figures(self) -> Figures:
        """The figures of all comparisons."""
        rounds = (measured.figures.rounds for measured in self.measured.values())
        return Figures({key: values for each in rounds for key, values in each.items()})

    def write(self, path: Path) -> None:
        plain = {name: measured.as_plain() for name, measured in self.measured.items()}
        path.write_text(_with_short_lists(json.dumps(plain, indent=1)) + "\n", encoding="utf-8")


def _with_short_lists(text: str) -> str:
    """Put the numbers of a list into one line."""
    return re.sub(r"\[[^][]*\]", lambda match: " ".join(match[0].split()), text)


def read_record(path: Path, comparisons: tuple[Comparison, ...]) -> Record:
    """Read what was written; what is no comparison any more is left out."""
    plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Record(
        {
            comparison.name: _from_plain(plain[comparison.name])
            for comparison in comparisons
            if comparison.name in plain
        }
    )


def _from_plain(plain: dict[str, Any]) -> Measured:
    rounds = {
        (subject, figure): values
        for subject, figures in plain["figures"].items()
        for figure, values in figures.items()
    }
    return Measured(
        plain["date"], plain["machine"], plain["busy"], Figures(rounds), plain["skipped"]
    )
