"""``trio-mcast measure`` between hosts of the lab, and beside iperf."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.lab import Host, Lab, Switch
from tests.lab.fixtures import TwoHosts
from tests.support.needs import needs_program
from tests.support.privileges import UNPRIVILEGED

from .test_demo import COMMAND, environment

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 5000
TARGET = f"{GROUP}:{PORT}"
PATIENCE_SECONDS = 60
RUN = (
    *("timeout", "--foreground", str(PATIENCE_SECONDS)),
    *("env", "--default-signal=INT", *UNPRIVILEGED, *COMMAND),
)
SEND = (*RUN, "measure", TARGET, "--sender", "--interface=eth0")


@pytest.fixture
def two_hosts(lab: Lab) -> TwoHosts:
    """Give two hosts on a switch that loses nothing by itself.

    One that forwards only what was asked for forgets a group if a busy machine asks too late.
    """
    lan = lab.switch("lan", flood=True)
    a, b = lab.host("a"), lab.host("b")
    for number, host in enumerate((a, b), start=1):
        host.plug("eth0", lan, f"10.0.1.{number}/24", f"fd00:1::{number}/64")
        # Else those that are sent in one go are one packet on the way, and to firewalls.
        host.run("ip", "link", "set", "eth0", "gso_max_segs", "1")
    return TwoHosts(lab, lan, a, b)


@contextmanager
def receiving(
    lan: Switch, *hosts: Host, command: tuple[str, ...] = ("measure", TARGET, "--receiver")
) -> Iterator[list[subprocess.Popen[str]]]:
    """Have hosts receive; when the block is entered, the switch knows of all of them."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(host.popen(*RUN, *command, env=environment())) for host in hosts
        ]
        names = {host.name for host in hosts}
        lan.wait_for(lambda _: names <= {one.host for one in lan.subscriptions(GROUP)}, 20)
        yield processes


def send(host: Host, *arguments: str) -> subprocess.CompletedProcess[str]:
    return host.run(*SEND, *arguments, check=False, env=environment(), timeout=PATIENCE_SECONDS)


def events(output: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The intervals and the summary of a measurement in JSON."""
    *intervals, summary = [json.loads(line) for line in output.splitlines()]
    assert {interval["event"] for interval in intervals} <= {"interval"}
    assert summary["event"] == "summary"
    return intervals, summary


def filter_arriving(host: Host, rule: str) -> None:
    """Have a host's firewall look at what comes to the port."""
    chain = f"{{ type filter hook input priority 0; udp dport {PORT} {rule}; }}"
    host.run("nft", "-f", "-", input=f"table inet losses {{ chain losses {chain}; }}")


@needs_program("nft")
def test_rate_is_measured_at_several_receivers(two_hosts: TwoHosts) -> None:
    c = two_hosts.lab.host("c")
    c.plug("eth0", two_hosts.lan, "10.0.1.3/24")
    respond = ("respond", TARGET)
    with (
        receiving(two_hosts.lan, two_hosts.b),
        receiving(two_hosts.lan, c, command=respond),
    ):
        # After the questions by which receivers are found, which are not as large.
        filter_arriving(c, "@th,32,16 > 1000 numgen inc mod 10 == 9 drop")
        result = send(two_hosts.a, "--rate=100", "--duration=2", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    intervals, summary = events(result.stdout)
    assert len(intervals) == 2
    for interval in intervals:
        assert {one["name"].split()[0] for one in interval["received"]} == {"10.0.1.2", "10.0.1.3"}
    b, c_total = sorted(summary["receivers"], key=lambda one: str(one["name"]))
    assert b["lost"] == {"network": 0, "kernel": 0, "process": 0}
    # A busy machine may send less.
    assert 100 <= b["sent"] == c_total["sent"] <= 200
    assert 9 <= 100 * c_total["lost"]["network"] / c_total["sent"] <= 11
    assert (c_total["lost"]["kernel"], c_total["lost"]["process"]) == (0, 0)


@needs_program("tc")
def test_highest_clean_rate_is_what_the_path_lets_through(two_hosts: TwoHosts) -> None:
    with receiving(two_hosts.lan, two_hosts.b) as (receiver,):
        # 42 bytes of each frame of 1,442 are headers, so 1.94 Mbit/s of payload. A busy machine
        # sends in bursts: there is room for 150 ms of them.
        bucket = ("rate", "2mbit", "burst", "5kb", "latency", "150ms")
        two_hosts.lan.run("tc", "qdisc", "add", "dev", "port2", "root", "tbf", *bucket)
        result = send(two_hosts.a, "--interval=0.5")
        receiver.send_signal(signal.SIGINT)
        report, _ = receiver.communicate(timeout=PATIENCE_SECONDS)
        assert receiver.returncode == 0
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    match = re.search(r"^Highest rate without loss: (\d\.\d\d) Mbit/s", result.stdout, re.MULTILINE)
    assert match is not None, result.stdout
    # What is in store on the way counts, too.
    assert 1.6 <= float(match[1]) <= 2.7
    assert re.search(r"^The lowest rate with loss: \d\.\d\d Mbit/s\.$", result.stdout, re.MULTILINE)
    # The first rate that was tried is clean; at others, much is lost on the way.
    first, *_ = rows = [line.split() for line in lines if line.endswith(rows_end(lines))]
    assert (first[3], first[4], first[5]) == ("0", "0", "0")
    assert any(int(row[3]) > 0 for row in rows)
    assert all((row[4], row[5]) == ("0", "0") for row in rows)
    # The receiver tells of the same streams.
    assert report.startswith(f"Receiving {TARGET}; the sender asks at port 27430.\n")
    assert "10.0.1.1 eth0" in report


def rows_end(lines: list[str]) -> str:
    """The name of the receiver, with which each row of the table ends."""
    return re.sub(r".* (?=10\.0\.1\.2 )", "", next(line for line in lines if " 10.0.1.2 " in line))


def test_datagrams_that_the_receiver_drops_are_told_apart(two_hosts: TwoHosts) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows stops no programs")
    command = (*SEND, "--rate=20Mbit", "--duration=3", "--interval=1", "--json")
    with (
        receiving(two_hosts.lan, two_hosts.b) as (receiver,),
        two_hosts.a.popen(*command, env=environment()) as sending,
    ):
        assert sending.stdout is not None
        first = sending.stdout.readline()
        # While the receiver does not run, its buffer overflows, which its kernel counts.
        os.killpg(receiver.pid, signal.SIGSTOP)
        time.sleep(0.8)
        os.killpg(receiver.pid, signal.SIGCONT)
        output, _ = sending.communicate(timeout=PATIENCE_SECONDS)
        assert sending.returncode == 0
    _, summary = events(first + output)
    (total,) = summary["receivers"]
    assert total["lost"]["kernel"] > 100
    assert total["lost"]["network"] == 0


def test_sender_that_nobody_hears_says_so(two_hosts: TwoHosts) -> None:
    result = send(two_hosts.a, "--json")
    assert result.returncode == 1
    (complaint,) = result.stderr.splitlines()
    assert complaint.startswith(f"trio-mcast measure: nobody receives {TARGET}: ")


def test_sender_ends_at_ctrl_c_with_its_summary(two_hosts: TwoHosts) -> None:
    command = (*SEND, "--rate=100", "--interval=0.3")
    with (
        receiving(two_hosts.lan, two_hosts.b),
        two_hosts.a.popen(*command, stderr=subprocess.STDOUT, env=environment()) as process,
    ):
        assert process.stdout is not None
        while " 10.0.1.2 " not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        remaining = process.stdout.read()
        assert process.wait() == 130
    assert re.search(r"^10\.0\.1\.2 \S+ on eth0: 0 of \d+ lost \(0\.00%\)", remaining, re.MULTILINE)
    assert "Traceback" not in remaining


@pytest.mark.parametrize("ends", [(), ("--sender", "--receiver")], ids=["none", "both"])
def test_one_end_has_to_be_named(two_hosts: TwoHosts, ends: tuple[str, ...]) -> None:
    result = two_hosts.a.run(*RUN, "measure", TARGET, *ends, check=False, env=environment())
    assert (result.returncode, result.stdout) == (2, "")
    assert "--sender or --receiver" in result.stderr


@needs_program("iperf", "nft")
def test_loss_is_the_one_that_iperf_tells(two_hosts: TwoHosts) -> None:
    """Every tenth datagram is dropped, for both: of iperf, and of this library."""
    filter_arriving(two_hosts.b, "@th,32,16 > 1000 numgen inc mod 10 == 9 drop")
    with two_hosts.b.popen(
        *("timeout", "20", "iperf", "-u", "-s", "-B", f"{GROUP}%eth0", "-p", str(PORT)),
        *("-e", "-t", "6", "-f", "m"),
    ) as server:
        two_hosts.lan.wait_for(lambda _: bool(two_hosts.lan.subscriptions(GROUP)), 20)
        two_hosts.a.run("ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
        client = ("iperf", "-u", "-c", GROUP, "-p", str(PORT), "-b", "2m", "-l", "1400", "-t", "2")
        two_hosts.a.run(*client)
        server.terminate()
        told_by_iperf, _ = server.communicate(timeout=20)
    # Else the switch might take what iperf has subscribed to for the next receiver's.
    two_hosts.lan.wait_for(lambda _: not two_hosts.lan.subscriptions(GROUP), 20)
    match = re.search(r"(\d+)/(\d+) \(([\d.]+)%\)", told_by_iperf)
    assert match is not None, told_by_iperf
    assert 9 <= 100 * int(match[1]) / int(match[2]) <= 11
    with receiving(two_hosts.lan, two_hosts.b):
        result = send(two_hosts.a, "--rate=2Mbit", "--duration=2", "--json")
    _, summary = events(result.stdout)
    (total,) = summary["receivers"]
    assert 9 <= 100 * total["lost"]["network"] / total["sent"] <= 11
