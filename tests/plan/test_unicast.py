"""The planner for unicast that a receiver accepts, and who may be its source."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface
from typing import Any

import attrs
import pytest

from tests.support.interfaces import BARE, ETH0, ETH1, LO, MACHINE
from trio_mcast import Interface, InterfaceAddress, McastReceiverSpec, SocketSpec
from trio_mcast._host.endpoint_cache import endpoint_cache
from trio_mcast._host.protocols import Rejection
from trio_mcast._plan.receiver import plan_request
from trio_mcast._plan.socket_spec import MembershipPlan
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._platform.model import PlatformName
from trio_mcast._values.addresses import Endpoint

pytestmark = pytest.mark.once

FOUR, SIX = "239.1.2.3", "ff15::1:2:3"
EVERY_PLATFORM = pytest.mark.parametrize("name", PLATFORMS)


def memberships(
    groups: Any, name: PlatformName = "linux", machine: Any = MACHINE, **wanted: Any
) -> tuple[MembershipPlan, ...]:
    request = McastReceiverSpec(groups, 5000, accept_unicast=True, **wanted)._request
    return tuple(plan_request(request, (), machine, PLATFORMS[name], strict=True))


def unicast_sockets(groups: Any, **wanted: Any) -> list[SocketSpec]:
    plans = memberships(groups, **wanted)
    return [socket for plan in plans if plan.group is None for socket in plan.sockets]


@EVERY_PLATFORM
def test_unicast_follows_the_groups_with_a_membership_for_each_interface(
    name: PlatformName,
) -> None:
    named = ["eth0", "eth1", "bare0"]  # macOS does not take the last one if nobody names it.
    plans = memberships([FOUR, SIX], name, interfaces=named)
    assert [(plan.group, plan.interface) for plan in plans] == [
        (FOUR, ETH0),
        (FOUR, ETH1),
        (FOUR, BARE),
        (SIX, ETH0),
        (SIX, ETH1),
        (SIX, BARE),
        (None, ETH0),
        (None, ETH1),  # The interface without an address has nothing to receive unicast on.
    ]


@EVERY_PLATFORM
def test_each_address_has_a_socket(name: PlatformName) -> None:
    sockets = unicast_sockets([FOUR, SIX], name=name, interfaces=["eth0", "eth1"])
    assert [(socket.interface, socket.bind) for socket in sockets] == [
        (ETH0, ("10.0.0.1", 5000)),
        (ETH0, ("10.0.9.1", 5000)),
        (ETH0, ("2001:db8::1", 5000, 0, 0)),
        (ETH0, ("fe80::1", 5000, 0, 7)),
        (ETH1, ("10.1.0.1", 5000)),
        (ETH1, ("fe80::1", 5000, 0, 8)),
    ]
    assert all(socket.accepts_unicast for socket in sockets)


HOSTS: list[tuple[Any, Any, list[tuple[str, str]]]] = [
    # Only the families of an interface's groups.
    (FOUR, "eth1", [("eth1", "10.1.0.1")]),
    (SIX, "eth1", [("eth1", "fe80::1")]),
    (
        [FOUR, "ff02::1%eth1"],
        ["eth0", "eth1"],
        [("eth0", "10.0.0.1"), ("eth0", "10.0.9.1"), ("eth1", "10.1.0.1"), ("eth1", "fe80::1")],
    ),
    # An address stands for its interface.
    (FOUR, "10.0.9.1", [("eth0", "10.0.0.1"), ("eth0", "10.0.9.1")]),
    # However many groups there are.
    ([f"239.0.0.{i}" for i in range(40)], "eth1", [("eth1", "10.1.0.1")]),
    (FOUR, "lo", [("lo", "127.0.0.1")]),
    ([FOUR, SIX], "bare0", []),
]


@pytest.mark.parametrize(("groups", "interfaces", "expected"), HOSTS)
def test_addresses_are_those_of_the_groups_interfaces_and_families(
    groups: Any, interfaces: Any, expected: list[tuple[str, str]]
) -> None:
    sockets = unicast_sockets(groups, interfaces=interfaces)
    assert [(socket.interface.name, socket.bind[0]) for socket in sockets] == expected


def test_address_that_an_interface_has_twice_has_one_socket() -> None:
    twice = Interface(
        "eth2",
        10,
        ipv4_addresses=(IPv4Interface("10.2.0.1/24"), IPv4Interface("10.2.0.1/16")),
    )
    (socket,) = unicast_sockets(FOUR, machine=[twice])
    assert socket.bind == ("10.2.0.1", 5000)


@EVERY_PLATFORM
def test_without_accept_unicast_no_socket_takes_any(name: PlatformName) -> None:
    sockets = McastReceiverSpec([FOUR, SIX], 5000).plan(MACHINE, name)
    assert not any(socket.accepts_unicast for socket in sockets)
    assert None not in {socket.group for socket in sockets}


@EVERY_PLATFORM
def test_sockets_of_groups_take_unicast_where_they_are_bound_to_an_address(
    name: PlatformName,
) -> None:
    wanted: dict[str, Any] = {"interfaces": ["eth0", "bare0"], "loopback": False}
    plans = memberships([FOUR, SIX], name, excluded_sources=["10.0.0.8", "fd00::8"], **wanted)
    plain = McastReceiverSpec(
        [FOUR, SIX], 5000, excluded_sources=["10.0.0.8", "fd00::8"], **wanted
    ).plan(MACHINE, name)
    for plan, before in zip((plan for plan in plans if plan.group), plain, strict=True):
        (socket,) = plan.sockets
        if name != "windows" or socket.interface is BARE:
            assert socket == before
            continue
        # What the system filters for groups, it does not filter for unicast.
        assert socket.accepts_unicast
        assert socket.rejected_sources == {plan.excluded_sources[0]}
        assert "10.0.0.1" in socket.own_addresses
        assert socket.options == before.options


@EVERY_PLATFORM
def test_sources_are_those_of_the_sockets_family(name: PlatformName) -> None:
    sources = [*(f"10.0.1.{i}" for i in range(200)), "fd00::8"]
    (membership,) = [
        plan
        for plan in memberships([FOUR, SIX], name, interfaces="eth1", sources=sources)
        if plan.group is None
    ]
    four, six = membership.sockets
    assert membership.sources == tuple(sources)
    assert four.sources == tuple(sources[:-1])  # No system's limit applies.
    assert six.sources == ("fd00::8",)
    assert four.rejected_sources == six.rejected_sources == frozenset()


def test_own_addresses_are_rejected_but_on_loopback() -> None:
    lo, eth1 = unicast_sockets(FOUR, interfaces=["lo", "eth1"], loopback=False)
    assert (lo.interface, lo.own_addresses) == (LO, frozenset())
    assert {"127.0.0.1", "10.0.0.1", "fe80::1"} <= eth1.own_addresses
    (either,) = unicast_sockets(FOUR, interfaces="eth1")
    assert either.own_addresses == frozenset()


def test_own_link_local_addresses_are_those_of_the_interface() -> None:
    docker0 = Interface("docker0", 11, ipv6_addresses=(IPv6Interface("fe80::d/64"),))
    spec = McastReceiverSpec(
        SIX, 5000, interfaces=["eth1", "docker0"], accept_unicast=True, loopback=False
    )
    sockets = spec.plan((*MACHINE, docker0), "linux")
    assert len(sockets) == 4
    for socket_spec in sockets:
        wide = {"127.0.0.1", "::1", "10.0.0.1", "10.0.9.1", "10.1.0.1", "2001:db8::1"}
        local = {"eth1": "fe80::1", "docker0": "fe80::d"}[socket_spec.interface.name]
        assert socket_spec.own_addresses == {*wide, local}


def test_address_that_another_machine_has_is_not_own() -> None:
    details = (InterfaceAddress(IPv6Interface("fe80::1/64"), "link", "failed"),)
    eth1 = attrs.evolve(ETH1, address_details=details)
    (socket_spec,) = McastReceiverSpec(SIX, 5000, interfaces="eth1", loopback=False).plan(
        [eth1], "linux"
    )
    assert socket_spec.own_addresses == {"10.1.0.1"}


# Who is let through ----------------------------------------------------------------------------


def verdict(socket: SocketSpec, host: str) -> Endpoint | Rejection:
    return endpoint_cache(PLATFORMS["linux"].sockaddr, socket)[host, 4000]


def test_only_the_chosen_sources_are_let_through() -> None:
    (socket,) = unicast_sockets(FOUR, interfaces="eth1", sources=["10.1.0.8", "10.1.0.9"])
    assert verdict(socket, "10.1.0.8") == Endpoint("10.1.0.8", 4000)
    assert verdict(socket, "10.1.0.7") is Rejection.OTHER_SOURCE


def test_excluded_sources_and_own_addresses_are_not_let_through() -> None:
    (socket,) = unicast_sockets(
        FOUR, interfaces="eth1", excluded_sources="10.1.0.8", loopback=False
    )
    assert verdict(socket, "10.1.0.7") == Endpoint("10.1.0.7", 4000)
    assert verdict(socket, "10.1.0.8") is Rejection.EXCLUDED_SOURCE
    assert verdict(socket, "10.1.0.1") is Rejection.OWN


def test_link_local_address_on_another_link_is_not_own() -> None:
    (_, socket_spec) = unicast_sockets(SIX, interfaces="eth0", loopback=False)
    cache = endpoint_cache(PLATFORMS["linux"].sockaddr, socket_spec)
    assert cache["fe80::1", 4000, 0, 7] is Rejection.OWN
    assert cache["fe80::1", 4000, 0, 8] == Endpoint("fe80::1%8", 4000)
    assert cache["2001:db8::1", 4000, 0, 0] is Rejection.OWN


def test_sources_of_a_group_are_left_to_the_system() -> None:
    group, unicast = McastReceiverSpec(
        FOUR, 5000, interfaces="eth1", sources="10.1.0.8", accept_unicast=True
    ).plan(MACHINE, "linux")
    assert (group.group, unicast.group) == (FOUR, None)
    # One cache for both would reject one's or let through the other's.
    assert verdict(group, "10.1.0.7") == Endpoint("10.1.0.7", 4000)
    assert verdict(unicast, "10.1.0.7") is Rejection.OTHER_SOURCE
