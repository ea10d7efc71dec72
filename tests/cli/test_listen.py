"""``trio-mcast listen``, as people run it: with files, pipes and signals."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import Host
from tests.lab.fixtures import TwoHosts
from tests.support.needs import needs_program

from .test_demo import COMMAND, environment

pytestmark = pytest.mark.once

LISTEN = (*COMMAND, "listen")
# Sends numbered lines to a group until it is killed.
SENDER = """
import itertools, socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 3)
sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB8)
for number in itertools.count():
    for group in sys.argv[2:]:
        sock.sendto(b"line %d\\n" % number, (group, 5000))
    time.sleep(0.02)
"""


@contextmanager
def sending(host: Host, *groups: str) -> Iterator[None]:
    """Have host b send to groups for the length of a block."""
    command = (sys.executable, "-c", SENDER, "10.0.1.2", *groups)
    with host.popen(*command) as process:
        try:
            yield
        finally:
            process.kill()


def listen(two_hosts: TwoHosts, *arguments: str) -> subprocess.CompletedProcess[str]:
    with sending(two_hosts.b, "239.1.2.3", "239.1.2.4"):
        return two_hosts.a.run(*LISTEN, *arguments, check=False, env=environment())


def numbers(lines: list[str]) -> list[int]:
    return [int(line.rpartition("line ")[2]) for line in lines]


@needs_program("tshark")
def test_text_and_capture_agree_with_tshark(two_hosts: TwoHosts, tmp_path: Path) -> None:
    path = tmp_path / "heard.pcapng"
    options = ("--count", "5", "--ttl", "--timestamps", "--traffic-class", "--write", str(path))
    result = listen(two_hosts, "239.1.2.3:5000", *options)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    first = numbers(lines)[0]
    assert numbers(lines) == list(range(first, first + 5))
    assert all(" > 239.1.2.3:5000 eth0 ttl 3 class 0xb8 " in line for line in lines)
    summary = result.stderr.splitlines()
    assert "datagrams, " in summary[0]
    assert "dropped by the kernel: 0, by policy: 0" in summary[0]
    assert summary[1].startswith("  239.1.2.3 port 5000 on eth0: ")
    fields = ("-e", "frame.time_epoch", "-e", "ip.src", "-e", "udp.srcport", "-e", "data.data")
    command = ["tshark", "-r", str(path), "-T", "fields", *fields]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # The same sources, payloads and times.
    for line, row in zip(lines, dump.splitlines(), strict=True):
        time, source, port, data = row.split("\t")
        assert f" {source}:{port} > " in line
        assert bytes.fromhex(data).decode().strip() == line.rpartition(": ")[2]
        assert line.partition("Z")[0][-10:] == time[-10:]


def test_json_into_head_ends_cleanly_and_at_once(two_hosts: TwoHosts) -> None:
    command = f"{shlex.join(LISTEN)} 239.1.2.3:5000 --format json; echo $? >&2"
    with sending(two_hosts.b, "239.1.2.3"):
        result = two_hosts.a.run("sh", "-c", f"({command}) | head -1", env=environment())
    assert result.stderr == "0\n"
    (line,) = result.stdout.splitlines()
    record = json.loads(line)
    assert record["text"].startswith("line ")
    assert (record["group"], record["port"], record["ttl"]) == ("239.1.2.3", 5000, 3)
    assert (record["interface"], record["traffic_class"]) == ("eth0", 0xB8)
    assert record["timestamp_ns"]


def test_raw_is_the_payloads_and_nothing_else(two_hosts: TwoHosts) -> None:
    result = listen(two_hosts, "239.1.2.4:5000", "--format", "raw", "--count", "3")
    assert len(result.stdout.splitlines()) == 3
    assert all(line.startswith("line ") for line in result.stdout.splitlines())


def test_targets_and_options_choose_what_is_heard(two_hosts: TwoHosts) -> None:
    excluded = listen(two_hosts, "239.1.2.3:5000", "10.0.1.9@239.1.2.4:5000", "--duration", "0.3")
    assert excluded.returncode == 0
    assert "239.1.2.3:5000" in excluded.stdout
    assert "239.1.2.4:5000" not in excluded.stdout
    assert "  239.1.2.4 port 5000 on eth0: 0 datagrams" in excluded.stderr
    nothing = listen(
        two_hosts, "239.1.2.3:5000", "--exclude", "10.0.1.2", "--count", "1", "--duration", "0.2"
    )
    assert (nothing.returncode, nothing.stdout) == (1, "")


def test_ctrl_c_ends_with_the_summary(two_hosts: TwoHosts) -> None:
    for options, status in (((), 0), (("--count", "100000"), 130)):
        command = ("env", "--default-signal=INT", *LISTEN, "239.1.2.3:5000", *options)
        with (
            sending(two_hosts.b, "239.1.2.3"),
            two_hosts.a.popen(*command, stderr=subprocess.PIPE, env=environment()) as process,
        ):
            assert process.stdout is not None
            assert process.stderr is not None
            assert "line" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            assert re.match(r"[\d,]+ datagrams?, ", process.stderr.readline())
            assert process.wait() == status


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("239.1.2.3%nope:5000",), 1, "no interface is called 'nope'"),
        (("239.1.2.3:5000", "--write", "/dev/full"), 1, "/dev/full: No space left on device"),
        (("239.1.2.3:5000", "--write", "/no/x.pcapng"), 1, "/no/x.pcapng: No such file"),
        (("239.1.2.3:5000", "239.1.2.3%eth0:5000"), 2, "is joined on interface eth0 already"),
        (("239.1.2.3:70000",), 2, "port must be from 1 to 65535, not 70000"),
        (("239.1.2.3:5000", "--count", "0"), 2, "--count"),
        (
            ("239.1.2.3:5000", "--source", "10.0.1.2", "--exclude", "10.0.1.3"),
            2,
            "contradict each other",
        ),
    ],
)
def test_error_is_one_sentence(
    two_hosts: TwoHosts, arguments: tuple[str, ...], status: int, sentence: str
) -> None:
    result = two_hosts.a.run(*LISTEN, *arguments, check=False, env=environment())
    assert (result.returncode, result.stdout) == (status, "")
    assert result.stderr.startswith("trio-mcast listen: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_full_disk_ends_it_with_a_sentence(two_hosts: TwoHosts) -> None:
    with sending(two_hosts.b, "239.1.2.3"):
        command = f"{shlex.join(LISTEN)} 239.1.2.3:5000 > /dev/full"
        result = two_hosts.a.run("sh", "-c", command, check=False, env=environment())
    assert result.returncode == 1
    assert result.stderr == "trio-mcast listen: standard output: No space left on device\n"
