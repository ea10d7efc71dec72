"""Which system has which shell, and what systems without one are told."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import trio_mcast
from tests.lab import Lab
from tests.lab.machine import LabMachine
from trio_mcast import SocketSetupError
from trio_mcast._host.system import SystemHost
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._platform.model import PlatformName

if sys.platform != "linux":
    pytest.skip("the other systems are played on Linux", allow_module_level=True)

# Trio itself has to be imported under the real name of the system.
PROGRAM = """
import sys
import ifaddr, trio
sys.platform = sys.argv[1]
import trio_mcast
from trio_mcast._host.current import current_host

group, interface = "239.1.2.3", trio_mcast.Interface("lo", 1, is_loopback=True)
plan = trio_mcast.McastReceiverSpec(group, 5000, interfaces="lo").plan([interface], "linux")
print("planned", len(plan))

async def main():
    async with trio_mcast.open_mcast_receiver(group, 0x1234, interfaces="lo") as receiver:
        async with trio_mcast.open_mcast_sender(group, 0x1234, interfaces="lo") as sender:
            await sender.send(b"hello")
            print("received", (await receiver.receive()).data.decode())

try:
    trio.run(main)
except trio_mcast.McastError as error:
    print(type(error).__name__, error)
"""


def run_on(lab: Lab, system: str) -> list[str]:
    """Return what a program prints that takes its system for another one."""
    environment = {**os.environ, "PYTHONPATH": str(Path(trio_mcast.__file__).parents[1])}
    with lab.host("a").inside():
        finished = subprocess.run(
            [sys.executable, "-c", PROGRAM, system],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert finished.stderr == ""
    return finished.stdout.splitlines()


def test_android_is_linux(lab: Lab) -> None:
    assert run_on(lab, "android") == ["planned 1", "received hello"]


@pytest.mark.parametrize("system", ["sunos5", "cygwin", "openbsd7", "aix"])
def test_unknown_system_plans_for_others_and_opens_nothing(lab: Lab, system: str) -> None:
    assert run_on(lab, system) == [
        "planned 1",
        f"McastError trio_mcast has no tables for {system}: it knows darwin, freebsd, linux, "
        "windows",
    ]


class RefusingShell:
    """A shell that refuses everything, as a system does whose file table is full."""

    def __init__(self, name: PlatformName) -> None:
        self.platform = PLATFORMS[name]

    def __getattr__(self, name: str) -> Any:
        def refuse(*_arguments: object, **_options: object) -> None:
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

        return refuse


TABLE_IS_FULL: dict[PlatformName, str] = {
    "linux": "fs.file-max",
    "darwin": "kern.maxfiles",
    "freebsd": "kern.maxfiles",
}


@pytest.mark.parametrize("name", TABLE_IS_FULL)
@pytest.mark.parametrize(
    "ask",
    [
        lambda host: host.list_interfaces(),
        lambda host: host.watch(),
        lambda host: host.open_poller(print),
    ],
)
def test_advice_is_for_the_system_that_refused(name: PlatformName, ask: Any) -> None:
    with pytest.raises(SocketSetupError) as caught:
        ask(SystemHost(RefusingShell(name)))
    assert caught.value.errno == errno.ENFILE
    for system, sysctl in TABLE_IS_FULL.items():
        assert (sysctl in str(caught.value)) == (sysctl == TABLE_IS_FULL[name]), system


def test_lab_machine_has_the_shell_of_this_system(lab: Lab) -> None:
    machine = LabMachine(lab.host("a"))
    assert machine.platform.name == "linux"
    assert [interface.name for interface in machine.list_interfaces()] == ["lo"]
