"""A sender without interfaces goes where the system's routes and rules lead, as they are now."""

from __future__ import annotations

import errno
import sys

import pytest

from tests.lab import Host
from tests.lab._polling import wait_until
from tests.lab.fixtures import TwoHosts, TwoLans
from tests.lab.machine import on
from tests.support.senders import until_on
from tests.support.traffic import (
    BOTH,
    FAMILIES,
    PORT,
    Family,
    address_of,
    family_of,
    group_of,
    plain_socket,
    sender_on,
)
from tests.support.waiting import until
from trio_mcast import SocketSetupError, default_interface

if sys.platform != "linux":
    pytest.skip("the routes of Linux", allow_module_level=True)

pytestmark = pytest.mark.once

# IPv6 has a route for all groups on each interface, before all other routes.
NO_ROUTES_OF_THE_SYSTEM = [
    f"route delete multicast ff00::/8 dev {interface} table local" for interface in BOTH
]
GROUPS = {"ipv4": "239.0.0.0/8", "ipv6": "ff05::/16"}


def ip(network: TwoHosts | TwoLans, family: Family, *commands: str) -> None:
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


# Routes and rules that refuse --------------------------------------------------------------------

REFUSALS = {
    "prohibit": errno.EACCES,
    "unreachable": errno.EHOSTUNREACH,
    "blackhole": errno.EINVAL,
}
EACH_REFUSAL = pytest.mark.parametrize("kind", REFUSALS)


def plain_errno(host: Host, group: str) -> int | None:
    """Return the error that a plain socket gets which sends to the group."""
    with plain_socket(host, family_of(group)) as sock:
        try:
            sock.sendto(b"plain", (group, PORT))
        except OSError as error:
            return error.errno
    return None


@FAMILIES
@EACH_REFUSAL
async def test_route_that_refuses_the_group_is_an_error_of_opening(
    two_hosts: TwoHosts, family: Family, kind: str
) -> None:
    """There is one candidate, which counts where no route says anything."""
    a, group = two_hosts.a, group_of(family)
    ip(two_hosts, family, f"route add {kind} {GROUPS[family]} table local metric 1")
    assert plain_errno(a, group) == REFUSALS[kind]
    with on(a):
        assert default_interface(group) is None
    with pytest.raises(SocketSetupError) as caught:
        async with sender_on(a, group):
            pytest.fail("opened")
    error = caught.value
    assert (error.errno, error.step, error.group) == (REFUSALS[kind], "route", group)
    assert kind in str(error)
    assert "name the interface to send on in interfaces=" in str(error)
    # As the error says.
    async with sender_on(a, group, interfaces="eth0") as sender:
        await sender.send(b"named")
        assert sender.statistics().sent == 1


@FAMILIES
@EACH_REFUSAL
async def test_route_that_refuses_the_group_takes_it_away_from_an_open_sender(
    two_hosts: TwoHosts, family: Family, kind: str
) -> None:
    a, group, other = two_hosts.a, group_of(family), group_of(family, 2)
    prefix = 128 if family == "ipv6" else 32
    route = f"{kind} {group}/{prefix} table local metric 1"
    async with sender_on(a, [group, other]) as sender:
        ip(two_hosts, family, f"route add {route}")
        # The other group goes on.
        await until(lambda: len(sender._outlets.outlets), 2)
        with pytest.raises(SocketSetupError) as caught:
            await sender.send(b"refused", to=group)
        assert caught.value.errno == REFUSALS[kind]
        assert kind in str(caught.value)
        await sender.send(b"other", to=other)
        assert (sender.statistics().sent, sender.statistics().failed) == (1, 1)
        ip(two_hosts, family, f"route delete {route}")
        await until(lambda: len(sender._outlets.outlets), 1)
        await sender.send(b"again", to=group)
        assert sender.statistics().sent == 2


async def test_rule_that_refuses_the_group_is_respected(two_hosts: TwoHosts) -> None:
    a, group = two_hosts.a, group_of("ipv4")
    ip(two_hosts, "ipv4", f"rule add prohibit to {GROUPS['ipv4']}")
    with pytest.raises(SocketSetupError, match="prohibit"):
        async with sender_on(a, group):
            pytest.fail("opened")
    ip(two_hosts, "ipv4", f"rule delete prohibit to {GROUPS['ipv4']}")
    async with sender_on(a, group) as sender:
        ip(two_hosts, "ipv4", f"rule add blackhole to {GROUPS['ipv4']}")
        await until_on(sender)
        ip(two_hosts, "ipv4", f"rule delete blackhole to {GROUPS['ipv4']}")
        await until_on(sender, "eth0")


async def test_group_of_the_link_can_be_refused(two_hosts: TwoHosts) -> None:
    ip(two_hosts, "ipv6", "route add prohibit ff02::/16 table local metric 1")
    assert plain_errno(two_hosts.a, "ff02::123") == errno.EACCES
    with pytest.raises(SocketSetupError, match="prohibit"):
        async with sender_on(two_hosts.a, "ff02::123"):
            pytest.fail("opened")
    async with sender_on(two_hosts.a, "ff02::123%eth0") as sender:
        await sender.send(b"named")


async def test_route_that_refuses_everything_else_does_not_refuse_the_group(
    two_hosts: TwoHosts,
) -> None:
    a, group = two_hosts.a, group_of("ipv4")
    commands = ["route add unreachable default metric 9999", f"route add {GROUPS['ipv4']} dev eth0"]
    ip(two_hosts, "ipv4", *commands)
    async with sender_on(a, group) as sender:
        await sender.send(b"x")
        assert plain_errno(a, group) is None
        # Without the narrower route, nothing is to go out.
        ip(two_hosts, "ipv4", f"route delete {GROUPS['ipv4']}")
        await until_on(sender)
        assert plain_errno(a, group) == errno.EHOSTUNREACH
