"""All benchmarks, side by side: ``python -m tests.benchmarks``, or ``tox -e bench``.

Everything happens in network namespaces of its own; nothing is sent on the machine's networks.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.lab import lab_problem

from ._bars import BARS
from ._compiler import compiler_problem
from ._rounds import Figures, WorkerFailed, measure
from ._subjects import COMPARISONS, Comparison
from ._table import render

_ROUNDS = 15
_QUICK_ROUNDS = 3
_PACKAGES = ("trio", "uvloop", "multicast_expert")


def main() -> int:
    arguments = _parse_arguments()
    problem = lab_problem() or compiler_problem()
    if problem is not None:
        print(f"the benchmarks cannot run: {problem}", file=sys.stderr)
        return 1
    rounds = arguments.rounds or (_QUICK_ROUNDS if arguments.quick else _ROUNDS)
    chosen = [item for item in COMPARISONS if not arguments.only or item.name in arguments.only]
    started = time.monotonic()
    figures = Figures({})
    try:
        for comparison in chosen:
            figures.rounds.update(measure(comparison, rounds, _show_progress))
    except WorkerFailed as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    _show_progress("")
    machine = describe_machine()
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    print(f"Medians of {rounds} rounds; {time.monotonic() - started:.0f} seconds.\n")
    print(render(chosen, figures))
    report = {"machine": machine, "rounds": rounds} | as_json(chosen, figures)
    arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=_positive, help=f"how many rounds (default: {_ROUNDS})")
    parser.add_argument(
        "--quick", action="store_true", help=f"only {_QUICK_ROUNDS} rounds: to see that it works"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[item.name for item in COMPARISONS],
        help="only this comparison; can be given several times",
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("benchmark.json"),
        metavar="PATH",
        help="where to write every figure of every round (default: %(default)s)",
    )
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text[:78]}", end="", file=sys.stderr, flush=True)


def describe_machine() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "Processor": _processor(),
        "Kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} x {models[0]}" if models else platform.processor()


def as_json(comparisons: Sequence[Comparison], figures: Figures) -> dict[str, object]:
    """Every figure of every round, and the bars."""
    return {
        "figures": {
            subject.name: {
                figure: values
                for (name, figure), values in figures.rounds.items()
                if name == subject.name
            }
            for comparison in comparisons
            for subject in comparison.subjects
        },
        "bars": [
            {
                "bar": bar.label,
                "ratio": bar.ratio(figures),
                "wanted": bar.wanted,
                "verdict": bar.verdict(figures),
            }
            for bar in BARS
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
