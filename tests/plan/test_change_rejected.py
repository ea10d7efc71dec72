"""One more or one less source left out: the same plan as planning anew makes."""

from __future__ import annotations

import random
from ipaddress import ip_address

import pytest

from tests.support.interfaces import ETH0, MACHINE
from tests.support.requests import FOUR, PLATFORMS, SIX, plans_of, request_for
from trio_mcast._plan.blocked import SourceRule, add_rule, change_rejected
from trio_mcast._platform.model import Platform

pytestmark = pytest.mark.once


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)
@pytest.mark.parametrize(("group", "network"), [(FOUR, "10.9.0."), (SIX, "2001:db8::9:")])
@pytest.mark.parametrize("accept_unicast", [False, True])
def test_plan_with_another_source_left_out_is_the_one_that_planning_anew_makes(
    platform: Platform, group: str, network: str, accept_unicast: bool
) -> None:
    chance = random.Random(1)
    sources = [ip_address(f"{network}{number}") for number in range(1, 80)]
    already = tuple(sources[:20])
    request = request_for(
        group, interfaces=["eth0"], accept_unicast=accept_unicast, excluded_sources=already
    )
    rules: list[SourceRule] = []
    excluded, simple = set(already), 0
    (before, *_) = plans_of(request, MACHINE, rules, platform)
    for _ in range(120):
        source = chance.choice(sources)
        blocked = source not in excluded
        excluded ^= {source}
        rules = add_rule(rules, SourceRule(source, blocked, None, None), already)
        (anew, *_) = plans_of(request, MACHINE, rules, platform)
        assert anew.interface == ETH0
        changed = change_rejected(before, source, blocked=blocked, platform=platform)
        if changed is not None:
            simple += 1
            assert changed == anew
        # What is as it is to be already is not changed.
        assert change_rejected(anew, source, blocked=blocked, platform=platform) is None
        before = anew
    limit = platform.source_limit.get("ipv4" if group == FOUR else "ipv6")
    assert simple > 20 or (platform.blocks_sources and limit != 10)


def test_what_the_system_leaves_out_is_planned_anew() -> None:
    (linux,) = [platform for platform in PLATFORMS if platform.name == "linux"]
    sources = [ip_address(f"10.9.0.{number}") for number in range(1, 20)]
    for count, is_simple in ((9, False), (10, True)):
        excluded = tuple(sources[:count])
        request = request_for(FOUR, interfaces=["eth0"], excluded_sources=excluded)
        (plan,) = plans_of(request, MACHINE, (), linux)
        more = change_rejected(plan, sources[count], blocked=True, platform=linux)
        assert (more is not None) == is_simple
        # A source that the system leaves out makes room for the next one.
        assert change_rejected(plan, sources[0], blocked=False, platform=linux) is None
