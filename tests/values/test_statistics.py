"""Counts and statistics as values: added up, compared, copied, aggregated."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.interfaces import ETH0, ETH1
from trio_mcast import DatagramCounts, MembershipStatistics, ReceiverStatistics
from trio_mcast._host.protocols import Rejection
from trio_mcast._values.statistics import add_up, fields_of

GROUP, OTHER = "239.1.2.3", "ff05::1:2:3"
KEYS = [(group, interface) for group in (GROUP, OTHER, None) for interface in (ETH0, ETH1)]

RANDOM_COUNTS = st.builds(
    DatagramCounts,
    received=st.integers(0, 9),
    received_bytes=st.integers(0, 9),
    delivered=st.integers(0, 9),
    waiting=st.integers(0, 9),
    dropped_by_policy=st.integers(0, 9),
    dropped_by_kernel=st.none() | st.integers(0, 9),
    rejections=st.dictionaries(
        st.sampled_from([item.value for item in Rejection]), st.integers(0, 9)
    ),
)


@given(one=RANDOM_COUNTS, other=RANDOM_COUNTS, third=RANDOM_COUNTS)
def test_counts_can_be_added_up(
    one: DatagramCounts, other: DatagramCounts, third: DatagramCounts
) -> None:
    assert one + other == other + one
    assert (one + other) + third == one + (other + third) == sum([other, third], one)
    assert one + DatagramCounts() == one
    both = one + other
    assert both.received == one.received + other.received
    assert both.rejected == one.rejected + other.rejected == both.rejected_by_reason.total()
    assert both.rejected_by_reason == one.rejected_by_reason + other.rejected_by_reason
    assert (both.dropped_by_kernel is None) == (
        one.dropped_by_kernel is None or other.dropped_by_kernel is None
    )


@given(counts=RANDOM_COUNTS)
def test_counts_are_plain_values(counts: DatagramCounts) -> None:
    same = DatagramCounts(**fields_of(counts))
    assert same == counts
    assert hash(same) == hash(counts)
    assert pickle.loads(pickle.dumps(counts)) == counts
    counts.rejected_by_reason["own"] += 1
    assert same == counts, "what was handed out is a copy"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        counts.received = 1  # type: ignore[misc]


def test_counts_cannot_be_added_to_something_else() -> None:
    add: Callable[[Any, Any], Any] = lambda one, other: one + other  # noqa: E731
    with pytest.raises(TypeError):
        add(DatagramCounts(), 1)


def test_reason_that_there_was_none_for_is_zero() -> None:
    counts = DatagramCounts(rejections={"own": 2, "unicast": 0})
    assert counts.rejected_by_reason["excluded_source"] == 0
    assert counts.rejected_by_reason == {"own": 2}
    assert counts == DatagramCounts(rejections={"own": 2})


def test_statistics_of_a_receiver_are_aggregated_by_interface_and_by_group() -> None:
    memberships = tuple(
        MembershipStatistics(group=group, interface=interface, received=number, waiting=number)
        for number, (group, interface) in enumerate(KEYS, start=1)
    )
    statistics = ReceiverStatistics(
        **fields_of(add_up(memberships)),
        memberships=memberships,
        receive_buffer_asked=1,
        receive_buffer_granted=1,
    )
    assert statistics.received == 21
    assert {name: item.received for name, item in statistics.by_interface.items()} == {
        "eth0": 1 + 3 + 5,
        "eth1": 2 + 4 + 6,
    }
    assert {group: item.waiting for group, item in statistics.by_group.items()} == {
        GROUP: 3,
        OTHER: 7,
        None: 11,
    }
    assert sum(statistics.by_group.values(), DatagramCounts()) == add_up(memberships)
