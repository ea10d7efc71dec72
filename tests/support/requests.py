"""Requests and source rules to plan with, and the plans of a request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any

from hypothesis import strategies as st

from tests.support.interfaces import MACHINE
from tests.support.platforms import NAMES
from trio_mcast import Interface
from trio_mcast._plan.blocked import SourceRule
from trio_mcast._plan.receiver import plan_request
from trio_mcast._plan.socket_spec import MembershipPlan
from trio_mcast._plan.wanted import ReceiveRequest
from trio_mcast._platform.current import platform_named
from trio_mcast._platform.model import Platform
from trio_mcast._values.addresses import parse_groups
from trio_mcast._values.interface import InterfaceSelector

PLATFORMS = [*map(platform_named, NAMES)]
LINUX = platform_named("linux")

FOUR, SIX, LINK = "239.1.2.3", "ff15::1:2:3", "ff02::5"
SOURCES = tuple(ip_address(f"10.0.0.{number}") for number in range(20, 60))


def request_for(
    *groups: str, interfaces: Sequence[InterfaceSelector] | None = None, **options: Any
) -> ReceiveRequest:
    selectors = None if interfaces is None else tuple(interfaces)
    return ReceiveRequest(parse_groups(groups), (5000,), selectors, **options)


def plans_of(
    request: ReceiveRequest,
    interfaces: Sequence[Interface] = MACHINE,
    rules: Sequence[SourceRule] = (),
    platform: Platform = LINUX,
    *,
    strict: bool = False,
) -> list[MembershipPlan]:
    return list(plan_request(request, rules, interfaces, platform, strict=strict))


def subsets(elements: Iterable[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(list(elements)), unique_by=str)


RULES = st.lists(
    st.builds(
        SourceRule,
        st.sampled_from(SOURCES[:3]),
        st.booleans(),
        st.one_of(st.none(), subsets([FOUR, SIX]).map(frozenset)),
        st.one_of(st.none(), subsets(["eth0", "eth1", "10.0.0.1"]).map(frozenset)),
    ),
    max_size=8,
)
