"""Loss, duplicates and reordering, as the numbers of a stream tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_mcast._diagnosis.probe.numbering import NumberCounts, Numbering

pytestmark = pytest.mark.once


def counted(numbers: list[int], bits: int = 64) -> Numbering:
    numbering = Numbering(bits)
    for number in numbers:
        numbering.add(number)
    return numbering


@pytest.mark.parametrize(
    ("numbers", "counts", "lost"),
    [
        pytest.param([], NumberCounts(), 0, id="nothing"),
        pytest.param([7], NumberCounts(1, 1), 0, id="one"),
        pytest.param([7, 8, 9], NumberCounts(3, 3), 0, id="in-order"),
        pytest.param([7, 9, 12], NumberCounts(6, 3), 3, id="gaps"),
        pytest.param([7, 9, 8], NumberCounts(3, 3, 0, 1), 0, id="late"),
        pytest.param([7, 9, 8, 8], NumberCounts(3, 3, 1, 1), 0, id="late-and-twice"),
        pytest.param([7, 7, 7], NumberCounts(1, 1, 2), 0, id="three-times"),
        pytest.param([9, 7, 10], NumberCounts(4, 3, 0, 1), 1, id="before-the-first"),
        pytest.param([9, 7, 8, 10], NumberCounts(4, 4, 0, 2), 0, id="all-before-the-first"),
        pytest.param([9, 7, 7], NumberCounts(3, 2, 1, 1), 1, id="before-the-first-and-twice"),
        pytest.param([1, 2, 3, 1], NumberCounts(3, 3, 1), 0, id="copy-of-the-first"),
    ],
)
def test_numbers_tell_loss_duplicates_and_order(
    numbers: list[int], counts: NumberCounts, lost: int
) -> None:
    assert counted(numbers).counts() == counts
    assert counts.lost == lost


@given(
    st.lists(st.integers(0, 60), max_size=80),
    st.sampled_from([0, 230, 2**64 - 30]),
    st.sampled_from([8, 64]),
)
def test_counts_are_those_of_a_full_memory(offsets: list[int], start: int, bits: int) -> None:
    numbering = counted([(start + offset) % 2**bits for offset in offsets], bits)
    highest, reordered = -1, 0
    seen: set[int] = set()
    for offset in offsets:
        reordered += offset not in seen and offset < highest
        seen.add(offset)
        highest = max(highest, offset)
    expected = max(seen) - min(seen) + 1 if seen else 0
    duplicates = len(offsets) - len(seen)
    assert numbering.counts() == NumberCounts(expected, len(seen), duplicates, reordered)
    assert numbering.restarts == 0


def test_counts_of_an_interval_are_a_difference() -> None:
    numbering = counted([0, 1, 3])
    before = numbering.counts()
    for number in (4, 4, 6, 2):
        numbering.add(number)
    # Number 2, which had been counted as lost, takes that back.
    assert numbering.counts() - before == NumberCounts(3, 3, 1, 1)


def test_stream_that_begins_again_is_counted_on() -> None:
    numbering = counted([100_000, 100_001, 100_003, 0, 1, 2, 4])
    assert numbering.counts() == NumberCounts(4 + 5, 3 + 4)
    assert numbering.restarts == 1


def test_number_from_far_behind_is_left_aside() -> None:
    numbering = counted([100_000, 5, 100_001, 6, 100_002])
    assert numbering.counts() == NumberCounts(3, 3)
    assert numbering.restarts == 0


def test_memory_stays_bounded() -> None:
    numbering = counted([*range(0, 200_000, 10), 2**60, 2**61])
    assert len(numbering._missing) <= 4096
    # What was missing longer ago cannot come late any more; it is lost.
    numbering.add(3)
    assert numbering.counts().expected == 2**61 + 1
