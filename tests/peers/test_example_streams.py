"""The RTP receiver of the documentation, and ffmpeg as the source."""

from __future__ import annotations

import re
import subprocess

import pytest
import trio

from tests.lab.fixtures import TwoHosts
from tests.support.examples import example, interrupted, next_line, subscribed
from tests.support.needs import needs_program
from tests.support.privileges import UNPRIVILEGED

pytestmark = pytest.mark.once

GROUP = "239.1.2.3"
# One second in packets of 128 ms, with sequence numbers from 65530 on: they wrap around.
TONE = (
    "ffmpeg -loglevel error {pace} -f lavfi -i sine=sample_rate=8000:duration=1 -c:a pcm_mulaw "
    f"-f rtp -rtpflags send_bye -seq 65530 -ssrc 7 rtp://{GROUP}:5004?localaddr=10.0.1.1"
)
PACKETS, PACKET_MS = 8, 128
LOSSES = """\
table ip losses {
  chain input {
    type filter hook input priority 0;
    udp dport 5004 @th,80,16 { 65531, 0 } drop
  }
}
"""


@needs_program("ffmpeg", "nft")
@pytest.mark.parametrize("at_its_pace", [True, False])
async def test_losses_and_jitter_of_rtp_are_told(two_hosts: TwoHosts, at_its_pace: bool) -> None:
    tone = TONE.format(pace="-re" if at_its_pace else "").split()
    command = example("rtp_quality.py", GROUP, "5004", "8000", "eth0")
    if at_its_pace:
        two_hosts.b.run("nft", "-f", "-", input=LOSSES)
    with two_hosts.b.popen(*UNPRIVILEGED, *command, stderr=subprocess.STDOUT) as listening:
        await subscribed(two_hosts.lan, GROUP)
        with two_hosts.a.popen(*tone, stdout=subprocess.DEVNULL):
            # At its end, it reports how much it has sent.
            assert (await next_line(listening)).startswith(f"00000007: {PACKETS} sent, ")
        await trio.sleep(0.1)  # What came on the other port just before may still wait.
        (line,) = await interrupted(listening)
    pattern = r"00000007: (\d+) sent, (\d+) received, (\d+) lost, jitter (.*) ms"
    counted = re.fullmatch(pattern, line)
    assert counted is not None
    sent, received, lost = map(int, counted.groups()[:3])
    assert (sent, lost) == (PACKETS, 2 if at_its_pace else 0)
    assert received == sent - lost
    # Packets that come all at once are each off by their length, of which a 16th is added.
    at_once = PACKET_MS * (1 - (15 / 16) ** (PACKETS - 1))
    jitter = float(counted[4])
    assert jitter < 0.5 * at_once if at_its_pace else jitter == pytest.approx(at_once, rel=0.1)
