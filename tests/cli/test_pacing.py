"""The pace of sending is the rate on average, and has no bursts."""

from __future__ import annotations

import pytest

from trio_mcast._cli.pacing import Pacer, Rate, parse_rate

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100", Rate(100)),
        ("0.5", Rate(0.5)),
        ("100/s", Rate(100)),
        ("8bit", Rate(8, "bits")),
        ("500kbit", Rate(500_000, "bits")),
        ("2.5Mbit", Rate(2_500_000, "bits")),
        ("2.5 mbit/s", Rate(2_500_000, "bits")),
        ("1Gbit", Rate(1_000_000_000, "bits")),
    ],
)
def test_rate_is_read(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "0kbit", "-1", "fast", "10MB", "1e3", "5 k"])
def test_what_is_no_rate_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate: write datagrams a second"):
        parse_rate(text)


def times(pacer: Pacer, size: int, count: int, late: dict[int, float]) -> list[float]:
    """The times at which datagrams go, if the clock stands but for waiting and being held up."""
    now, sent = 100.0, []
    for number in range(count):
        now += late.get(number, 0.0)
        now = max(now, pacer.due(size, now))
        sent.append(round(now - 100, 9))
    return sent


def test_datagrams_go_at_equal_distances() -> None:
    assert times(Pacer(Rate(10)), 99, 4, {}) == [0, 0.1, 0.2, 0.3]
    assert times(Pacer(Rate(8_000, "bits")), 100, 4, {}) == [0, 0.1, 0.2, 0.3]
    assert times(Pacer(None), 100, 4, {}) == [0, 0, 0, 0]


def test_short_delay_is_made_up_for() -> None:
    sent = times(Pacer(Rate(1000)), 1, 1000, dict.fromkeys(range(100, 900, 100), 0.02))
    assert sent[-1] == 0.999


def test_long_delay_is_no_burst_afterwards() -> None:
    sent = times(Pacer(Rate(10)), 1, 6, {3: 5.0})
    assert sent == [0, 0.1, 0.2, 5.2, 5.3, 5.4]
