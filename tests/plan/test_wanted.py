"""What requests and rules about sources come to: joining, leaving, blocking, without any socket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address

import attrs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.interfaces import BARE, ETH0, ETH1, MACHINE
from tests.support.requests import (
    FOUR,
    LINK,
    LINUX,
    PLATFORMS,
    RULES,
    SIX,
    SOURCES,
    plans_of,
    request_for,
    subsets,
)
from trio_mcast import AmbiguousInterfaceError, Interface, InterfaceNotFoundError
from trio_mcast._plan import pairs
from trio_mcast._plan.blocked import SourceRule
from trio_mcast._plan.matching import keys_of_groups, names_of_selected
from trio_mcast._plan.receiver import plan_request
from trio_mcast._plan.socket_spec import MembershipPlan, key_of
from trio_mcast._plan.wanted import ReceiveRequest
from trio_mcast._platform.model import Platform
from trio_mcast._values.addresses import parse_groups
from trio_mcast._values.interface import InterfaceSelector

pytestmark = pytest.mark.once

THERE: list[InterfaceSelector] = [
    "eth0",
    8,
    BARE,
    "10.0.9.1",
    "fe80::1%eth0",
    IPv6Address("2001:db8::1"),
    IPv4Interface("10.1.0.1/24"),
]
MISSING: list[InterfaceSelector] = [
    "eth9",
    42,
    IPv4Address("10.7.7.7"),
    "2001:DB8::7",
    IPv6Interface("fe80::7%eth9/64"),
]


def keys_of(plans: Iterable[MembershipPlan]) -> list[tuple[str | None, str]]:
    return [key_of(plan) for plan in plans]


def where(plans: Iterable[MembershipPlan]) -> list[str]:
    """The interfaces of some plans; in brackets where they are missing."""
    return [plan.interface.name if plan.sockets else f"({plan.interface.name})" for plan in plans]


@st.composite
def requests(draw: st.DrawFn, selectors: Sequence[InterfaceSelector]) -> ReceiveRequest:
    zoned = ["", "%eth0", "%8", "%eth9"]
    groups = draw(
        st.lists(
            st.one_of(
                st.sampled_from([FOUR, "239.1.2.4", SIX]),
                st.sampled_from(zoned).map(LINK.__add__),
            ),
            min_size=1,
            unique=True,
        )
    )
    chosen = draw(st.one_of(st.none(), subsets(selectors).filter(bool)))
    excluded = draw(subsets(SOURCES[:3]))
    request = request_for(
        *groups,
        interfaces=chosen,
        excluded_sources=tuple(excluded) or None,
        accept_unicast=draw(st.booleans()),
        loopback=draw(st.booleans()),
    )
    assume(goes_together(request))
    return request


def goes_together(request: ReceiveRequest) -> bool:
    plans = plans_of(request)
    try:
        keys_of_groups(request.groups, None, plans)
        check_served(request, plans)
    except ValueError:
        return False
    return True


def check_served(request: ReceiveRequest, plans: Sequence[MembershipPlan]) -> None:
    keys = [key_of(plan) for plan in plans]
    pairs.check_served(request.groups, request.selectors, keys, "received")


# Planning ----------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(request=requests(THERE), rules=RULES, platform=st.sampled_from(PLATFORMS))
def test_where_nothing_is_missing_tolerance_changes_nothing(
    request: ReceiveRequest, rules: list[SourceRule], platform: Platform
) -> None:
    assume(all(group.zone != "eth9" for group in request.groups))
    assert plans_of(request, rules=rules, platform=platform, strict=True) == plans_of(
        request, rules=rules, platform=platform
    )


@settings(max_examples=50)
@given(request=requests(THERE + MISSING), rules=RULES, data=st.data())
def test_known_plans_are_taken_as_they_are_and_change_nothing(
    request: ReceiveRequest, rules: list[SourceRule], data: st.DataObject
) -> None:
    plans = plans_of(request, rules=rules)
    some = [plan for plan in plans if plan.group is not None and data.draw(st.booleans())]
    known = {key_of(plan): plan for plan in some if plan.sockets}
    again = list(plan_request(request, rules, MACHINE, LINUX, strict=False, known=known))
    assert again == plans
    assert all(any(plan is other for other in again) for plan in known.values())


@settings(max_examples=50)
@given(request=requests(THERE + MISSING))
def test_each_membership_is_planned_once(request: ReceiveRequest) -> None:
    keys = keys_of(plans_of(request))
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("selector", MISSING, ids=str)
def test_what_is_missing_is_planned_without_sockets(selector: InterfaceSelector) -> None:
    request = request_for(FOUR, SIX, interfaces=["eth0", selector])
    with pytest.raises(InterfaceNotFoundError):
        plans_of(request, strict=True)
    missing = [plan for plan in plans_of(request) if not plan.sockets]
    names = {"2001:DB8::7": "2001:db8::7", "fe80::7%eth9/64": "fe80::7%eth9"}
    text = names.get(str(selector), str(selector))
    assert {(plan.interface.name, plan.interface.index) for plan in missing} == {(text, 0)}
    # An address stands for its own family only.
    groups = {"10.7.7.7": [FOUR], "2001:db8::7": [SIX], "fe80::7%eth9": [SIX]}
    assert [plan.group for plan in missing] == groups.get(text, [FOUR, SIX])
    assert where(plan for plan in plans_of(request) if plan.sockets) == ["eth0", "eth0"]


def test_address_on_two_interfaces_is_on_none() -> None:
    request = request_for(SIX, interfaces=["fe80::1"])
    with pytest.raises(AmbiguousInterfaceError):
        plans_of(request, strict=True)
    assert where(plans_of(request)) == ["(fe80::1)"]
    assert where(plans_of(request, [ETH1])) == ["eth1"]


def test_zone_that_is_missing_is_waited_for_with_and_without_interfaces() -> None:
    assert where(plans_of(request_for("ff02::5%eth9", "ff02::6%42"))) == ["(eth9)", "(42)"]
    request = request_for("ff02::5%eth9", LINK, interfaces=["eth0"])
    assert where(plans_of(request)) == ["eth0", "(eth9)"]


def test_missing_memberships_have_the_sources_of_their_family() -> None:
    sources = (SOURCES[0], ip_address("2001:db8::20"))
    for wish in ("sources", "excluded_sources"):
        for plan in plans_of(request_for(FOUR, SIX, interfaces=["eth9"], **{wish: sources})):
            expected = (str(sources[0 if plan.group == FOUR else 1]),)
            assert getattr(plan, wish) == expected
            assert not plan.sockets


@pytest.mark.parametrize(
    ("groups", "interfaces", "message"),
    [
        ([FOUR], ["2001:db8::1"], "group 239.1.2.3 cannot be received .*2001:db8::1"),
        ([FOUR], ["2001:DB8::7"], "group 239.1.2.3 cannot be received .*2001:db8::7"),
        ([FOUR, SIX], ["10.7.7.7"], f"group {SIX} cannot be received"),
        (["ff02::5%eth0"], ["eth1"], "group ff02::5%eth0 cannot be received .*eth1"),
        ([FOUR], ["eth0", "2001:db8::1"], "the IPv6 address 2001:db8::1, but no group is IPv6"),
        ([FOUR], ["eth9", "2001:DB8::7"], "the IPv6 address 2001:db8::7, but no group is IPv6"),
    ],
)
def test_what_can_never_come_to_anything_is_refused_and_not_waited_for(
    groups: list[str], interfaces: list[str], message: str
) -> None:
    request = request_for(*groups, interfaces=interfaces)
    with pytest.raises(ValueError, match=message):
        check_served(request, plans_of(request))


def test_no_interface_at_all_is_no_contradiction() -> None:
    request = request_for(FOUR)
    assert plans_of(request, []) == []
    check_served(request, [])


# Leaving -----------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(request=requests(THERE + MISSING), data=st.data())
def test_leaving_leaves_what_was_left_and_nothing_else(
    request: ReceiveRequest, data: st.DataObject
) -> None:
    plans = plans_of(request)
    left = [plan for plan in plans if plan.group is not None and data.draw(st.booleans())]
    rest = request.leaving(left)
    assert plans_of(rest) == [plan for plan in plans if plan not in left]
    # At once or one after the other.
    one_by_one = request
    for plan in left:
        one_by_one = one_by_one.leaving([plan])
    assert one_by_one == rest


@settings(max_examples=50)
@given(request=requests(THERE + MISSING))
def test_when_all_that_was_named_is_left_a_request_is_over(request: ReceiveRequest) -> None:
    request = attrs.evolve(request, number=1)  # Unicast belongs to the opening only.
    assert not request.is_over
    plans = plans_of(request)
    rest = request.leaving(plans)
    assert plans_of(rest) == []
    # Without selectors, interfaces that come later are meant, too.
    if request.selectors is None:
        assert rest.is_over == all(group.zone is not None for group in request.groups)
    else:
        assert rest.is_over


@settings(max_examples=50)
@given(request=requests(THERE + MISSING), data=st.data())
def test_groups_that_are_left_everywhere_are_over(
    request: ReceiveRequest, data: st.DataObject
) -> None:
    texts = list(dict.fromkeys(str(item.address) for item in request.groups))
    left = frozenset(text for text in texts if data.draw(st.booleans()))
    rest = request.leaving_groups(left)
    expected = [plan for plan in plans_of(request) if plan.group not in left]
    assert [plan for plan in plans_of(rest) if plan.group] == [
        plan for plan in expected if plan.group
    ]
    assert rest.is_over == (left == set(texts) and not request.accepts_unicast)
    assert request.leaving_groups(frozenset(["239.9.9.9"])) == request


def test_what_was_left_stays_left_under_every_name() -> None:
    selectors: list[InterfaceSelector] = ["10.0.0.1", "FE80::1%eth0", 7, "eth1"]
    request = request_for(FOUR, SIX, interfaces=selectors)
    rest = request.leaving(plan for plan in plans_of(request) if plan.interface == ETH0)
    assert where(plans_of(rest)) == ["eth1", "eth1"]
    assert where(plans_of(rest, [ETH1])) == ["eth1", "eth1"]
    for renamed in (attrs.evolve(ETH0, name="wan0"), attrs.evolve(ETH0, index=20)):
        assert where(plans_of(rest, [renamed, ETH1])) == ["eth1", "eth1"]


@pytest.mark.parametrize("selector", ["eth9", 9, "10.7.7.7", "2001:DB8::7", "fe80::7%eth9"])
def test_what_was_left_while_it_was_missing_stays_left(selector: InterfaceSelector) -> None:
    request = request_for(FOUR, SIX, interfaces=[selector, "eth1"])
    rest = request.leaving(plan for plan in plans_of(request, [ETH1]) if not plan.sockets)
    eth9 = Interface(
        "eth9",
        9,
        ipv4_addresses=(IPv4Interface("10.7.7.7/24"),),
        ipv6_addresses=(IPv6Interface("2001:db8::7/64"), IPv6Interface("fe80::7/64")),
    )
    assert "eth9" in where(plans_of(request, [eth9, ETH1]))
    assert where(plans_of(rest, [eth9, ETH1])) == ["eth1", "eth1"]


def test_address_that_was_left_takes_nothing_away_where_it_moves_to() -> None:
    request = request_for(FOUR, interfaces=["10.0.9.1", "eth1"])
    rest = request.leaving(plan for plan in plans_of(request) if plan.interface == ETH0)
    moved = attrs.evolve(ETH1, ipv4_addresses=(*ETH1.ipv4_addresses, ETH0.ipv4_addresses[1]))
    assert where(plans_of(rest, [attrs.evolve(ETH0, ipv4_addresses=()), moved])) == ["eth1"]
    # Where only the address leads to, it stays left.
    elsewhere = attrs.evolve(BARE, ipv4_addresses=ETH0.ipv4_addresses)
    assert where(plans_of(rest, [elsewhere, ETH1])) == ["eth1"]


def test_zone_that_was_left_stays_left_when_its_interface_is_renamed() -> None:
    request = request_for("ff02::5%7", "ff02::6%7")
    rest = request.leaving(plan for plan in plans_of(request) if plan.group == LINK)
    assert keys_of(plans_of(rest, [attrs.evolve(ETH0, name="wan0")])) == [("ff02::6", "wan0")]


def test_unicast_of_the_opening_stays_whatever_is_left() -> None:
    opening = request_for(FOUR, interfaces=["eth0"], accept_unicast=True)
    assert keys_of(plans_of(opening)) == [(FOUR, "eth0"), (None, "eth0")]
    for rest in (opening.leaving(plans_of(opening)), opening.leaving_groups(frozenset([FOUR]))):
        assert not rest.is_over
        assert (FOUR, "eth0") not in keys_of(plans_of(rest))
    later = attrs.evolve(opening, number=1)
    assert keys_of(plans_of(later)) == [(FOUR, "eth0")]


def test_only_what_nobody_named_is_unnamed() -> None:
    for request, expected in [
        (request_for(LINK), [True, True, True]),
        (request_for(LINK, interfaces=["eth0"]), [False]),
        (request_for("ff02::5%eth0", FOUR), [False, True, True, True]),
    ]:
        assert [request.is_unnamed(plan) for plan in plans_of(request)] == expected


# Which memberships are meant ---------------------------------------------------------------------


def test_selectors_mean_the_interfaces_of_memberships() -> None:
    plans = plans_of(request_for(FOUR, SIX, interfaces=["eth0", "eth1", *MISSING]))
    meant: list[tuple[InterfaceSelector, set[str]]] = [
        ("eth0", {"eth0"}),
        (8, {"eth1"}),
        (ETH1, {"eth1"}),
        (IPv4Interface("10.0.9.1/24"), {"eth0"}),
        ("fe80::1%8", {"eth1"}),
        (IPv6Address("2001:db8::7"), {"2001:db8::7"}),
        ("FE80::7%eth9", {"fe80::7%eth9"}),
        (42, {"42"}),
    ]
    for selector, names in meant:
        assert names_of_selected([selector], plans) == names
    assert names_of_selected(["eth0", 8], plans) == {"eth0", "eth1"}


@pytest.mark.parametrize("selector", ["bare0", 0, "0", "", "10.0.0.99", "eth"])
def test_selector_that_means_no_membership_is_refused(selector: InterfaceSelector) -> None:
    plans = plans_of(request_for(FOUR, interfaces=["eth0", "eth9"]))
    with pytest.raises(ValueError, match=r"nothing is joined on .* memberships on: eth0, eth9"):
        names_of_selected([selector], plans)
    with pytest.raises(ValueError, match="memberships on: none"):
        names_of_selected([selector], [])


def test_groups_mean_their_memberships() -> None:
    plans = plans_of(request_for(FOUR, LINK, interfaces=["eth0", "eth1", "eth9"]))
    groups = parse_groups([LINK, "ff02::5%eth0", "ff02::5%8", "ff02::5%eth9"])
    everywhere = [(LINK, "eth0"), (LINK, "eth1"), (LINK, "eth9")]
    found = keys_of_groups(groups, None, plans)
    assert list(found.values()) == [everywhere, *([key] for key in everywhere)]
    assert keys_of_groups(groups[:1], frozenset(["eth1"]), plans) == {groups[0]: [(LINK, "eth1")]}


@pytest.mark.parametrize(
    ("group", "names", "message"),
    [
        (SIX, None, f"group {SIX} is not joined$"),
        ("ff02::5%eth1", None, "group ff02::5%eth1 is not joined$"),
        ("ff02::5%0", None, "group ff02::5%0 is not joined$"),
        (LINK, ["eth1", "bare0"], "group ff02::5 is not joined on bare0, eth1$"),
    ],
)
def test_group_without_a_membership_is_refused(
    group: str, names: list[str] | None, message: str
) -> None:
    plans = plans_of(request_for(LINK, interfaces=["eth0", "eth9"], accept_unicast=True))
    with pytest.raises(ValueError, match=message):
        keys_of_groups(parse_groups(group), None if names is None else frozenset(names), plans)


# Names that look like something else -------------------------------------------------------------

# The name of one is the index of another, and the name of another is the address of one.
DIGITS = Interface("7", 10, ipv4_addresses=(IPv4Interface("10.2.0.1/24"),))
DOTTED = Interface("10.0.0.1", 11, ipv6_addresses=(IPv6Interface("fe80::b/64"),))
CONFUSING = (*MACHINE, DIGITS, DOTTED)


def test_zone_of_digits_means_the_interface_of_that_name() -> None:
    plans = plans_of(request_for(LINK, interfaces=["eth0", "7"]), CONFUSING)
    (group,) = parse_groups(f"{LINK}%7")
    assert keys_of_groups([group], None, plans) == {group: [(LINK, "7")]}
    (group,) = parse_groups(f"{LINK}%10")
    assert keys_of_groups([group], None, plans) == {group: [(LINK, "7")]}


@pytest.mark.parametrize("selector", ["10.0.0.1", 11, DOTTED])
def test_name_like_an_address_serves_groups_of_both_families(
    selector: InterfaceSelector,
) -> None:
    request = request_for(LINK, interfaces=[selector])
    plans = plans_of(request, CONFUSING)
    check_served(request, plans)
    assert where(plans) == ["10.0.0.1"]
    assert not request.is_over
    assert request.leaving_groups(frozenset([LINK])).is_over


def test_name_like_an_address_means_that_interface_only() -> None:
    plans = plans_of(request_for(FOUR, interfaces=["eth0", "10.0.0.1"]), CONFUSING)
    assert names_of_selected(["10.0.0.1"], plans) == {"10.0.0.1"}
    assert names_of_selected([IPv4Address("10.0.0.1")], plans) == {"eth0"}


def test_rule_for_an_interface_that_exists_is_for_no_other_one() -> None:
    request = request_for(FOUR, interfaces=["eth0", "7", "10.0.0.1"])
    source = SOURCES[0]
    for name in ("7", "10.0.0.1"):
        names = frozenset([name])
        by_name = SourceRule(source, True, None, names, existing=names)
        by_text = SourceRule(source, True, None, names)
        for rule, blocked in ((by_name, {name}), (by_text, {name, "eth0"})):
            plans = plans_of(request, CONFUSING, [rule])
            assert {plan.interface.name for plan in plans if plan.excluded_sources} == blocked
        assert by_text.covers(by_name)
        assert not by_name.covers(by_text)
