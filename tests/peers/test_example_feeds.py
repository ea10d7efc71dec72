"""The merged feeds of the documentation, with losses made by a firewall."""

from __future__ import annotations

import subprocess

import pytest

from tests.lab.fixtures import TwoLans
from tests.lab.machine import on
from tests.support.examples import example, interrupted, next_line, rest_of_output, subscribed
from tests.support.needs import needs_program
from tests.support.privileges import UNPRIVILEGED
from trio_mcast import open_mcast_sender

pytestmark = pytest.mark.once

FEEDS = ("239.1.2.3%eth0", "239.1.2.4%eth1")

# The receiving host loses number 3 of one feed, 5 and 6 of the other, and 10 of both. After the
# UDP header, of 64 bits, comes the number, of 32.
LOSSES = """\
table ip losses {
  chain input {
    type filter hook input priority 0;
    iifname eth0 udp dport 12345 @th,64,32 { 3, 10 } drop
    iifname eth1 udp dport 12345 @th,64,32 { 5, 6, 10 } drop
  }
}
"""


@needs_program("nft")
async def test_feeds_fill_in_what_each_has_lost(two_lans: TwoLans) -> None:
    two_lans.b.run("nft", "-f", "-", input=LOSSES)
    merge = example("two_feeds.py", *FEEDS)
    with two_lans.b.popen(*UNPRIVILEGED, *merge, stderr=subprocess.STDOUT) as merging:
        await subscribed(two_lans.lan1, "239.1.2.3")
        await subscribed(two_lans.lan2, "239.1.2.4")
        with two_lans.a.popen(*UNPRIVILEGED, *example("send_feeds.py", *FEEDS)) as sending:
            assert await rest_of_output(sending) == []
        ticks = [await next_line(merging) for _ in range(19)]
        told = await interrupted(merging)
    assert ticks == [f"tick {number}" for number in range(20) if number != 10]
    assert told == [
        "239.1.2.3%eth0 missed 2",
        "239.1.2.4%eth1 missed 3",
        # Of 19 that were not lost on both, three came once.
        "duplicates: 16, gaps: 1",
    ]


async def test_feeds_take_the_sources_that_are_named_only(two_lans: TwoLans) -> None:
    feeds = ("232.1.2.3%eth0", "232.1.2.4%eth1")
    chosen = [f"10.0.{number}.1@{feed}" for number, feed in enumerate(feeds, start=1)]
    two_lans.a.address("eth0", add=["10.0.1.77/24"])
    merge = example("two_feeds.py", *chosen)
    with two_lans.b.popen(*UNPRIVILEGED, *merge, stderr=subprocess.STDOUT) as merging:
        await subscribed(two_lans.lan1, "232.1.2.3")
        await subscribed(two_lans.lan2, "232.1.2.4")
        with on(two_lans.a):
            stranger = open_mcast_sender(feeds[0], 12345, source_address="10.0.1.77")
            async with stranger as sender:
                await sender.send(bytes(4) + b"from a stranger")
        with two_lans.a.popen(*UNPRIVILEGED, *example("send_feeds.py", *feeds)) as sending:
            assert await rest_of_output(sending) == []
        ticks = [await next_line(merging) for _ in range(20)]
        told = await interrupted(merging)
    assert ticks == [f"tick {number}" for number in range(20)]
    assert told[-1] == "duplicates: 20, gaps: 0"
