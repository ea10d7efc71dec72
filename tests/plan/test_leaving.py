"""What ends a membership before its socket is closed: for each platform, without a system."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import attrs
import pytest

from tests.support.headers import EVERY_TABLE, TABLES
from tests.support.interfaces import MACHINE
from tests.support.platforms import EVERY_PLATFORM
from tests.support.virtual_hosts import two_on_lan
from trio_mcast import McastReceiverSpec, McastSenderSpec, SocketOption
from trio_mcast._plan.socket_spec import leaving_option
from trio_mcast._platform import options as layout
from trio_mcast._platform.current import platform_named
from trio_mcast._platform.model import PlatformName

pytestmark = pytest.mark.once

GROUPS = ["239.1.2.3", "ff15::1:2:3"]
SOURCES = ["10.0.0.8", "10.0.0.9", "2001:db8::8", "2001:db8::9"]


def leaving(name: PlatformName, **settings: Any) -> list[SocketOption | None]:
    spec = McastReceiverSpec(GROUPS, 5000, interfaces="eth0", **settings)
    return [
        leaving_option(socket_spec, platform_named(name))
        for socket_spec in spec.plan(platform=name, interfaces=MACHINE)
    ]


@EVERY_PLATFORM
@pytest.mark.parametrize("settings", [{}, {"sources": SOURCES}, {"excluded_sources": SOURCES}])
def test_leaving_names_the_interface_and_the_group(
    name: PlatformName, settings: dict[str, Any]
) -> None:
    platform = platform_named(name)
    index = next(interface.index for interface in MACHINE if interface.name == "eth0")
    options = leaving(name, **settings)
    assert [option and option.value for option in options] == [
        layout.group_req(platform, index, ip_address(group)) for group in GROUPS
    ]
    for option, level in zip(options, ("IPPROTO_IP", "IPPROTO_IPV6"), strict=True):
        assert option is not None
        assert not option.required
        assert option.symbol == "MCAST_LEAVE_GROUP"
        assert option.number == platform.constants["MCAST_LEAVE_GROUP"]
        assert option.level == platform.constants[level]


@pytest.mark.parametrize("sources", [None, SOURCES])
def test_on_windows_the_older_options_leave_where_the_newer_are_missing(
    sources: list[str] | None,
) -> None:
    four, six = leaving("windows", sources=sources)
    assert four is not None
    assert four.fallback is not None
    assert six is not None
    local = next(interface for interface in MACHINE if interface.name == "eth0").addresses("ipv4")
    assert four.fallback.symbol == "IP_DROP_MEMBERSHIP"
    assert four.fallback.value == ip_address(GROUPS[0]).packed + local[0].packed
    if sources is None:  # An older option with a source there is for IPv4 only.
        assert six.fallback is not None
        assert six.fallback.symbol == "IPV6_LEAVE_GROUP"


@EVERY_PLATFORM
def test_a_socket_that_has_joined_nothing_has_nothing_to_leave(name: PlatformName) -> None:
    spec = McastSenderSpec(GROUPS, 5000, interfaces="eth0")
    for socket_spec in spec.plan(platform=name, interfaces=MACHINE):
        assert leaving_option(socket_spec, platform_named(name)) is None


@EVERY_TABLE
def test_a_request_with_a_source_begins_as_one_without(target: str) -> None:
    platform, group, source = TABLES[target], ip_address("ff15::1"), ip_address("2001:db8::8")
    join = layout.join_source(platform, 7, group, source, None)
    assert layout.leave_group(platform, join).value == layout.group_req(platform, 7, group)


@EVERY_PLATFORM
@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("sources", [None, SOURCES])
async def test_kernel_leaves_by_the_option(
    name: PlatformName, older: bool, sources: list[str] | None
) -> None:
    async with two_on_lan(name) as lan:
        spec = McastReceiverSpec(GROUPS, 5000, interfaces="eth0", sources=sources)
        left = []
        for socket_spec in spec.plan(platform=name, interfaces=lan.b.list_interfaces()):
            option = leaving_option(socket_spec, lan.b.platform)
            assert option is not None
            if older and option.fallback is not None:
                option = option.fallback
            socket = lan.b.open_socket(socket_spec)
            socket.revise(socket_spec, [attrs.evolve(option, required=True)])
            left.append(str(socket_spec.group))
            assert lan.events("left") == left
            socket.close()  # There is nothing more to leave.
            assert lan.events("left") == left
