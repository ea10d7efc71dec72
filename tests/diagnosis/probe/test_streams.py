"""The measured streams of a receiver, and its answers about them."""

from __future__ import annotations

import pytest

from trio_mcast import Datagram, Endpoint, Interface
from trio_mcast._diagnosis.probe.control import Message
from trio_mcast._diagnosis.probe.header import Header, Kind
from trio_mcast._diagnosis.probe.numbering import NumberCounts
from trio_mcast._diagnosis.probe.streams import Drops, StreamCounts, Streams

pytestmark = pytest.mark.once

ETH0 = Interface("eth0", 2)


class Receiver:
    """Streams, and the drops of the machine, as the test says."""

    def __init__(self) -> None:
        self.drops = Drops()
        self.streams = Streams(lambda: self.drops)

    def take(self, run: int, *numbers: int, arrived: int = 0) -> None:
        for number in numbers:
            header = Header(Kind.MEASURE, run, number, number * 1_000)
            source = Endpoint("10.0.0.1", 6_000)
            timestamp = arrived or number * 1_000
            datagram = Datagram(header.pack(100), source, "239.1.2.3", ETH0, 1, timestamp)
            self.streams.take(datagram, header)

    def ask(self, run: object) -> Message:
        request = Message("measure", 5, {"run": run})
        return Message.decode(self.streams.answer(request).encode())


def test_answer_tells_what_came_of_a_run() -> None:
    receiver = Receiver()
    receiver.take(7, 0, 1, 3, 3, 2)
    receiver.take(8, 0)
    counts = StreamCounts.of_message(receiver.ask(7))
    assert counts.numbers == NumberCounts(4, 4, 1, 1)
    assert counts.bytes == 500
    assert counts.jitter_ns == 0
    assert receiver.ask(7).kind == "measured"


def test_jitter_is_of_the_times_of_sending_and_arrival() -> None:
    receiver = Receiver()
    receiver.take(7, 1, arrived=1_000_000)
    receiver.take(7, 2, arrived=1_001_000 + 16_000)
    assert StreamCounts.of_message(receiver.ask(7)).jitter_ns == 1_000


def test_drops_are_those_since_the_stream_was_asked_about() -> None:
    receiver = Receiver()
    receiver.drops = Drops(5, 1)
    assert StreamCounts.of_message(receiver.ask(7)) == StreamCounts()
    receiver.drops = Drops(12, 4)
    receiver.take(7, 0)
    assert StreamCounts.of_message(receiver.ask(7)).drops == Drops(7, 3)
    receiver.take(9, 0)
    receiver.drops = Drops(13, 4)
    assert StreamCounts.of_message(receiver.ask(9)).drops == Drops(1, 0)


def test_request_without_a_run_is_refused() -> None:
    assert Receiver().ask("all").kind == "refused"


def test_forged_streams_displace_none_that_was_asked_about() -> None:
    receiver = Receiver()
    receiver.ask(7)
    for run in range(100, 1_000):
        receiver.take(run, 0)
    receiver.take(7, 0, 1)
    assert StreamCounts.of_message(receiver.ask(7)).numbers.received == 2
    assert len(receiver.streams.counts()) == 65
    for run in range(2_000, 3_000):
        receiver.ask(run)
    assert len(receiver.streams._asked) == 64


def test_counts_are_of_streams_that_came() -> None:
    receiver = Receiver()
    receiver.ask(1)
    receiver.take(2, 0)
    ((run, (stream, counts)),) = receiver.streams.counts().items()
    assert (run, stream.source, stream.interface) == (2, "10.0.0.1", "eth0")
    assert counts.numbers.received == 1
