"""The programs of the documentation for CI and for many cores run as its pages say."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import sys
from pathlib import Path

import pytest
import trio

from tests.lab import Lab
from tests.lab._polling import wait_until_async
from tests.lab.fixtures import TwoHosts
from tests.lab.machine import on
from tests.support.examples import EXAMPLES, ROOT, example, next_line, rest_of_output, subscribed
from tests.support.privileges import UNPRIVILEGED
from trio_mcast import open_mcast_sender

pytestmark = pytest.mark.once

GROUPS = [f"239.1.2.{number}" for number in range(1, 6)]


async def test_each_process_receives_its_share(two_hosts: TwoHosts) -> None:
    unbuffered = example("several_processes.py", "2", "12345", *GROUPS)
    # Lines of several processes would mix.
    command = [word for word in unbuffered if word != "-u"]
    buffered = ("env", "--unset=PYTHONUNBUFFERED", *command)
    with two_hosts.b.popen(*buffered) as processes, on(two_hosts.a):
        await subscribed(two_hosts.lan, *GROUPS)
        async with open_mcast_sender(GROUPS, 12345, interfaces="eth0") as sender:
            for _ in range(20):
                await sender.send(b"hello")
        # local address, remote address, state, then what waits to be sent and read
        waiting = re.compile(r"^ *\d+: \S+ \S+ \d\d \w+:(\w+)", re.MULTILINE)
        await wait_until_async(
            lambda: waiting.findall(two_hosts.b.read("/proc/net/udp")),
            lambda counts: len(counts) >= len(GROUPS) and set(counts) == {"00000000"},
            "all to be read",
        )
        await trio.sleep(0.2)
        if sys.platform != "win32":  # There is no lab on Windows, but types are checked for it.
            os.killpg(processes.pid, signal.SIGINT)  # As a terminal does.
        told = await rest_of_output(processes)
    assert sorted(told) == [
        "40 datagrams of 239.1.2.2, 239.1.2.4",
        "60 datagrams of 239.1.2.1, 239.1.2.3, 239.1.2.5",
    ]


def test_a_test_on_the_loopback_interface_passes_without_privilege(lab: Lab) -> None:
    """On a machine that has nothing else, as in many containers."""
    pytest_command = (
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    test = str(EXAMPLES / "test_on_loopback.py")
    shown = lab.host("runner").run(*UNPRIVILEGED, *pytest_command, test, env=environment).stdout
    assert "1 passed" in shown


async def test_two_machines_of_namespaces_exchange_datagrams(lab: Lab) -> None:
    path = f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}"
    variables = ("env", "-C", str(EXAMPLES), path, "PYTHONUNBUFFERED=1")
    command = ("unshare", "--net", "--mount", *variables)
    with lab.host("runner").popen(*command, "sh", "two_machines.sh") as script:
        lines = [await next_line(script) for _ in range(3)]
    assert all(
        re.fullmatch(r"239\.1\.2\.3 eth0 10\.0\.1\.1:\d+ b'hello \d'", line) for line in lines
    )


async def test_levels_of_art_net_are_shown(two_hosts: TwoHosts) -> None:
    """Of hand-made packets: name, operation, protocol version, sequence, universe, size."""
    head = struct.pack("<8sH", b"Art-Net\0", 0x5000) + struct.pack(">HBB", 14, 1, 0)
    packet = head + struct.pack("<H", 3) + struct.pack(">H", 6) + bytes([255, 0, 128, 0, 9, 9])
    with two_hosts.a.inside():
        desk = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with desk, two_hosts.b.popen(*example("artnet_levels.py", "eth0")) as showing:
        desk.bind(("10.0.1.1", 6454))
        await wait_until_async(
            lambda: two_hosts.b.read("/proc/net/udp"),
            lambda table: f":{6454:04X} " in table,
            "the port to be open",
        )
        for data in (b"", b"Art-Net\0\x00\x20" + bytes(20), packet):
            desk.sendto(data, ("10.0.1.2", 6454))
        assert await next_line(showing) == "universe 3: [255, 0, 128, 0] from 10.0.1.1:6454"
