"""Make set-ups, and record what the doctor gathers in them: ``python -m tests.diagnosis.record``.

Takes the names of set-ups, or all. The records are test data, from which the rules are tested on
any machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from trio_mcast._diagnosis.plain import to_plain

from . import more_setups, setups_of_probe  # noqa: F401 - they add to SETUPS
from .looking import codes_of, look_as_root, look_as_user
from .setups import SETUPS, made

assert sys.platform == "linux"

RECORDS = Path(__file__).parents[1] / "data" / "diagnosis"


def record(name: str) -> None:
    """Record a set-up as root and as a user, with the codes that are to be found in it."""
    setup = SETUPS[name]
    for who, codes, look in (
        ("root", setup.root, look_as_root),
        ("user", setup.user, look_as_user),
    ):
        with made(setup) as case:
            diagnosis = look(case.a, case.question)
        if codes_of(diagnosis) != codes:
            print(f"NOT RECORDED: {name} as {who}: {codes_of(diagnosis)}, not {set(codes)}")
            continue
        content = {
            "name": name,
            "who": who,
            "how": setup.how,
            "codes": sorted(codes),
            "evidence": to_plain(diagnosis.evidence),
        }
        text = json.dumps(content, separators=(",", ":"), sort_keys=True)
        (RECORDS / f"{name}-{who}.json").write_text(text + "\n")
        print(f"{name} as {who}: {', '.join(sorted(codes)) or 'nothing'}", flush=True)


if __name__ == "__main__":
    for name in sys.argv[1:] or SETUPS:
        record(name)
