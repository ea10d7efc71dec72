"""The commands that see and make traffic, with other people's programs at the other end."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

import pytest

from tests.cli.test_demo import COMMAND, environment
from tests.lab.fixtures import TwoHosts
from tests.support.needs import needs_module, needs_program
from trio_mcast._cli.numbers import find_number

pytestmark = pytest.mark.once

MCAST_TOOLS_SEND = (sys.executable, "-m", "mcast_tools.sender")
MCAST_TOOLS_RECEIVE = (sys.executable, "-m", "mcast_tools.receiver")
MCAST_TOOLS_PORT = 19779

LISTEN = (*COMMAND, "listen", "--format", "json")


def heard(two_hosts: TwoHosts, target: str, count: int, *sender: str) -> list[dict[str, Any]]:
    """What host a hears from a program on host b that goes on sending."""
    with two_hosts.b.popen(*sender, stderr=subprocess.DEVNULL) as process:
        result = two_hosts.a.run(*LISTEN, target, "--count", str(count), env=environment())
        process.kill()
    return [json.loads(line) for line in result.stdout.splitlines()]


@needs_program("iperf")
def test_listen_hears_iperf(two_hosts: TwoHosts) -> None:
    two_hosts.b.run("ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
    sender = ("iperf", "-c", "239.1.2.3", "-u", "-b", "1M", "-l", "500", "-t", "60", "-T", "4")
    records = heard(two_hosts, "239.1.2.3:5001", 10, *sender)
    numbers = [int.from_bytes(base64.b64decode(one["data"])[:4], "big") for one in records]
    assert numbers == list(range(numbers[0], numbers[0] + 10))
    assert {(one["source"], one["size"], one["ttl"]) for one in records} == {("10.0.1.2", 500, 4)}


@needs_module("mcast_tools")
def test_listen_hears_mcast_send(two_hosts: TwoHosts) -> None:
    sender = (*MCAST_TOOLS_SEND, "239.1.2.3", "60", "7", "-r", "50pps", "-s", "300", "-i", "eth0")
    records = heard(two_hosts, f"239.1.2.3:{MCAST_TOOLS_PORT}", 10, *sender)
    assert {(one["source"], one["size"], one["ttl"]) for one in records} == {("10.0.1.2", 300, 7)}


@needs_module("mcast_tools")
def test_mcast_receive_hears_what_send_sends(two_hosts: TwoHosts) -> None:
    target = f"239.1.2.3:{MCAST_TOOLS_PORT}"
    send = (*COMMAND, "send", target, "--interface", "eth0", "--numbered", "--rate", "50")
    receive = ("239.1.2.3", "--interface", "eth0", "--duration", "2", "--quiet", "--json")
    with two_hosts.b.popen(*send, env=environment(), stderr=subprocess.DEVNULL):
        result = two_hosts.a.run(*MCAST_TOOLS_RECEIVE, *receive)
    # They are not of its own format, so it counts them and no more.
    assert json.loads(result.stdout.splitlines()[-1])["foreign_packets"] > 20


@needs_program("ffmpeg")
def test_numbers_of_ffmpeg_are_found(two_hosts: TwoHosts) -> None:
    two_hosts.b.run("ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
    source = ("-re", "-f", "lavfi", "-i", "sine", "-acodec", "pcm_mulaw", "-ar", "8000")
    sender = ("ffmpeg", "-nostdin", *source, "-f", "rtp", "rtp://239.1.2.3:5000")
    records = heard(two_hosts, "239.1.2.3:5000", 10, *sender)
    numbered = [find_number(base64.b64decode(one["data"])) for one in records]
    assert None not in numbered
    first = numbered[0]
    assert first is not None
    assert first.series[0] == "RTP 0"
    assert [one and (one.number - first.number) % 65536 for one in numbered] == list(range(10))
    # It has sent them as fast as they are heard: 8,000 samples a second.
    sent = [one.sent_ns or 0 for one in numbered if one is not None]
    arrived = [one["timestamp_ns"] for one in records]
    assert sent[-1] - sent[0] == pytest.approx(arrived[-1] - arrived[0], rel=0.5)


@needs_program("socat")
def test_socat_hears_what_is_sent(two_hosts: TwoHosts) -> None:
    address = "UDP4-RECV:5000,reuseaddr,ip-add-membership=239.1.2.3:10.0.1.1"
    # What it waits for in vain ends with it.
    with two_hosts.a.popen("timeout", "60", "socat", "-u", address, "STDOUT") as process:
        send = (*COMMAND, "send", "239.1.2.3:5000", "-", "--interface", "eth0")
        assert process.stdout is not None
        # Until it has joined, nothing arrives.
        for _ in range(20):
            two_hosts.b.run(*send, input="hello\nsocat\n", env=environment())
            igmp = two_hosts.a.read("/proc/net/igmp")
            if "030201EF" in igmp:
                break
        two_hosts.b.run(*send, input="hello\nsocat\n", env=environment())
        assert process.stdout.read(10) == "hellosocat"
