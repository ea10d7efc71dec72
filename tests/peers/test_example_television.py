"""The program for MPEG transport streams of the documentation, and ffmpeg as the source."""

from __future__ import annotations

import subprocess

import pytest
import trio

from tests.lab.fixtures import TwoHosts
from tests.support.examples import (
    example,
    interrupted,
    rest_of_output,
    subscribed,
    unsubscribed,
)
from tests.support.needs import needs_program
from tests.support.privileges import UNPRIVILEGED

pytestmark = pytest.mark.once

GROUP = "239.1.2.3"
PICTURES = "testsrc=duration=1:size=160x120:rate=25"
FFMPEG = f"ffmpeg -nostdin -loglevel error -re -f lavfi -i {PICTURES} -f lavfi -i sine -t 1"
# Tables, pictures and sound, by the numbers that ffmpeg gives them.
PARTS = {"0x0000", "0x0011", "0x1000", "0x0100", "0x0101"}
EVERY_TENTH_IS_LOST = """\
table ip losses {
  chain input {
    type filter hook input priority 0;
    udp dport 5004 numgen inc mod 10 == 4 drop
  }
}
"""


async def told(two_hosts: TwoHosts, how: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """How many packets of each part came and were lost, as the program tells at its end."""
    command = example("ts_quality.py", GROUP, "5004", "eth0")
    with two_hosts.b.popen(*UNPRIVILEGED, *command, stderr=subprocess.STDOUT) as listening:
        await subscribed(two_hosts.lan, GROUP)
        with two_hosts.a.popen(*FFMPEG.split(), *how) as sending:
            assert await rest_of_output(sending) == []
        await trio.sleep(0.1)  # The last datagram may still wait.
        lines = await interrupted(listening)
    await unsubscribed(two_hosts.lan, GROUP)
    fields = [line.split() for line in lines]
    assert all(words[2::2] == ["packets,", "lost"] for words in fields)
    return {words[0].rstrip(":"): (int(words[1]), int(words[3])) for words in fields}


@needs_program("ffmpeg", "nft")
@pytest.mark.parametrize(
    "how",
    [
        ("-f", "mpegts", f"udp://{GROUP}:5004?localaddr=10.0.1.1&pkt_size=1316"),
        ("-f", "rtp_mpegts", f"rtp://{GROUP}:5004?localaddr=10.0.1.1"),
    ],
    ids=["udp", "rtp"],
)
async def test_losses_of_a_transport_stream_are_told(
    two_hosts: TwoHosts, how: tuple[str, ...]
) -> None:
    whole = await told(two_hosts, how)
    assert set(whole) == PARTS
    assert all(lost == 0 for _, lost in whole.values())
    two_hosts.b.run("nft", "-f", "-", input=EVERY_TENTH_IS_LOST)
    with_losses = await told(two_hosts, how)
    received, lost = (sum(counts) for counts in zip(*with_losses.values(), strict=True))
    sent = sum(count for count, _ in whole.values())
    # Seven packets are lost at a time. What is lost at the ends of a part does not show.
    assert 0.05 * sent < lost < 0.15 * sent
    assert received + lost == pytest.approx(sent, rel=0.05)
