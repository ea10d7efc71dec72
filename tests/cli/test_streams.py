"""The table of streams behind ``listen --live``: fed with datagrams and a clock."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from trio_mcast import Datagram, Endpoint, Interface, open_mcast_receiver, open_mcast_sender
from trio_mcast._cli.numbers import Numbered, SequenceAt, find_number, parse_sequence
from trio_mcast._cli.streams import HISTORY, Key, Order, Row, StreamTable, Subscription
from trio_mcast._diagnosis.probe.header import Header, Kind
from trio_mcast.testing import VirtualNetwork

pytestmark = pytest.mark.once

ETH0 = Interface("eth0", 2)
KEY = Key("239.1.2.3", 5000, "eth0")
SOURCE = Endpoint("10.0.0.1", 4000)
MS = 1_000_000


def datagram(data: bytes = b"x" * 100, source: Endpoint = SOURCE, arrived_ns: int = 0) -> Datagram:
    destination = Endpoint("239.1.2.3", 5000)
    return Datagram(data, source, "239.1.2.3", ETH0, 7, arrived_ns, destination, 0xB8)


def numbered(number: int, run: int = 9, sent_ns: int = 0) -> bytes:
    return Header(Kind.NUMBERED, run, number, sent_ns).pack(100)


def rtp(number: int, kind: int = 33, timestamp: int = 0, ssrc: int = 5) -> bytes:
    return struct.pack("!BBHII", 0x80, kind, number, timestamp, ssrc) + bytes(20)


def only_row(table: StreamTable, now: float) -> Row:
    (row,) = table.rows(now)
    return row


def test_group_from_which_nothing_came_waits_or_has_failed() -> None:
    table = StreamTable()
    other = Key("239.9.9.9", 5000, "eth0")
    table.subscribe([Subscription(KEY), Subscription(other, failed=True)])
    assert [(row.key, row.state) for row in table.rows(0)] == [(KEY, "WAITING"), (other, "FAILED")]


def test_stream_is_received_and_stalls_and_goes_on() -> None:
    table = StreamTable()
    table.subscribe([Subscription(KEY, dropped_by_kernel=3, dropped_by_policy=4)])
    for tick in range(20):
        table.add([datagram()], 100 + tick / 10)
    row = only_row(table, 102.0)
    assert (row.state, row.source, row.datagrams, row.size) == ("RECEIVING", SOURCE, 20, 2000)
    assert (row.rate, row.bit_rate, row.ttl, row.dscp) == (10, 8000, 7, 46)
    assert row.history == (0,) * (HISTORY - 2) + (10, 10)
    assert row.subscription is not None
    assert row.subscription.dropped_by_kernel == 3
    assert only_row(table, 103.8).state == "RECEIVING"
    assert only_row(table, 104.0).state == "STALLED"
    assert only_row(table, 104.0).rate == 0
    table.add([datagram()], 105.0)
    assert only_row(table, 105.0).state == "RECEIVING"


def test_slow_stream_has_not_stalled_between_its_datagrams() -> None:
    table = StreamTable()
    for now in (0, 5, 10):
        table.add([datagram()], now)
    assert only_row(table, 24.0).state == "RECEIVING"
    assert only_row(table, 25.5).state == "STALLED"


def test_history_is_a_minute_and_forgets() -> None:
    table = StreamTable()
    table.add([datagram()] * 5, 0.5)
    table.add([datagram()] * 2, 59.5)
    assert only_row(table, 60.0).history == (5, *[0] * 58, 2)
    assert only_row(table, 61.0).history == (*[0] * 58, 2, 0)
    assert sum(only_row(table, 500.0).history) == 0


def numbers_of(payloads: list[bytes], table: StreamTable) -> tuple[int, int, int]:
    table.add(map(datagram, payloads), 1.0)
    counts = only_row(table, 1.0).numbers
    assert counts is not None
    return counts.lost, counts.reordered, counts.duplicates


def test_gaps_and_order_are_told_by_the_numbers() -> None:
    order = [0, 1, 2, 5, 4, 6, 6, 9]
    makers: list[Callable[[int], bytes]] = [numbered, rtp]
    for make in makers:
        assert numbers_of([make(number) for number in order], StreamTable()) == (3, 1, 1)
    at = [b"ab" + bytes([number]) for number in order]
    assert numbers_of(at, StreamTable(SequenceAt(2, 1))) == (3, 1, 1)


def test_numbers_of_rtp_begin_again_at_0() -> None:
    payloads = [rtp(number % 65536) for number in range(65530, 65540)]
    assert numbers_of(payloads, StreamTable()) == (0, 0, 0)


def test_sender_that_began_again_is_no_loss() -> None:
    payloads = [numbered(number, run) for run in (1, 2) for number in (100 * run, 100 * run + 1)]
    assert numbers_of(payloads, StreamTable()) == (0, 0, 0)


def test_payload_without_a_number_has_no_losses() -> None:
    table = StreamTable()
    table.add(map(datagram, [b"hello", b"\x80", rtp(1, kind=72), b"TMCP", b""]), 0)
    assert only_row(table, 0).numbers is None


@pytest.mark.parametrize(
    "make", [lambda n: numbered(n, 1, n * 10 * MS), lambda n: rtp(n, 33, n * 900)]
)
def test_jitter_is_that_of_rfc_3550(make: Callable[[int], bytes]) -> None:
    table = StreamTable()
    arrivals = [0, 10, 20, 46]  # Sent every 10 ms: the last took 16 ms longer.
    for number, arrived in enumerate(arrivals):
        table.add([datagram(make(number), arrived_ns=arrived * MS)], 1.0)
    assert only_row(table, 1.0).jitter_ms == pytest.approx(1.0)


def test_jitter_is_unknown_without_a_clock() -> None:
    table = StreamTable()
    table.add([datagram(rtp(number, kind=96)) for number in range(3)], 1.0)
    assert only_row(table, 1.0).jitter_ms is None


def test_rows_are_sorted_as_asked() -> None:
    table = StreamTable()
    second = Endpoint("10.0.0.2", 4000)
    for now in (0.5, 1.5):
        table.add([datagram(numbered(number), second) for number in (0, 5)], now)
        table.add([datagram(source=SOURCE)] * 10, now)
        table.add([datagram(source=Endpoint("10.0.0.3", 1))], now)

    def sources(order: Order) -> list[str]:
        return [str(row.source)[7] for row in table.rows(2.0, order)]

    assert sources("group") == sources("source") == ["1", "2", "3"]
    assert sources("rate") == ["1", "2", "3"]
    assert sources("lost") == ["2", "1", "3"]


def test_forged_sources_take_bounded_memory() -> None:
    table = StreamTable()
    table.add((datagram(source=Endpoint("10.0.0.1", port)) for port in range(1500)), 0)
    assert len(table.rows(0)) == 1000
    assert table.not_shown == 500


@pytest.mark.parametrize("text", ["", "4", ":2", "4:", "a:2", "4:0", "4:9", "-1:2"])
def test_wrong_place_of_a_number_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is no OFFSET:SIZE"):
        parse_sequence(text)


def test_number_at_a_place_is_in_network_byte_order() -> None:
    number_of = parse_sequence("1:2")
    assert number_of(b"\xff\x01\x02\xff") == Numbered(("sequence", 0), 0x102, 16, None)
    assert number_of(b"\xff\x01") is None
    assert find_number(b"\xff\x01\x02\xff") is None


async def test_stream_of_a_virtual_network_is_told_with_its_losses(autojump_clock: object) -> None:
    table = StreamTable()
    async with VirtualNetwork() as network:
        lan = network.switch("lan")
        a, b = network.host("a"), network.host("b")
        a.plug("eth0", lan, "10.0.0.1/24")
        b.plug("eth0", lan, "10.0.0.2/24")
        with a:
            async with open_mcast_receiver("239.1.2.3", 5000) as receiver:
                with b:
                    async with open_mcast_sender("239.1.2.3", 5000) as sender:
                        for number in range(100):
                            lan.loss = 1.0 if 10 <= number < 15 else 0.0
                            await sender.send(numbered(number))
                for _ in range(95):
                    table.add([await receiver.receive()], 1.0)
    row = only_row(table, 1.0)
    assert row.numbers is not None
    assert (row.numbers.expected, row.numbers.lost) == (100, 5)
    assert row.numbered_by == "trio-mcast"
