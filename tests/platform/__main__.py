"""The same checks on every system: ``python -m tests.platform``.

Needs nothing but the package and what that needs. Real datagrams go over one interface and back to
this machine: the loopback interface, or the one that ``--interface`` names. What needs two, or one
that is no loopback interface, is left out unless ``--second`` names another. ``--own-network``, on
Linux as root, has all of it happen in a network namespace that is made for it.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

# Each enters its checks.
from tests.platform import receiving, sending  # noqa: F401
from tests.platform.own_network import enter_own_network
from tests.platform.place import CHECKS, Check, Family, LeftOut, Place, family_problem
from trio_mcast import Interface, find_interfaces, list_interfaces

# Until a check that hangs is given up. Arbitrary.
LIMIT_SECONDS = 120.0

FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")


def main(words: Sequence[str] | None = None) -> int:
    arguments = _arguments(words)
    logging.basicConfig(level=logging.WARNING, format="  %(name)s: %(message)s")
    if arguments.own_network:
        arguments.interface, arguments.second = enter_own_network()
    facts = _facts()
    print(" ".join(f"{name}={value}" for name, value in facts.items() if value), flush=True)
    interface, second = _interfaces(arguments.interface, arguments.second)
    print(f"interface {interface}, second interface {second}", flush=True)
    results = []
    for family in FAMILIES:
        place = Place(family, interface, second)
        problem = family_problem(place)
        chosen = [c for c in CHECKS if family in c.families and arguments.only in c.name]
        if problem is not None:
            print(f"left out {family}, {len(chosen)} checks: {problem}", flush=True)
        for check in chosen:
            lacks = any(words in check.name for words in arguments.lacks)
            results.append(_result(check, place, problem, lacks=lacks))
            if problem is None:
                print(_line(results[-1]), flush=True)
    counts = {kind: sum(r["result"] == kind for r in results) for kind in ("passed", "left out")}
    counts["failed"] = len(results) - sum(counts.values())
    if arguments.json is not None:
        report = {**facts, "interface": str(interface), **counts, "checks": results}
        Path(arguments.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print("{passed} passed, {failed} failed, {left out} left out".format_map(counts), flush=True)
    return 1 if counts["failed"] or not counts["passed"] else 0


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser("python -m tests.platform", description=__doc__.split("\n")[0])
    parser.add_argument("--interface", help="where datagrams go; default: the loopback interface")
    parser.add_argument("--second", help="another interface, for the checks that need two")
    parser.add_argument("--own-network", action="store_true", help="on Linux, as root: make one")
    parser.add_argument("--only", default="", help="checks with these words in their names")
    parser.add_argument(
        "--lacks",
        action="append",
        default=[],
        metavar="NAME",
        help="a check that is known to fail here: then it has to",
    )
    parser.add_argument("--json", help="a file for the results")
    return parser.parse_args(words)


def _facts() -> dict[str, Any]:
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "byteorder": sys.byteorder,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "trio": trio.__version__,
    }


def _interfaces(first: str | None, second: str | None) -> tuple[Interface, Interface | None]:
    if first is None:
        interface = next(each for each in list_interfaces() if each.is_loopback)
    else:
        (interface,) = find_interfaces(first)
    if second is None:
        return interface, None
    (second_interface,) = find_interfaces(second)
    return interface, second_interface


def _result(check: Check, place: Place, problem: str | None, *, lacks: bool) -> dict[str, Any]:
    began = time.monotonic()
    if problem is not None:
        result, reason = "left out", problem
    else:
        result, reason = _tried(check, place)
        if lacks and result == "passed":
            result, reason = "failed", "It is said to be lacking here, and it is there.\n"
        elif lacks and result == "failed":
            result, reason = "left out", "known to be lacking here"
    return {
        "name": check.name,
        "family": place.family,
        "result": result,
        "reason": reason,
        "seconds": round(time.monotonic() - began, 3),
    }


def _tried(check: Check, place: Place) -> tuple[str, str]:
    try:
        trio.run(_limited, check, place)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        cause = _first(error)
        if isinstance(cause, LeftOut):
            return "left out", str(cause)
        return "failed", "".join(traceback.format_exception(error))
    return "passed", ""


async def _limited(check: Check, place: Place) -> None:
    with trio.fail_after(LIMIT_SECONDS):
        await check.run(place)


def _first(error: BaseException) -> BaseException:
    """Return the innermost of exceptions in groups: each check has one that counts."""
    while exceptions := getattr(error, "exceptions", ()):
        error = exceptions[0]
    return error


def _line(result: dict[str, Any]) -> str:
    mark = {"passed": "ok      ", "left out": "left out", "failed": "FAILED  "}[result["result"]]
    line = f"{mark} {result['family']} {result['name']}"
    if result["result"] == "left out":
        return f"{line}: {result['reason']}"
    if result["result"] == "failed":
        return f"{line}\n{result['reason']}"
    return line


if __name__ == "__main__":
    sys.exit(main())
