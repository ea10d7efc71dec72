"""On real kernels: where datagrams come from, and which of them a receiver takes for that."""

from __future__ import annotations

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
    FAMILIES,
    PORT,
    Family,
    add_sources,
    address_of,
    await_payload,
    delivered,
    group_of,
    member,
    places,
    plain_sender,
    receive,
    receiver_on,
    sender_on,
    with_prefix,
)
from trio_mcast import open_mcast_receiver

pytestmark = pytest.mark.once

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


@pytest.mark.parametrize("loopback", [True, False])
async def test_neighbour_with_an_address_that_is_own_on_another_link_is_heard(
    lab: Lab, loopback: bool
) -> None:
    lan, group = lab.switch("lan", flood=True), "ff02::1:3"
    a, b = lab.host("a"), lab.host("b")
    a.plug("eth0", lan)
    a.plug("docker0", lab.switch("lan2"), "fe80::1/64", link_local=False)
    b.plug("eth0", lan, "fe80::1/64", link_local=False)
    with on(a):
        async with (
            open_mcast_receiver(group, PORT, interfaces="eth0", loopback=loopback) as receiver,
            sender_on(a, group, interfaces="eth0") as own,
            sender_on(b, group, interfaces="eth0") as router,
        ):
            await own.send(b"own")
            await router.send(b"from the router")
            if loopback:
                assert (await receive(receiver)).data == b"own"
            datagram = await receive(receiver)
            assert (datagram.data, datagram.source.host) == (b"from the router", "fe80::1%eth0")
            assert receiver.statistics().rejected == (not loopback)
