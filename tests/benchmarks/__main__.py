"""All benchmarks, side by side: ``python -m tests.benchmarks``, or ``tox -e bench``.

Everything happens in network namespaces of its own; nothing is sent on the machine's networks.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from tests.lab import lab_problem

from ._compiler import compiler_problem
from ._machine import busy_share, describe_machine
from ._page import FIGURES, write_page
from ._peers import code_before
from ._record import Measured, Record, read_record
from ._rounds import Figures, WorkerFailed, measure
from ._subjects import COMPARISONS, SINGLE_TIMES, Comparison
from ._table import Tables

_ROUNDS = 15
_QUICK_ROUNDS = 3
# Where nobody looks at a terminal, no line is broken.
_WIDTH = 140


def main() -> int:
    arguments = _parse_arguments()
    if arguments.charts:
        write_page(read_record(FIGURES, COMPARISONS))
        return 0
    problem = lab_problem() or compiler_problem()
    if problem is not None:
        print(f"the benchmarks cannot run: {problem}", file=sys.stderr)
        return 1
    rounds = arguments.rounds or (_QUICK_ROUNDS if arguments.quick else _ROUNDS)
    chosen = [each for each in COMPARISONS if not arguments.only or each.name in arguments.only]
    started = time.monotonic()
    try:
        with ExitStack() as stack:
            if arguments.before:
                stack.enter_context(code_before(arguments.before))
            record = _measure_all(chosen, rounds)
    except WorkerFailed as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    _show_progress("")
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    console.print("\n".join(f"{name}: {value}" for name, value in describe_machine().items()))
    counts = f"{rounds} rounds (single datagrams: {rounds * SINGLE_TIMES})"
    console.print(f"Medians of {counts}; {time.monotonic() - started:.0f} seconds.\n")
    console.print(Tables(chosen, record))
    record.write(arguments.json)
    if arguments.page:
        kept = read_record(FIGURES, COMPARISONS).measured if FIGURES.exists() else {}
        write_page(Record(kept | record.measured))
    return 0


def _measure_all(comparisons: Sequence[Comparison], rounds: int) -> Record:
    date, machine, busy = f"{datetime.date.today()}", describe_machine(), busy_share()
    record = Record()
    for comparison in comparisons:
        figures = Figures(measure(comparison, rounds * comparison.times, _show_progress))
        skipped = {
            subject.label: subject.problem for subject in comparison.subjects if subject.problem
        }
        record.measured[comparison.name] = Measured(date, machine, busy, figures, skipped)
    return record


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=_positive, help=f"how many rounds (default: {_ROUNDS})")
    parser.add_argument(
        "--quick", action="store_true", help=f"only {_QUICK_ROUNDS} rounds: to see that it works"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[comparison.name for comparison in COMPARISONS],
        help="only this comparison; can be given several times",
    )
    parser.add_argument(
        "--before",
        metavar="REVISION",
        help="of this repository: opening many groups is compared with its code",
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("benchmark.json"),
        metavar="PATH",
        help="where to write every figure of every round (default: %(default)s)",
    )
    parser.add_argument(
        "--page",
        action="store_true",
        help="put the figures into docs/performance/, and make its charts and tables anew",
    )
    parser.add_argument(
        "--charts",
        action="store_true",
        help="measure nothing: only make the charts and tables of docs/performance/ anew",
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


if __name__ == "__main__":
    sys.exit(main())
