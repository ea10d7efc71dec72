"""What a measurement makes of the counts of its receivers."""

from __future__ import annotations

import pytest

from trio_mcast._cli.measure_report import (
    HEADING,
    LEGEND,
    Interval,
    Losses,
    Received,
    as_json,
    compare,
    conclude_rate,
    describe,
    megabits,
    totals,
)
from trio_mcast._diagnosis.probe.numbering import NumberCounts
from trio_mcast._diagnosis.probe.streams import Drops, StreamCounts

pytestmark = pytest.mark.once

BEFORE = StreamCounts(NumberCounts(100, 90, 1, 2), 90_000, 5_000, Drops(4, 1))


def received(now: StreamCounts, sent: int | None = None, lost_before: int = 10) -> Received:
    return compare("b", "eth0", BEFORE, now, lost_before=lost_before, sent=sent, seconds=2)


def test_losses_are_told_apart_and_add_up() -> None:
    now = StreamCounts(NumberCounts(300, 240, 3, 7), 240_000, 7_000, Drops(24, 6))
    got = received(now)
    assert got == Received("b", "eth0", 600_000, Losses(25, 20, 5), 2, 5, 7_000)
    assert got.losses.total == (300 - 240) - 10


def test_datagrams_after_the_last_that_came_are_lost_too() -> None:
    now = StreamCounts(NumberCounts(300, 290), 290_000)
    assert received(now).losses == Losses(0, 0, 0)
    assert received(now, sent=320).losses == Losses(20, 0, 0)


def test_drops_of_other_traffic_are_no_losses_of_the_stream() -> None:
    now = StreamCounts(NumberCounts(300, 285), 285_000, 0, Drops(1_000, 1_000))
    assert received(now).losses == Losses(0, 5, 0)


def test_late_datagrams_take_no_interval_below_none() -> None:
    now = StreamCounts(NumberCounts(300, 298), 298_000)
    assert received(now, lost_before=10).losses == Losses(0, 0, 0)


def interval(*losses: Losses) -> Interval:
    got = tuple(
        Received(f"10.0.1.{number} host", "eth0", 9_300_000, one, 1, 2, 12_345)
        for number, one in enumerate(losses, start=2)
    )
    return Interval(1.04, 10_000_000, 893, got)


def test_line_stands_below_the_heading() -> None:
    first, second = describe(interval(Losses(0, 0, 0), Losses(120, 7, 1)))
    start = "   1.0    10.00     9.30"
    assert first == f"{start}       0      0       0         2   0.012 10.0.1.2 host"
    assert second == f"{start}     120      7       1         2   0.012 10.0.1.3 host"
    for word, end in (("offered", 15), ("network", 32), ("jitter", 65)):
        assert HEADING.index(word) + len(word) == end
    assert max(map(len, (first, second, *LEGEND.splitlines()))) <= 80


def test_interval_is_clean_if_every_receiver_got_all() -> None:
    assert interval(Losses(0, 0, 0), Losses(0, 0, 0)).is_clean
    assert not interval(Losses(0, 0, 0), Losses(0, 1, 0)).is_clean


def test_totals_are_of_all_intervals() -> None:
    intervals = [interval(Losses(1, 2, 3)), interval(Losses(10, 20, 30))]
    (total,) = totals(intervals)
    assert total["lost"] == {"network": 11, "kernel": 22, "process": 33}
    assert (total["sent"], total["reordered"], total["duplicates"]) == (1_786, 4, 2)
    (text,) = conclude_rate(intervals)
    assert text.startswith("10.0.1.2 host on eth0: 66 of 1786 lost (3.70%): network 11,")
    assert max(map(len, text.splitlines())) <= 80


def test_json_has_what_the_line_has() -> None:
    line = as_json(interval(Losses(1, 2, 3)))
    assert (line["event"], line["offered_bits"], line["sent"]) == ("interval", 10_000_000, 893)
    (one,) = line["received"]
    assert one["lost"] == {"network": 1, "kernel": 2, "process": 3}
    assert (one["bits"], one["jitter_ms"]) == (9_300_000, 0.012345)


@pytest.mark.parametrize(
    ("rate", "text"),
    [(None, "-"), (5e5, "0.50"), (9.31e6, "9.31"), (1.156e8, "115.6"), (1.2345e9, "1234")],
)
def test_rates_have_three_digits_or_more(rate: float | None, text: str) -> None:
    assert megabits(rate) == text
