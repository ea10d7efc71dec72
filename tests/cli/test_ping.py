"""``trio-mcast ping`` and the responders that answer, on hosts of the lab."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.lab import Host, Lab, Switch
from tests.lab.fixtures import TwoHosts, TwoLans, require_lab
from tests.support.needs import needs_program
from tests.support.privileges import UNPRIVILEGED

from .test_demo import COMMAND, environment

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 5000
TARGET = f"{GROUP}:{PORT}"
PING = ("env", "--default-signal=INT", *COMMAND, "ping")


@contextmanager
def responding(lan: Switch, *hosts: Host, group: str = GROUP) -> Iterator[None]:
    """Have hosts answer pings; when the block is entered, their switch knows of all of them."""
    with ExitStack() as stack:
        for host in hosts:
            target = f"[{group}]:{PORT}" if ":" in group else f"{group}:{PORT}"
            command = (*UNPRIVILEGED, *COMMAND, "respond", target)
            stack.enter_context(host.popen(*command, env=environment()))
        names = {host.name for host in hosts}
        lan.wait_for(
            lambda _: names <= {seen.host for seen in lan.subscriptions(group)}, timeout=20
        )
        yield


def ping(host: Host, *arguments: str) -> subprocess.CompletedProcess[str]:
    return host.run(*UNPRIVILEGED, *PING, *arguments, check=False, env=environment())


def summary(output: str) -> dict[str, dict[str, object]]:
    """The lines of the summary in JSON by the address of the responder."""
    (last,) = [line for line in map(json.loads, output.splitlines()) if line["event"] == "summary"]
    return {line["responder"]: line for line in last["responders"]}


def test_ping_prints_each_answer_and_a_summary(two_hosts: TwoHosts) -> None:
    with responding(two_hosts.lan, two_hosts.b):
        result = ping(two_hosts.a, TARGET, "--interface", "eth0", "--count", "3", "--interval=0.1")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    for number, line in enumerate(lines[:3], start=1):
        text = rf"{number}: 10\.0\.1\.2 \S+ on eth0, \d+\.\d{{3}} ms, hops 0 there, 0 back"
        assert re.fullmatch(text, line)
    assert lines[3] == ""
    assert re.fullmatch(r"10\.0\.1\.2 \S+, asked on eth0:", lines[4])
    assert lines[5] == "  3 questions, 0 lost (0.0%), 0 answered twice, 0 out of order"
    times = r"  round trip in ms: (\S+) least, (\S+) median, (\S+) 99th percentile"
    match = re.fullmatch(times, lines[6])
    assert match is not None
    least, median, p99 = map(float, match.groups())
    assert 0 < least <= median <= p99 < 5_000
    assert lines[7] == "  hops: 0 there, to its eth0, and 0 back"
    assert max(map(len, lines)) <= 80


def drop_some(host: Host, condition: str) -> None:
    """Have a host's firewall drop some of what comes to the port."""
    rule = f"udp dport {PORT} {condition} drop"
    chain = f"{{ type filter hook input priority 0; {rule}; }}"
    host.run("nft", "-f", "-", input=f"table inet losses {{ chain losses {chain}; }}")


def copy_some(lan: Switch, arriving: str, leaving: str, condition: str) -> None:
    """Have a switch send some of what comes in by one port once more, out of another."""
    rule = f"ip daddr {GROUP} {condition} dup to {leaving}"
    chain = f"{{ type filter hook ingress device {arriving} priority 0; {rule}; }}"
    lan.run("nft", "-f", "-", input=f"table netdev copies {{ chain copies {chain}; }}")


@needs_program("nft")
def test_ping_tells_loss_and_duplicates_of_each_responder(two_hosts: TwoHosts) -> None:
    c = two_hosts.lab.host("c")
    c.plug("eth0", two_hosts.lan, "10.0.1.3/24")
    with responding(two_hosts.lan, two_hosts.b, c):
        drop_some(two_hosts.b, "numgen inc mod 4 == 2")
        copy_some(two_hosts.lan, "port1", "port3", "numgen inc mod 5 == 1")
        result = ping(
            two_hosts.a, TARGET, "--interface=eth0", "--count=20", "--interval=0.05", "--json"
        )
    assert (result.returncode, result.stderr) == (0, "")
    by_address = summary(result.stdout)
    assert set(by_address) == {"10.0.1.2", "10.0.1.3"}
    b, c_line = by_address["10.0.1.2"], by_address["10.0.1.3"]
    counts = ("asked", "answered", "lost", "duplicates")
    assert [b[name] for name in counts] == [20, 15, 5, 0]
    assert [c_line[name] for name in counts] == [20, 20, 0, 4]
    answers = [json.loads(line) for line in result.stdout.splitlines()[:-1]]
    assert len(answers) == 15 + 24
    assert {answer["event"] for answer in answers} == {"answer"}
    lost = set(range(1, 21)) - {
        answer["number"] for answer in answers if answer["responder"] == "10.0.1.2"
    }
    assert lost == {3, 7, 11, 15, 19}


def test_ping_asks_on_several_interfaces_and_groups_at_once(two_lans: TwoLans) -> None:
    both = ("--interface=eth0", "--interface=eth1")
    with responding(two_lans.lan1, two_lans.b):
        two_lans.lan2.wait_for(lambda _: bool(two_lans.lan2.subscriptions(GROUP)))
        result = ping(two_lans.a, TARGET, "239.9.9.9:5000", *both, "--count=2", "--json")
    assert result.returncode == 0
    places = {
        (line["responder"], line["interface"], line["responder_interface"], line["group"])
        for line in summary(result.stdout).values()
    }
    assert places == {
        ("10.0.1.2", "eth0", "eth0", TARGET),
        ("10.0.2.2", "eth1", "eth1", TARGET),
    }
    assert '"asked": 8' in result.stdout


def test_ping_of_an_ipv6_group_on_the_interface_written_with_it(two_hosts: TwoHosts) -> None:
    group = "ff02::1:2:3"
    with responding(two_hosts.lan, two_hosts.b, group=group):
        result = ping(two_hosts.a, f"[{group}%eth0]:{PORT}", "--count=1")
    assert (result.returncode, result.stderr) == (0, "")
    address = two_hosts.b.link_local("eth0")
    assert f"{address}%eth0 " in result.stdout
    assert "1 questions, 0 lost" not in result.stdout
    assert "1 question, 0 lost" in result.stdout


@needs_program("smcrouted")
def test_ping_counts_the_routers_there_and_back(lab: Lab) -> None:
    require_lab("smcrouted")
    router, hosts, lans = lab.router("router"), [], []
    for number, name in enumerate("ab", start=1):
        lan, host = lab.switch(f"lan{number}"), lab.host(name)
        host.plug("eth0", lan, f"10.0.{number}.1/24")
        host.run("ip", "route", "add", "default", "via", f"10.0.{number}.254")
        router.plug(f"lan{number}", lan, f"10.0.{number}.254/24")
        hosts.append(host)
        lans.append(lan)
    router.forward(GROUP, inbound="lan1", outbound="lan2")
    router.start()
    a, b = hosts
    with responding(lans[1], b):
        near = ping(a, TARGET, "--interface=eth0", "--count=1")
        far = ping(a, TARGET, "--interface=eth0", "--count=1", "--ttl=8")
    assert (near.returncode, near.stdout) == (1, "Nobody answered 1 question.\n")
    assert far.returncode == 0
    assert "10.0.2.1 " in far.stdout
    assert "hops: 1 there, to its eth0, and 1 back" in far.stdout


@pytest.mark.parametrize(
    ("arguments", "status"), [((), 0), (("--count=100",), 130)], ids=["no-end", "count"]
)
def test_ping_ends_at_ctrl_c_with_its_summary(
    two_hosts: TwoHosts, arguments: tuple[str, ...], status: int
) -> None:
    command = (*PING, TARGET, "--interface=eth0", "--interval=0.2", *arguments)
    with (
        responding(two_hosts.lan, two_hosts.b),
        two_hosts.a.popen(*command, stderr=subprocess.STDOUT, env=environment()) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline().startswith("1: 10.0.1.2 ")
        assert process.stdout.readline().startswith("2: 10.0.1.2 ")
        process.send_signal(signal.SIGINT)
        remaining = process.stdout.read()
        assert process.wait() == status
    assert "Traceback" not in remaining
    # A question that is still on its way is not lost.
    assert " 0 lost (0.0%)" in remaining


@pytest.mark.parametrize(
    ("arguments", "status"), [((), 1), (("--count=100",), 130)], ids=["no-end", "count"]
)
def test_ping_that_nobody_answers_says_so(
    two_hosts: TwoHosts, arguments: tuple[str, ...], status: int
) -> None:
    command = (*PING, TARGET, "--interface=eth0", "--interval=0.2", *arguments)
    with two_hosts.a.popen(*command, stderr=subprocess.STDOUT, env=environment()) as asking:
        two_hosts.b.run(sys.executable, "-c", WAIT_FOR_QUESTION)
        asking.send_signal(signal.SIGINT)
        output, _ = asking.communicate(timeout=20)
        assert asking.wait() == status
    assert re.fullmatch(r"Nobody answered \d+ questions?\.\n", output)


WAIT_FOR_QUESTION = f"""
import socket, struct
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(20)
sock.bind(("{GROUP}", {PORT}))
place = socket.inet_aton("{GROUP}") + socket.inet_aton("10.0.1.2")
sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, place)
assert sock.recv(2000).startswith(b"TMCP")
"""


def test_ping_into_a_pipe_that_closes_ends_quietly(two_hosts: TwoHosts) -> None:
    with responding(two_hosts.lan, two_hosts.b):
        command = shlex.join((*PING, TARGET, "--interface=eth0", "--interval=0.05", "--json"))
        result = two_hosts.a.run("sh", "-c", f"{command} | head -1", env=environment())
    assert result.stderr == ""
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["event"] == "answer"


def test_ping_says_why_a_question_could_not_be_sent(two_hosts: TwoHosts) -> None:
    two_hosts.a.run("ip", "address", "flush", "dev", "eth0", "scope", "global")
    result = ping(two_hosts.a, TARGET, "--interface=eth0", "--count=3", "--interval=0.1")
    assert result.returncode == 1
    assert result.stdout == "Nothing could be asked.\n"
    (complaint,) = result.stderr.splitlines()
    assert complaint.startswith("trio-mcast ping: ")
    assert "eth0" in complaint


def test_ping_of_an_interface_that_is_not_there_is_one_sentence(two_hosts: TwoHosts) -> None:
    result = ping(two_hosts.a, TARGET, "--interface", "eth9")
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(r"trio-mcast ping: no interface is called 'eth9'; .*\n", result.stderr)
