"""The address that a sender without interfaces sends from, against that of a plain socket."""

from __future__ import annotations

import sys

import pytest
import trio.testing

from tests.lab.fixtures import TwoLans
from tests.support.senders import until_on
from tests.support.traffic import (
    BOTH,
    PORT,
    family_of,
    plain_socket,
    receive,
    receiver_on,
    sender_on,
)
from tests.support.virtual_hosts import add_second_lan, open_plain, payloads, sending, two_on_lan
from tests.support.waiting import until
from trio_mcast import Endpoint

if sys.platform != "linux":
    pytest.skip("the routes of Linux", allow_module_level=True)

pytestmark = pytest.mark.once

FOUR, SIX = "239.1.2.1", "ff05::1:2:1"

# The addresses of eth0 and eth1 are 10.0.1.1 and 10.0.2.1, fd00:1::1 and fd00:2::1.
SECOND = "address add 192.168.7.1/24 dev eth0"
ON_LO = "address add 10.255.0.1/32 dev lo"
FIRST6 = "address add fd00:1::8/64 dev eth0 nodad"
NEWEST6 = "address add fd00:1::9/64 dev eth0 nodad"

# What the `ip` command does, and from where on which interface datagrams then come.
CASES: dict[str, tuple[str, list[str], str, str]] = {
    "named": (
        FOUR,
        [SECOND, "route add 239.0.0.0/8 dev eth0 src 192.168.7.1"],
        "eth0",
        "192.168.7.1",
    ),
    "not named": (FOUR, [SECOND, "route add 239.0.0.0/8 dev eth0"], "eth0", "10.0.1.1"),
    "of the gateway's network": (
        FOUR,
        [SECOND, "route add default via 192.168.7.2"],
        "eth0",
        "192.168.7.1",
    ),
    "another interface's": (
        FOUR,
        ["route add 239.0.0.0/8 dev eth1 src 10.0.1.1"],
        "eth1",
        "10.0.1.1",
    ),
    "one of lo": (
        FOUR,
        [ON_LO, "route add default via 10.0.2.2 src 10.255.0.1"],
        "eth1",
        "10.255.0.1",
    ),
    "interface without address": (
        FOUR,
        [
            "address delete 10.0.2.1/24 dev eth1",
            "route add 239.0.0.0/8 dev eth1 src 10.0.1.1",
        ],
        "eth1",
        "10.0.1.1",
    ),
    "of a table that a rule names": (
        FOUR,
        [
            "route add default via 10.0.1.2",
            "route add default via 10.0.2.2 src 10.0.1.1 table 100",
            "rule add to 239.0.0.0/8 table 100",
        ],
        "eth1",
        "10.0.1.1",
    ),
    "IPv6 named": (
        SIX,
        [FIRST6, NEWEST6, "route add ff05::/16 dev eth0 src fd00:1::8 table local metric 1"],
        "eth0",
        "fd00:1::8",
    ),
    "IPv6 another interface's": (
        SIX,
        ["route add ff05::/16 dev eth1 src fd00:1::1 table local metric 1"],
        "eth1",
        "fd00:1::1",
    ),
}


def ip(network: TwoLans, group: str, *commands: str) -> None:
    text = "".join(f"{command}\n" for command in commands)
    network.a.run("ip", "-6" if ":" in group else "-4", "-batch", "-", input=text)


@pytest.mark.parametrize(("group", "commands", "interface", "source"), CASES.values(), ids=CASES)
async def test_sender_takes_the_address_of_the_route(
    two_lans: TwoLans, group: str, commands: list[str], interface: str, source: str
) -> None:
    ip(two_lans, group, *commands)
    async with (
        receiver_on(two_lans, two_lans.b, group) as receiver,
        sender_on(two_lans.a, group) as sender,
    ):
        with plain_socket(two_lans.a, family_of(group)) as sock:
            sock.sendto(b"plain", (group, PORT))
        await sender.send(b"ours")
        for _ in range(2):
            datagram = await receive(receiver)
            assert (datagram.interface.name, datagram.source.host) == (interface, source)


async def test_named_interface_or_address_counts_for_more_than_the_route(
    two_lans: TwoLans,
) -> None:
    ip(two_lans, FOUR, SECOND, "route add 239.0.0.0/8 dev eth0 src 192.168.7.1")
    for arguments in ({"interfaces": "eth0"}, {"source_address": "10.0.1.1"}):
        async with sender_on(two_lans.a, FOUR, **arguments) as sender:
            assert sender.local_endpoints[0].host == "10.0.1.1"


async def test_sender_follows_the_address_of_the_route(two_lans: TwoLans) -> None:
    ip(two_lans, FOUR, SECOND, "route add 239.0.0.0/8 dev eth0")
    async with sender_on(two_lans.a, FOUR) as sender:
        (endpoint,) = sender.local_endpoints
        assert endpoint.host == "10.0.1.1"
        for command, source in (
            ("route replace 239.0.0.0/8 dev eth0 src 192.168.7.1", "192.168.7.1"),
            ("route replace 239.0.0.0/8 dev eth0 src 10.0.2.1", "10.0.2.1"),
            # The kernel takes the route away with its address. Then the interface's own counts.
            ("address delete 10.0.2.1/24 dev eth1", "10.0.1.1"),
        ):
            ip(two_lans, FOUR, command)
            await until(lambda: sender.local_endpoints, (Endpoint(source, endpoint.port),))
            await sender.send(b"x")


async def test_each_group_has_the_address_of_its_own_route(two_lans: TwoLans) -> None:
    groups = ["239.1.1.1", "239.2.2.2", SIX]
    ip(
        two_lans,
        FOUR,
        SECOND,
        "route add 239.1.0.0/16 dev eth0 src 192.168.7.1",
        "route add 239.2.0.0/16 dev eth1 src 10.0.1.1",
    )
    ip(two_lans, SIX, FIRST6, NEWEST6, "route add ff05::/16 dev eth0 src fd00:1::8 table local")
    ip(two_lans, SIX, "route delete multicast ff00::/8 dev eth0 table local")
    ip(two_lans, SIX, "route delete multicast ff00::/8 dev eth1 table local")
    async with sender_on(two_lans.a, groups) as sender:
        hosts = [endpoint.host for endpoint in sender.local_endpoints]
        assert hosts == ["192.168.7.1", "10.0.1.1", "fd00:1::8"]
        interfaces = [outlet.socket_spec.interface.name for outlet in sender._outlets.outlets]
        assert interfaces == ["eth0", "eth1", "eth0"]


async def test_new_ipv6_address_changes_nothing_without_one_in_the_route(
    two_lans: TwoLans,
) -> None:
    async with sender_on(two_lans.a, SIX) as sender:
        endpoints = sender.local_endpoints
        ip(two_lans, SIX, NEWEST6)
        await until(lambda: len(sender.interfaces[0].ipv6_addresses), 3)
        assert sender.local_endpoints == endpoints


async def test_sender_goes_elsewhere_with_the_route_and_its_address(two_lans: TwoLans) -> None:
    ip(two_lans, FOUR, ON_LO, "route add 239.0.0.0/8 dev eth0 src 10.255.0.1")
    async with sender_on(two_lans.a, FOUR) as sender:
        for interface in reversed(BOTH):
            ip(two_lans, FOUR, f"route replace 239.0.0.0/8 dev {interface} src 10.255.0.1")
            await until_on(sender, interface)
            assert sender.local_endpoints[0].host == "10.255.0.1"


@pytest.mark.parametrize(
    ("group", "network", "bind", "source"),
    [
        ("239.1.2.3", "239.0.0.0/8", "0.0.0.0", "10.0.9.1"),
        ("ff05::5", "ff05::/16", "::", "fd00:9::1"),
    ],
)
async def test_virtual_route_names_an_address(
    group: str, network: str, bind: str, source: str
) -> None:
    async with two_on_lan() as lan:
        add_second_lan(lan)
        lan.a.interface("eth0").add_address(f"{source}/{64 if ':' in source else 24}")
        lan.a.routes.add(network, "eth1", source=source)
        receiver = open_plain(lan.b, bind, port=PORT)
        async with sending(lan.a, group) as sender:
            assert [endpoint.host for endpoint in sender.local_endpoints] == [source]
            await sender.send(b"ours")
            plain = open_plain(lan.a, bind, port=0)
            plain.send(b"plain", (group, PORT) if ":" not in group else (group, PORT, 0, 0))
            events = [event for event in lan.network.trace if event.what == "sent"]
            assert [event.data for event in events] == [b"ours", b"plain"]
            for event in events:
                assert str(event.source).rpartition(":")[0].strip("[]") == source
            assert {event.interface for event in events} == {"eth1"}
            # The route goes with its address.
            lan.a.interface("eth0").remove_address(source)
            await trio.testing.wait_all_tasks_blocked()
            assert source not in [endpoint.host for endpoint in sender.local_endpoints]
        assert payloads(receiver) == []  # It has joined nothing.
