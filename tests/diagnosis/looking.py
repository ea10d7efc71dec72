"""How tests have the doctor look at a host: as root, and without privilege."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import trio

from tests.lab import Host
from trio_mcast import Diagnosis, diagnose

_PROGRAM = """
import json, sys, functools, trio, trio_mcast
question = json.loads(sys.argv[1])
print(trio.run(functools.partial(trio_mcast.diagnose, **question)).to_json())
"""


def look_as_root(host: Host, question: Mapping[str, Any]) -> Diagnosis:
    """Run `diagnose` in a host's namespace, in this process."""
    with host.inside():
        return trio.run(partial(diagnose, **question))


def look_as_user(host: Host, question: Mapping[str, Any]) -> Diagnosis:
    """Run `diagnose` in a host's namespace without any capability."""
    result = host.run(
        "setpriv",
        "--bounding-set=-all",
        "--inh-caps=-all",
        sys.executable,
        "-c",
        _PROGRAM,
        json.dumps(question),
        timeout=60,
    )
    return Diagnosis.from_json(result.stdout)


def codes_of(diagnosis: Diagnosis) -> set[str]:
    """Return the codes of the errors and warnings of a diagnosis.

    One that is at the other machine is followed by ``@peer``.
    """
    return {
        finding.code if finding.place == "here" else f"{finding.code}@{finding.place}"
        for finding in diagnosis.findings
        if finding.severity != "note"
    }
