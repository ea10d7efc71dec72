"""What FreeBSD 13's own network code was seen to do with the plans, and so virtual hosts do.

Each fact was measured with in_mcast.c, in6_mcast.c and udp_usrreq.c of FreeBSD 13, run in user
space with two interfaces. XNU's source has the same; it was never run. What differs, blocked
sources, is in test_virtual_naive_plans.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.support.interfaces import MACHINE
from tests.support.virtual_hosts import GROUP4, GROUP6, PORT, drain
from trio_mcast import (
    Datagram,
    McastReceiverSpec,
    McastSenderSpec,
    open_mcast_receiver,
    open_mcast_sender,
)
from trio_mcast._platform.model import PlatformName
from trio_mcast.testing import VirtualHost, VirtualNetwork

pytestmark = [
    pytest.mark.once,
    pytest.mark.parametrize("platform", ["freebsd", "darwin"]),
    pytest.mark.parametrize("group", [GROUP4, GROUP6]),
]

ADDRESS = {GROUP4: "10.0.1.9", GROUP6: "fd00:1::9"}


class Machine:
    """Host ``host`` with em0 and em1, and host ``peer`` beside both."""

    def __init__(self, network: VirtualNetwork, platform: PlatformName) -> None:
        self.host: VirtualHost = network.host("host", platform=platform)
        self.peer: VirtualHost = network.host("peer")
        for number in (1, 2):
            switch = network.switch(f"lan{number}")
            for host, name, last in ((self.host, "em", 1), (self.peer, "eth", 9)):
                addresses = f"10.0.{number}.{last}/24", f"fd00:{number}::{last}/64"
                host.plug(f"{name}{number - 1}", switch, *addresses)

    async def send(self, group: str, data: bytes, interface: str = "eth0", **options: Any) -> None:
        port = options.pop("port", PORT)
        with self.peer:
            async with open_mcast_sender(group, port, interfaces=interface, **options) as sender:
                await sender.send(data)


def payloads(datagrams: list[Datagram]) -> list[bytes]:
    return [datagram.data for datagram in datagrams]


async def test_every_option_of_the_plans_is_accepted(
    platform: PlatformName, group: str, autojump_clock: MockClock
) -> None:
    source = ADDRESS[group]
    many = [f"{source[:-1]}{number:x}" for number in range(0x10, 0x10 + 136)]
    if group == GROUP4:
        many = [f"10.0.1.{number}" for number in range(10, 146)]
    wanted: list[dict[str, Any]] = [
        {},
        {"sources": source},
        {"sources": many},
        {"excluded_sources": many},
        {"receive_ttl": True, "receive_timestamp": True, "receive_traffic_class": True},
        {"loopback": False, "receive_buffer_size": 65_536},
        {"accept_unicast": True},
    ]
    async with VirtualNetwork() as network:
        machine = Machine(network, platform)
        interfaces = machine.host.list_interfaces()
        count = 0
        for options in wanted:
            spec = McastReceiverSpec(group, PORT, interfaces="em0", **options)
            for socket_spec in spec.plan(interfaces, platform):
                machine.host.open_socket(socket_spec).close()  # Or SocketSetupError.
                count += len(socket_spec.options)
        for reply in (False, True):
            sending = McastSenderSpec(
                group, PORT, interfaces="em0", source_port=PORT, ttl=3, receive_replies=reply
            )
            for socket_spec in sending.plan(interfaces, platform):
                machine.host.open_socket(socket_spec).close()
                count += len(socket_spec.options)
        assert count > 136


async def test_two_receivers_share_the_group_and_each_gets_each_datagram(
    platform: PlatformName, group: str, autojump_clock: MockClock
) -> None:
    async with VirtualNetwork() as network:
        machine = Machine(network, platform)
        with machine.host:
            async with (
                open_mcast_receiver(group, PORT, interfaces="em0") as one,
                open_mcast_receiver(group, PORT, interfaces="em0") as two,
            ):
                for data in (b"1", b"2"):
                    await machine.send(group, data)
                assert payloads(await drain(one)) == payloads(await drain(two)) == [b"1", b"2"]


async def test_interfaces_groups_and_ports_are_kept_apart(
    platform: PlatformName, group: str, autojump_clock: MockClock
) -> None:
    other = {GROUP4: "239.1.2.4", GROUP6: "ff05::1235"}[group]
    async with VirtualNetwork() as network:
        machine = Machine(network, platform)
        with machine.host:
            async with (
                open_mcast_receiver(group, PORT, interfaces="em0") as zero,
                open_mcast_receiver(group, PORT, interfaces="em1") as one,
                open_mcast_receiver(other, PORT, interfaces="em0") as another,
                open_mcast_receiver(group, PORT + 1, interfaces="em0") as elsewhere,
            ):
                await machine.send(group, b"em0", "eth0")
                await machine.send(group, b"em1", "eth1")
                await machine.send(other, b"other", "eth0")
                await machine.send(group, b"port", "eth0", port=PORT + 1)
                receivers = (zero, one, another, elsewhere)
                got = [payloads(await drain(receiver)) for receiver in receivers]
                assert got == [[b"em0"], [b"em1"], [b"other"], [b"port"]]
                # By the system: nothing had to be looked at.
                assert not any(receiver.statistics().rejected for receiver in receivers)


@pytest.mark.parametrize("count", [1, 136])
async def test_sources_are_chosen_and_each_datagram_comes_once(
    count: int, platform: PlatformName, group: str, autojump_clock: MockClock
) -> None:
    first = {GROUP4: "10.0.1.9", GROUP6: "fd00:1::9"}[group]
    numbers = range(20, 20 + count - 1)
    more = [f"10.0.1.{n}" if group == GROUP4 else f"fd00:1::{n:x}" for n in numbers]
    async with VirtualNetwork() as network:
        machine = Machine(network, platform)
        with machine.host:
            async with open_mcast_receiver(
                group, PORT, interfaces="em0", sources=[*more, first]
            ) as receiver:
                await machine.send(group, b"wanted")
                stranger = {GROUP4: "10.0.1.200", GROUP6: "fd00:1::ffff"}[group]
                prefix = "/24" if group == GROUP4 else "/64"
                machine.peer.interface("eth0").add_address(stranger + prefix)
                await machine.send(group, b"not wanted", source_address=stranger)
                assert payloads(await drain(receiver)) == [b"wanted"]


async def test_ttl_and_time_come_with_each_datagram(
    platform: PlatformName, group: str, autojump_clock: MockClock
) -> None:
    async with VirtualNetwork() as network:
        machine = Machine(network, platform)
        with machine.host:
            async with open_mcast_receiver(
                group, PORT, interfaces="em0", receive_ttl=True, receive_timestamp=True
            ) as receiver:
                await trio.sleep(1)
                await machine.send(group, b"x", ttl=7)
                (datagram,) = await drain(receiver)
                assert datagram.ttl == 7
                assert datagram.timestamp_ns is not None
                now = machine.host.clock.time_ns()
                assert 0 <= now - datagram.timestamp_ns < 1_000_000_000


@pytest.mark.parametrize("loopback", [True, False])
async def test_sender_decides_on_loopback(
    loopback: bool, platform: PlatformName, group: str, autojump_clock: MockClock
) -> None:
    async with VirtualNetwork() as network:
        machine = Machine(network, platform)
        with machine.host:
            async with (
                open_mcast_receiver(group, PORT, interfaces="em0") as receiver,
                open_mcast_sender(group, PORT, interfaces="em0", loopback=loopback) as sender,
            ):
                await sender.send(b"own")
                assert payloads(await drain(receiver)) == ([b"own"] if loopback else [])


def test_plan_of_136_sources_has_two_sockets(platform: PlatformName, group: str) -> None:
    numbers = range(1, 137)
    sources = [f"10.0.9.{n}" if group == GROUP4 else f"fd00::{n:x}" for n in numbers]
    spec = McastReceiverSpec(group, PORT, interfaces="eth0", sources=sources)
    plan = spec.plan(MACHINE, platform)
    assert [len(socket_spec.sources) for socket_spec in plan] == [128, 8]
