"""Virtual switches that are plugged into each other: delivery, snooping and the querier."""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.lab import Lab, Switch
from tests.lab._polling import wait_until
from tests.lab.sockets import Sockets, frames_before
from trio_mcast._host.protocols import McastSocket
from trio_mcast.testing import (
    Trunk,
    VirtualHost,
    VirtualNetwork,
    VirtualSwitch,
    network_test,
    read_capture,
)

from ..support.virtual_hosts import (
    GROUP4,
    GROUP6,
    joining,
    open_plain,
    payloads,
    send_from,
    sending,
)

pytestmark = pytest.mark.once


def line(
    network: VirtualNetwork, count: int = 2, *, queriers: str = "", **settings: bool
) -> tuple[list[VirtualSwitch], list[VirtualHost], list[Trunk]]:
    """Make switches in a line, s1 and so on, each with two hosts: a1 and b1, a2 and b2."""
    switches, hosts = [], []
    for number in range(1, count + 1):
        querier = str(number) in queriers
        switches.append(network.switch(f"s{number}", querier=querier, **settings))
        for place, letter in enumerate("ab"):
            host = network.host(f"{letter}{number}")
            address = 2 * number + place
            host.plug("eth0", switches[-1], f"10.0.0.{address}/24", f"fd00::{address}/64")
            hosts.append(host)
    trunks = [near.plug(far) for near, far in pairwise(switches)]
    return switches, hosts, trunks


def listen(host: VirtualHost, group: str = GROUP4, *sources: str) -> McastSocket:
    bind = "0.0.0.0" if group == GROUP4 else "::"
    return open_plain(host, bind, joining(host, 2, group, *sources))


def counts(network: VirtualNetwork, what: str, data: bytes) -> list[str]:
    """Return at which places and ports a datagram had an event."""
    return [
        f"{event.where} {event.interface}"
        for event in network.trace
        if event.what == what and event.data == data
    ]


@pytest.mark.parametrize("group", [GROUP4, GROUP6])
@network_test
async def test_group_is_flooded_across(network: VirtualNetwork, group: str) -> None:
    _, hosts, _ = line(network, 3)
    sockets = [listen(host, group) for host in hosts]
    send_from(hosts[0], group, b"from the first")
    send_from(hosts[2], group, b"from the middle")
    for host, sock in zip(hosts, sockets, strict=True):
        assert len(payloads(sock)) == 2, host
    assert counts(network, "forwarded", b"from the first") == ["s1 s2", "s2 s3"]
    assert sorted(counts(network, "forwarded", b"from the middle")) == ["s2 s1", "s2 s3"]


@network_test
async def test_unicast_takes_the_way_to_its_host_only(network: VirtualNetwork) -> None:
    _, hosts, _ = line(network, 3)
    sockets = [open_plain(host, "0.0.0.0") for host in hosts]
    send_from(hosts[2], "10.0.0.7", b"to b3")
    assert [len(payloads(sock)) for sock in sockets] == [0, 0, 0, 0, 0, 1]
    assert counts(network, "forwarded", b"to b3") == ["s2 s3"]
    send_from(hosts[2], "10.0.0.99", b"to nobody")
    assert counts(network, "forwarded", b"to nobody") == []
    (dropped,) = [event for event in network.trace.dropped() if event.data == b"to nobody"]
    assert dropped.reason == "nobody here has the address 10.0.0.99"


@network_test
async def test_router_is_reached_through_a_trunk(network: VirtualNetwork) -> None:
    left, right, other = (network.switch(name) for name in ("left", "right", "other"))
    left.plug(right)
    router = network.router("r")
    router.plug("r0", right, "10.0.0.254/24")
    router.plug("r1", other, "10.1.0.254/24")
    far = network.switch("far")
    other.plug(far)
    a, b = network.host("a"), network.host("b")
    a.plug("eth0", left, "10.0.0.1/24", gateway="10.0.0.254")
    b.plug("eth0", far, "10.1.0.1/24")
    sock = open_plain(b, "0.0.0.0", joining(b, 2, GROUP4))
    send_from(a, "10.1.0.1", b"unicast")
    assert payloads(sock) == [b"unicast"]
    learned = [event for event in network.trace if event.what == "learned" and event.where == "r"]
    assert [event.interface for event in learned] == ["r1"]


async def until_reported(network: VirtualNetwork) -> None:
    """Wait until hosts have answered the query that follows the plugging."""
    await trio.sleep(11)


@pytest.mark.parametrize("queriers", ["1", "2", "3", "123", "23"])
@pytest.mark.parametrize("group", [GROUP4, GROUP6])
@network_test
async def test_snooping_forwards_to_who_has_joined_and_to_the_querier(
    network: VirtualNetwork, group: str, queriers: str
) -> None:
    _, (a1, b1, a2, b2, a3, b3), _ = line(network, 3, snooping=True, queriers=queriers)
    await until_reported(network)
    sockets = [listen(a1, group), listen(a3, group)]
    for number, sender in enumerate((b1, b2, b3)):
        send_from(sender, group, bytes([number]))
        assert [payloads(sock) for sock in sockets] == [[bytes([number])]] * 2
    # Whatever nobody wants goes to the querier only.
    for sock in sockets:
        sock.close()
    await trio.sleep(4)
    elected = int(queriers[0])
    for number, sender in enumerate((a1, a2, a3), start=1):
        data = b"unwanted %d" % number
        send_from(sender, group, data)
        step = 1 if elected > number else -1
        way = range(number, elected, step)
        expected = [f"s{switch} s{switch + step}" for switch in way]
        assert counts(network, "forwarded", data) == expected


@network_test
async def test_sources_are_followed_across(network: VirtualNetwork) -> None:
    (s1, _), (a1, b1, a2, b2), _ = line(network, snooping=True, queriers="1")
    await until_reported(network)
    one, other = listen(a2, GROUP4, "10.0.0.2"), listen(b2, GROUP4, "10.0.0.3")
    send_from(a1, GROUP4, b"from 2")
    send_from(b1, GROUP4, b"from 3")
    assert payloads(one) == [b"from 2"]
    assert payloads(other) == [b"from 3"]
    assert s1.members(GROUP4) == ["a2/eth0", "b2/eth0"]
    one.close()
    await trio.sleep(4)
    send_from(a1, GROUP4, b"unwanted")
    send_from(b1, GROUP4, b"wanted")
    assert counts(network, "forwarded", b"unwanted") == []
    assert counts(network, "forwarded", b"wanted") == ["s1 s2"]
    assert s1.members(GROUP4) == ["b2/eth0"]


@network_test
async def test_one_querier_asks_and_another_when_it_is_gone(network: VirtualNetwork) -> None:
    _, (*_, a2, b2), (trunk,) = line(network, snooping=True, queriers="12")
    sock = listen(b2)

    def asked(where: str, since: float) -> list[float]:
        events = network.trace[:]
        return [
            event.time
            for event in events
            if (event.what, event.where) == ("queried", where) and event.time > since
        ]

    await trio.sleep(600)
    assert asked("s1", 0) == [125, 250, 375, 500]  # The next would be at 625.
    assert asked("s2", 0) == []
    trunk.unplug()
    await trio.sleep(600)
    assert asked("s2", 0)[0] == 500 + 255
    assert len(asked("s2", 0)) >= 4
    send_from(a2, GROUP4, b"x")
    assert len(payloads(sock)) == 1


@network_test
async def test_without_a_querier_reports_do_not_cross(network: VirtualNetwork) -> None:
    _, (a1, b1, _, b2), _ = line(network, snooping=True)
    near, far = listen(b1), listen(b2)
    send_from(a1, GROUP4, b"x")
    assert (len(payloads(near)), len(payloads(far))) == (1, 0)


@pytest.mark.parametrize("snoops", [1, 2, 3])
@network_test
async def test_reports_pass_switches_that_do_not_snoop(
    network: VirtualNetwork, snoops: int
) -> None:
    switches = [network.switch(f"s{each}", snooping=each == snoops) for each in (1, 2, 3)]
    hosts = [network.host(f"h{each}") for each in (1, 2, 3)]
    for number, (host, switch) in enumerate(zip(hosts, switches, strict=True), start=1):
        host.plug("eth0", switch, f"10.0.0.{number}/24")
    switches[0].plug(switches[1])
    switches[1].plug(switches[2])
    sockets = [listen(host) for host in hosts]
    assert switches[snoops - 1].members(GROUP4) == ["h1/eth0", "h2/eth0", "h3/eth0"]
    for host in hosts:
        send_from(host, GROUP4, b"x")
    assert [len(payloads(sock)) for sock in sockets] == [3, 3, 3]


@network_test
async def test_router_that_asks_draws_groups_through_trunks(network: VirtualNetwork) -> None:
    (s1, _), (*_, b2), _ = line(network, snooping=True)
    router, other, c = network.router("r"), network.switch("other"), network.host("c")
    attic = network.switch("attic", snooping=True, querier=False)
    router.plug("r0", attic, "10.0.0.254/24")
    router.plug("r1", other, "10.1.0.254/24")
    c.plug("eth0", other, "10.1.0.1/24")
    sock = listen(c)
    trunk = attic.plug(s1)
    await trio.sleep(130)  # The router asks every 125 seconds.
    async with sending(b2, interfaces="eth0", ttl=4) as sender:
        await sender.send(b"x")
        assert payloads(sock) == [b"x"]
        trunk.unplug()
        await sender.send(b"y")
        assert payloads(sock) == []


@network_test
async def test_unplugged_trunk_carries_nothing(network: VirtualNetwork) -> None:
    (s1, s2), (a1, *_, b2), (trunk,) = line(network, snooping=True, queriers="1")
    await until_reported(network)
    sock = listen(b2)
    trunk.outgoing.delay = 0.5
    send_from(a1, GROUP4, b"under way")
    await trio.sleep(0.25)
    trunk.unplug()
    await trio.sleep(1)
    (dropped,) = [event for event in network.trace.dropped() if event.data == b"under way"]
    assert (dropped.where, dropped.interface) == ("s1", "s2")
    assert dropped.reason == "the trunk has been unplugged"
    assert s1.members(GROUP4) == []
    send_from(a1, GROUP4, b"later")
    assert payloads(sock) == []
    unplugged = [event for event in network.trace if event.what == "unplugged"]
    assert [(event.where, event.interface) for event in unplugged] == [("s1", "s2"), ("s2", "s1")]
    with pytest.raises(RuntimeError, match="<Trunk between s1 and s2> is unplugged already"):
        trunk.unplug()
    s2.plug(s1)
    await until_reported(network)
    send_from(a1, GROUP4, b"again")
    assert payloads(sock) == [b"again"]


@network_test
async def test_cable_has_a_delay_and_losses_for_each_direction(network: VirtualNetwork) -> None:
    (s1, s2), (a1, b1, a2, b2), (trunk,) = line(network)
    s1.delay, s2.delay, trunk.outgoing.delay = 0.001, 0.002, 0.1
    sockets = [listen(host) for host in (b1, b2)]
    send_from(a1, GROUP4, b"x")
    await trio.sleep(1)
    delivered = {event.where: event.time for event in network.trace.delivered()}
    assert delivered == pytest.approx({"b1": 0.001, "b2": 0.103})
    trunk.incoming.loss = 1.0
    send_from(a2, GROUP4, b"y")
    await trio.sleep(1)
    assert [payloads(sock) for sock in sockets] == [[b"x"], [b"x", b"y"]]
    (lost,) = network.trace.lost()
    assert (lost.where, lost.interface, lost.reason) == ("s1", "s2", "incoming cable")


@network_test
async def test_rules_partitions_and_captures_know_the_trunk(
    network: VirtualNetwork, tmp_path: Path
) -> None:
    (s1, s2), (a1, b1, _, b2), _ = line(network)
    near, far = listen(b1), listen(b2)
    with s1.drop(lambda datagram: datagram.receiver == "s2") as rule:
        send_from(a1, GROUP4, b"1")
        assert rule.dropped == 1
    with s2.drop(lambda datagram: (datagram.sender, datagram.receiver) == ("s1", "b2/eth0")):
        send_from(a1, GROUP4, b"2")
    s1.partition([a1, s2], b1)
    send_from(a1, GROUP4, b"3")
    s1.partition([a1, b1], "s2")
    send_from(a1, GROUP4, b"4")
    s1.heal()
    with s2.capture(tmp_path / "s2.pcapng") as capture:
        send_from(a1, GROUP4, b"5")
        assert capture.written == 1
    assert b"".join(payloads(near)) == b"1245"
    assert b"".join(payloads(far)) == b"35"
    await network.replay(tmp_path / "s2.pcapng", on=s1)
    assert [len(payloads(sock)) for sock in (near, far)] == [1, 1]
    await network.replay(read_capture(tmp_path / "s2.pcapng"), on=s2)
    assert [len(payloads(sock)) for sock in (near, far)] == [1, 1]


async def test_refusals(autojump_clock: MockClock) -> None:
    async with VirtualNetwork() as network:
        (s1, s2, s3), hosts, _ = line(network, 3)
        with pytest.raises(ValueError, match=r"^s1 cannot be plugged into itself$"):
            s1.plug(s1)
        for near, far in ((s1, s2), (s2, s1), (s1, s3), (s3, s1)):
            with pytest.raises(ValueError, match=r"in a loop, frames would go round for ever$"):
                near.plug(far)
        with pytest.raises(TypeError, match="other must be a VirtualSwitch, not str: 's2'"):
            s1.plug("s2")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"10\.0\.0\.6 is on a3/eth0 already, on s3"):
            hosts[0].plug("eth1", s1, "10.0.0.6/24")
        alone, c = network.switch("alone"), network.host("c")
        c.plug("eth0", alone, "10.0.0.6/24")
        with pytest.raises(ValueError, match=r"10\.0\.0\.6 is on a3/eth0 already"):
            s1.plug(alone)
        with pytest.raises(ValueError, match=r"10\.0\.0\.6 is on c/eth0 already"):
            alone.plug(s1)
        assert not any(event.interface == "alone" for event in network.trace)
    with pytest.raises(RuntimeError, match="has ended"):
        s1.plug(alone)
    async with VirtualNetwork() as network:
        with pytest.raises(ValueError, match=r"^s1 is a switch of another network$"):
            network.switch("lan").plug(s1)


@pytest.mark.parametrize("seed", [1, 2])
async def test_trunk_changes_nothing_elsewhere(seed: int, autojump_clock: MockClock) -> None:
    """Losses on a switch are the same whether another one is plugged in or not."""
    results = []
    for is_joined in (False, True):
        async with VirtualNetwork(seed=seed) as network:
            lan, attic = network.switch("lan", loss=0.5), network.switch("attic")
            a, b = network.host("a"), network.host("b")
            a.plug("eth0", lan, "10.0.0.1/24")
            b.plug("eth0", lan, "10.0.0.2/24")
            if is_joined:
                lan.plug(attic)
            sock = listen(b)
            for number in range(30):
                send_from(a, GROUP4, bytes([number]))
            results.append(payloads(sock))
    assert 5 < len(results[0]) < 25
    assert results[0] == results[1]


# --- Compared with bridges of a real Linux


def plug_together(near: Switch, far: Switch) -> None:
    """Plug a cable into two bridges of the lab, and return when both forward."""
    port = near.add_port(far, "trunk", None)
    far.run("ip", "link", "set", "trunk", "master", "br0", "up")
    near.wait_for_port(port)
    far.wait_for_port("trunk")


# Groups, and on which of four hosts somebody listens: 0 and 1 are on the first switch, 2 and 3 on
# the second.
LISTENERS = {"239.1.2.1": [], "239.1.2.2": [0, 2], "239.1.2.3": [3], "239.1.2.4": [0, 1, 2, 3]}


async def virtual_ways(*, snooping: bool) -> list[set[bytes]]:
    """Send to all groups from each host, and return what arrives from the others at each."""
    async with VirtualNetwork() as network:
        first = network.switch("s1", snooping=snooping)
        second = network.switch("s2", snooping=snooping, querier=False)
        hosts = [network.host(f"h{number}") for number in range(4)]
        for number, host in enumerate(hosts):
            host.plug("eth0", second if number > 1 else first, f"10.0.0.{number + 1}/24")
        first.plug(second)
        for group, listeners in LISTENERS.items():
            for number in listeners:
                open_plain(hosts[number], "0.0.0.0", joining(hosts[number], 2, group))
        for group in LISTENERS:
            for number, host in enumerate(hosts):
                send_from(host, group, b"%d to %s" % (number, group.encode()))
        arrived = [event for event in network.trace if event.what in ("delivered", "dropped")]
    return [
        {event.data for event in arrived if event.data and event.where == host.name}
        - {b"%d to %s" % (number, group.encode()) for group in LISTENERS}
        for number, host in enumerate(hosts)
    ]


def real_ways(lab: Lab, sockets: Sockets, *, snooping: bool) -> list[set[bytes]]:
    """Do the same on two bridges of Linux."""
    first, second = (lab.switch(name, snooping=snooping) for name in ("s1", "s2"))
    second.run("ip", "link", "set", "br0", "type", "bridge", "mcast_querier", "0")
    hosts = [lab.host(f"h{number}") for number in range(4)]
    for number, host in enumerate(hosts):
        switch = second if number > 1 else first
        host.plug("eth0", switch, f"10.0.0.{number + 1}/24", link_local=False)
    plug_together(first, second)
    if snooping:
        wait_until(
            lambda: second.run("bridge", "-d", "mdb", "show").stdout,
            lambda shown: "router ports on br0: trunk" in shown,
            "the second switch to hear the querier",
        )
        time.sleep(1.1)  # From then on it filters: after one query response interval.
    for group, listeners in LISTENERS.items():
        for number in listeners:
            sockets.receiver(hosts[number], group)
        if snooping and listeners:
            wait_until(
                lambda: first.run("bridge", "mdb", "show").stdout,
                lambda shown, group=group: f"grp {group}" in shown,  # type: ignore[misc]
                f"the first switch to learn of {group}",
            )
    sniffers = [sockets.sniffer(host) for host in hosts]
    for number, host in enumerate(hosts):
        for group in LISTENERS:
            sender = sockets.sender(host, group)
            sender.sendto(b"%d to %s" % (number, group.encode()), (group, 5000))
        # Last of all to a group that goes everywhere.
        sockets.sender(host, "224.0.0.99").sendto(b"last of %d" % number, ("224.0.0.99", 5000))
    return [
        {
            frame[42:]
            for frame in frames_before(sniffer, b"last of %d" % (2 if number == 3 else 3))
            if b" to 239.1.2." in frame and frame[42:43] != b"%d" % number
        }
        for number, sniffer in enumerate(sniffers)
    ]


@pytest.mark.parametrize("snooping", [False, True], ids=["floods", "snoops"])
async def test_bridges_of_real_linux_pass_on_alike(
    lab: Lab, snooping: bool, autojump_clock: MockClock
) -> None:
    virtual = await virtual_ways(snooping=snooping)
    with ExitStack() as stack:
        assert real_ways(lab, Sockets(stack), snooping=snooping) == virtual
    assert [len(arrived) for arrived in virtual] == ([6, 3, 6, 6] if snooping else [12] * 4)
