"""The doctor names faults that real kernels have, and none where there is none."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import trio

from tests.lab import Lab
from tests.lab.fixtures import require_lab
from tests.support.leftovers import open_descriptors
from trio_mcast import diagnose

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

from . import more_setups, setups_of_probe  # noqa: F401 - they add to SETUPS
from .looking import codes_of, look_as_root, look_as_user
from .setups import PORT, SETUPS, made

pytestmark = pytest.mark.once

# 239.1.2.3, as /proc/net/igmp writes it on a machine with the low byte first.
GROUP_IN_PROC = "030201EF"

# One for each gatherer; all of them take a quarter of an hour, as the listening takes its time.
QUICK = (
    "healthy",
    "no_multicast_flag",
    "port_held",
    "no_route",
    "firewall_for_every_second",
    "peer_firewall",
)
NAMES = list(SETUPS) if os.environ.get("TRIO_MCAST_DOCTOR") else QUICK


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("who", ["root", "user"])
def test_doctor_names_the_fault_and_no_other(name: str, who: str) -> None:
    require_lab("nft")
    setup = SETUPS[name]
    look, codes = (look_as_root, setup.root) if who == "root" else (look_as_user, setup.user)
    with made(setup) as case:
        diagnosis = look(case.a, case.question)
    assert codes_of(diagnosis) == codes, diagnosis.verdict
    assert all(finding.evidence or finding.severity == "note" for finding in diagnosis.findings)
    # Root sees the network and the filter; a user is told that it takes root.
    parts = {one.what for one in diagnosis.not_checked}
    assert ("the frames on the network" in parts) == (who == "user")
    assert ("the rules of the packet filter" in parts) == (who == "user")


def test_doctor_leaves_no_trace() -> None:
    require_lab("nft")
    with made(SETUPS["firewall_for_every_second"]) as case:
        descriptors = len(os.listdir("/proc/self/fd"))
        diagnosis = look_as_root(case.a, case.question)
        assert diagnosis.errors
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert GROUP_IN_PROC not in case.a.read("/proc/net/igmp")
        assert str(PORT) not in case.a.run("ss", "-uan").stdout


def test_no_descriptor_left_is_a_finding_and_no_exception() -> None:
    async def look_with(spare: int, **question: Any) -> set[str]:
        # Whatever another test has left to the collector is not to be closed meanwhile.
        gc.collect()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The limit is one of numbers: of those below it, some are free where a gap was left.
        used = {number for number, _ in open_descriptors()}
        free = [number for number in range(limits[0]) if number not in used]
        resource.setrlimit(resource.RLIMIT_NOFILE, (free[spare], limits[1]))
        try:
            diagnosis = await diagnose(
                "239.1.2.3", PORT, interfaces="lo", listen_seconds=0.02, **question
            )
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        return codes_of(diagnosis)

    require_lab()
    with Lab() as lab, lab.host("a").inside():
        # Each takes some 3 seconds.
        codes = [trio.run(look_with, spare) for spare in (0, 1, 4, 15)]
        # A sender finds no room for the list of interfaces, or for its own socket.
        senders = [
            trio.run(partial(look_with, spare, role="sender", send=3)) for spare in (0, 1, 15)
        ]
    assert senders == [{"descriptor-limit"}, {"descriptor-limit"}, set()]
    assert codes[:2] == [{"descriptor-limit"}] * 2
    assert codes[-1] == set()


@pytest.mark.parametrize("seconds", [0.2, 1.5, 3.5])
def test_cancelled_doctor_leaves_no_trace(seconds: float) -> None:
    require_lab()

    async def cancel(question: Mapping[str, Any]) -> bool:
        with trio.move_on_after(seconds) as scope:
            await diagnose(**question)
        return scope.cancelled_caught

    with made(SETUPS["silent"]) as case:
        descriptors = len(os.listdir("/proc/self/fd"))
        with case.a.inside():
            assert trio.run(cancel, case.question)
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert GROUP_IN_PROC not in case.a.read("/proc/net/igmp")
