"""Whatever is refused, the contract holds: some faults of all those of ``tox -e faults``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.faults.library import Fault, Kernel, compile_library, compiler_problem
from tests.lab import Host, Lab
from tests.support.needs import needs
from trio_mcast import McastReceiver, ReceiverStatistics, SocketSetupError

if sys.platform != "linux":
    pytest.skip("the calls are those of Linux", allow_module_level=True)

from tests.faults.__main__ import network, outcome, reports

if not TYPE_CHECKING or sys.platform == "linux":
    from tests.faults.world import World

assert not TYPE_CHECKING or sys.platform == "linux"

pytestmark = [pytest.mark.once, needs(compiler_problem)]

# Spread over the phases, the calls and the errors; takes some two seconds.
SAMPLE = 20


@pytest.fixture
def library(tmp_path: Path) -> str:
    return compile_library(str(tmp_path))


@pytest.fixture
def refused_host(lab: Lab) -> Host:
    return network(lab)


def test_whatever_is_refused_the_contract_holds(library: str, refused_host: Host) -> None:
    options = [f"--sample={SAMPLE}"]
    outcomes = []
    for report in reports(options, library=library, host=refused_host):
        outcomes.append(outcome(report))
        assert not report["wrong"], report
    assert len(outcomes) == SAMPLE
    assert {"no trace", "error"} <= set(outcomes)


def test_library_refuses_the_calls_that_were_chosen_and_no_others(
    library: str, tmp_path: Path
) -> None:
    program = """
import socket
from tests.faults.library import Fault, Kernel
kernel = Kernel()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    kernel.choose(Fault("getsockname", "ENOBUFS", skip=1, times=1))
    kernel.refuse(True)
    for _ in range(3):
        try:
            sock.getsockname()
            print("answered")
        except OSError as error:
            print(error.errno)
    with kernel.sparing_all():
        sock.getsockname()
    print(kernel.counts, kernel.refusals)
"""
    command = [sys.executable, "-c", program]
    environment = {"LD_PRELOAD": library, "PYTHONPATH": ":".join(sys.path)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split("\n") == [
        "answered",
        "105",
        "answered",
        "{'getsockname': 3} 1",
        "",
    ]


# What is wrong is found -----------------------------------------------------------------------


class _Receiver:
    """A receiver that has only statistics."""

    def __init__(self, **counts: Any) -> None:
        self._statistics = ReceiverStatistics(
            **counts,
            memberships=(),
            earlier=cast(Any, None),
            receive_buffer_asked=1,
            receive_buffer_granted=1,
            sockets_failed=0,
        )

    def statistics(self) -> ReceiverStatistics:
        return self._statistics


@pytest.fixture
def world() -> World:
    return World(cast(Kernel, None), "closing", Fault("close", "EIO", 0, 1))


@pytest.mark.parametrize(
    ("error", "is_wrong"),
    [
        (SocketSetupError(1, "refused", step="bind"), False),
        (OSError(5, "as close(2) says it"), False),
        (OSError(1, "not explained"), True),
        (RuntimeError("a bug"), True),
    ],
)
def test_errors_that_are_not_documented_are_found(
    world: World, error: Exception, is_wrong: bool
) -> None:
    world.note(error)
    assert bool(world.wrong) is is_wrong


def test_datagrams_that_nobody_counts_are_found(world: World) -> None:
    receiver = cast(McastReceiver, _Receiver())
    world.check_received(receiver)
    assert not world.wrong
    world.sent["239.1.2.3", "eth0"] = 1
    world.check_received(receiver)
    assert world.wrong


def test_counts_that_do_not_add_up_are_found(world: World) -> None:
    world.check_received(cast(McastReceiver, _Receiver(received=2, delivered=1)))
    assert world.wrong
