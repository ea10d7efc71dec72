"""On real kernels: where datagrams come from, and which of them a receiver takes for that."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from tests.lab import Host, Lab
from tests.lab.fixtures import TwoHosts, TwoLans
from tests.lab.machine import on
from tests.support.traffic import (
    BOTH,
    EACH_FAMILY,
    EVERY_GROUP,
    FAMILIES,
    PORT,
    Family,
    address_of,
    await_payload,
    delivered,
    family_of,
    group_of,
    member,
    places,
    plain_sender,
    plain_socket,
    receive,
    receiver_on,
    sender_on,
    with_prefix,
)
from trio_mcast import AmbiguousInterfaceError, Endpoint, default_interface, open_mcast_receiver

# --- Source filters --------------------------------------------------------------------------


@pytest.fixture
def flooded(lab: Lab) -> TwoLans:
    """What `two_lans` gives, with switches that pass on everything.

    So it is the host that filters. Besides, the bridge now and then loses a datagram of a source
    just when it makes an entry for that source (measured on Linux 6.18: one in some 1,000).
    """
    lan1, lan2 = lab.switch("lan1", flood=True), lab.switch("lan2", flood=True)
    a, b = lab.host("a"), lab.host("b")
    for number, host in enumerate((a, b), start=1):
        for lan, name in enumerate(BOTH, start=1):
            addresses = [address_of(family, number, lan) for family in EACH_FAMILY]
            host.plug(name, (lan1, lan2)[lan - 1], *with_prefix(addresses))
    return TwoLans(lab, lan1, lan2, a, b)


def add_sources(host: Host, family: Family, count: int, lan: int = 1) -> list[str]:
    """Give a host more addresses on a LAN, to send from."""
    addresses = [address_of(family, number, lan) for number in range(21, 21 + count)]
    host.address(BOTH[lan - 1], add=with_prefix(addresses))
    return addresses


def send_from_each(
    host: Host, group: str, addresses: Sequence[str], interface: str = "eth0"
) -> None:
    """Send one datagram from each address; the address is also the payload."""
    for address in addresses:
        with plain_sender(host, group, interface, address) as sock:
            sock.sendto(address.encode(), (group, PORT))


@FAMILIES
@pytest.mark.parametrize("mode", ["sources", "excluded_sources"])
async def test_only_the_wanted_sources_are_delivered(
    flooded: TwoLans, family: Family, mode: str
) -> None:
    a, b, group = flooded.a, flooded.b, group_of(family)
    on_lan = {name: add_sources(b, family, 3, lan) for lan, name in enumerate(BOTH, start=1)}
    listed = [addresses[0] for addresses in on_lan.values()]
    others = [address for addresses in on_lan.values() for address in addresses[1:]]
    # Markers come from these.
    own = [address_of(family, 2, lan) for lan in (1, 2)]
    filters: dict[str, Any] = {mode: listed + own if mode == "sources" else listed}
    with member(a, group, *BOTH) as program:
        async with (
            receiver_on(flooded, a, group) as unfiltered,
            receiver_on(flooded, a, group, **filters) as receiver,
            sender_on(b, group, interfaces=own) as marking,
        ):
            for name, addresses in on_lan.items():
                send_from_each(b, group, addresses, name)
            await_payload(program, *(item.encode() for item in listed + others))
            received = await delivered(receiver, marking)
            assert len(await delivered(unfiltered, marking)) == len(listed + others)
            assert receiver.statistics().rejected == 0
    wanted = listed if mode == "sources" else others
    assert sorted(item.data.decode() for item in received) == sorted(wanted)
    for datagram in received:
        assert datagram.source.host == datagram.data.decode()
        assert datagram.source.host in on_lan[datagram.interface.name]


@pytest.mark.parametrize(("family", "count"), [("ipv4", 25), ("ipv6", 70)])
async def test_more_sources_than_one_socket_takes_are_each_delivered_once(
    flooded: TwoLans, family: Family, count: int
) -> None:
    a, b, group = flooded.a, flooded.b, group_of(family)
    addresses = add_sources(b, family, count + 5)
    wanted, unwanted = addresses[:count], addresses[count:]
    async with (
        receiver_on(flooded, a, group, interfaces="eth0") as unfiltered,
        receiver_on(flooded, a, group, interfaces="eth0", sources=wanted) as receiver,
        sender_on(b, group, interfaces="eth0", source_address=wanted[0]) as first,
    ):
        (membership,) = receiver.memberships
        assert membership.sources == tuple(wanted)
        send_from_each(b, group, unwanted + wanted)
        received = [(await receive(receiver)).data.decode() for _ in wanted]
        assert sorted(received) == sorted(wanted)
        for address in wanted:  # A marker for each of the sockets.
            async with sender_on(b, group, interfaces="eth0", source_address=address) as marking:
                assert await delivered(receiver, marking) == []
        assert len(await delivered(unfiltered, first)) == len(addresses)
        assert receiver.statistics().rejected == 0


@pytest.mark.parametrize(("family", "kernel_takes"), [("ipv4", 10), ("ipv6", 64)])
async def test_exclusions_beyond_what_the_kernel_takes_are_rejected_and_counted(
    flooded: TwoLans, family: Family, kernel_takes: int
) -> None:
    a, b, group = flooded.a, flooded.b, group_of(family)
    excluded = add_sources(b, family, kernel_takes + 2)
    async with (
        receiver_on(flooded, a, group, interfaces="eth0") as unfiltered,
        receiver_on(flooded, a, group, interfaces="eth0", excluded_sources=excluded) as receiver,
        sender_on(b, group, interfaces=address_of(family, 2)) as marking,
    ):
        for address in excluded:
            async with sender_on(b, group, interfaces=address) as sender:
                # Of one size: they can arrive as one unit.
                await sender.send_batch([b"hello"] * 3)
        assert len(await delivered(unfiltered, marking)) == 3 * len(excluded)
        assert await delivered(receiver, marking) == []
        statistics = receiver.statistics()
        assert statistics.rejected == 3 * 2
        assert statistics.rejected_by_reason == {"excluded_source": 3 * 2}


FLOOD = """if True:
    import socket, sys
    group, port, source, index = sys.argv[1:]
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((source, 0))
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, int(index))
    while True:
        sock.sendto(b"flood", (group, int(port)))
"""


@FAMILIES
async def test_excluded_source_is_never_delivered_however_often_receivers_open(
    two_hosts: TwoHosts, family: Family
) -> None:
    a, group = two_hosts.a, group_of(family)
    (friend,) = add_sources(a, family, 1)
    flooder = address_of(family, 1)
    a.run("ip", "route", "add", "239.0.0.0/8", "dev", "eth0")
    command = [sys.executable, "-c", FLOOD, group, str(PORT), flooder, str(a.index("eth0"))]
    with member(a, group, "eth0") as program, a.popen(*command):
        await_payload(program, b"flood")
        async with sender_on(a, group, interfaces="eth0", source_address=friend) as marking:
            for _ in range(100):
                with on(a):
                    async with open_mcast_receiver(
                        group, PORT, interfaces="eth0", excluded_sources=flooder
                    ) as receiver:
                        assert await delivered(receiver, marking) == []
        # It was flooding to the end: this is more than the receive buffer holds.
        for _ in range(1000):
            assert program.recv(100)


# --- Loopback --------------------------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize(
    ("receiving", "sending", "here", "rejected"),
    [(True, True, True, 0), (False, True, False, 10), (True, False, False, 0)],
    ids=["both", "sender only", "receiver only"],
)
async def test_own_datagrams_are_delivered_if_receiver_and_sender_loop_back(
    two_lans: TwoLans, family: Family, receiving: bool, sending: bool, here: bool, rejected: int
) -> None:
    a, b, group = two_lans.a, two_lans.b, group_of(family)
    async with (
        receiver_on(two_lans, b, group) as there,
        receiver_on(two_lans, a, group, loopback=receiving) as receiver,
        sender_on(a, group, interfaces=BOTH, loopback=sending) as sender,
        sender_on(b, group, interfaces=BOTH) as marking,
    ):
        await sender.send(b"0")
        await sender.send_batch([b"1", b"2", b"3", b"4"])
        sent = sorted((group, name, b"%d" % n) for name in BOTH for n in range(5))
        assert places(await delivered(there, marking)) == sent
        assert places(await delivered(receiver, marking)) == (sent if here else [])
        statistics = receiver.statistics()
        assert statistics.rejected == statistics.rejected_by_reason["own"] == rejected


@FAMILIES
@pytest.mark.parametrize("loopback", [True, False])
async def test_loopback_interface_always_delivers(
    two_hosts: TwoHosts, family: Family, loopback: bool
) -> None:
    a, group = two_hosts.a, group_of(family)
    # A route of type "multicast" would not do: over lo the kernel makes it one that discards.
    a.run("ip", "-6", "route", "add", "local", "ff00::/8", "dev", "lo")
    async with (
        receiver_on(two_hosts, a, group, interfaces="lo", loopback=loopback) as receiver,
        sender_on(a, group, interfaces="lo", loopback=loopback) as sender,
    ):
        await sender.send(b"hello")
        (datagram,) = await delivered(receiver, sender)
        own = "127.0.0.1" if family == "ipv4" else "::1"
        assert (datagram.data, datagram.interface.name) == (b"hello", "lo")
        assert datagram.source == (own, sender.local_endpoints[0].port)


@FAMILIES
@pytest.mark.parametrize("loopback", [True, False])
async def test_own_datagrams_that_come_back_over_the_wire_follow_loopback_too(
    lab: Lab, family: Family, loopback: bool
) -> None:
    lan, group = lab.switch("lan"), group_of(family)
    a, b = lab.host("a"), lab.host("b")
    # By default IPv4 drops what comes from the wire with an address of its own.
    a.namespace.set_parameters({"ipv4/conf/all/accept_local": "1"})
    for host, name, number in ((a, "eth0", 1), (a, "eth1", 3), (b, "eth0", 2)):
        host.plug(name, lan, f"10.0.1.{number}/24", f"fd00:1::{number}/64")
    network = TwoLans(lab, lan, lan, a, b)
    async with (
        receiver_on(network, a, group, interfaces="eth1") as witness,
        receiver_on(network, a, group, interfaces="eth1", loopback=loopback) as receiver,
        sender_on(a, group, interfaces="eth0", loopback=False) as sender,
        sender_on(b, group, interfaces="eth0") as marking,
    ):
        await sender.send(b"hello")
        assert (await receive(witness)).data == b"hello"
        received = await delivered(receiver, marking)
        assert [item.data for item in received] == ([b"hello"] if loopback else [])
        assert receiver.statistics().rejected == (not loopback)


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
        pytest.param("239.1.2.1", NO_ADDRESS, id="IPv4 interface without address"),
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
