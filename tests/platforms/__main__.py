"""The checks of ``tests.platform`` on all that can be run here: ``python -m tests.platforms DIR``.

In sandboxes, on other Pythons, processors and kernels. What is fetched for that, Debian packages by
name, is kept in the directory. What cannot be had is left out and named. Linux, and root.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path

from tests.platforms.kinds import PLATFORMS, Platform
from tests.platforms.roots import Unavailable


def main() -> int:
    arguments = _arguments()
    directory = Path(arguments.directory).resolve()
    chosen = [p for p in PLATFORMS if not arguments.names or p.name in arguments.names]
    if unknown := set(arguments.names) - {platform.name for platform in PLATFORMS}:
        print(f"no such platform: {', '.join(sorted(unknown))}")
        return 2
    outcomes = {}
    for platform in chosen:
        began = time.monotonic()
        outcome, log = _outcome(platform, directory, prepare=arguments.prepare)
        outcomes[platform.name] = outcome
        seconds = f"{time.monotonic() - began:.0f} s"
        print(f"{platform.name:14} {outcome}, {seconds}: {platform.description}", flush=True)
        if outcome.startswith("FAILED") and log.exists():
            print(log.read_text(encoding="utf-8", errors="replace")[-6_000:], flush=True)
    if arguments.prepare:
        return 0
    failed = sum(outcome.startswith("FAILED") for outcome in outcomes.values())
    left_out = sum(outcome.startswith("left out") for outcome in outcomes.values())
    print(f"{len(outcomes) - failed - left_out} passed, {failed} failed, {left_out} skipped")
    # Where everything is meant to be there, what was asked for must not be left out.
    strict = bool(arguments.names) and os.environ.get("TRIO_MCAST_REQUIRE_LAB") == "1"
    return 1 if failed or (strict and left_out) else 0


def _arguments() -> argparse.Namespace:
    names = ", ".join(platform.name for platform in PLATFORMS)
    parser = argparse.ArgumentParser("python -m tests.platforms", description=f"Of: {names}.")
    parser.add_argument("directory", help="where what is fetched is kept")
    parser.add_argument("names", nargs="*", help="which ones; default: all")
    parser.add_argument("--prepare", action="store_true", help="only fetch what is needed")
    return parser.parse_intermixed_args()


def _outcome(platform: Platform, directory: Path, *, prepare: bool) -> tuple[str, Path]:
    log = directory / "logs" / f"{platform.name}.log"
    try:
        if sys.platform != "linux" or os.geteuid() != 0:
            raise Unavailable("it needs Linux, and root")
        platform.prepare(directory)
        if prepare:
            return "ready", log
        status = platform.run(directory, log)
    except Unavailable as reason:
        return f"left out ({reason})", log
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    counts = next((line for line in reversed(lines) if " passed" in line), "no result")
    if status != 0 or counts == "no result" or re.search(r"\b[1-9]\d* (failed|error)", counts):
        return f"FAILED with status {status} ({counts})", log
    return counts, log


if __name__ == "__main__":
    sys.exit(main())
