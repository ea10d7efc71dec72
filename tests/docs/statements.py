"""Statements of the page on testing, each run: a docstring has the words of the page.

The test of this name copies it into an empty project, with the page's configuration.
"""

from __future__ import annotations

import errno
import hashlib
import socket
import time
import unittest
from datetime import datetime
from pathlib import Path

import pytest
import trio
import trio.testing

from trio_mcast import list_interfaces, open_mcast_channel, open_mcast_receiver, open_mcast_sender
from trio_mcast.testing import (
    VirtualHost,
    VirtualInterface,
    VirtualNetwork,
    VirtualSwitch,
    network_test,
    read_capture,
)

GROUP, PORT = "239.1.2.3", 5000


def on_lan(
    network: VirtualNetwork, lan: VirtualSwitch, *names: str
) -> tuple[list[VirtualHost], list[VirtualInterface]]:
    hosts = [network.host(name) for name in names]
    return hosts, [
        host.plug("eth0", lan, f"10.0.0.{number}/24") for number, host in enumerate(hosts, start=1)
    ]


async def hear(host: VirtualHost, heard: list[bytes]) -> None:
    with host:
        async with open_mcast_receiver(GROUP, PORT, interfaces="eth0") as receiver:
            async for datagram in receiver:
                heard.append(datagram.data)


async def say(host: VirtualHost, *texts: bytes, **options: int) -> None:
    with host:
        opening = open_mcast_sender(GROUP, PORT, interfaces="eth0", ttl=options.get("ttl", 1))
        async with opening as sender:
            for text in texts:
                await sender.send(text)
                await trio.sleep(1)


# --- A worked example


@network_test
async def test_clock_jumps(network: VirtualNetwork) -> None:
    """So a minute takes no time."""
    start = time.monotonic()
    await trio.sleep(60)
    assert time.monotonic() - start < 10


@network_test
async def test_host_has_a_loopback_interface(network: VirtualNetwork) -> None:
    """`VirtualNetwork.host` a host, with a loopback interface and nothing else."""
    lan = network.switch("lan")
    host = network.host("a")
    with host:
        assert [interface.is_loopback for interface in list_interfaces()] == [True]
        host.plug("eth0", lan, "10.0.0.1/24", "fe80::1/64")
        eth0 = list_interfaces()[1]
    assert [*map(str, eth0.ipv4_addresses), *map(str, eth0.ipv6_addresses)] == [
        "10.0.0.1/24",
        "fe80::1/64",
    ]


@network_test
async def test_what_is_started_on_a_host_stays_there(network: VirtualNetwork) -> None:
    """What is started inside the block stays on that host: Trio's tasks take it along."""
    a, b = network.host("a"), network.host("b")
    b.plug("eth0", network.switch("lan"), "10.0.0.1/24")
    counts: list[int] = []

    async def look() -> None:
        await trio.sleep(1)
        counts.append(len(list_interfaces()))

    async with trio.open_nursery() as nursery:
        with b:
            nursery.start_soon(look)
        with a:
            assert len(list_interfaces()) == 1
    assert counts == [2]


def test_who_waits_at_the_end_is_told() -> None:
    """a program that waits for a datagram gets `trio.ClosedResourceError`."""

    async def main() -> None:
        async with trio.open_nursery() as nursery, VirtualNetwork() as network:
            (a,), _ = on_lan(network, network.switch("lan"), "a")
            nursery.start_soon(wait, a)
            await trio.sleep(1)

    async def wait(host: VirtualHost) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await hear(host, [])
        told.append(True)

    told: list[bool] = []
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert told


@network_test
async def test_nothing_reaches_the_real_network(network: VirtualNetwork) -> None:
    """Outside of every ``with host:`` block, opening a receiver or a sender is a `RuntimeError`"""
    for opening in (
        open_mcast_receiver(GROUP, PORT),
        open_mcast_sender(GROUP, PORT),
        open_mcast_channel(GROUP, PORT),
    ):
        with pytest.raises(RuntimeError, match="with host"):
            async with opening:
                pass
    with network.host("a"):
        for family in (socket.AF_INET, socket.AF_INET6):
            for make in (socket.socket, trio.socket.socket):
                with pytest.raises(RuntimeError, match="VirtualNetwork"):
                    make(family, socket.SOCK_DGRAM)


def test_what_has_to_be_real_is_opened_before() -> None:
    """What has to be real, such as a connection to a database, is opened before the network"""

    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as real:
            real.bind(("127.0.0.1", 0))
            async with VirtualNetwork():
                real.sendto(b"x", real.getsockname())
                assert real.recv(10) == b"x"

    trio.run(main)


class TestCase(unittest.TestCase):
    """with ``unittest``"""

    @network_test
    async def test_method(self, network: VirtualNetwork) -> None:
        assert repr(network) == "<VirtualNetwork seed=0 (empty)>"


@pytest.fixture
def seven() -> int:
    return 7


@pytest.mark.parametrize("number", [1, 2])
@network_test
async def test_other_arguments_stay(network: VirtualNetwork, number: int, seven: int) -> None:
    """``pytest.mark.parametrize``, and with fixtures that are not ``async``."""
    assert (number in (1, 2), seven) == (True, 7)


async def test_fixture_has_seed_0(
    virtual_network: VirtualNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    """A test that names ``virtual_network`` gets a network with seed 0."""
    assert repr(virtual_network) == "<VirtualNetwork seed=0 (empty)>"
    await trio.sleep(3600)


def test_failure_says_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    """If it fails, the test prints the seed and the end of the trace."""
    tried: list[str] = []

    async def fail_with_seed_12(network: VirtualNetwork) -> None:
        network.host("a").plug("eth0", network.switch("lan"), "10.0.0.1/24")
        tried.append(repr(network))
        assert "seed=12" not in repr(network)

    with pytest.raises(AssertionError):
        network_test(seeds=20)(fail_with_seed_12)()
    assert len(tried) == 13
    shown = capsys.readouterr().err
    assert "seed 12 of 20" in shown
    assert "plugged" in shown


# --- See what happened


@network_test
async def test_trace_answers(network: VirtualNetwork) -> None:
    """In a test, compare events, or ask: ``trace.sent(by=a, to="239.1.2.3")``"""
    lan = network.switch("lan", delay=0.001)
    (a, b), _ = on_lan(network, lan, "a", "b")
    trace = network.trace
    before = trace[:]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, b, [])
        await say(a, b"one", b"two")
        nursery.cancel_scope.cancel()
    assert [event.data for event in trace.sent(by=a, to=GROUP)] == [b"one", b"two"]
    assert len(trace.delivered(at=b)) == 2
    assert len(trace.joined(by=b)) == len(trace.left(by=b)) == 1
    assert trace.lost() == trace.dropped() == []
    totals = trace.totals(a)
    assert (totals.sent, totals.sent_bytes) == (2, 6)
    assert len(before) == 2 < len(trace)


@pytest.mark.parametrize(("keep", "kept"), [(5, 5), (False, 0)])
async def test_few_or_no_events_are_kept(
    keep: int, kept: int, autojump_clock: trio.testing.MockClock
) -> None:
    """thousand events, and ``trace=False`` none; the totals are right all the same."""
    async with VirtualNetwork(trace=keep) as network:
        (a,), _ = on_lan(network, network.switch("lan"), "a")
        await say(a, *[b"x"] * 30)
        assert len(network.trace) == kept
        assert network.trace.totals(a).sent == 30


async def _busy(network: VirtualNetwork, more: int = 0) -> list[list[bytes]]:
    lan = network.switch(
        "lan", loss=0.2, delay=0.001, jitter=0.01, duplicate=0.1, reorder=0.1, snooping=True
    )
    hosts, _ = on_lan(network, lan, "a", "b", "c")
    logs: list[list[bytes]] = [[] for _ in hosts]
    async with trio.open_nursery() as nursery:
        for host, log in zip(hosts, logs, strict=True):
            nursery.start_soon(hear, host, log)
        for number in range(more):
            other = network.host(f"other{number}")
            other.plug("eth0", lan, f"10.0.0.{100 + number}/24")
            other.plug("eth1", network.switch(f"lan{number}"), "10.1.0.1/24")
            nursery.start_soon(hear, other, [])
        await trio.sleep(2)
        for host in hosts:
            nursery.start_soon(say, host, *(f"{host.name} {n}".encode() for n in range(9)))
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    return logs


def test_same_seed_gives_the_same() -> None:
    """So two runs with the same seed have equal traces, in whatever order Trio runs the tasks."""

    async def main(seed: int, more: int) -> tuple[list[str], list[list[bytes]]]:
        async with VirtualNetwork(seed=seed) as network:
            logs = await _busy(network, more)
            return [*map(str, network.trace)], logs

    def run(seed: int = 1, more: int = 0) -> tuple[list[str], list[list[bytes]]]:
        clock = trio.testing.MockClock(autojump_threshold=0)
        return trio.run(main, seed, more, clock=clock)

    first = run()
    assert [run() for _ in range(5)] == [first] * 5
    assert run(seed=2) != first
    # Adding a host, or a switch, changes nothing for the others.
    assert run(more=3)[1] == first[1]
    # For the test that runs this in several processes.
    Path("trace-hash").write_text(hashlib.sha256(repr(first).encode()).hexdigest())


@network_test
async def test_causes_come_before_effects(network: VirtualNetwork) -> None:
    """The order is fixed: by time, and causes before effects"""
    (a, b), _ = on_lan(network, network.switch("lan"), "a", "b")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, b, [])
        await trio.sleep(1)
        await say(a, b"x")
        nursery.cancel_scope.cancel()
    kinds = [event.what for event in network.trace]
    assert kinds == ["plugged", "plugged", "joined", "sent", "delivered", "left"]


@network_test
async def test_what_comes_in_one_instant_has_an_order(network: VirtualNetwork) -> None:
    """What a receiver gets in one instant has a fixed order, too, across its groups"""
    lan = network.switch("lan", delay=0.001)
    hosts, interfaces = on_lan(network, lan, "a", "b", "c", "d")
    for number, eth0 in enumerate(interfaces, start=1):
        eth0.add_address(f"fd00::{number}/64")
    groups = [GROUP, "ff05::9"]

    async def talk(host: VirtualHost) -> None:
        with host:
            async with open_mcast_sender(groups, PORT, interfaces="eth0") as sender:
                await trio.sleep(1)
                await sender.send(host.name.encode())

    logs: list[list[tuple[str | None, bytes]]] = []
    for _ in range(5):
        with hosts[0]:
            async with (
                open_mcast_receiver(groups, PORT, interfaces="eth0") as receiver,
                trio.open_nursery() as nursery,
            ):
                for host in hosts[1:]:
                    nursery.start_soon(talk, host)
                await trio.sleep(2)
                got = [await receiver.receive() for _ in range(6)]
                logs.append([(datagram.group, datagram.data) for datagram in got])
    assert logs == [logs[0]] * 5


@network_test
async def test_expect_waits(network: VirtualNetwork) -> None:
    """after ten seconds without, or ``within=60``, it raises an `AssertionError`"""
    (a, b), _ = on_lan(network, network.switch("lan"), "a", "b")
    async with trio.open_nursery() as nursery:

        async def later() -> None:
            await trio.sleep(5)
            await hear(b, [])

        nursery.start_soon(later)
        event = await network.expect("joined", at=b, to=GROUP)
        assert event.time == 5
        start = trio.current_time()
        with pytest.raises(AssertionError, match="joined"):
            await network.expect("joined", at=a)
        assert trio.current_time() - start == pytest.approx(10)
        with pytest.raises(AssertionError, match="joined"):
            await network.expect("joined", at=a, within=60)
        assert trio.current_time() - start == pytest.approx(70)
        nursery.cancel_scope.cancel()


# --- Play a capture


@network_test
async def test_capture_is_written_and_played(network: VirtualNetwork, tmp_path: Path) -> None:
    """datagram to a group or to an address that a host has, in the order and with the pauses"""
    lan, other = network.switch("lan"), network.switch("other")
    (a,), _ = on_lan(network, lan, "a")
    with lan.capture(tmp_path / "lan.pcapng"):
        await say(a, b"one", b"two", b"three")
    b = network.host("b")
    b.plug("eth0", other, "10.0.0.2/24")
    heard: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, b, heard)
        await trio.sleep(1)
        start = trio.current_time()
        played = await network.replay(tmp_path / "lan.pcapng", on=other)
        assert trio.current_time() - start == pytest.approx(2)
        assert played.played == 3
        frames = [*read_capture(tmp_path / "lan.pcapng")]
        await network.replay(frames[1:2], on=other)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert heard == [b"one", b"two", b"three", b"two"]


# --- Bad networks


@network_test
async def test_each_receiver_loses_its_own(network: VirtualNetwork) -> None:
    """of three hosts, one may lose a datagram that the others get."""
    lan = network.switch("lan")
    (a, b, c), _ = on_lan(network, lan, "a", "b", "c")
    logs: list[list[bytes]] = [[], []]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, b, logs[0])
        nursery.start_soon(hear, c, logs[1])
        await trio.sleep(1)
        lan.loss = 0.5
        await say(a, *(b"%d" % number for number in range(40)))
        nursery.cancel_scope.cancel()
    assert 5 < len(logs[0]) < 35
    assert set(logs[0]) - set(logs[1])
    assert set(logs[1]) - set(logs[0])


@network_test
async def test_cables_have_two_directions(network: VirtualNetwork) -> None:
    """What ``outgoing`` loses is lost for all."""
    (a, b, c), (eth0, of_b, _) = on_lan(network, network.switch("lan"), "a", "b", "c")
    logs: list[list[bytes]] = [[], []]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, b, logs[0])
        nursery.start_soon(hear, c, logs[1])
        await trio.sleep(1)
        eth0.outgoing.loss = 0.5
        await say(a, *(b"%d" % number for number in range(40)))
        eth0.outgoing.loss = 0.0
        assert logs[0] == logs[1]
        assert 5 < len(logs[0]) < 35
        of_b.incoming.delay = 1.5
        await say(a, b"late")
        assert (logs[0][-1], logs[1][-1]) != (b"late", b"late")
        assert logs[1][-1] == b"late"
        nursery.cancel_scope.cancel()


@network_test
async def test_chosen_datagrams_are_dropped(network: VirtualNetwork) -> None:
    """drops what you choose, for each receiver on its own"""
    lan = network.switch("lan")
    (a, b), _ = on_lan(network, lan, "a", "b")
    heard: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, b, heard)
        await trio.sleep(1)
        with lan.drop(lambda datagram: b"hello" in datagram.data) as rule:
            await say(a, b"hello", b"world")
        await say(a, b"hello again")
        nursery.cancel_scope.cancel()
    assert heard == [b"world", b"hello again"]
    assert rule.dropped == 1


@network_test
async def test_crash_says_nothing(network: VirtualNetwork) -> None:
    """no goodbye, and no group is left."""
    lan = network.switch("lan")
    (a, b), _ = on_lan(network, lan, "a", "b")
    heard: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, b, heard)
        await trio.sleep(1)
        b.crash()
        nursery.cancel_scope.cancel()
    assert network.trace.left(by=b) == []
    b.restart()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, b, heard)
        await trio.sleep(1)
        await say(a, b"first", b"second")
        nursery.cancel_scope.cancel()
    assert heard == [b"first", b"second"]


@network_test
async def test_clock_of_a_host(network: VirtualNetwork) -> None:
    """Timestamps of datagrams are of that clock, and in the tasks of a host, ``time.time()``"""
    (a, b), _ = on_lan(network, network.switch("lan"), "a", "b")
    b.clock.step(0.5)
    with b:
        assert datetime.fromtimestamp(time.time()).year in (1999, 2000)
        assert datetime.now().year > 2000
        async with open_mcast_receiver(
            GROUP, PORT, interfaces="eth0", receive_timestamp=True
        ) as receiver:
            await say(a, b"x")
            stamp = (await receiver.receive()).timestamp_ns
            assert stamp is not None
            assert time.time() - stamp / 1e9 == pytest.approx(1)
            b.clock.drift = 20e-6
            before = time.time()
            await trio.sleep(1000)
            assert time.time() - before == pytest.approx(1000.02, abs=1e-6)
    with a:
        assert time.time() == pytest.approx(946_684_800 + 1001)


@network_test
async def test_switch_is_split_and_whole_again(network: VirtualNetwork) -> None:
    """``lan.partition(a, [b, c])`` splits a switch"""
    lan = network.switch("lan")
    (a, b, c), _ = on_lan(network, lan, "a", "b", "c")
    heard: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, b, heard)
        await trio.sleep(1)
        lan.partition(a, [b, c])
        await say(a, b"not heard")
        await say(c, b"heard")
        lan.heal()
        await say(a, b"heard again")
        nursery.cancel_scope.cancel()
    assert heard == [b"heard", b"heard again"]


@network_test
async def test_receiver_follows_an_interface(network: VirtualNetwork) -> None:
    """``unplug`` removes it, and another ``plug`` under the same name brings it"""
    lan = network.switch("lan")
    (a, b), (_, eth0) = on_lan(network, lan, "a", "b")
    heard: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, b, heard)
        await trio.sleep(1)
        await say(a, b"1")
        eth0.take_down()
        await say(a, b"down")
        eth0.take_up()
        await say(a, b"2")
        eth0.lose_carrier()
        await say(a, b"no cable")
        eth0.restore_carrier()
        await say(a, b"3")
        eth0.set_mtu(60)
        await say(a, b"no ipv4")
        eth0.set_mtu(1500)
        eth0.add_address("10.0.0.2/24")
        await trio.sleep(1)
        await say(a, b"4")
        eth0.unplug()
        await say(a, b"unplugged")
        again = b.plug("eth0", lan, "10.0.0.7/24")
        assert again.index != eth0.index
        await trio.sleep(1)
        await say(a, b"5")
        again.add_address("10.0.0.8/24")
        again.remove_address("10.0.0.7/24")
        await say(a, b"6")
        again.set_master("br0")
        await say(a, b"in a bridge")
        nursery.cancel_scope.cancel()
    assert heard == [b"1", b"2", b"3", b"4", b"5", b"6"]


@network_test
async def test_address_is_checked_for_a_while(network: VirtualNetwork) -> None:
    """adds an IPv6 address that cannot be used until the host has checked it"""
    lan = network.switch("lan")
    (a,), (eth0,) = on_lan(network, lan, "a")

    async def seconds_to_open() -> float:
        start = trio.current_time()
        async with open_mcast_sender(
            "ff05::9", PORT, interfaces="eth0", source_address="fd00::1"
        ) as sender:
            await sender.send(b"x")
        return trio.current_time() - start

    with a:
        eth0.add_address("fd00::1/64", check_seconds=1.5)
        assert await seconds_to_open() == pytest.approx(1.5)
        assert await seconds_to_open() == 0
        eth0.change_address("fd00::1/64", "failed")
        with pytest.raises(OSError, match="fd00::1"):
            await seconds_to_open()


@network_test
async def test_routes_lead_and_refuse(network: VirtualNetwork) -> None:
    """is where a sender without ``interfaces`` goes, and without an interface the"""
    a = network.host("a")
    for number in (0, 1):
        a.plug(f"eth{number}", network.switch(f"lan{number}"), f"10.0.{number}.1/24")
    with a:
        a.routes.add("239.0.0.0/8", "eth1")
        async with open_mcast_sender(GROUP, PORT) as sender:
            await sender.send(b"x")
        assert [event.interface for event in network.trace.sent()] == ["eth1"]
        a.routes.add("239.0.0.0/8")
        with pytest.raises(OSError, match="route"):
            async with open_mcast_sender(GROUP, PORT) as sender:
                await sender.send(b"x")


@pytest.mark.parametrize("platform", ["linux", "windows"])
@network_test
async def test_full_buffer_drops_and_counts(network: VirtualNetwork, platform: str) -> None:
    """What does not fit is dropped, and counted where the platform counts it"""
    lan = network.switch("lan")
    a, b = network.host("a"), network.host("b", platform=platform)  # type: ignore[arg-type]
    a.plug("eth0", lan, "10.0.0.1/24")
    b.plug("eth0", lan, "10.0.0.2/24")
    with b:
        async with open_mcast_receiver(
            GROUP, PORT, interfaces="eth0", receive_buffer_size=20_000, max_buffered=1
        ) as receiver:
            with a:
                async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
                    await sender.send_batch([bytes(1000)] * 200)
            await trio.sleep(1)
            dropped = receiver.statistics().dropped_by_kernel
            in_trace = len(network.trace.dropped(at=b))
            assert in_trace > 100
            assert dropped == (in_trace if platform == "linux" else None)


@network_test
async def test_switch_forgets_without_a_querier(network: VirtualNetwork) -> None:
    """after 260 seconds it forgets who has joined"""
    lan = network.switch("lan", snooping=True, querier=False)
    (a, b), _ = on_lan(network, lan, "a", "b")
    heard: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, b, heard)
        await trio.sleep(250)
        await say(a, b"1")
        await trio.sleep(20)
        await say(a, b"2")
        nursery.cancel_scope.cancel()
    assert heard == [b"1"]


@network_test
async def test_switches_that_are_plugged_together_are_one_link(network: VirtualNetwork) -> None:
    """plugs a cable into two switches, which are one link from then on"""
    lan, attic = network.switch("lan"), network.switch("attic")
    trunk = lan.plug(attic)
    (a,), _ = on_lan(network, lan, "a")
    b = network.host("b")
    b.plug("eth0", attic, "10.0.0.2/24")
    with pytest.raises(ValueError, match="loop"):
        attic.plug(lan)
    trunk.outgoing.delay = 0.02
    heard: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, b, heard)
        await trio.sleep(1)
        await say(a, b"1")
        (sent,) = network.trace.sent(by=a)
        (event,) = network.trace.delivered(at=b)
        assert event.time - sent.time == pytest.approx(0.02)
        trunk.unplug()
        await say(a, b"2")
        nursery.cancel_scope.cancel()
    assert heard == [b"1"]
    assert next(event.interface for event in network.trace if event.where == "lan") == "attic"


@network_test
async def test_one_of_several_queriers_asks(network: VirtualNetwork) -> None:
    """the one that was made first asks; the others begin when it has been silent for 255 seconds"""
    first, second = (network.switch(name, snooping=True) for name in ("first", "second"))
    trunk = second.plug(first)
    on_lan(network, second, "b")
    await trio.sleep(200)
    trunk.unplug()
    await trio.sleep(200)
    asked = [(event.time, event.where) for event in network.trace if event.what == "queried"]
    assert [time for time, switch in asked if switch == "first"] == [0, 125]
    # Both ask as soon as the cable is there.
    assert [time for time, switch in asked if switch == "second"] == [0, 125 + 255]


@network_test
async def test_others_behind_an_interface_are_asked(network: VirtualNetwork) -> None:
    """the router asks these twice within ``last_member_seconds``, and goes on for who answers"""
    lan, router = network.switch("lan"), network.router("r")
    router.plug("eth1", lan, "10.0.0.254/24")
    (a, b, crashing), _ = on_lan(network, lan, "a", "b", "c")
    async with trio.open_nursery() as nursery:
        heard: list[bytes] = []
        nursery.start_soon(hear, b, heard)
        nursery.start_soon(hear, crashing, heard)
        with a:
            async with open_mcast_receiver(GROUP, PORT):
                await trio.sleep(10)
                crashing.crash()
        await trio.sleep(5)
        asked = [event.time for event in network.trace.select("queried", to=GROUP)]
        assert asked == pytest.approx([10, 11])
        (left, crashed) = [event.reason for event in network.trace.select("forgot")]
        assert (left, crashed) == ("it left: a/eth0", "no report for too long: c/eth0")
        nursery.cancel_scope.cancel()


@network_test
async def test_router_takes_one_from_the_ttl(network: VirtualNetwork) -> None:
    """It forwards a group to where somebody has joined it, and takes one from the ttl,"""
    lans = [network.switch(f"lan{number}") for number in (1, 2)]
    router = network.router("r")
    hosts = [network.host(name) for name in ("a", "b")]
    for number, (host, lan) in enumerate(zip(hosts, lans, strict=True), start=1):
        router.plug(f"eth{number}", lan, f"10.0.{number}.254/24")
        host.plug("eth0", lan, f"10.0.{number}.1/24")
    heard: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, hosts[1], heard)
        await trio.sleep(1)
        await say(hosts[0], b"too short")
        await say(hosts[0], b"far", ttl=2)
        nursery.cancel_scope.cancel()
    assert heard == [b"far"]


# --- Other systems


@network_test
async def test_errors_have_the_numbers_of_this_system(network: VirtualNetwork) -> None:
    """so ``error.errno == errno.EMSGSIZE`` works in every case."""
    lan = network.switch("lan")
    for number, platform in enumerate(["linux", "darwin"], start=1):
        host = network.host(platform, platform=platform)  # type: ignore[arg-type]
        host.plug("eth0", lan, f"10.0.0.{number}/24")
        with host:
            async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
                if platform == "linux":
                    await sender.send(bytes(9_217))
                    continue
                with pytest.raises(OSError, match="too long") as raised:
                    await sender.send(bytes(9_217))
                assert raised.value.errno == errno.EMSGSIZE


@network_test
async def test_options_of_a_linux_host(network: VirtualNetwork) -> None:
    """lets programs have larger receive buffers than Linux's 212,992 bytes"""
    lan = network.switch("lan")
    granted: list[int] = []
    for name, options in (("a", {}), ("b", {"rmem_max": 4 << 20})):
        host = network.host(name, **options)  # type: ignore[arg-type]
        host.plug("eth0", lan, f"10.0.0.{len(granted) + 1}/24")
        with host:
            async with open_mcast_receiver(
                GROUP, PORT, interfaces="eth0", receive_buffer_size=1 << 20
            ) as receiver:
                granted.append(receiver.statistics().receive_buffer_granted)
    assert granted == [212_992, 1 << 20]


@network_test
async def test_duplicate_addresses_are_refused(network: VirtualNetwork) -> None:
    """duplicate addresses are refused, unless they are checked."""
    lan = network.switch("lan")
    network.host("a").plug("eth0", lan, "10.0.0.1/24")
    with pytest.raises(ValueError, match=r"10\.0\.0\.1 is on a/eth0 already"):
        network.host("b").plug("eth0", lan, "10.0.0.1/24")
