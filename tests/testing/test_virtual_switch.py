"""Switches: losses, delays, duplicates and reordering by seed; snooping, ageing; partitions."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
import trio
from trio.testing import MockClock

from trio_mcast.testing import VirtualNetwork
from trio_mcast.testing._frames import Query

from ..support.virtual_hosts import (
    GROUP4,
    GROUP6,
    PORT,
    drain,
    joining,
    open_plain,
    option,
    payloads,
    receiving,
    send_from,
    sending,
    two_on_lan,
)

pytestmark = pytest.mark.once

COUNT = 1_000


async def run_through(*, seed: int = 1, **settings: float) -> list[int]:
    """The numbers that arrive when so many are sent, a millisecond apart."""
    async with two_on_lan(seed=seed, **settings) as lan:  # type: ignore[arg-type]
        large = option(lan.b, "SO_RCVBUF", 10**9, "ipv4")
        sock = open_plain(lan.b, "0.0.0.0", large, joining(lan.b, 2, GROUP4))
        sender = open_plain(lan.a, "10.0.0.1", port=0)
        found: list[int] = []
        for number in range(COUNT):
            sender.send(str(number).encode(), (GROUP4, PORT))
            await trio.sleep(0.001)
            found += map(int, payloads(sock))
        await trio.sleep(1)
        return found + list(map(int, payloads(sock)))


async def test_perfect_switch_delivers_everything_in_order(autojump_clock: MockClock) -> None:
    assert await run_through() == list(range(COUNT))


async def test_loss_is_as_frequent_as_asked_for(autojump_clock: MockClock) -> None:
    found = await run_through(loss=0.1)
    assert found == sorted(set(found))
    assert 870 < len(found) < 930  # 900, and three times the square root of 90 either way.
    assert found == await run_through(loss=0.1)
    assert found != await run_through(loss=0.1, seed=2)
    assert await run_through(loss=1) == []


async def test_more_loss_loses_the_same_and_more(autojump_clock: MockClock) -> None:
    some, fewer = await run_through(loss=0.1), await run_through(loss=0.2)
    assert set(fewer) < set(some)


async def test_duplicates_are_as_frequent_as_asked_for(autojump_clock: MockClock) -> None:
    found = await run_through(duplicate=0.1)
    assert sorted(set(found)) == list(range(COUNT))
    assert 1_070 < len(found) < 1_130
    assert await run_through(duplicate=1) == sorted([*range(COUNT)] * 2)


async def test_reordering_holds_some_back(autojump_clock: MockClock) -> None:
    found = await run_through(reorder=0.1, reorder_delay=0.0025)
    assert sorted(found) == list(range(COUNT))
    overtaken = [number for place, number in enumerate(found) if found[place - 1] > number]
    assert 60 < len(overtaken) <= 130
    assert found == await run_through(reorder=0.1, reorder_delay=0.0025)


async def test_delay_is_kept_and_jitter_keeps_the_order(autojump_clock: MockClock) -> None:
    async with two_on_lan(seed=3, delay=0.01, jitter=0.02) as lan:
        sock = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        sender = open_plain(lan.a, "10.0.0.1", port=0)
        sender.send_batch([b"%d" % number for number in range(20)], 0, (GROUP4, PORT))
        assert payloads(sock) == []
        await trio.sleep(0.03)
        assert payloads(sock) == [b"%d" % number for number in range(20)]
        times = [item.time for item in lan.network.trace if item.what == "delivered"]
        assert times == sorted(times)
        assert 0.01 <= times[0] < times[-1] <= 0.03


async def test_impairments_can_be_changed_and_are_checked(autojump_clock: MockClock) -> None:
    async with two_on_lan() as lan:
        sock = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        lan.switch.loss = 1
        send_from(lan.a, GROUP4, b"lost")
        lan.switch.loss = 0
        send_from(lan.a, GROUP4, b"not lost")
        assert payloads(sock) == [b"not lost"]
        assert lan.events("lost", "lan") == ["lost"]
        for name, value in [("loss", 1.5), ("delay", -1), ("jitter", float("inf"))]:
            with pytest.raises(ValueError, match=f"{name} must be"):
                setattr(lan.switch, name, value)
        with pytest.raises(TypeError, match="duplicate must be a number, not str: 'x'"):
            lan.switch.duplicate = "x"  # type: ignore[assignment]
        with pytest.raises(ValueError, match="reorder must be from 0 to 1, not 2"):
            lan.network.switch("other", reorder=2)


async def test_another_host_changes_nothing_for_the_others(autojump_clock: MockClock) -> None:
    async def losses(*, third: bool) -> list[str]:
        async with two_on_lan(seed=4, loss=0.3) as lan:
            if third:
                lan.network.host("0").plug("eth0", lan.switch, "10.0.0.9/24")
                open_plain(lan.network.host("c"), "0.0.0.0")
            open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
            for number in range(50):
                send_from(lan.a, GROUP4, b"%d" % number)
            return lan.events("delivered", "b")

    assert await losses(third=False) == await losses(third=True)


# --- Snooping -----------------------------------------------------------------------------------


async def test_snooping_switch_delivers_to_members_only() -> None:
    async with two_on_lan(snooping=True, last_member_seconds=0) as lan:
        c = lan.network.host("c")
        c.plug("eth0", lan.switch, "10.0.0.3/24", "fd00::3/64")
        for group in (GROUP4, GROUP6):
            sock = open_plain(lan.b, "0.0.0.0" if "." in group else "::", joining(lan.b, 2, group))
            send_from(lan.a, group, b"for b")
            assert payloads(sock) == [b"for b"]
            assert lan.switch.members(group) == ["b/eth0"]
            sock.close()
            assert lan.switch.members(group) == []
        assert [item for item in lan.network.trace if item.where == "c" and item.data] == []
        assert lan.events("learned", "lan") == lan.events("forgot", "lan") == [GROUP4, GROUP6]


async def test_snooping_switch_heeds_sources() -> None:
    async with two_on_lan(snooping=True) as lan:
        open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4, "10.0.0.9"))
        send_from(lan.a, GROUP4, b"from another")
        assert [item for item in lan.network.trace if item.where == "b" and item.data] == []


@pytest.mark.parametrize("group", ["224.0.0.251", "ff02::1"])
async def test_snooping_switch_floods_groups_of_the_link(group: str) -> None:
    async with two_on_lan(snooping=True) as lan:
        send_from(lan.a, group, b"to all")
        assert [item.where for item in lan.network.trace if item.what == "dropped"] == ["b"]


async def test_without_querier_a_switch_forgets_its_members(autojump_clock: MockClock) -> None:
    async with (
        two_on_lan(snooping=True, querier=False) as lan,
        receiving(lan.b) as receiver,
        sending(lan.a, interfaces="eth0") as sender,
    ):
        await trio.sleep(255)
        await sender.send(b"in time")
        await trio.sleep(10)
        await sender.send(b"too late")
        assert [item.data for item in await drain(receiver)] == [b"in time"]
        (event,) = [item for item in lan.network.trace if item.what == "forgot"]
        # The report was said twice, a second apart.
        assert (event.time, event.interface, event.destination) == (261, "b/eth0", GROUP4)
        assert event.reason == "no report for too long"


@pytest.mark.parametrize("querier", ["switch", "router"])
async def test_querier_keeps_members_known(querier: str, autojump_clock: MockClock) -> None:
    async with two_on_lan(snooping=True, querier=querier == "switch") as lan:
        if querier == "router":
            lan.network.router("r").plug("r1", lan.switch, "10.0.0.254/24")
        sock = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        await trio.sleep(2_000)
        send_from(lan.a, GROUP4, b"still there")
        assert payloads(sock) == [b"still there"]
        where = "lan" if querier == "switch" else "r"
        assert len([item for item in lan.network.trace if item.what == "queried"]) in (15, 16, 17)
        assert {item.where for item in lan.network.trace if item.what == "queried"} == {where}


async def test_lost_report_is_said_again(autojump_clock: MockClock) -> None:
    async with two_on_lan(snooping=True, loss=1) as lan:
        sock = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        lan.switch.loss = 0
        send_from(lan.a, GROUP4, b"not yet")
        await trio.sleep(1.5)
        send_from(lan.a, GROUP4, b"now")
        assert payloads(sock) == [b"now"]


async def test_switch_that_floods_has_no_members() -> None:
    async with two_on_lan() as lan:
        with pytest.raises(ValueError, match="lan does not snoop"):
            lan.switch.members(GROUP4)


# --- Partitions ---------------------------------------------------------------------------------


async def test_partition_separates_and_heals() -> None:
    async with two_on_lan() as lan:
        c = lan.network.host("c")
        c.plug("eth0", lan.switch, "10.0.0.3/24")
        sockets = {
            host.name: open_plain(host, "0.0.0.0", joining(host, 2, GROUP4)) for host in (lan.b, c)
        }
        lan.switch.partition([lan.a, "c"], ["b"])
        send_from(lan.a, GROUP4, b"one")
        lan.switch.partition([lan.b])
        send_from(lan.a, GROUP4, b"two")
        lan.switch.heal()
        send_from(lan.a, GROUP4, b"three")
        assert payloads(sockets["b"]) == [b"three"]
        assert payloads(sockets["c"]) == [b"one", b"two", b"three"]
        reasons = [item.reason for item in lan.network.trace if item.what == "partitioned"]
        assert reasons == ["a, c | b", "b", "whole"]
        dropped = [item for item in lan.network.trace if item.what == "dropped"]
        assert {(item.where, item.reason) for item in dropped} == {
            ("lan", "the switch is partitioned")
        }


async def test_partition_stops_what_is_under_way(autojump_clock: MockClock) -> None:
    async with two_on_lan(delay=1) as lan:
        sock = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        send_from(lan.a, GROUP4, b"under way")
        await trio.sleep(0.5)
        lan.switch.partition([lan.b])
        await trio.sleep(1)
        assert payloads(sock) == []


async def test_partition_of_what_is_not_there_is_an_error() -> None:
    async with two_on_lan() as lan:
        with pytest.raises(ValueError, match="nothing called 'x' is plugged into lan"):
            lan.switch.partition(["x"])
        with pytest.raises(ValueError, match="'a' is in two groups"):
            lan.switch.partition(["a"], [lan.a])


async def test_unicast_to_nobody_is_dropped() -> None:
    async with two_on_lan() as lan:
        open_plain(lan.a, "10.0.0.1", port=0).send(b"x", ("10.0.0.77", PORT))
        (event,) = [item for item in lan.network.trace if item.what == "dropped"]
        assert (event.where, event.reason) == ("lan", "nobody here has the address 10.0.0.77")


def test_network_takes_an_int_as_seed() -> None:
    with pytest.raises(TypeError, match="seed must be an int, not str: 'x'"):
        VirtualNetwork(seed="x")  # type: ignore[arg-type]


async def test_unimpaired_paths_have_no_random_numbers(autojump_clock: object) -> None:
    async with VirtualNetwork(seed=1) as network:
        lan = network.switch("lan", delay=0.01)
        hosts = [network.host(f"h{number}") for number in range(30)]
        for number, host in enumerate(hosts, start=1):
            host.plug("eth0", lan, f"10.0.0.{number}/24")
        gc.collect()
        tracemalloc.start()
        try:
            for host in hosts:
                lan.carry(host.interface("eth0"), Query(10))
            await trio.sleep(1)
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert used / (30 * 29) < 1_000, used  # Bytes for each pair.
