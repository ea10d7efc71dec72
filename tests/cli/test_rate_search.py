"""The search for the highest rate without loss."""

from __future__ import annotations

import pytest

from trio_mcast._cli.rate_search import RateSearch

pytestmark = pytest.mark.once


def search(limit: float, most: float = float("inf")) -> tuple[RateSearch, list[float]]:
    """Search where all below a limit arrives, and the sender can offer no more than so much."""
    found, tried = RateSearch(1e6, 1e4), []
    while found.rate is not None:
        offered = min(found.rate, most)
        tried.append(offered)
        assert len(tried) < 50
        if offered > limit:
            found.note("lossy", offered)
        else:
            found.note("clean" if offered == found.rate else "not offered", offered)
    return found, tried


@pytest.mark.parametrize("limit", [2e4, 5e5, 1e6, 9.3e7, 1e9])
def test_search_ends_within_a_twentieth_below_the_limit(limit: float) -> None:
    found, tried = search(limit)
    assert found.clean is not None
    assert found.lossy is not None
    assert found.clean <= limit < found.lossy <= 1.05 * found.clean
    assert not found.is_limited
    assert len(tried) < 20


def test_search_doubles_until_there_is_loss() -> None:
    _, tried = search(5e6)
    assert tried[:5] == [1e6, 2e6, 4e6, 8e6, 6e6]


def test_search_ends_where_the_sender_cannot_offer_more() -> None:
    found, tried = search(1e9, most=3e6)
    assert (found.clean, found.lossy, found.is_limited) == (3e6, None, True)
    assert tried == [1e6, 2e6, 3e6]


def test_search_gives_up_where_everything_is_lost() -> None:
    found, tried = search(0)
    assert found.clean is None
    assert tried[-1] >= 1e4


def test_rate_that_loses_once_is_not_called_clean() -> None:
    found = RateSearch(1e6, 1e4)
    found.note("clean", 1e6)
    found.note("lossy", 9e5)
    assert found.clean is None
    assert found.rate == 4.5e5
