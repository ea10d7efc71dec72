"""Have each system call refused in turn: ``python -m tests.faults``, ``tox -e faults``.

A program opens, receives, sends, joins, blocks, leaves, follows and closes, on a host in a network
namespace of its own. It is run once for each fault: one call of one phase, or all from one on, fail
with an error that Linux has for the call. Whatever fails, only documented errors and states may
come of it, each datagram has to come or to be counted, everything has to go on when the fault is
over, and nothing may stay open.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from tests.faults.library import compile_library, compiler_problem
from tests.lab import Host, Lab, lab_problem

_COLUMNS: Final = ("no trace", "state", "error", "wrong", "not reached")


def reports(options: Sequence[str], *, library: str, host: Host) -> Iterator[dict[str, Any]]:
    """Yield what has come of each fault."""
    command = [sys.executable, "-m", "tests.faults.worker", *options]
    with host.inside():
        worker = subprocess.Popen(
            command, env={**os.environ, "LD_PRELOAD": library}, stdout=subprocess.PIPE, text=True
        )
    with worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            yield json.loads(line)
    if worker.returncode:
        raise subprocess.CalledProcessError(worker.returncode, command)


def network(lab: Lab) -> Host:
    """Return a host with two interfaces, and a route for groups through the first."""
    host = lab.host("a")
    for number in range(2):
        switch = lab.switch(f"lan{number}", snooping=False, querier=False)
        addresses = f"10.0.{number}.1/24", f"fd00:{number}::1/64"
        host.plug(f"eth{number}", switch, *addresses)
    host.run("ip", "route", "add", "239.0.0.0/8", "dev", "eth0")
    return host


def outcome(report: dict[str, Any]) -> str:
    """Return the column of a report."""
    if report["wrong"]:
        return "wrong"
    if not report["refusals"]:
        return "not reached"
    return "error" if report["errors"] else "state" if report["states"] else "no trace"


def table(outcomes: dict[tuple[str, str], Counter[str]]) -> Iterable[str]:
    """Yield the lines of the table: calls and errors, with the number of runs of each outcome."""
    yield f"{'call':18} {'error':14}" + "".join(f"{column:>12}" for column in _COLUMNS)
    total: Counter[str] = Counter()
    for (call, error), counts in sorted(outcomes.items()):
        yield f"{call:18} {error:14}" + "".join(f"{counts[column]:12,}" for column in _COLUMNS)
        total += counts
    yield f"{'all':33}" + "".join(f"{total[column]:12,}" for column in _COLUMNS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--sample", type=int, help="so many faults only, at random")
    parser.add_argument("--seed", type=int, default=0, help="the number of the sample")
    parser.add_argument("--only", help="only faults with this in 'phase call error'")
    arguments = parser.parse_args()
    problem = lab_problem() or compiler_problem()
    if problem is not None:
        print(f"the faults cannot be made: {problem}", file=sys.stderr)
        return 1
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    options = [f"--{name}={value}" for name, value in given.items()]
    outcomes: dict[tuple[str, str], Counter[str]] = {}
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        library = compile_library(directory)
        for report in reports(options, library=library, host=network(lab)):
            fault, column = report["fault"], outcome(report)
            outcomes.setdefault((fault["call"], fault["error"]), Counter())[column] += 1
            if column == "wrong":
                print(json.dumps(report, indent=1), flush=True)
    print(*table(outcomes), sep="\n")
    print("no trace: another way was taken, or it was tried again; state: told or counted;")
    print("error: a documented one; not reached: the program made fewer such calls this time")
    return 1 if any(counts["wrong"] for counts in outcomes.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
