"""On real kernels: from where to where a sender sends, and on which interface by default."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.lab.fixtures import TwoHosts, TwoLans
from tests.lab.machine import on
from tests.support.traffic import (
    BOTH,
    EVERY_GROUP,
    FAMILIES,
    PORT,
    Family,
    add_sources,
    await_payload,
    delivered,
    family_of,
    group_of,
    plain_sender,
    plain_socket,
    receive,
    receiver_on,
    sender_on,
)
from trio_mcast import AmbiguousInterfaceError, Endpoint, SocketSetupError, default_interface

pytestmark = pytest.mark.once

# --- Senders ---------------------------------------------------------------------------------


@FAMILIES
async def test_source_address_and_port_are_seen_by_the_receiver(
    two_lans: TwoLans, family: Family
) -> None:
    group = group_of(family)
    (address,) = add_sources(two_lans.a, family, 1, lan=2)
    # An address as interface says where to send, and from which address.
    for options in ({"source_address": address}, {"interfaces": address}):
        async with (
            receiver_on(two_lans, two_lans.b, group) as receiver,
            sender_on(two_lans.a, group, source_port=4321, **options) as sender,
        ):
            await sender.send(b"hello")
            datagram = await receive(receiver)
            assert datagram.interface.name == "eth1"
            assert datagram.source == sender.local_endpoints[0] == Endpoint(address, 4321)


def resolved(source: Endpoint) -> tuple[Any, ...]:
    """The endpoint for `socket.sendto`, which discards a zone that is part of the host."""
    return socket.getaddrinfo(source.host, source.port, type=socket.SOCK_DGRAM)[0][4]


@EVERY_GROUP
async def test_source_can_be_answered(two_lans: TwoLans, group: str) -> None:
    a, b = two_lans.a, two_lans.b
    async with (
        receiver_on(two_lans, a, group) as receiver,
        sender_on(a, group, interfaces=BOTH) as sender,
    ):
        for name in BOTH:
            with plain_sender(b, group, name) as asking:
                asking.sendto(b"question", (group, PORT))
                source = (await receive(receiver)).source
                assert source.host.endswith(f"%{name}") == group.startswith("ff02:")
                await sender.send(b"from the sender", to=source)
                with plain_socket(a, family_of(group)) as sock, a.inside():
                    sock.sendto(b"from a plain socket", resolved(source))
                await_payload(asking, b"from the sender", b"from a plain socket")


MIXED = ["239.1.2.1", "ff02::1:2:1", "ff05::1:2:1"]
DESTINATIONS = {
    "default": (None, [(group, name, PORT) for group in MIXED for name in BOTH]),
    "one of its groups": ("ff05::1:2:1", [("ff05::1:2:1", name, PORT) for name in BOTH]),
    "another group": ("239.1.2.2", [("239.1.2.2", name, PORT) for name in BOTH]),
    "group with a zone": ("ff02::1:2:1%eth1", [("ff02::1:2:1", "eth1", PORT)]),
    "IPv4 group with a zone": ("239.1.2.1%eth1", [("239.1.2.1", "eth1", PORT)]),
    "group and port": (("ff05::1:2:2", 5001), [("ff05::1:2:2", name, 5001) for name in BOTH]),
}


@pytest.mark.parametrize("case", DESTINATIONS)
async def test_send_goes_once_to_each_place_of_its_destination(
    two_lans: TwoLans, case: str
) -> None:
    destination, expected = DESTINATIONS[case]
    groups = [*MIXED, "239.1.2.2", "ff05::1:2:2"]
    async with (
        receiver_on(two_lans, two_lans.b, groups) as receiver,
        receiver_on(two_lans, two_lans.b, groups, port=5001) as on_other_port,
        sender_on(two_lans.a, MIXED, interfaces=BOTH) as sender,
        sender_on(two_lans.a, groups, interfaces=BOTH) as marking,
    ):
        receivers = {PORT: receiver, 5001: on_other_port}
        await sender.send(b"hello", to=destination)
        assert sender.statistics().sent == len(expected)
        found = [
            (datagram.group, datagram.interface.name, port)
            for port, receiver in receivers.items()
            for datagram in await delivered(receiver, marking, port=port)
        ]
        assert sorted(found) == sorted(expected)


async def test_sender_to_a_group_with_a_zone_sends_on_that_interface_only(
    two_lans: TwoLans,
) -> None:
    group = "ff02::1:2:1"
    async with (
        receiver_on(two_lans, two_lans.b, group) as receiver,
        sender_on(two_lans.a, f"{group}%eth1") as sender,
        sender_on(two_lans.a, group, interfaces=BOTH) as marking,
    ):
        await sender.send(b"hello")
        (datagram,) = await delivered(receiver, marking)
        assert datagram.interface.name == "eth1"
        assert datagram.source.host == f"{two_lans.a.link_local('eth1')}%eth1"


# --- The interface to which the system routes a group ------------------------------------------

NARROWER = ["ip route add default via 10.0.1.2", "ip route add 239.1.0.0/16 dev eth1"]
IPV6_ROUTE = ["ip -6 route add multicast ff05::/16 dev eth1 table local"]
FOREIGN_ADDRESS = ["ip route add 239.0.0.0/8 dev eth1 src 10.0.1.1"]
NO_ADDRESS = ["ip address delete 10.0.2.1/24 dev eth1", "ip route add 239.0.0.0/8 dev eth1"]
WITHOUT_IPV6_ROUTES = [
    f"ip -6 route delete multicast ff00::/8 dev {name} table local" for name in BOTH
]


@pytest.mark.parametrize(
    ("group", "commands"),
    [
        pytest.param("239.1.2.1", ["ip route add 239.0.0.0/8 dev eth1"], id="IPv4 groups"),
        pytest.param("239.1.2.1", ["ip route add default via 10.0.2.2"], id="IPv4 gateway"),
        pytest.param("239.1.2.1", NARROWER, id="IPv4 narrower than the gateway"),
        pytest.param("239.1.2.1", FOREIGN_ADDRESS, id="IPv4 from another interface's address"),
        pytest.param("ff05::1:2:1", [], id="IPv6 as the kernel makes it"),
        pytest.param("ff05::1:2:1", IPV6_ROUTE, id="IPv6 groups"),
    ],
)
async def test_default_interface_is_where_the_system_sends(
    two_lans: TwoLans, group: str, commands: list[str]
) -> None:
    for command in commands:
        two_lans.a.run(*command.split())
    with on(two_lans.a):
        chosen = default_interface(group)
    async with receiver_on(two_lans, two_lans.b, group) as receiver:
        with plain_socket(two_lans.a, family_of(group)) as sock:
            sock.sendto(b"the system's choice", (group, PORT))
        systems = (await receive(receiver)).interface.name
        assert chosen is not None
        assert chosen.name == systems
        async with sender_on(two_lans.a, group) as sender:
            await sender.send(b"ours")
            datagram = await receive(receiver)
            assert (datagram.data, datagram.interface.name) == (b"ours", systems)


async def test_sender_does_not_send_with_the_address_of_another_interface(
    two_lans: TwoLans,
) -> None:
    # As a plain socket would where the interface that the route names has no address.
    for command in NO_ADDRESS:
        two_lans.a.run(*command.split())
    with on(two_lans.a):
        chosen = default_interface("239.1.2.1")
        assert chosen is not None
        assert chosen.name == "eth1"
    async with sender_on(two_lans.a, "239.1.2.1") as sender:
        with pytest.raises(SocketSetupError, match="interface eth1 has no IPv4 address"):
            await sender.send(b"ours")


@FAMILIES
async def test_sender_without_route_needs_to_be_told_which_interface(
    two_lans: TwoLans, family: Family
) -> None:
    for command in WITHOUT_IPV6_ROUTES:
        two_lans.a.run(*command.split())
    with on(two_lans.a):
        assert default_interface(group_of(family)) is None
    with pytest.raises(AmbiguousInterfaceError) as failure:
        async with sender_on(two_lans.a, group_of(family)):
            pytest.fail("opened")
    for name in BOTH:
        assert name in str(failure.value)
    two_lans.a.down("eth0")
    async with sender_on(two_lans.a, group_of(family)) as sender:
        assert [item.name for item in sender.interfaces] == ["eth1"]


async def test_sender_without_route_sends_on_the_only_candidate(two_hosts: TwoHosts) -> None:
    group = group_of("ipv4")
    with on(two_hosts.a):
        assert default_interface(group) is None
    async with (
        receiver_on(two_hosts, two_hosts.b, group) as receiver,
        sender_on(two_hosts.a, group) as sender,
    ):
        await sender.send(b"hello")
        assert (await receive(receiver)).source.host == "10.0.1.1"
