"""The sACN receiver of the documentation, and the package sacn as the desk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.fixtures import TwoHosts
from tests.support.examples import example, interrupted, next_line, rest_of_output, subscribed
from tests.support.needs import needs_module
from tests.support.privileges import UNPRIVILEGED

pytestmark = pytest.mark.once

UNIVERSES = range(1, 61)
DESK = (sys.executable, str(Path(__file__).with_name("sacn_sender.py")), "10.0.1.1")


@needs_module("sacn")
async def test_last_levels_of_60_universes_are_shown(two_hosts: TwoHosts) -> None:
    lasts = {f"universe {n}: [{n}, 255, 0, 0] from 'desk', priority 100" for n in UNIVERSES}
    ends = {f"universe {n}: 'desk' has ended" for n in UNIVERSES}
    show = example("sacn_levels.py", "1", "60", "eth0")
    lines: list[str] = []
    with two_hosts.b.popen(*UNPRIVILEGED, *show, stderr=subprocess.STDOUT) as showing:
        await subscribed(two_hosts.lan, *(f"239.255.0.{n}" for n in UNIVERSES))
        with two_hosts.a.popen(*DESK, stdin=subprocess.PIPE) as desk:
            while not lasts <= set(lines):
                lines.append(await next_line(showing))
            assert desk.stdin is not None
            desk.stdin.close()
            while not ends <= set(lines):
                lines.append(await next_line(showing))
            assert await rest_of_output(desk) == []
        *more_lines, last = await interrupted(showing)
    text, _, replaced = last.partition(": ")
    assert text == "not shown, since there were newer ones"
    # 18 levels and three times the end, of each.
    assert len(lines + more_lines) + int(replaced) == 21 * len(UNIVERSES)
    assert int(replaced) > 0
