"""Unicast from a sender with several sockets leaves as the system routes it to the peer."""

from __future__ import annotations

import errno
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio.testing

from tests.lab import Host
from tests.lab.fixtures import TwoLans
from tests.lab.machine import LabMachine
from tests.support.traffic import BOTH, FAMILIES, Family, group_of, plain_socket, sender_on
from tests.support.virtual_hosts import PLATFORMS, add_second_lan, sending, two_on_lan
from tests.support.waiting import until
from trio_mcast import Endpoint, Interface, McastSender, SocketSetupError, open_mcast_sender
from trio_mcast._host.current import host_variable
from trio_mcast._plan.route import Route, RouteAnswer
from trio_mcast._values.addresses import IPAddress, parse_address

if sys.platform != "linux":
    pytest.skip("the routes of Linux", allow_module_level=True)

pytestmark = pytest.mark.once

# The peer, which is host b beyond its own networks; a network that it is in; this host's addresses
# and b's on both lans.
FAR: dict[Family, tuple[str, str]] = {
    "ipv4": ("10.99.0.5", "10.99.0.0/16"),
    "ipv6": ("fd99::5", "fd99::/16"),
}
OWN = {"ipv4": ["10.0.1.1", "10.0.2.1"], "ipv6": ["fd00:1::1", "fd00:2::1"]}
GATEWAY = {"ipv4": ["10.0.1.2", "10.0.2.2"], "ipv6": ["fd00:1::2", "fd00:2::2"]}
PEER_PORT = 6000


def ip(host: Host, family: Family, *commands: str) -> None:
    """Carry out commands of ``ip`` for a family."""
    text = "".join(f"{command}\n" for command in commands)
    host.run("ip", "-6" if family == "ipv6" else "-4", "-batch", "-", input=text)


@contextmanager
def far_peer(network: TwoLans, family: Family) -> Iterator[socket.socket]:
    """Give the socket of the peer behind host b."""
    address = FAR[family][0]
    nodad = " nodad" if family == "ipv6" else ""
    ip(network.b, family, f"address add {address} dev lo{nodad}")
    with plain_socket(network.b, family, address, PEER_PORT) as peer:
        yield peer


def source_of_plain(network: TwoLans, family: Family, peer: socket.socket) -> str:
    """Return from where a datagram comes that a plain socket sends to the peer."""
    with plain_socket(network.a, family) as sock:
        sock.sendto(b"plain", (FAR[family][0], PEER_PORT))
    return str(peer.recvfrom(9)[1][0])


async def source_of(sender: McastSender, family: Family, peer: socket.socket) -> str:
    """Return from where a datagram comes that the sender sends to the peer."""
    await sender.send(b"ours", to=(FAR[family][0], PEER_PORT))
    data, source = peer.recvfrom(9)
    assert data == b"ours"
    return str(source[0])


@FAMILIES
async def test_peer_behind_a_router_is_reached_as_its_route_says(
    two_lans: TwoLans, family: Family
) -> None:
    far = FAR[family][1]
    with far_peer(two_lans, family) as peer:
        ip(two_lans.a, family, f"route add {far} via {GATEWAY[family][1]}")
        async with sender_on(two_lans.a, group_of(family), interfaces=BOTH) as sender:
            expected = OWN[family][1]
            assert source_of_plain(two_lans, family, peer) == expected
            assert await source_of(sender, family, peer) == expected
            statistics = sender.statistics().interfaces
            assert (statistics["eth0"].sent, statistics["eth1"].sent) == (0, 1)
            # The route becomes another one while the sender is open, by itself and by a rule.
            for command, number in (
                (f"route replace {far} via {GATEWAY[family][0]}", 0),
                (f"route add {far} via {GATEWAY[family][1]} table 100", 0),
                (f"rule add to {far} table 100", 1),
                (f"rule delete to {far} table 100", 0),
            ):
                ip(two_lans.a, family, command)
                assert source_of_plain(two_lans, family, peer) == OWN[family][number]
                await until(lambda: len(sender._targets._remembered), 0)
                assert await source_of(sender, family, peer) == OWN[family][number]


@FAMILIES
async def test_only_interface_that_was_named_counts_for_more_than_the_route(
    two_lans: TwoLans, family: Family
) -> None:
    with far_peer(two_lans, family) as peer:
        ip(two_lans.a, family, f"route add {FAR[family][1]} via {GATEWAY[family][1]}")
        async with sender_on(two_lans.a, group_of(family), interfaces="eth0") as sender:
            assert await source_of(sender, family, peer) == OWN[family][0]


@FAMILIES
async def test_interfaces_of_the_groups_routes_are_chosen_from_for_a_peer(
    two_lans: TwoLans, family: Family
) -> None:
    groups = [group_of(family, number) for number in (1, 2)]
    table = " table local metric 1" if family == "ipv6" else ""
    ip(
        two_lans.a,
        family,
        *(f"route add {group} dev {name}{table}" for group, name in zip(groups, BOTH, strict=True)),
        f"route add {FAR[family][1]} via {GATEWAY[family][1]}",
    )
    with far_peer(two_lans, family) as peer:
        async with sender_on(two_lans.a, groups) as sender:
            assert [interface.name for interface in sender.interfaces] == BOTH
            assert await source_of(sender, family, peer) == OWN[family][1]


@FAMILIES
async def test_address_of_the_route_chooses_among_those_of_an_interface(
    two_lans: TwoLans, family: Family
) -> None:
    second, prefix, nodad = (
        ("fd00:1::8", 64, " nodad") if family == "ipv6" else ("192.168.7.1", 24, "")
    )
    groups = [group_of(family, number) for number in (1, 2)]
    table = " table local metric 1" if family == "ipv6" else ""
    ip(
        two_lans.a,
        family,
        f"address add {second}/{prefix} dev eth0{nodad}",
        f"route add {groups[0]} dev eth0 src {OWN[family][0]}{table}",
        f"route add {groups[1]} dev eth0 src {second}{table}",
        f"route add {FAR[family][1]} via {GATEWAY[family][0]} src {second}",
    )
    ip(two_lans.b, family, f"route add {second} via {OWN[family][0]}")
    with far_peer(two_lans, family) as peer:
        async with sender_on(two_lans.a, groups) as sender:
            assert [endpoint.host for endpoint in sender.local_endpoints] == [
                OWN[family][0],
                second,
            ]
            assert source_of_plain(two_lans, family, peer) == second
            assert await source_of(sender, family, peer) == second
        async with sender_on(two_lans.a, groups, source_address=OWN[family][0]) as sender:
            assert await source_of(sender, family, peer) == OWN[family][0]


async def test_wide_peer_is_not_reached_from_a_link_local_address(two_lans: TwoLans) -> None:
    groups = ["ff02::1:2:1", "ff05::1:2:1"]
    with far_peer(two_lans, "ipv6") as peer:
        ip(two_lans.a, "ipv6", f"route add {FAR['ipv6'][1]} via {GATEWAY['ipv6'][0]}")
        async with sender_on(two_lans.a, groups, interfaces="eth0") as sender:
            assert await source_of(sender, "ipv6", peer) == OWN["ipv6"][0]
            # And one on the link is reached from there.
            link_local = two_lans.b.link_local("eth0")
            targets = sender._targets.of(Endpoint(f"{link_local}%eth0", PEER_PORT))
            assert targets[0][0].socket_spec.bind[0] == two_lans.a.link_local("eth0")
            # Also where the route leads to an interface that the sender is not on.
            ip(two_lans.a, "ipv6", f"route replace {FAR['ipv6'][1]} via {GATEWAY['ipv6'][1]}")
            targets = sender._targets.of(Endpoint("fd99::9", PEER_PORT))
            assert targets[0][0].socket_spec.bind[0] == OWN["ipv6"][0]


@FAMILIES
async def test_own_address_is_reached_from_itself(two_lans: TwoLans, family: Family) -> None:
    address = OWN[family][1]
    with plain_socket(two_lans.a, family, address, PEER_PORT) as program:
        with plain_socket(two_lans.a, family) as sock:
            sock.sendto(b"plain", (address, PEER_PORT))
        assert program.recvfrom(9)[1][0] == address
        async with sender_on(two_lans.a, group_of(family), interfaces=BOTH) as sender:
            await sender.send(b"ours", to=(address, PEER_PORT))
            assert program.recvfrom(9)[1][0] == address


@FAMILIES
async def test_peer_that_cannot_be_reached_is_counted(two_lans: TwoLans, family: Family) -> None:
    far, to = FAR[family][1], (FAR[family][0], PEER_PORT)
    async with sender_on(two_lans.a, group_of(family), interfaces=BOTH) as sender:

        async def refusal() -> int | None:
            with pytest.raises(SocketSetupError) as caught:
                await sender.send(b"x", to=to)
            return caught.value.errno

        assert await refusal() == errno.ENETUNREACH
        ip(two_lans.a, family, f"route add prohibit {far}")
        await until(lambda: len(sender._targets._remembered), 0)
        assert await refusal() == errno.EACCES
        assert (sender.statistics().sent, sender.statistics().failed) == (0, 2)
        ip(
            two_lans.a,
            family,
            f"route delete prohibit {far}",
            f"route add {far} via {GATEWAY[family][1]}",
        )
        await until(lambda: len(sender._targets._remembered), 0)
        with far_peer(two_lans, family) as peer:
            assert await source_of(sender, family, peer) == OWN[family][1]


class AskedMachine(LabMachine):
    """A lab host that counts how often it is asked for the way to each address."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.asked: Counter[str] = Counter()
        self.refuses = False

    def find_route(self, address: IPAddress, interfaces: Sequence[Interface]) -> RouteAnswer:
        self.asked[str(address)] += 1
        if self.refuses:
            raise SocketSetupError(errno.EMFILE, "refused", step="route")
        return super().find_route(address, interfaces)


@asynccontextmanager
async def asked(
    host: Host, groups: str | list[str], interfaces: str | list[str]
) -> AsyncIterator[tuple[McastSender, AskedMachine]]:
    """Open a sender on a host that counts questions."""
    machine = AskedMachine(host)
    token = host_variable.set(machine)
    try:
        async with open_mcast_sender(groups, 5000, interfaces=interfaces) as sender:
            yield sender, machine
    finally:
        host_variable.reset(token)


async def test_peer_is_asked_for_once_and_strangers_are_not_kept(two_lans: TwoLans) -> None:
    async with asked(two_lans.a, "239.1.2.3", BOTH) as (sender, machine):
        targets, peer = sender._targets, Endpoint("10.0.2.2", PEER_PORT)
        for _ in range(100):
            await sender.send(b"x", to=peer)
        assert machine.asked == {"10.0.2.2": 1}
        count = 4_000
        for number in range(count):
            targets.of(Endpoint(f"10.77.{number // 250}.{number % 250 + 1}", PEER_PORT))
            await sender.send(b"x", to=peer)
        # Once for each stranger; and the peer is forgotten with each thousand of them.
        assert sum(machine.asked.values()) <= count + 10
        assert len(targets._remembered_peers) + len(targets._remembered) <= 1_024


async def test_sender_with_one_socket_asks_for_no_route_to_peers(two_lans: TwoLans) -> None:
    async with asked(two_lans.a, ["239.1.2.3", "ff05::5"], "eth0") as (sender, machine):
        await sender.send(b"x", to=("10.0.1.2", PEER_PORT))
        await sender.send(b"x", to=("fd00:1::2", PEER_PORT))
        assert not machine.asked


async def test_refused_question_is_asked_again(two_lans: TwoLans) -> None:
    async with asked(two_lans.a, "239.1.2.3", BOTH) as (sender, machine):
        machine.refuses = True
        with far_peer(two_lans, "ipv4") as peer:
            ip(two_lans.a, "ipv4", f"route add {FAR['ipv4'][1]} via {GATEWAY['ipv4'][1]}")
            await until(lambda: len(sender._targets._remembered), 0)
            assert await source_of(sender, "ipv4", peer) == OWN["ipv4"][0]
            machine.refuses = False
            assert await source_of(sender, "ipv4", peer) == OWN["ipv4"][1]
            assert machine.asked["10.99.0.5"] == 2


@FAMILIES
async def test_where_netlink_is_refused_a_connected_socket_tells(
    two_lans: TwoLans, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = LabMachine(two_lans.a)
    interfaces = machine.list_interfaces()
    ip(two_lans.a, family, f"route add {FAR[family][1]} via {GATEWAY[family][1]}")

    def refuse() -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "refused")

    monkeypatch.setattr("trio_mcast._host.linux.routes.open_netlink", refuse)
    eth1 = next(interface for interface in interfaces if interface.name == "eth1")
    answer = machine.find_route(parse_address(FAR[family][0], "address"), interfaces)
    assert answer == Route(eth1, parse_address(OWN[family][1], "address"))


@pytest.mark.parametrize("platform", PLATFORMS)
@FAMILIES
async def test_virtual_peer_behind_a_router_is_reached_as_its_route_says(
    platform: str, family: Family
) -> None:
    far, network = FAR[family]
    gateways = ["10.0.0.1", "10.0.1.1"] if family == "ipv4" else ["fd00::1", "fd00:1::1"]
    own = ["10.0.0.2", "10.0.1.2"] if family == "ipv4" else ["fd00::2", "fd00:1::2"]
    async with two_on_lan(platform) as lan:
        add_second_lan(lan)
        async with sending(lan.b, group_of(family), interfaces=BOTH) as sender:
            for interface, gateway, address in zip(BOTH, gateways, own, strict=True):
                lan.b.routes.add(network, interface, gateway=gateway)
                await trio.testing.wait_all_tasks_blocked()
                await sender.send(b"x", to=(far, PEER_PORT))
                event = [event for event in lan.network.trace if event.what == "sent"][-1]
                assert event.interface == interface
                assert str(event.source).rpartition(":")[0].strip("[]") == address
            # On the link of one of them.
            await sender.send(b"x", to=(gateways[1], PEER_PORT))
            event = [event for event in lan.network.trace if event.what == "sent"][-1]
            assert event.interface == "eth1"
