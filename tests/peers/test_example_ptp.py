"""The PTP meter of the documentation, with ptp4l as the master, and another one beside it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import trio

from tests.lab.fixtures import TwoHosts
from tests.support.examples import PATIENCE_SECONDS, example, interrupted, next_line, subscribed
from tests.support.needs import needs_program
from tests.support.privileges import LOW_PORTS_ONLY

pytestmark = pytest.mark.once

# Quick, and without a say in the clock, which the hosts of a lab share with this machine.
PTP4L = """\
[global]
free_running 1
{role} 1
time_stamping software
logSyncInterval -4
logAnnounceInterval -3
announceReceiptTimeout 2
logMinDelayReqInterval -5
freq_est_interval 0
summary_interval -4
uds_address {folder}/{role}
"""
WITHOUT_THE_CLOCK = ("setpriv", "--bounding-set=-sys_time", "--no-new-privs")
# What is measured is some 5 us, where the machine is not busy with something else.
MOST_US = 1000


def ptp4l(folder: Path, role: str) -> tuple[str, ...]:
    configuration = folder / f"{role}.conf"
    configuration.write_text(PTP4L.format(role=role, folder=folder))
    return (*WITHOUT_THE_CLOCK, "ptp4l", "-4", "-m", "-i", "eth0", "-f", str(configuration))


@needs_program("ptp4l")
async def test_offset_of_one_and_the_same_clock_is_small(
    two_hosts: TwoHosts, tmp_path: Path
) -> None:
    measure = example("ptp_offset.py", "eth0")
    with (
        two_hosts.b.popen(*ptp4l(tmp_path, "slaveOnly")) as beside,
        two_hosts.b.popen(*LOW_PORTS_ONLY, *measure, stderr=subprocess.STDOUT) as measuring,
    ):
        await subscribed(two_hosts.lan, "224.0.1.129")
        with two_hosts.a.popen(*ptp4l(tmp_path, "masterOnly")):
            lines = [await next_line(measuring) for _ in range(9)]
            with trio.fail_after(PATIENCE_SECONDS):
                # The one beside has its answers, too.
                while "path delay" not in await next_line(beside):
                    assert beside.poll() is None
            lines += await interrupted(measuring)
    numbers = r"offset (\S+) us: (\S+) from the master, (\S+) to it"
    matches = [re.fullmatch(numbers, line) for line in lines]
    measured = [tuple(map(float, match.groups())) for match in matches if match is not None]
    assert len(measured) == len(lines)
    for offset, from_master, to_master in measured:
        assert offset == pytest.approx((from_master - to_master) / 2, abs=0.2)
    offsets, *ways = (sorted(values)[len(lines) // 2] for values in zip(*measured, strict=True))
    assert abs(offsets) < MOST_US
    assert all(0 < way < MOST_US for way in ways)
