"""A sender without interfaces goes where the system's routes and rules lead, as they are now."""

from __future__ import annotations

import sys

import pytest

from tests.lab._polling import wait_until
from tests.lab.fixtures import TwoLans
from tests.lab.machine import on
from tests.support.senders import until_on
from tests.support.traffic import (
    BOTH,
    FAMILIES,
    Family,
    address_of,
    group_of,
    sender_on,
)
from trio_mcast import default_interface

if sys.platform != "linux":
    pytest.skip("the routes of Linux", allow_module_level=True)

pytestmark = pytest.mark.once

# IPv6 has a route for all groups on each interface, before all other routes.
NO_ROUTES_OF_THE_SYSTEM = [
    f"route delete multicast ff00::/8 dev {interface} table local" for interface in BOTH
]
GROUPS = {"ipv4": "239.0.0.0/8", "ipv6": "ff05::/16"}


def ip(network: TwoLans, family: Family, *commands: str) -> None:
    """Carry out commands of ``ip`` for a family on the host that sends."""
    text = "".join(f"{command}\n" for command in commands)
    network.a.run("ip", "-6" if family == "ipv6" else "-4", "-batch", "-", input=text)


@pytest.fixture
def routed(two_lans: TwoLans) -> TwoLans:
    """Give two hosts on two switches, without any route for groups."""
    ip(two_lans, "ipv6", *NO_ROUTES_OF_THE_SYSTEM)
    return two_lans


@FAMILIES
async def test_sender_follows_rules_as_they_come_and_go(routed: TwoLans, family: Family) -> None:
    group, groups = group_of(family), GROUPS[family]
    ip(
        routed,
        family,
        f"route add {groups} dev eth0",
        f"route add {groups} dev eth1 table 100",
    )
    async with sender_on(routed.a, group) as sender:
        assert [interface.name for interface in sender.interfaces] == ["eth0"]
        for action, interface in (("add", "eth1"), ("delete", "eth0")):
            ip(routed, family, f"rule {action} to {groups} table 100")
            await until_on(sender, interface)
            with on(routed.a):
                assert getattr(default_interface(group), "name", None) == interface


@FAMILIES
async def test_sender_follows_a_nexthop_of_which_no_route_tells(
    routed: TwoLans, family: Family
) -> None:
    group, groups = group_of(family), GROUPS[family]
    # Then a route that has a nexthop is not told of again when the nexthop changes.
    routed.a.namespace.set_parameters({"ipv4/nexthop_compat_mode": "0"})
    gateways = [address_of(family, 2), address_of(family, 2, lan=2)]
    ip(
        routed,
        family,
        f"nexthop add id 7 via {gateways[0]} dev eth0",
        f"route add {groups} nhid 7",
    )
    async with sender_on(routed.a, group) as sender:
        assert [interface.name for interface in sender.interfaces] == ["eth0"]
        ip(routed, family, f"nexthop replace id 7 via {gateways[1]} dev eth1")
        await until_on(sender, "eth1")


@FAMILIES
async def test_sender_follows_the_setting_that_routes_without_a_cable_do_not_count(
    routed: TwoLans, family: Family
) -> None:
    groups = GROUPS[family]
    ip(
        routed,
        family,
        f"route add {groups} dev eth0 metric 10",
        f"route add {groups} dev eth1 metric 20",
    )
    plug = routed.a._plugs["eth0"]
    plug.switch.run("ip", "link", "set", plug.port, "down")
    show = ["ip", "-6" if family == "ipv6" else "-4", "route", "show", groups]
    wait_until(lambda: routed.a.run(*show).stdout, lambda text: "linkdown" in text, "linkdown")
    parameter = f"{family}/conf/eth0/ignore_routes_with_linkdown"
    async with sender_on(routed.a, group_of(family)) as sender:
        assert [interface.name for interface in sender.interfaces] == ["eth0"]
        routed.a.namespace.set_parameters({parameter: "1"})
        await until_on(sender, "eth1")
