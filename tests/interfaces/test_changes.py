"""What changed between two lists of interfaces."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.interfaces import ETH0, ETH1, LO, MACHINE
from trio_mcast import Interface, InterfaceAddress, InterfaceChange
from trio_mcast._interfaces import interface_changes

pytestmark = pytest.mark.once

DOWN = attrs.evolve(ETH0, is_up=False)
RENAMED = attrs.evolve(ETH0, name="wan0")
REMADE = attrs.evolve(ETH0, index=12)

# The lists before and after, and what is expected, as pairs of before and after.
CASES: dict[
    str, tuple[list[Interface], list[Interface], list[tuple[Interface | None, Interface | None]]]
] = {
    "nothing": ([LO, ETH0], [LO, ETH0], []),
    "nothing at all": ([], [], []),
    "another order": ([LO, ETH0], [ETH0, LO], []),
    "added": ([LO], [LO, ETH0], [(None, ETH0)]),
    "removed": ([LO, ETH0], [LO], [(ETH0, None)]),
    "down": ([LO, ETH0], [LO, DOWN], [(ETH0, DOWN)]),
    "renamed": ([ETH0], [RENAMED], [(ETH0, RENAMED)]),
    "made again": ([LO, ETH0], [LO, REMADE], [(ETH0, None), (None, REMADE)]),
    "exchanged": ([ETH0], [ETH1], [(ETH0, None), (None, ETH1)]),
    "all kinds, not in order": (
        [ETH1, ETH0, LO],
        [REMADE, attrs.evolve(LO, mtu=1), Interface("eth2", 3)],
        [
            (ETH0, None),
            (ETH1, None),
            (LO, attrs.evolve(LO, mtu=1)),
            (None, Interface("eth2", 3)),
            (None, REMADE),
        ],
    ),
}


@pytest.mark.parametrize(("before", "after", "expected"), CASES.values(), ids=CASES)
def test_changes_are_the_differences_in_order(
    before: list[Interface],
    after: list[Interface],
    expected: list[tuple[Interface | None, Interface | None]],
) -> None:
    changes = interface_changes(before, after)
    assert [(change.before, change.after) for change in changes] == expected


EVERY_FIELD: dict[str, Any] = {
    "name": "other0",
    "description": "other",
    "ipv4_addresses": (IPv4Interface("10.9.9.9/24"),),
    "ipv6_addresses": (),
    "link_address": "02:00:00:00:00:09",
    "mtu": 99,
    "is_up": False,
    "is_loopback": True,
    "is_multicast": False,
    "address_details": (InterfaceAddress(IPv4Interface("10.0.0.1/24"), state="deprecated"),),
    "master": "br0",
    "alternative_names": ("enp1s0",),
}


def test_every_field_but_the_index_is_tried() -> None:
    assert {*EVERY_FIELD, "index"} == {field.name for field in attrs.fields(Interface)}


@pytest.mark.parametrize("field", EVERY_FIELD)
def test_another_value_of_any_field_is_a_change(field: str) -> None:
    after = attrs.evolve(ETH0, **{field: EVERY_FIELD[field]})
    assert interface_changes([ETH0], [after]) == (InterfaceChange(ETH0, after),)


# Few indexes and few values, so that the lists have much in common.
_interfaces = st.lists(
    st.builds(
        Interface,
        st.sampled_from(["eth0", "eth1", "eth2"]),
        st.integers(1, 6),
        mtu=st.sampled_from([1400, 1500]),
        is_up=st.booleans(),
    ),
    unique_by=lambda interface: interface.index,
)


@given(_interfaces, _interfaces)
def test_applied_to_what_was_changes_give_what_is(
    before: list[Interface], after: list[Interface]
) -> None:
    known = {item.index: item for item in before}
    for change in interface_changes(before, after):
        assert change.before != change.after
        if change.before is not None:
            assert known.pop(change.before.index) == change.before
        if change.after is not None:
            assert change.after.index not in known
            known[change.after.index] = change.after
    assert known == {item.index: item for item in after}


@given(_interfaces, _interfaces)
def test_changes_back_are_the_same_the_other_way_round(
    before: list[Interface], after: list[Interface]
) -> None:
    there = interface_changes(before, after)
    back = interface_changes(after, before)
    turned = {InterfaceChange(change.after, change.before) for change in back}
    assert turned == set(there)
    assert len(back) == len(there) == len(turned)


@given(_interfaces, _interfaces)
def test_kinds_come_in_order_and_each_by_index(
    before: list[Interface], after: list[Interface]
) -> None:
    order = ["removed", "changed", "added"]
    keys = [
        (order.index(change.kind), change.interface.index)
        for change in interface_changes(before, after)
    ]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("before", "after", "kind", "interface"),
    [
        (None, ETH0, "added", ETH0),
        (ETH0, None, "removed", ETH0),
        (ETH0, DOWN, "changed", DOWN),
    ],
)
def test_kind_and_interface_follow_from_before_and_after(
    before: Interface | None, after: Interface | None, kind: str, interface: Interface
) -> None:
    change = InterfaceChange(before, after)
    assert (change.kind, change.interface) == (kind, interface)
    assert f"kind='{kind}'" in repr(change)


def test_change_of_nothing_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="a before, an after, or both"):
        InterfaceChange(None, None)


def test_change_is_a_value() -> None:
    change = InterfaceChange(None, ETH0)
    assert {change, *interface_changes([], MACHINE)} == set(interface_changes([], MACHINE))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        change.after = None  # type: ignore[misc]  # that is what is tested
