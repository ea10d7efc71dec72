"""Unicast to an address that two interfaces of one machine have."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from tests.lab import Host, Lab
from tests.lab.machine import on
from tests.support.interfaces import ETH0, ETH1, LO
from tests.support.traffic import FAMILIES, Family, group_of, plain_socket, sender_on
from tests.support.virtual_hosts import drain, receiving, sending
from tests.support.waiting import until
from trio_mcast import (
    AmbiguousInterfaceError,
    DatagramReceiver,
    Endpoint,
    McastReceiverSpec,
    McastSenderSpec,
    open_mcast_receiver,
)
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._platform.model import PlatformName
from trio_mcast.testing import VirtualNetwork

pytestmark = pytest.mark.once

SHARED = {"ipv4": "10.9.0.1", "ipv6": "fd09::1"}
PORT = 5000
SO_BINDTODEVICE = 25  # Linux, where the lab is.


class Shared:
    """Host a, whose eth0 and eth1 have the same address; b is beside eth0, c beside eth1."""

    def __init__(self, lab: Lab) -> None:
        self.a, self.b, self.c = (lab.host(name) for name in "abc")
        for number, peer in enumerate((self.b, self.c)):
            lan = lab.switch(f"lan{number}")
            self.a.plug(f"eth{number}", lan, "10.9.0.1/24", "fd09::1/64")
            peer.plug("eth0", lan, f"10.9.0.{number + 2}/24", f"fd09::{number + 2}/64")

    def send_from_both(self, family: Family, port: int) -> None:
        for host, payload in ((self.b, b"eth0"), (self.c, b"eth1")):
            send(host, family, port, payload)


def send(host: Host, family: Family, port: int, payload: bytes) -> None:
    with plain_socket(host, family) as peer:
        peer.sendto(payload, (SHARED[family], port))


@pytest.fixture
def shared(lab: Lab) -> Shared:
    return Shared(lab)


async def told_by(receiver: DatagramReceiver, count: int) -> list[tuple[bytes, str]]:
    """Return the payloads, which name the interface of arrival, with the interface that is told."""
    with trio.fail_after(5):
        told = [await receiver.receive() for _ in range(count)]
    return sorted((datagram.data, datagram.interface.name) for datagram in told)


EACH_AS_ITSELF = [(b"eth0", "eth0"), (b"eth1", "eth1")]


@FAMILIES
async def test_unicast_is_told_on_the_interface_that_it_arrived_on(
    family: Family, shared: Shared
) -> None:
    for names in (["eth0", "eth1"], ["eth1", "eth0"]):
        with on(shared.a):
            async with open_mcast_receiver(
                group_of(family), PORT, interfaces=names, accept_unicast=True
            ) as receiver:
                shared.send_from_both(family, PORT)
                assert await told_by(receiver, 2) == EACH_AS_ITSELF


@FAMILIES
@pytest.mark.parametrize("name", ["eth0", "eth1"])
async def test_unicast_of_the_other_interface_is_not_told_as_of_this(
    name: str, family: Family, shared: Shared
) -> None:
    with on(shared.a):
        async with open_mcast_receiver(
            group_of(family), PORT, interfaces=name, accept_unicast=True
        ) as receiver:
            other, own = (shared.c, shared.b) if name == "eth0" else (shared.b, shared.c)
            send(other, family, PORT, b"other")
            await trio.sleep(0.1)
            send(own, family, PORT, b"own")
            assert await told_by(receiver, 1) == [(b"own", name)]
            assert receiver.statistics().received == 1


@FAMILIES
async def test_address_that_becomes_shared_is_minded_from_then_on(
    family: Family, shared: Shared
) -> None:
    prefix = f"{SHARED[family]}/{24 if family == 'ipv4' else 64}"
    shared.a.address("eth1", remove=[prefix])
    with on(shared.a):
        async with open_mcast_receiver(
            group_of(family), PORT, interfaces="eth0", accept_unicast=True
        ) as receiver:
            shared.a.address("eth1", add=[prefix])
            await until(lambda: len(_restricted(receiver)), 1)
            shared.send_from_both(family, PORT)
            assert await told_by(receiver, 1) == [(b"eth0", "eth0")]
            await trio.sleep(0.1)
            assert receiver.statistics().received == 1
            shared.a.address("eth1", remove=[prefix])
            await until(lambda: len(_restricted(receiver)), 0)


def _restricted(receiver: Any) -> list[str]:
    """Return the sockets for unicast that are bound to their interface."""
    plans = receiver._memberships.plans()
    return [
        socket_spec.bind[0]
        for plan in plans
        for socket_spec in plan.sockets
        if plan.group is None
        for option in socket_spec.options
        if option.symbol == "SO_BINDTODEVICE"
    ]


@FAMILIES
async def test_reply_is_told_on_the_interface_that_it_arrived_on(
    family: Family, shared: Shared
) -> None:
    for names in (["eth0", "eth1"], ["eth1", "eth0"]):
        async with sender_on(
            shared.a,
            group_of(family),
            interfaces=names,
            receive_replies=True,
            source_port=PORT,
        ) as asker:
            assert asker.local_endpoints == (Endpoint(SHARED[family], PORT),) * 2
            shared.send_from_both(family, PORT)
            assert await told_by(asker.replies, 2) == EACH_AS_ITSELF


@FAMILIES
async def test_where_an_interface_cannot_be_bound_to_arrivals_of_others_are_rejected(
    family: Family, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.socket.setsockopt

    def setsockopt(self: socket.socket, level: int, number: int, value: int | bytes) -> None:
        if (level, number) == (socket.SOL_SOCKET, SO_BINDTODEVICE):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        real(self, level, number, value)

    monkeypatch.setattr(socket.socket, "setsockopt", setsockopt)
    async with sender_on(
        shared.a, group_of(family), interfaces="eth0", receive_replies=True, source_port=PORT
    ) as asker:
        send(shared.c, family, PORT, b"eth1")

        def rejected() -> int:
            replies = asker.statistics().replies
            assert replies is not None
            return replies.rejected

        await until(rejected, 1)
        send(shared.b, family, PORT, b"eth0")
        assert await told_by(asker.replies, 1) == [(b"eth0", "eth0")]


async def test_address_of_two_interfaces_selects_neither(shared: Shared) -> None:
    with on(shared.a), pytest.raises(AmbiguousInterfaceError, match="on 2 interfaces: eth0, eth1"):
        async with open_mcast_receiver("239.1.2.3", PORT, interfaces="10.9.0.1"):
            pass


# On other systems ------------------------------------------------------------------------------

WITH_SHARED = [
    LO,
    attrs.evolve(
        ETH0,
        ipv4_addresses=(IPv4Interface("10.9.0.1/24"), IPv4Interface("10.0.0.1/24")),
        ipv6_addresses=(IPv6Interface("fd09::1/64"), IPv6Interface("fe80::1/64")),
    ),
    attrs.evolve(
        ETH1,
        ipv4_addresses=(IPv4Interface("10.9.0.1/24"),),
        ipv6_addresses=(IPv6Interface("fd09::1/64"), IPv6Interface("fe80::1/64")),
    ),
]
# By platform, the options that keep apart what comes to an address that two interfaces have.
KEPT_APART: dict[PlatformName, tuple[set[str], set[str]]] = {
    "linux": ({"SO_BINDTODEVICE"}, {"SO_BINDTODEVICE"}),
    "darwin": ({"IP_BOUND_IF"}, {"IPV6_BOUND_IF"}),
    "freebsd": ({"IP_RECVDSTADDR", "IP_RECVIF"}, {"IPV6_RECVPKTINFO"}),
    "windows": ({"IP_PKTINFO"}, {"IPV6_PKTINFO"}),
}


@pytest.mark.parametrize("name", PLATFORMS)
def test_only_an_address_that_is_shared_is_planned_so(name: PlatformName) -> None:
    groups = ["239.1.2.3", "ff15::5"]
    receiver = McastReceiverSpec(groups, PORT, interfaces=["eth0", "eth1"], accept_unicast=True)
    sockets = [each for each in receiver.plan(WITH_SHARED, name) if each.group is None]
    sender = McastSenderSpec(groups, PORT, interfaces=["eth0", "eth1"], receive_replies=True)
    asking = sender.plan(WITH_SHARED, name)
    ipv4, ipv6 = KEPT_APART[name]
    always = {"IP_PKTINFO", "IPV6_PKTINFO"} if name == "windows" else set()
    for socket_spec in (*sockets, *asking):
        symbols = [option.symbol for option in socket_spec.options]
        assert max(Counter(symbols).values()) == 1
        is_shared = socket_spec.bind[0] in SHARED.values()
        own = ipv4 if socket_spec.family == "ipv4" else ipv6
        if is_shared:
            assert own <= set(symbols)
        else:
            assert not set(symbols) & (own - always)
        by_reading = is_shared and name in ("freebsd", "windows")
        assert socket_spec.checks_interface is by_reading
    # Without reading replies there is nothing to keep apart.
    for socket_spec in McastSenderSpec(groups, PORT, interfaces="eth0").plan(WITH_SHARED, name):
        assert not {option.symbol for option in socket_spec.options} & (ipv4 | ipv6)


@FAMILIES
@pytest.mark.parametrize("platform", PLATFORMS)
async def test_virtual_host_tells_no_interface_but_that_of_arrival(
    platform: PlatformName, family: Family, autojump_clock: trio.testing.MockClock
) -> None:
    async with VirtualNetwork() as network:
        a = network.host("a", platform=platform)
        peers = []
        for number in range(2):
            lan = network.switch(f"lan{number}")
            a.plug(f"eth{number}", lan, "10.9.0.1/24", "fd09::1/64")
            peer = network.host(f"peer{number}")
            peer.plug("eth0", lan, f"10.9.0.{number + 2}/24", f"fd09::{number + 2}/64")
            peers.append(peer)
        group, names = group_of(family), ["eth0", "eth1"]
        async with receiving(a, group, interfaces=names, accept_unicast=True) as receiver:
            for number, peer in enumerate(peers):
                async with sending(peer, group, interfaces="eth0") as sender:
                    await sender.send(b"eth%d" % number, to=(SHARED[family], PORT))
            await trio.sleep(1)
            told = [(each.data, each.interface.name) for each in await drain(receiver)]
            if platform in ("linux", "darwin"):
                assert sorted(told) == EACH_AS_ITSELF
            # Elsewhere one of two sockets gets all; what is another's is counted as rejected.
            assert set(told) <= set(EACH_AS_ITSELF)
            assert len(told) + receiver.statistics().rejected == 2
