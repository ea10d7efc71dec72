"""Sources that are blocked and let in again: which rules apply, and what they make of a socket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from ipaddress import IPv4Interface, IPv6Interface, ip_address

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.interfaces import BARE, ETH0, ETH1, MACHINE
from tests.support.requests import (
    FOUR,
    PLATFORMS,
    RULES,
    SIX,
    SOURCES,
    plans_of,
    request_for,
    subsets,
)
from trio_mcast import Interface, SocketOption, SocketSpec
from trio_mcast._plan.blocked import (
    SourceRule,
    add_rule,
    excluded_for,
    fixed_part,
    plans_meant,
    source_changes,
)
from trio_mcast._plan.wanted import ReceiveRequest
from trio_mcast._platform.model import Platform
from trio_mcast._values.addresses import IPAddress

pytestmark = pytest.mark.once

A, B, C = map(str, SOURCES[:3])


def rule(
    source: str,
    blocked: bool,
    groups: Iterable[str] | None = None,
    interfaces: Iterable[str] | None = None,
    last: int | None = None,
) -> SourceRule:
    return SourceRule(
        ip_address(source),
        blocked,
        None if groups is None else frozenset(groups),
        None if interfaces is None else frozenset(interfaces),
        last,
    )


def excluded(
    rules: Sequence[SourceRule],
    group: str | None = FOUR,
    interface: Interface = ETH0,
    already: Iterable[str] = (),
) -> list[str]:
    """The sources that are left out of a group on an interface."""
    addresses = tuple(map(ip_address, already)) or None
    request = ReceiveRequest((), (5000,), excluded_sources=addresses)
    return [str(source) for source in excluded_for(request, rules, group, interface)]


def blocks(socket_spec: SocketSpec) -> set[bytes]:
    """The source filters of a socket, as bytes."""
    return {_bytes(item) for item in socket_spec.options if item.symbol == "MCAST_BLOCK_SOURCE"}


def _bytes(option: SocketOption) -> bytes:
    assert isinstance(option.value, bytes)
    return option.value


# Which rules apply -------------------------------------------------------------------------------


def test_of_several_rules_about_a_source_the_last_that_applies_counts() -> None:
    rules = [rule(A, True), rule(A, False, [FOUR]), rule(B, True, None, ["eth0"])]
    assert excluded(rules) == [B]
    assert excluded(rules, SIX) == [A, B]
    assert excluded(rules, SIX, ETH1) == [A]
    assert excluded([*rules, rule(A, True, [FOUR], ["eth0"])]) == [B, A]


def test_rules_come_on_top_of_the_sources_that_were_excluded_already() -> None:
    assert excluded([rule(B, True)], already=[A]) == [A, B]
    assert excluded([rule(A, False)], already=[A]) == []
    assert excluded([rule(A, False, [SIX])], already=[A]) == [A]
    assert excluded([], already=[A]) == [A]


def test_rule_about_some_groups_does_not_apply_to_unicast() -> None:
    assert excluded([rule(A, True, [FOUR])], None) == []
    assert excluded([rule(A, True)], None) == [A]


def test_rules_do_not_apply_where_the_sources_were_named() -> None:
    request = ReceiveRequest((), (5000,), sources=tuple(SOURCES[:2]))
    assert excluded_for(request, [rule(A, True)], FOUR, ETH0) == ()


@pytest.mark.parametrize(
    "name", ["eth0", "7", "10.0.9.1", "2001:db8::1", "fe80::1", "fe80::1%eth0", "fe80::1%7"]
)
def test_rule_applies_under_every_name_of_an_interface(name: str) -> None:
    rules = [rule(A, True, None, [name])]
    assert excluded(rules) == [A]
    assert excluded(rules, interface=BARE) == []


@pytest.mark.parametrize("selector", ["eth9", 42, "10.7.7.7", "2001:DB8::7", "FE80::7%eth9"])
def test_rule_that_was_made_while_an_interface_was_missing_applies_when_it_comes(
    selector: str | int,
) -> None:
    request = request_for(FOUR, SIX, interfaces=[selector])
    names = {plan.interface.name for plan in plans_of(request)}
    rules = [rule("2001:db8::20", True, None, names), rule(A, True, None, names)]
    eth9 = Interface(
        "eth9",
        42,
        ipv4_addresses=(IPv4Interface("10.7.7.7/24"),),
        ipv6_addresses=(IPv6Interface("2001:db8::7/64"), IPv6Interface("fe80::7/64")),
    )
    for interfaces in (MACHINE, [eth9]):
        for plan in plans_of(request, interfaces, rules):
            assert plan.excluded_sources == ((A,) if plan.group == FOUR else ("2001:db8::20",))


def test_rule_for_the_requests_so_far_does_not_apply_to_later_ones() -> None:
    rules = [rule(A, True), rule(A, False, [FOUR], last=3)]
    for number, expected in [(0, ()), (3, ()), (4, (A,))]:
        request = attrs.evolve(request_for(FOUR, interfaces=["eth0"]), number=number)
        (plan,) = plans_of(request, rules=rules)
        assert plan.excluded_sources == expected


# Adding rules ------------------------------------------------------------------------------------


@given(
    rules=RULES,
    already=subsets(SOURCES[:3]),
    group=st.sampled_from([FOUR, SIX, None]),
    interface=st.sampled_from([ETH0, ETH1, BARE]),
)
def test_dropping_pointless_rules_changes_nothing(
    rules: list[SourceRule], already: list[IPAddress], group: str | None, interface: Interface
) -> None:
    def add(some: list[SourceRule], another: SourceRule) -> list[SourceRule]:
        return add_rule(some, another, already)

    kept = reduce(add, rules, list[SourceRule]())
    texts = [str(item) for item in already]
    assert excluded(kept, group, interface, texts) == excluded(rules, group, interface, texts)


@pytest.mark.parametrize(
    ("rules", "another", "kept"),
    [
        ([rule(A, True, [FOUR]), rule(B, True)], rule(A, True), [1, 2]),
        ([rule(A, True), rule(B, True)], rule(A, False), [1]),
        ([rule(A, True, [FOUR]), rule(A, False, [FOUR], ["eth0"])], rule(A, False, [FOUR]), []),
        # It still counts elsewhere.
        ([rule(A, True)], rule(A, False, [FOUR]), [0, 1]),
        ([rule(A, True, [FOUR])], rule(A, False, [FOUR], ["eth0"]), [0, 1]),
        ([rule(A, True, None, ["eth0"])], rule(A, True, [FOUR], ["eth0"]), [0, 1]),
        # C was excluded without any rule.
        ([rule(C, True)], rule(C, False), [1]),
        ([rule(C, False)], rule(C, True), [1]),
    ],
)
def test_rules_that_another_makes_pointless_are_dropped(
    rules: list[SourceRule], another: SourceRule, kept: list[int]
) -> None:
    expected = [[*rules, another][number] for number in kept]
    assert add_rule(rules, another, [ip_address(C)]) == expected


# Which memberships are meant ---------------------------------------------------------------------


def test_rules_are_about_memberships_of_their_family_that_are_open_to_any_source() -> None:
    plans = [
        *plans_of(request_for(FOUR, SIX, interfaces=["eth0", "eth9"], accept_unicast=True)),
        *plans_of(request_for("232.1.2.3", interfaces=["eth0"], sources=(SOURCES[0],))),
    ]

    def meant(*rules: SourceRule) -> list[tuple[str | None, str]]:
        return [(plan.group, plan.interface.name) for plan in plans_meant(rules, plans)]

    unicast = (None, "eth0")
    assert meant(rule(A, True)) == [(FOUR, "eth0"), (FOUR, "eth9"), unicast]
    assert meant(rule("2001:db8::20", True, None, ["eth0"])) == [(SIX, "eth0"), unicast]
    assert meant(rule(A, True, [FOUR], ["eth9"])) == [(FOUR, "eth9")]
    both = [rule(A, True, [FOUR], [name]) for name in ("eth9", "eth0")]
    assert meant(*both) == [(FOUR, "eth0"), (FOUR, "eth9")]
    for nothing in (rule(A, True, [SIX]), rule(A, True, ["232.1.2.3"]), rule(A, True, [], [])):
        with pytest.raises(ValueError, match=f"source {A}: no group that is joined from any"):
            meant(nothing)


def test_rule_changes_only_what_is_otherwise() -> None:
    request = request_for(FOUR, "239.1.2.4", interfaces=["eth0"])
    rules = [rule(A, True, [FOUR])]
    plans = plans_of(request, rules=rules)
    assert plans_meant(rules, plans) == []
    assert plans_meant([rule(B, False)], plans) == []
    # It changes something in one of two groups.
    assert plans_meant([rule(A, True)], plans) == plans[1:]
    assert plans_meant([rule(A, False)], plans) == plans[:1]


# What becomes of a socket ------------------------------------------------------------------------


@given(
    platform=st.sampled_from(PLATFORMS),
    before=st.lists(st.sampled_from(SOURCES), unique=True),
    after=st.lists(st.sampled_from(SOURCES), unique=True),
)
def test_source_changes_make_one_socket_of_another_within_the_limit(
    platform: Platform, before: list[IPAddress], after: list[IPAddress]
) -> None:
    old, new = (
        plans_of(
            request_for(FOUR, interfaces=["eth0"], excluded_sources=tuple(some) or None),
            platform=platform,
        )[0].sockets[0]
        for some in (before, after)
    )
    assert fixed_part(old) == fixed_part(new)
    blocked = blocks(old)
    limit = platform.source_limit.get("ipv4", len(SOURCES))
    for option in source_changes(old, new, platform):
        value = _bytes(option)
        if option.symbol == "MCAST_UNBLOCK_SOURCE":
            blocked.remove(value)
        else:
            assert option.symbol == "MCAST_BLOCK_SOURCE"
            assert value not in blocked
            blocked.add(value)
        assert len(blocked) <= limit
    assert blocked == blocks(new)
    assert len(blocked) == (0 if platform.name == "darwin" else min(len(after), limit))
    filtered = 0 if platform.name in ("darwin", "freebsd") else len(blocked)
    assert len(new.rejected_sources) == len(after) - filtered


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)
def test_what_cannot_be_changed_tells_sockets_apart(platform: Platform) -> None:
    request = request_for(FOUR, interfaces=["eth0"])
    sources = tuple(SOURCES[:2])
    others = [
        request,
        request_for("239.1.2.4", interfaces=["eth0"]),
        request_for(FOUR, interfaces=["eth1"]),
        request_for(FOUR, interfaces=["eth0"], sources=sources),
        request_for(FOUR, interfaces=["eth0"], receive_ttl=True),
        request_for(FOUR, interfaces=["eth0"], receive_buffer_size=4_096),
    ]
    parts = [fixed_part(plans_of(item, platform=platform)[0].sockets[0]) for item in others]
    assert len(set(parts)) == len(others)
