"""Jitter as RFC 3550 has it, and quantiles."""

from __future__ import annotations

import pytest

from trio_mcast._diagnosis.probe.timing import Jitter, RoundTrips, quantile

pytestmark = pytest.mark.once


def test_jitter_is_that_of_the_rfc() -> None:
    jitter = Jitter()
    # Transit times of 100, 116, 116 and 84: differences of 16, 0 and 32.
    for sent, transit in ((0, 100), (1000, 116), (2000, 116), (3000, 84)):
        jitter.add(sent, sent + transit)
    expected = 0.0
    for difference in (16, 0, 32):
        expected += (difference - expected) / 16
    assert jitter.ns == pytest.approx(expected)
    assert jitter.ns == pytest.approx(2.87890625)


def test_jitter_does_not_need_clocks_that_agree() -> None:
    jitter = Jitter()
    for sent in range(0, 10_000, 1000):
        jitter.add(sent + 5 * 10**18, sent)
    assert jitter.ns == 0


@pytest.mark.parametrize(
    ("share", "value"), [(0, 1), (0.01, 1), (0.5, 50), (0.505, 51), (0.99, 99), (1, 100)]
)
def test_quantile_is_the_nearest_rank(share: float, value: int) -> None:
    assert quantile(range(1, 101), share) == value


def test_quantile_of_one_value_is_that_value() -> None:
    assert [quantile([7], share) for share in (0, 0.5, 0.99, 1)] == [7] * 4


def test_round_trips_have_least_median_and_p99() -> None:
    trips = RoundTrips()
    assert trips.summary() is None
    for number in range(200, 0, -1):
        trips.add(number)
    assert trips.summary() == (1, 100, 198)


def test_round_trips_keep_the_least_of_all_and_forget_the_others() -> None:
    trips = RoundTrips()
    for number in (5, *([9] * 70_000)):
        trips.add(number)
    assert trips.summary() == (5, 9, 9)
    assert len(trips._last) == 65_536
