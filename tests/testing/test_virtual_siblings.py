"""Hosts behind one port, of a router or of a trunk: who leaves takes nothing from the others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock

from trio_mcast._host.protocols import McastSocket
from trio_mcast.testing import VirtualHost, VirtualNetwork

from ..support.virtual_hosts import GROUP4, GROUP6, joining, open_plain, sending

pytestmark = pytest.mark.once

SSM4, SSM6 = "232.1.2.3", "ff35::1234"
# Each group with the sources that b and c want of it; none for all.
WANTED = [
    (GROUP4, (), ()),
    (GROUP6, (), ()),
    (SSM4, ("10.0.1.1",), ("10.0.1.1",)),
    (SSM6, ("fd00:1::1",), ("fd00:1::1",)),
    (SSM4, ("10.0.1.1",), ("10.0.1.1", "10.0.1.9")),
    (GROUP4, ("10.0.1.1",), ()),
    (GROUP4, (), ("10.0.1.1",)),
]
EACH_WANTED = pytest.mark.parametrize(("group", "of_b", "of_c"), WANTED)
PORTS = pytest.mark.parametrize("port", ["router", "trunk"])


@attrs.frozen
class Siblings:
    """Host a on one link; b and c on another, behind one port of a router or of a switch."""

    network: VirtualNetwork
    a: VirtualHost
    b: VirtualHost
    c: VirtualHost
    where: str

    async def passed_until(self, group: str, seconds: float = 6) -> float:
        """Let a send ten times a second; return after how many seconds the last one has passed."""
        began = trio.current_time()
        async with sending(self.a, group, interfaces="eth0", ttl=2) as sender:
            for _ in range(round(10 * seconds)):
                await sender.send(b"x")
                await trio.sleep(0.1)
        forwarded = self.network.trace.select("forwarded", at=self.where)
        times = [event.time - began for event in forwarded if event.time >= began]
        return max(times, default=-1)


@asynccontextmanager
async def siblings(port: str, **settings: object) -> AsyncIterator[Siblings]:
    async with VirtualNetwork() as network:
        left = network.switch("left", snooping=True, **settings)  # type: ignore[arg-type]
        right = network.switch("right", snooping=True, **settings)  # type: ignore[arg-type]
        net = "2" if port == "router" else "1"
        a, b, c = (network.host(name) for name in "abc")
        a.plug("eth0", left, "10.0.1.1/24", "fd00:1::1/64")
        b.plug("eth0", right, f"10.0.{net}.2/24", f"fd00:{net}::2/64")
        c.plug("eth0", right, f"10.0.{net}.3/24", f"fd00:{net}::3/64")
        if port == "trunk":
            left.plug(right)
        else:
            router = network.router("r", **settings)  # type: ignore[arg-type]
            router.plug("r1", left, "10.0.1.254/24", "fd00:1::254/64")
            router.plug("r2", right, "10.0.2.254/24", "fd00:2::254/64")
        yield Siblings(network, a, b, c, "r" if port == "router" else "left")


def join(host: VirtualHost, group: str, sources: Iterable[str] = ()) -> McastSocket:
    options = joining(host, 2, group, *sources)
    return open_plain(host, "::" if ":" in group else "0.0.0.0", *options)


@PORTS
@EACH_WANTED
async def test_who_stays_misses_nothing(
    port: str, group: str, of_b: list[str], of_c: list[str], autojump_clock: MockClock
) -> None:
    async with siblings(port) as net:
        leaver, sibling = join(net.b, group, of_b), join(net.c, group, of_c)
        await trio.sleep(10)
        leaver.close()
        assert await net.passed_until(group, 6) == pytest.approx(5.9)
        assert len(sibling.receive(100)) == 60
        sibling.close()
        assert await net.passed_until(group) == pytest.approx(1.9)


@PORTS
@EACH_WANTED
async def test_who_has_crashed_does_not_answer_for_the_others(
    port: str, group: str, of_b: list[str], of_c: list[str], autojump_clock: MockClock
) -> None:
    async with siblings(port) as net:
        leaver = join(net.b, group, of_b)
        join(net.c, group, of_c)
        await trio.sleep(10)
        net.c.crash()
        # Nobody notices yet.
        assert await net.passed_until(group, 6) == pytest.approx(5.9)
        leaver.close()
        assert await net.passed_until(group) == pytest.approx(1.9)


@PORTS
async def test_source_that_only_the_leaver_wanted_is_forwarded_no_more(
    port: str, autojump_clock: MockClock
) -> None:
    async with siblings(port) as net:
        leaver = join(net.b, SSM4, ["10.0.1.1"])
        join(net.c, SSM4, ["10.0.1.9"])
        await trio.sleep(10)
        leaver.close()
        assert await net.passed_until(SSM4) == pytest.approx(1.9)


@PORTS
@pytest.mark.parametrize("group", [GROUP4, GROUP6])
async def test_cable_that_is_out_is_like_a_crash(
    port: str, group: str, autojump_clock: MockClock
) -> None:
    async with siblings(port) as net:
        leaver, cut_off = join(net.b, group), join(net.c, group)
        await trio.sleep(10)
        net.c.interface("eth0").lose_carrier()
        leaver.close()
        assert await net.passed_until(group) == pytest.approx(1.9)
        assert len(cut_off.receive(100)) == 0
        net.c.interface("eth0").restore_carrier()
        await trio.sleep(130)  # IPv4 waits for the next query.
        assert await net.passed_until(group) == pytest.approx(5.9)
        assert len(cut_off.receive(100)) == 60


@PORTS
async def test_interface_that_is_unplugged_is_like_a_crash(
    port: str, autojump_clock: MockClock
) -> None:
    async with siblings(port) as net:
        leaver = join(net.b, GROUP4)
        join(net.c, GROUP4)
        await trio.sleep(10)
        net.c.interface("eth0").unplug()
        leaver.close()
        assert await net.passed_until(GROUP4) == pytest.approx(1.9)


@PORTS
async def test_fast_leave_takes_nothing_from_others(port: str, autojump_clock: MockClock) -> None:
    async with siblings(port, last_member_seconds=0) as net:
        leaver, sibling = join(net.b, GROUP4), join(net.c, GROUP4)
        leaver.close()
        assert await net.passed_until(GROUP4) == pytest.approx(5.9)
        sibling.close()
        assert await net.passed_until(GROUP4) == -1


async def test_others_are_asked_twice_and_answer_in_time(autojump_clock: MockClock) -> None:
    async with siblings("router", querier=False) as net:
        network = net.network
        third = network.switch("third", querier=False)
        d, e = network.host("d"), network.host("e")
        d.plug("eth0", third, "10.0.3.2/24")
        e.plug("eth0", third, "10.0.3.3/24")
        network.router("asks").plug("r1", third)
        leaver = join(d, GROUP4)
        join(e, GROUP4)
        await trio.sleep(10)
        leaver.close()
        await trio.sleep(5)
        asked = [event.time for event in network.trace.select("queried", at="asks", to=GROUP4)]
        assert asked == pytest.approx([10, 11])
        (forgot,) = network.trace.select("forgot", at="asks")
        assert (forgot.time, forgot.interface, forgot.reason) == (12, "r1", "it left: d/eth0")


async def test_router_that_asks_nobody_forgets_who_has_left_only(
    autojump_clock: MockClock,
) -> None:
    async with siblings("router", querier=False) as net:
        leaver, sibling = join(net.b, GROUP4), join(net.c, GROUP4)
        await trio.sleep(10)
        leaver.close()
        assert await net.passed_until(GROUP4) == pytest.approx(5.9)
        sibling.close()
        assert await net.passed_until(GROUP4) == pytest.approx(1.9)
        assert net.network.trace.select("queried") == []


@PORTS
def test_what_siblings_do_at_one_instant_is_told_in_one_order(port: str) -> None:
    async def program(host: VirtualHost, source: str) -> None:
        await trio.sleep(1)
        joined = [join(host, GROUP4), join(host, SSM4, [source])]
        await trio.sleep(1)
        for sock in joined:
            sock.close()

    async def run() -> list[str]:
        async with siblings(port) as net, trio.open_nursery() as nursery:
            nursery.start_soon(program, net.b, "10.0.1.1")
            nursery.start_soon(program, net.c, "10.0.1.9")
            await trio.sleep(10)
            return list(map(str, net.network.trace))

    first, *others = (trio.run(run, clock=MockClock(autojump_threshold=0)) for _ in range(8))
    assert sum("learned" in line for line in first) >= 4
    for lines in others:
        assert lines == first
