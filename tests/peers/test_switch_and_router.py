"""What receivers and senders do to the network: to switches, routers, and the kernel's tables."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import trio

from tests.lab import Host, Lab, Switch
from tests.lab.fixtures import TwoHosts, TwoLans, require_lab
from tests.lab.machine import on
from tests.support.traffic import (
    BOTH,
    FAMILIES,
    PORT,
    TIMEOUT_SECONDS,
    Family,
    address_of,
    delivered,
    group_of,
    receive,
    receiver_on,
    sender_on,
    with_prefix,
)
from trio_mcast import McastReceiver, open_mcast_receiver

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

pytestmark = pytest.mark.once

Filter = tuple[Literal["include", "exclude"], frozenset[str]]
ANY_SOURCE: Filter = ("exclude", frozenset())

ETH_P_ALL = 3  # linux/if_ether.h
ALL_HOSTS = {"ipv4": "224.0.0.1", "ipv6": "ff02::1"}  # Every host has joined it.


def sources_of(family: Family, count: int) -> list[str]:
    return [address_of(family, number) for number in range(21, 21 + count)]


async def wait_for_filters(lan: Switch, group: str, expected: dict[str, Filter]) -> None:
    """Return when the switch knows that these hosts want the group thus, and no others."""
    seen_at = lan.subscriptions
    await lan.wait_for_async(
        lambda _: (
            {item.host: (item.filter_mode, item.sources) for item in seen_at(group)} == expected
        )
    )


# --- What the switch is told -----------------------------------------------------------------

# Option of the receiver, number of addresses in it, and what the switch takes from that. An IPv4
# socket takes ten sources, an IPv6 socket 64; a bridge keeps 32.
FILTERS = pytest.mark.parametrize(
    ("option", "count", "mode"),
    [
        ("sources", 0, "exclude"),
        ("sources", 1, "include"),
        ("sources", 3, "include"),
        ("sources", 25, "include"),
        ("excluded_sources", 1, "exclude"),
        ("excluded_sources", 3, "exclude"),
    ],
    ids=["any source", "1 source", "3 sources", "25 sources", "not 1 source", "not 3 sources"],
)


@FAMILIES
@FILTERS
async def test_join_is_seen_by_the_switch_with_its_sources_until_closed(
    two_hosts: TwoHosts,
    family: Family,
    option: str,
    count: int,
    mode: Literal["include", "exclude"],
) -> None:
    lan, group, sources = two_hosts.lan, group_of(family), sources_of(family, count)
    options: dict[str, Any] = {option: sources or None}
    with on(two_hosts.a):
        async with open_mcast_receiver(group, PORT, interfaces="eth0", **options):
            await wait_for_filters(lan, group, {"a": (mode, frozenset(sources))})
    await wait_for_filters(lan, group, {})


@FAMILIES
@pytest.mark.parametrize("option", ["sources", "excluded_sources", None])
@pytest.mark.parametrize("how", ["closed", "body raised", "cancelled"])
async def test_subscription_vanishes_however_the_receiver_ends(
    two_hosts: TwoHosts, family: Family, option: str | None, how: str
) -> None:
    lan, group = two_hosts.lan, group_of(family)
    sources = sources_of(family, 2) if option else []
    options: dict[str, Any] = {option: sources} if option else {}
    mode: Literal["include", "exclude"] = "include" if option == "sources" else "exclude"

    async def body(receiver: McastReceiver) -> None:
        await wait_for_filters(lan, group, {"a": (mode, frozenset(sources))})
        if how == "closed":
            await receiver.aclose()
            await wait_for_filters(lan, group, {})
        elif how == "body raised":
            raise LookupError("from the body")
        else:
            scope.cancel()
            await receiver.receive()

    with trio.CancelScope() as scope, on(two_hosts.a):
        try:
            async with open_mcast_receiver(group, PORT, interfaces="eth0", **options) as receiver:
                await body(receiver)
        except LookupError:
            assert how == "body raised"
    assert scope.cancelled_caught == (how == "cancelled")
    await wait_for_filters(lan, group, {})


@FAMILIES
async def test_one_receiver_leaves_and_the_others_subscription_stays(
    two_hosts: TwoHosts, family: Family
) -> None:
    lan, group = two_hosts.lan, group_of(family)
    first, second = sources_of(family, 2)
    steps: list[tuple[dict[str, Any], Filter]] = [
        ({"sources": first}, ("include", frozenset([first]))),
        ({"sources": second}, ("include", frozenset([first, second]))),
        ({"excluded_sources": first}, ("exclude", frozenset())),  # The first one wants it.
    ]
    with on(two_hosts.a):
        async with AsyncExitStack() as stack:
            receivers = []
            for options, expected in steps:
                opening = open_mcast_receiver(group, PORT, interfaces="eth0", **options)
                receivers.append(await stack.enter_async_context(opening))
                await wait_for_filters(lan, group, {"a": expected})
            for _, expected in reversed(steps[:-1]):
                await receivers.pop().aclose()
                await wait_for_filters(lan, group, {"a": expected})
    await wait_for_filters(lan, group, {})


# --- What the switch sends where -------------------------------------------------------------


def sniffer(host: Host) -> socket.socket:
    """A socket that gets every frame which comes in at eth0, wanted or not."""
    with host.inside():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        sock.settimeout(TIMEOUT_SECONDS)
        sock.bind(("eth0", ETH_P_ALL))
    return sock


def frames_before(sniffer: socket.socket, marker: bytes) -> list[bytes]:
    frames: list[bytes] = []
    while not (frame := sniffer.recv(65_536)).endswith(marker):
        frames.append(frame)
    return frames


@FAMILIES
async def test_switch_delivers_to_the_receiver_and_not_to_a_third_host(
    two_hosts: TwoHosts, family: Family
) -> None:
    group, lan = group_of(family), two_hosts.lan
    third = two_hosts.lab.host("c")
    third.plug("eth0", lan, *with_prefix([address_of(family, 3)]))
    payloads = [b"datagram %d" % number for number in range(20)]
    async with (
        receiver_on(two_hosts, two_hosts.a, group) as receiver,
        sender_on(two_hosts.b, group, interfaces="eth0") as sender,
    ):
        with sniffer(third) as at_third, sniffer(two_hosts.a) as at_receiver:
            # One by one: a batch would cross the wire as one unit.
            for payload in payloads:
                await sender.send(payload)
            await sender.send(b"to all hosts", to=ALL_HOSTS[family])
            assert [item.data for item in await delivered(receiver, sender)] == payloads
            for sock, expected in ((at_receiver, len(payloads)), (at_third, 0)):
                frames = frames_before(sock, b"to all hosts")
                assert sum(b"datagram" in frame for frame in frames) == expected


@FAMILIES
@pytest.mark.parametrize("option", ["sources", "excluded_sources"])
async def test_switch_keeps_unwanted_sources_off_the_wire(
    two_hosts: TwoHosts, family: Family, option: str
) -> None:
    group = group_of(family)
    own, (other,) = address_of(family, 2), sources_of(family, 1)
    two_hosts.b.address("eth0", add=with_prefix([other]))
    listed = own if option == "sources" else other
    options: dict[str, Any] = {option: listed}
    known: Filter = ("include" if option == "sources" else "exclude", frozenset([listed]))
    async with (
        receiver_on(two_hosts, two_hosts.a, group, **options) as receiver,
        sender_on(two_hosts.b, group, interfaces="eth0", source_address=own) as wanted,
        sender_on(two_hosts.b, group, interfaces="eth0", source_address=other) as unwanted,
    ):
        await wait_for_filters(two_hosts.lan, group, {"a": known})
        with sniffer(two_hosts.a) as sock:
            for number in range(5):
                await unwanted.send(b"%d unwanted" % number)
                await wanted.send(b"%d wanted" % number)
            await wanted.send(b"to all hosts", to=ALL_HOSTS[family])
            received = [item.data for item in await delivered(receiver, wanted)]
            assert received == [b"%d wanted" % number for number in range(5)]
            frames = frames_before(sock, b"to all hosts")
        assert not any(frame.endswith(b" unwanted") for frame in frames)
        assert sum(frame.endswith(b" wanted") for frame in frames) == 5


# --- Routers -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Routed:
    """Hosts ``a`` on ``lan1`` and ``b`` on ``lan2``, and a router between them."""

    a: Host
    b: Host
    near: TwoHosts
    far: TwoHosts


@pytest.fixture
def routed(lab: Lab) -> Routed:
    """Give two LANs with a router that passes on the group of each family from the first."""
    require_lab("smcrouted")
    router = lab.router("router")
    sides = []
    for number, name in enumerate("ab", start=1):
        lan, host = lab.switch(f"lan{number}"), lab.host(name)
        families: tuple[Family, ...] = ("ipv4", "ipv6")
        own = [address_of(family, 1, number) for family in families]
        routers = [address_of(family, 254, number) for family in families]
        host.plug("eth0", lan, *with_prefix(own))
        router.plug(f"lan{number}", lan, *with_prefix(routers))
        sides.append(TwoHosts(lab, lan, host, router))
    for family in families:
        router.forward(group_of(family), inbound="lan1", outbound="lan2")
    router.start()
    near, far = sides
    return Routed(near.a, far.a, near, far)


@FAMILIES
@pytest.mark.parametrize("source_specific", [False, True], ids=["any source", "source-specific"])
async def test_router_passes_on_what_has_ttl_left(
    routed: Routed, family: Family, source_specific: bool
) -> None:
    group, source = group_of(family), address_of(family, 1, 1)
    options: dict[str, Any] = {"receive_ttl": True}
    if source_specific:
        options["sources"] = source
    async with AsyncExitStack() as stack:
        near = await stack.enter_async_context(receiver_on(routed.near, routed.a, group, **options))
        far = await stack.enter_async_context(receiver_on(routed.far, routed.b, group, **options))
        for ttl in (1, 2, 5, 255):
            sender = await stack.enter_async_context(
                sender_on(routed.a, group, interfaces="eth0", ttl=ttl)
            )
            await sender.send(b"%d" % ttl)
        for receiver, expected in (
            (near, [(b"1", 1), (b"2", 2), (b"5", 5), (b"255", 255)]),
            (far, [(b"2", 1), (b"5", 4), (b"255", 254)]),
        ):
            received = [await receive(receiver) for _ in expected]
            assert [(item.data, item.ttl) for item in received] == expected
            assert {item.source.host for item in received} == {source}
            assert {item.group for item in received} == {group}


# --- The kernel's tables -----------------------------------------------------------------------


def groups_joined(host: Host) -> set[tuple[str, str]]:
    """Interface and group of each membership in /proc/net/igmp and igmp6."""
    found = set()
    interface = ""
    for line in host.read("/proc/net/igmp").splitlines()[1:]:
        fields = line.split()
        if line[0].isspace():
            # As a number in the machine's byte order.
            number = int(fields[0], 16).to_bytes(4, sys.byteorder)
            found.add((interface, str(ipaddress.IPv4Address(number))))
        else:
            interface = fields[1]
    for line in host.read("/proc/net/igmp6").splitlines():
        _index, interface, group, *_ = line.split()
        found.add((interface, str(ipaddress.IPv6Address(int(group, 16)))))
    return found


def sources_filtered(host: Host, group: str) -> dict[str, dict[str, tuple[int, int]]]:
    """What /proc/net/mcfilter and mcfilter6 have about the group.

    For each interface, by source: how many sockets include it, and how many exclude it.
    """
    name = "mcfilter6" if ":" in group else "mcfilter"
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for line in host.read(f"/proc/net/{name}").splitlines()[1:]:
        _index, interface, entry, source, included, excluded = line.split()
        if _address(entry) == ipaddress.ip_address(group):
            counts = int(included), int(excluded)
            found.setdefault(interface, {})[str(_address(source))] = counts
    return found


def _address(digits: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read 0x0a000001 (IPv4) or 32 digits (IPv6), both in network byte order."""
    number = int(digits, 16)
    if digits.startswith("0x"):
        return ipaddress.IPv4Address(number)
    return ipaddress.IPv6Address(number)


@FAMILIES
@pytest.mark.parametrize(
    ("asked", "joined"),
    [("eth0", ["eth0"]), ("eth1", ["eth1"]), (BOTH, BOTH), (None, BOTH), ("lo", ["lo"])],
    ids=["eth0", "eth1", "both", "default", "lo"],
)
async def test_kernel_has_joined_exactly_the_interfaces_asked_for(
    two_lans: TwoLans, family: Family, asked: str | Sequence[str] | None, joined: list[str]
) -> None:
    a, groups = two_lans.a, [group_of(family, 1), group_of(family, 2)]
    before = groups_joined(a)
    with on(a):
        async with open_mcast_receiver(groups, PORT, interfaces=asked):
            expected = {(interface, group) for interface in joined for group in groups}
            assert groups_joined(a) - before == expected
    assert groups_joined(a) == before


@FAMILIES
@pytest.mark.parametrize(
    ("option", "count"),
    [("sources", 1), ("sources", 70), ("excluded_sources", 1), ("excluded_sources", 10)],
)
async def test_kernel_filters_exactly_the_sources_asked_for(
    two_lans: TwoLans, family: Family, option: str, count: int
) -> None:
    a, group, sources = two_lans.a, group_of(family), sources_of(family, count)
    options: dict[str, Any] = {option: sources}
    counts = (1, 0) if option == "sources" else (0, 1)
    with on(a):
        async with open_mcast_receiver(group, PORT, interfaces="eth1", **options):
            assert sources_filtered(a, group) == {"eth1": dict.fromkeys(sources, counts)}
    assert sources_filtered(a, group) == {}
    assert group not in {joined for _, joined in groups_joined(a)}


@FAMILIES
async def test_sender_joins_nothing(two_hosts: TwoHosts, family: Family) -> None:
    group = group_of(family)
    before = groups_joined(two_hosts.b)
    async with (
        receiver_on(two_hosts, two_hosts.a, group) as receiver,
        sender_on(two_hosts.b, group, interfaces="eth0") as sender,
    ):
        await sender.send(b"hello")
        assert (await receive(receiver)).data == b"hello"
        assert groups_joined(two_hosts.b) == before
        assert {item.host for item in two_hosts.lan.subscriptions(group)} == {"a"}
