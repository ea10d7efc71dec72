"""Which interface and which source address a virtual Linux host takes, as a real one does.

All of these were found by random scenarios on real Linux (`tests.contract.test_differential`).
"""

from __future__ import annotations

import errno
import os
from ipaddress import IPv6Address

import pytest

from trio_mcast._plan.route import Route
from trio_mcast._platform import options as layout
from trio_mcast.testing import VirtualNetwork, network_test

from ..support.virtual_hosts import (
    GROUP4,
    GROUP6,
    PORT,
    add_second_lan,
    joining,
    open_plain,
    option,
    payloads,
    two_on_lan,
)

pytestmark = pytest.mark.once


async def source_of(to: str, *addresses: str, deprecated: str | None = None) -> str:
    """Return where a datagram from a comes from, if that has more addresses on eth0."""
    async with two_on_lan() as lan:
        eth0 = lan.a.interface("eth0")
        for address in addresses:
            state = "deprecated" if address == deprecated else None
            eth0.add_address(address, state=state)  # type: ignore[arg-type]
        group = layout.multicast_interface(lan.a.platform, "ipv6", eth0.index)
        sock = open_plain(lan.a, "::", group, port=0)
        sock.send(b"x", (to, PORT, 0, 0))
        return str(lan.network.trace.sent(by=lan.a)[0].source).rpartition(":")[0].strip("[]")


@pytest.mark.parametrize(
    ("to", "source"),
    [
        # The scope, then the label, then the longest common prefix (RFC 6724, 5).
        (GROUP6, "2001:db8::1"),
        ("ff02::1234", "fe80::1"),
        ("fd00::2", "fd00::1"),
        ("fd00:0:0:8000::2", "fd00:0:0:8000::1"),
        ("2001:db8::2", "2001:db8::1"),
    ],
)
async def test_source_of_ipv6_follows_rfc_6724(to: str, source: str) -> None:
    assert await source_of(to, "2001:db8::1/64", "fd00:0:0:8000::1/64") == source


async def test_deprecated_source_is_taken_where_no_other_has_the_scope() -> None:
    more = "2001:db8::1/64"
    assert await source_of("2001:db8::2", more, deprecated=more) == "fd00::1"
    assert await source_of("ff02::1234", more, deprecated=more) == "fe80::1"


async def test_host_talks_to_its_secondary_address_from_the_primary_one() -> None:
    async with two_on_lan() as lan:
        lan.b.interface("eth0").add_address("10.0.0.77/24")
        receiver = open_plain(lan.b, "0.0.0.0")
        open_plain(lan.b, "0.0.0.0", port=0).send(b"x", ("10.0.0.77", PORT))
        (datagram,) = receiver.receive(1)
        assert datagram.source.host == "10.0.0.2"


async def test_source_of_ipv4_is_the_first_address_of_the_route_s_network() -> None:
    async with two_on_lan() as lan:
        eth0 = lan.a.interface("eth0")
        eth0.remove_address("10.0.0.1")
        for address in ("10.0.0.130/25", "10.0.0.1/24", "10.0.0.9/24"):
            eth0.add_address(address)
        sock = open_plain(lan.a, "0.0.0.0", port=0)
        for peer in ("10.0.0.2", "10.0.0.140"):
            sock.send(b"x", (peer, PORT))
        sources = [str(event.source).partition(":")[0] for event in lan.network.trace.sent()]
        assert sources == ["10.0.0.1", "10.0.0.130"]


async def test_longest_prefix_leads_the_way_and_then_the_oldest_route() -> None:
    async with two_on_lan() as lan:
        add_second_lan(lan)
        sock = open_plain(lan.a, "0.0.0.0", port=0)
        lan.a.interface("eth0").add_address("10.0.1.9/24")  # As eth1, which had it first.
        sock.send(b"old", ("10.0.1.2", PORT))
        lan.a.interface("eth1").add_address("10.0.0.130/25")
        sock.send(b"long", ("10.0.0.140", PORT))
        sock.send(b"short", ("10.0.0.2", PORT))
        ways = [(event.data, event.interface) for event in lan.network.trace.sent(by=lan.a)]
        assert ways == [(b"old", "eth1"), (b"long", "eth1"), (b"short", "eth0")]


async def test_zone_counts_for_link_local_addresses_only() -> None:
    async with two_on_lan() as lan:
        add_second_lan(lan)
        receiver = open_plain(lan.b, "::")
        eth1 = lan.a.interface("eth1").index
        open_plain(lan.a, "::", port=0).send(b"x", ("fd00::2", PORT, 0, eth1))
        assert payloads(receiver) == [b"x"]


async def test_own_address_of_ipv6_is_a_neighbour_s_on_another_interface() -> None:
    async with two_on_lan() as lan:
        add_second_lan(lan)
        lan.a.interface("eth1").add_address("fd00::99/64")
        bound = option(lan.a, "SO_BINDTODEVICE", b"eth1\0", "ipv6")
        sock = open_plain(lan.a, "::", bound, port=0)
        sock.send(b"x", ("fd00::1", PORT, 0, 0))
        assert [event.interface for event in lan.network.trace.sent(by=lan.a)] == ["eth1"]


async def test_group_of_ipv6_has_no_way_where_the_mtu_is_too_small() -> None:
    async with two_on_lan() as lan:
        eth0 = lan.a.interface("eth0")
        sock = open_plain(lan.a, "::", port=0)
        eth0.set_mtu(1_000)
        with pytest.raises(OSError, match=r"unreachable") as caught:
            sock.send(b"x", ("ff02::1234", PORT, 0, eth0.index))
        assert caught.value.errno == errno.ENETUNREACH


async def test_what_was_read_counts_until_a_quarter_of_the_buffer_was() -> None:
    # udp_rmem_release in net/ipv4/udp.c: of 8,000 bytes, ten datagrams of 832 are read one by one.
    async with two_on_lan() as lan:
        small = option(lan.b, "SO_RCVBUF", 4_000, "ipv4")
        sock = open_plain(lan.b, "0.0.0.0", small, joining(lan.b, 2, GROUP4))
        sender = open_plain(lan.a, "10.0.0.1", port=0)

        def fit() -> int:
            before = sock.dropped()
            sender.send_batch([b"x"] * 20, 0, (GROUP4, PORT))
            now = sock.dropped()
            assert before is not None
            assert now is not None
            return 20 - (now - before)

        assert fit() == 9
        assert len(sock.receive(2)) == 2
        assert fit() == 0
        assert len(sock.receive(1)) == 1  # More than 2,000 bytes now.
        assert fit() == 3


@pytest.mark.parametrize(("platform", "reached"), [("linux", True), ("freebsd", False)])
async def test_linux_answers_arp_for_any_of_its_addresses(platform: str, reached: bool) -> None:
    async with two_on_lan(platform) as lan:
        add_second_lan(lan)
        lan.b.interface("eth1").add_address("10.0.0.77/24")
        receiver = open_plain(lan.b, "0.0.0.0")
        open_plain(lan.a, "0.0.0.0", port=0).send(b"x", ("10.0.0.77", PORT))
        assert payloads(receiver) == [b"x"] * reached
        (sent,) = lan.network.trace.sent(by=lan.a)
        assert sent.interface == "eth0"


@network_test
async def test_route_of_an_interface_without_a_usable_address(network: VirtualNetwork) -> None:
    host = network.host("a")
    eth0 = host.plug("eth0", network.switch("lan"))
    eth0.add_address("fd00::1/64", state="failed")
    peer, (lo, interface) = IPv6Address("fd00::9"), host.list_interfaces()
    # As "ip -6 route get" and connect tell on a real one (6.18).
    assert host.find_route(peer, [lo, interface]) == Route(interface, IPv6Address("::1"))
    host.interface("lo").take_down()
    assert host.find_route(peer, [lo, interface]) == Route(interface)
    sock = open_plain(host, "::", port=0)
    with pytest.raises(OSError, match=os.strerror(errno.EADDRNOTAVAIL)):
        sock.send(b"x", (str(peer), PORT, 0, 0))
