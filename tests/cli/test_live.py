"""``trio-mcast listen --live``: its pictures, and a run on a terminal."""

from __future__ import annotations

import io
import os
import re
import select
import sys
import time

import pytest
from rich.console import Console

from tests.lab.fixtures import TwoHosts
from trio_mcast import Endpoint
from trio_mcast._cli.live_view import draw, short_number, sparkline
from trio_mcast._cli.streams import HISTORY, Key, Row, Subscription
from trio_mcast._diagnosis.probe.numbering import NumberCounts

from .test_demo import environment, run
from .test_listen import LISTEN, sending

pytestmark = pytest.mark.once

# Windows has no pseudo-terminals.
termios = pytest.importorskip("termios")

KEY = Key("239.255.255.255", 65535, "eth0")
ROWS = [
    Row(
        state="RECEIVING",
        key=KEY,
        source=Endpoint("10.100.100.100", 65535),
        datagrams=10**7,
        size=14 * 10**9,
        rate=123_456,
        bit_rate=1_382_000_000,
        numbers=NumberCounts(100_000, 98_765, 12, 345),
        numbered_by="RTP 33",
        jitter_ms=12.345,
        ttl=255,
        dscp=46,
        history=tuple(range(HISTORY)),
        subscription=Subscription(KEY, dropped_by_kernel=1234, dropped_by_policy=5678),
    ),
    Row(state="STALLED", key=Key("ff15::1234", 5000, "eth0"), source=Endpoint("fd00::1", 4000)),
    Row(state="WAITING", key=Key(None, 5000, "a-very-long-name"), subscription=Subscription(KEY)),
]


def picture(width: int, height: int = 24) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    console.print(draw(ROWS, (width, height), order="group"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120, 150, 200, 300])
def test_picture_fits_its_width_and_has_every_fact(width: int) -> None:
    lines = picture(width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for state in ("RECEIVING", "STALLED", "WAITING"):
        assert state in text
    if width < 80:
        return
    assert "239.255.255.255" in text
    facts = ["1235", "12", "345", "123k", "14.0G", "12.3", "255", "46", "1234", "5678", "█"]
    assert [fact for fact in facts if fact not in text] == []


def test_picture_is_no_higher_than_the_terminal_and_says_what_is_left_out() -> None:
    lines = picture(80, 8)
    assert len(lines) <= 8
    assert "2 more streams" in lines[-1]


def test_sparkline_has_a_bar_for_each_part_of_the_history() -> None:
    assert sparkline([0, 1, 4, 8], 4) == " ▁▄█"
    assert sparkline([0, 1, 4, 8], 2) == "▁█"
    assert sparkline([0] * 60, 10) == " " * 10


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (99_999, "99999"), (100_000, "100k"), (12_345_678, "12.3M"), (5 * 10**12, "5.0T")],
)
def test_number_is_short(number: int, text: str) -> None:
    assert short_number(number) == text


def test_pipe_gets_one_sentence_instead() -> None:
    result = run(*LISTEN, "239.1.2.3:5000", "--live")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("trio-mcast listen: --live needs a terminal; in a pipe, use")
    assert result.stderr.count("\n") == 1


def read_until(terminal: int, pattern: str, seconds: float = 20) -> str:
    """Read what a terminal gets, until a pattern is there."""
    output, end = "", time.monotonic() + seconds
    while not re.search(pattern, output, re.DOTALL):
        assert time.monotonic() < end, output
        if select.select([terminal], [], [], 0.1)[0]:
            output += os.read(terminal, 65536).decode(errors="replace")
    return output


def test_view_on_a_terminal_obeys_keys_and_leaves_the_terminal_in_order(
    two_hosts: TwoHosts,
) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no pseudo-terminals")
    terminal, its_side = os.openpty()
    before = termios.tcgetattr(its_side)
    env = environment(TERM="xterm-256color", COLUMNS="80", LINES="20")
    targets = ("239.1.2.3:5000", "239.1.2.9:5000")
    with (
        sending(two_hosts.b, "239.1.2.3"),
        two_hosts.a.popen(
            *LISTEN, *targets, "--live", stdin=its_side, stdout=its_side, stderr=its_side, env=env
        ) as process,
    ):
        output = read_until(terminal, r"RECEIVING\S* 239\.1\.2\.3:5000.*WAITING")
        assert "10.0.1.2:" in output
        assert "ttl 3 dscp 46" in output
        os.write(terminal, b"s")
        read_until(terminal, "now by source")
        os.write(terminal, b"p")
        read_until(terminal, "PAUSED")
        os.write(terminal, b"q")
        # The last picture stays, below it the summary; the cursor is there again.
        last = read_until(terminal, r"239\.1\.2\.9 port 5000 on eth0: 0 datagrams")
        assert process.wait() == 0
    assert "\x1b[?25h" in last
    assert re.search(r"\x1b\[\?1049l.*RECEIVING.* datagrams, ", last, re.DOTALL)
    assert termios.tcgetattr(its_side) == before
    os.close(its_side)
    os.close(terminal)
