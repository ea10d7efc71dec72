"""How long a switch that snoops remembers, and when hosts answer: as a bridge of real Linux."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest
import trio
from trio.testing import MockClock

from tests.lab.fixtures import TwoHosts
from tests.lab.sockets import Sockets
from trio_mcast.testing import VirtualNetwork, network_test

from ..support.virtual_hosts import (
    GROUP4,
    GROUP6,
    Lan,
    blocking,
    joining,
    open_plain,
    send_from,
    two_on_lan,
)

pytestmark = pytest.mark.once


async def last_forwarded(lan: Lan, group: str) -> float:
    """Send on every tenth of a second, and return when the switch last passed it on to b."""
    began = trio.current_time()
    for _ in range(40):
        send_from(lan.a, group, b"x")
        await trio.sleep(0.1)
    times = [event.time for event in lan.network.trace if event.where == "b" and event.data]
    return max([time - began for time in times if time >= began], default=-1)


@pytest.mark.parametrize(("last_member", "last"), [(2.0, 1.9), (0.0, -1), (0.5, 0.4)])
@pytest.mark.parametrize("group", [GROUP4, GROUP6])
async def test_group_that_was_left_is_forwarded_for_a_while(
    group: str, last_member: float, last: float, autojump_clock: MockClock
) -> None:
    async with two_on_lan(snooping=True, last_member_seconds=last_member) as lan:
        any_address = "0.0.0.0" if group == GROUP4 else "::"
        open_plain(lan.b, any_address, joining(lan.b, 2, group)).close()
        assert await last_forwarded(lan, group) == pytest.approx(last)
        (forgot,) = [event for event in lan.network.trace if event.what == "forgot"]
        assert forgot.reason == "it left"
        assert forgot.time == pytest.approx(last_member)


async def test_default_is_that_of_rfc_3376(autojump_clock: MockClock) -> None:
    async with two_on_lan(snooping=True) as lan:
        open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4)).close()
        assert await last_forwarded(lan, GROUP4) == pytest.approx(1.9)


async def test_source_that_is_blocked_is_forwarded_for_a_while(autojump_clock: MockClock) -> None:
    async with two_on_lan(snooping=True) as lan:
        sock = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        for option in blocking(lan.b, 2, GROUP4, "10.0.0.1"):
            sock.kernel.setsockopt(option.level, option.number, option.value)  # type: ignore[attr-defined]
        assert await last_forwarded(lan, GROUP4) == pytest.approx(1.9)


async def test_who_comes_back_in_time_misses_nothing(autojump_clock: MockClock) -> None:
    async with two_on_lan(snooping=True) as lan:
        open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4)).close()
        await trio.sleep(1)
        sock = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        await last_forwarded(lan, GROUP4)
        assert len(sock.receive(100)) == 40
        assert lan.events("forgot") == []


async def test_hosts_answer_a_query_at_moments_of_their_own(autojump_clock: MockClock) -> None:
    times = []
    async with VirtualNetwork(seed=5) as network:
        lan = network.switch("lan", snooping=True, membership_seconds=130)
        hosts = [network.host(f"h{number}") for number in range(30)]
        for number, host in enumerate(hosts, start=1):
            host.plug("eth0", lan, f"10.0.0.{number}/24")
            open_plain(host, "0.0.0.0", joining(host, 2, GROUP4))
        await trio.sleep(124)
        # All were learned at 0 and 1 second, and would be forgotten at 131: some answer too late.
        await trio.sleep(16)
        times = [event.time for event in network.trace if event.what == "forgot"]
        learned = [event.time for event in network.trace if event.what == "learned"]
        again = [time for time in learned if time > 2]
        assert len(times) == len(again) > 0
        assert all(131 <= time <= 135 for time in again)
        assert len(set(again)) == len(again)
        # The time in which hosts answer is 10 seconds, so some six in ten are in time.
        assert 5 <= len(again) <= 20


@network_test
async def test_answers_of_no_delay_come_with_the_query(network: VirtualNetwork) -> None:
    lan, b = network.switch("lan", snooping=True, response_seconds=0), network.host("b")
    b.plug("eth0", lan, "10.0.0.2/24")
    open_plain(b, "0.0.0.0", joining(b, 2, GROUP4))
    await trio.sleep(2)
    lan.forget_port(b.interface("eth0"))
    await trio.sleep(124)
    (_, again) = [event.time for event in network.trace if event.what == "learned"]
    assert again == 125


@network_test
async def test_times_are_checked(network: VirtualNetwork) -> None:
    for name in ("response_seconds", "last_member_seconds"):
        with pytest.raises(ValueError, match=f"{name} must be at least 0 seconds"):
            network.switch("lan", **{name: -1})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=f"{name} must be at least 0 seconds"):
            network.router("r", **{name: -1})  # type: ignore[arg-type]


@pytest.mark.parametrize("group", ["239.1.2.3", "ff05::1234"])
@pytest.mark.parametrize("fast", [False, True], ids=["asks first", "fast leave"])
def test_bridge_of_real_linux_forgets_alike(two_hosts: TwoHosts, group: str, fast: bool) -> None:
    """The lab's bridge waits for twice a tenth of a second, and not for twice a second."""
    lan = two_hosts.lan
    if fast:
        lan.run("ip", "link", "set", "port2", "type", "bridge_slave", "fastleave", "on")
        # Were it asked first, that would take ten times as long: twice a second.
        lan.run("ip", "link", "set", "br0", "type", "bridge", "mcast_last_member_interval", "100")
    with ExitStack() as stack:
        Sockets(stack).receiver(two_hosts.b, group)
        lan.wait_for(lambda subscriptions: group in [each.group for each in subscriptions])
        began = time.monotonic()
    lan.wait_for(lambda subscriptions: group not in [each.group for each in subscriptions])
    seconds = time.monotonic() - began
    assert (seconds < 1.9) if fast else (0.19 < seconds < 1.9)
