"""``trio-mcast replay``: what it sends, when, and what it says of the rest."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.capture.test_fragments import fragments
from tests.lab.fixtures import TwoHosts
from tests.support.captures import ethernet, pcap, pcapng, udp
from trio_mcast import Datagram, open_mcast_receiver
from trio_mcast._capture.playing import Survey, multicast_of, survey
from trio_mcast._cli.replay import Replaying, describe_replay, parse_speed

from .test_demo import COMMAND, environment, run_here

pytestmark = pytest.mark.once

REPLAY = (*COMMAND, "replay")
START_NS = 1_700_000_000_123_456_000
MS = 1_000_000
LARGE = udp("10.0.0.9", "239.1.2.3", bytes(3000))
FRAMES = [
    (0, ethernet(udp("10.0.0.9", "239.1.2.3", b"one"))),
    (50, ethernet(udp("fd00::9", "ff15::1", b"two"), vlan=3)),
    (100, ethernet(udp("10.0.0.9", "10.0.0.1", b"unicast"))),
    (100, bytes(60)),
    *((100, frame) for frame in fragments(LARGE, 0)),
    (120, fragments(LARGE, 0, number=7)[0]),
    (150, ethernet(udp("10.0.0.9", "239.1.2.4", b"four"))),
]
TIMED = [(START_NS + ms * MS, frame) for ms, frame in FRAMES]
SKIPPED = {"not to a group": 1, "not IP": 1, "fragment without the others": 1}


WRITERS: list[Any] = [pcap, pcapng]


@pytest.fixture(params=WRITERS, ids=["pcap", "pcapng"])
def capture(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "capture"
    path.write_bytes(request.param(TIMED))
    return path


def test_datagrams_to_groups_are_found_and_the_others_counted(capture: Path) -> None:
    skipped: Counter[str] = Counter()
    datagrams = list(multicast_of(capture, skipped))
    assert [(one.group, one.port, len(one.data)) for one in datagrams] == [
        ("239.1.2.3", 12345, 3),
        ("ff15::1", 12345, 3),
        ("239.1.2.3", 12345, 3000),
        ("239.1.2.4", 12345, 4),
    ]
    assert skipped == SKIPPED
    groups = dict.fromkeys(("239.1.2.3", "ff15::1", "239.1.2.4"), 12345)
    assert survey(capture) == Survey(groups, 4, 3010, 150 * MS, SKIPPED)


@pytest.mark.parametrize(
    ("text", "speed"), [("1", 1.0), ("0.5", 0.5), ("10", 10.0), ("max", float("inf"))]
)
def test_speed_is_read(text: str, speed: float) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["", "0", "-1", "fast", "nan", "inf"])
def test_what_is_no_speed_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is no speed"):
        parse_speed(text)


def replayed(
    two_hosts: TwoHosts, capture: Path, *arguments: str, count: int, groups: Any, port: int = 12345
) -> tuple[list[Datagram], subprocess.CompletedProcess[str]]:
    """Replay a capture on host b, and return what host a received, and the end of the command."""

    async def receive() -> list[Datagram]:
        async with open_mcast_receiver(
            groups, port, receive_timestamp=True, receive_ttl=True
        ) as receiver:
            popen = two_hosts.b.popen(
                *REPLAY, str(capture), *arguments, stderr=subprocess.PIPE, env=environment()
            )
            with popen as process, trio.fail_after(30):
                datagrams = [await receiver.receive() for _ in range(count)]
                output = await trio.to_thread.run_sync(process.communicate, abandon_on_cancel=True)
                assert process.returncode == 0
        ends.append(subprocess.CompletedProcess(REPLAY, process.returncode, *output))
        return datagrams

    ends: list[subprocess.CompletedProcess[str]] = []
    with two_hosts.a.inside():
        return trio.run(receive), ends[0]


def test_capture_is_sent_at_its_own_pace(two_hosts: TwoHosts, capture: Path) -> None:
    groups = ["239.1.2.3", "239.1.2.4", "ff15::1"]
    datagrams, end = replayed(two_hosts, capture, "--interface", "eth0", count=4, groups=groups)
    assert [(one.group, one.data[:4], one.ttl) for one in datagrams] == [
        ("239.1.2.3", b"one", 1),
        ("ff15::1", b"two", 1),
        ("239.1.2.3", bytes(4), 1),
        ("239.1.2.4", b"four", 1),
    ]
    times = [one.timestamp_ns or 0 for one in datagrams]
    # None early; how late depends on how busy the machine is.
    for time_ns, ms in zip(times, (0, 50, 100, 150), strict=True):
        assert time_ns - times[0] > (ms - 25) * MS
    lines = end.stderr.splitlines()
    assert lines[0].startswith("4 datagrams, 3,010 bytes sent in ")
    assert lines[1] == "  on eth0: 4 sent"
    assert lines[2].startswith("sent late by: median ")
    assert lines[3] == ("skipped: 1 not to a group, 1 not IP, 1 fragment without the others")


def test_capture_is_sent_elsewhere_faster_and_again(two_hosts: TwoHosts, capture: Path) -> None:
    options = ("--to", "239.9.9.9%eth0:6000", "--speed", "max", "--loop", "2")
    datagrams, end = replayed(two_hosts, capture, *options, count=8, groups="239.9.9.9", port=6000)
    assert [one.data[:4] for one in datagrams] == [b"one", b"two", bytes(4), b"four"] * 2
    assert "late" not in end.stderr


def test_capture_is_sent_from_the_source_written_with_the_group(
    two_hosts: TwoHosts, capture: Path
) -> None:
    two_hosts.b.run("ip", "address", "add", "10.0.1.77/24", "dev", "eth0")
    options = ("--to", "10.0.1.77@239.9.9.9:6000", "--speed", "max")
    datagrams, _ = replayed(two_hosts, capture, *options, count=4, groups="239.9.9.9", port=6000)
    assert {one.source.host for one in datagrams} == {"10.0.1.77"}


async def test_loops_follow_after_the_usual_interval(
    capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = survey(capture)
    replaying = Replaying(capture, content, to=None, interfaces=(), speed=2.0, loops=3)
    # 150 ms with 3 intervals of 50 ms on average, at twice the speed.
    assert replaying._loop_seconds() == pytest.approx(0.1)
    replaying.errors.extend([MS] * 98 + [2 * MS, 9 * MS])
    assert "sent late by: median 1.000 ms, 99 % 2.000 ms, largest 9.000 ms" in describe_replay(
        replaying, content
    )
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"GET / HTTP/1.1", "is no capture: it is neither pcapng nor pcap"),
        (pcap([]), "has no UDP datagram to a group\n"),
        (pcap([TIMED[2], TIMED[3]]), "to a group: 1 not to a group, 1 not IP\n"),
        (pcapng(TIMED)[:40] + b"\xff" * 40, "damaged"),
    ],
    ids=["no capture", "empty", "other traffic", "damaged"],
)
def test_file_with_nothing_to_send_is_told(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    result = run_here("replay", str(path))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("trio-mcast replay: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
