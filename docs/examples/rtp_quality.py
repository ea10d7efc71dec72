"""Tell how much of RTP streams is lost, and their jitter (RFC 3550).

Usage: python rtp_quality.py GROUP PORT CLOCK_RATE [INTERFACE...]
RTCP is on the port after PORT. CLOCK_RATE is 8000 for telephone audio, and
90000 for video.
"""

import sys
from contextlib import suppress
from struct import Struct

import trio

from trio_mcast import open_mcast_receiver

RTP = Struct("!2xHII")  # Sequence number, timestamp, source.
# Kind (200: a sender's report), source, packets sent.
RTCP = Struct("!xB2xI 12xI")


class Stream:
    def __init__(self, number: int) -> None:
        self.first = self.highest = number
        self.received, self.sent, self.transit, self.jitter = 0, 0, 0, 0.0

    def count(self, number: int, timestamp: int, arrival: int) -> None:
        ahead = (number - self.highest) % 2**16
        # Else another has overtaken it.
        self.highest += ahead if ahead < 2**15 else 0
        change = (arrival - timestamp - self.transit + 2**31) % 2**32 - 2**31
        self.jitter += (abs(change) - self.jitter) / 16 if self.received else 0
        self.transit = arrival - timestamp
        self.received += 1

    def describe(self, rate: int) -> str:
        counts = f"{self.sent} sent, {self.received} received"
        lost = self.highest - self.first + 1 - self.received
        return (
            f"{counts}, {lost} lost, jitter {self.jitter / rate * 1000:.1f} ms"
        )


async def main(
    group: str, port: int, rate: int, interfaces: list[str] | None
) -> None:
    streams: dict[int, Stream] = {}
    async with open_mcast_receiver(
        group, [port, port + 1], interfaces=interfaces, receive_timestamp=True
    ) as receiver:
        try:
            async for datagram in receiver:
                data, arrival_ns = datagram.data, datagram.timestamp_ns or 0
                if datagram.destination.port == port and len(data) >= RTP.size:
                    number, timestamp, source = RTP.unpack_from(data)
                    stream = streams.setdefault(source, Stream(number))
                    stream.count(number, timestamp, arrival_ns * rate // 10**9)
                elif (
                    datagram.destination.port != port and len(data) >= RTCP.size
                ):
                    kind, source, sent = RTCP.unpack_from(data)
                    if kind == 200 and source in streams:
                        streams[source].sent = sent
                        print(f"{source:08x}: {streams[source].describe(rate)}")
        finally:
            for source, stream in streams.items():
                print(f"{source:08x}: {stream.describe(rate)}")


if len(sys.argv) < 4:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):
    group, port, rate, *interfaces = sys.argv[1:]
    trio.run(main, group, int(port), int(rate), interfaces or None)
