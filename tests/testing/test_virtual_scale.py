"""Large virtual networks: what a delivery costs, and that nothing is kept for each pair of hosts.

Work is counted in calls of functions, as a clock would tell the machine's load.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager

import pytest
import trio
import trio.testing

from trio_mcast import McastReceiver, McastSender, open_mcast_receiver, open_mcast_sender
from trio_mcast._platform.model import PlatformName
from trio_mcast.testing import VirtualHost, VirtualNetwork, network_test

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 5000


@contextmanager
def counted_calls() -> Iterator[list[int]]:
    """Count the calls of functions, those that are written in C too."""
    count = [0]

    def note(_frame: object, event: str, _argument: object) -> None:
        if event in ("call", "c_call"):
            count[0] += 1

    sys.setprofile(note)
    try:
        yield count
    finally:
        sys.setprofile(None)


def plugged_in(network: VirtualNetwork, count: int) -> Sequence[VirtualHost]:
    lan = network.switch("lan", delay=0.001)
    hosts = [network.host(f"h{number}") for number in range(count)]
    for number, host in enumerate(hosts):
        host.plug("eth0", lan, f"10.0.{number // 250}.{number % 250 + 1}/16")
    return hosts


async def opened_on_all(
    stack: AsyncExitStack, hosts: Sequence[VirtualHost]
) -> tuple[list[McastReceiver], list[McastSender]]:
    receivers: list[McastReceiver] = []
    senders: list[McastSender] = []
    for host in hosts:
        with host:
            receivers.append(
                await stack.enter_async_context(open_mcast_receiver(GROUP, PORT, interfaces="eth0"))
            )
            senders.append(
                await stack.enter_async_context(
                    open_mcast_sender(GROUP, PORT, interfaces="eth0", loopback=False)
                )
            )
    return receivers, senders


async def hear(senders: Sequence[McastSender], receivers: Sequence[McastReceiver]) -> None:
    for sender in senders:
        await sender.send(b"I am here")
    await trio.sleep(1)
    for receiver in receivers:
        assert len(await receiver.receive_batch()) >= len(senders) - 1


@network_test
async def test_delivery_takes_few_calls(network: VirtualNetwork) -> None:
    async with AsyncExitStack() as stack:
        receivers, senders = await opened_on_all(stack, plugged_in(network, 40))
        await hear(senders, receivers)
        with counted_calls() as count:
            await hear(senders, receivers)
    deliveries = len(receivers) * (len(receivers) - 1)
    assert count[0] / deliveries < 75  # 61 now, and 132 when each was scheduled by itself.


async def test_nothing_is_kept_for_each_pair_where_chance_has_no_part(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with VirtualNetwork(trace=False) as network, AsyncExitStack() as stack:
        receivers, senders = await opened_on_all(stack, plugged_in(network, 80))
        await hear(senders[:2], receivers)
        tracemalloc.start()
        try:
            await hear(senders[2:], receivers)
            await hear(senders[:2], receivers)  # What was read last may still be held.
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    pairs = len(receivers) * (len(receivers) - 1)
    assert used / pairs < 150  # A path with its number takes 280 bytes.


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd", "windows"])
async def test_who_gets_a_group_follows_each_change(
    platform: PlatformName, autojump_clock: trio.testing.MockClock
) -> None:
    async with VirtualNetwork() as network:
        lan = network.switch("lan")
        a, b = network.host("a"), network.host("b", platform=platform)
        a.plug("eth0", lan, "10.0.0.1/24")
        eth0 = b.plug("eth0", lan, "10.0.0.2/24")

        async def got(*receivers: McastReceiver) -> list[bool]:
            before = [receiver.statistics().received for receiver in receivers]
            await sender.send(b"x")
            await sender.send(b"x")
            await trio.sleep(1)
            after = [receiver.statistics().received for receiver in receivers]
            return [now == then + 2 for now, then in zip(after, before, strict=True)]

        with a:
            opening = open_mcast_sender(GROUP, PORT, interfaces="eth0", source_port=PORT)
            async with opening as sender:
                assert await got() == []
                with b:
                    async with open_mcast_receiver(GROUP, PORT, interfaces="eth0") as one:
                        assert await got(one) == [True]
                        async with open_mcast_receiver(GROUP, PORT, interfaces="eth0") as two:
                            assert await got(one, two) == [True, True]
                            await one.block_source("10.0.0.1")
                            assert await got(one, two) == [False, True]
                            await one.unblock_source("10.0.0.1")
                            assert await got(one, two) == [True, True]
                            await two.leave(GROUP)
                            assert await got(one, two) == [True, False]
                        eth0.take_down()
                        assert await got(one) == [False]
                        eth0.take_up()
                        assert await got(one) == [True]
                        eth0.unplug()
                        eth0 = b.plug("eth0", lan, "10.0.0.2/24")
                        await trio.sleep(5)
                        assert await got(one) == [True]
                before = len(network.trace.dropped(at=b))
                assert await got() == []
                assert len(network.trace.dropped(at=b)) == before + 2


@network_test
async def test_plugging_in_takes_few_calls(network: VirtualNetwork) -> None:
    plugged_in(network, 1)
    lan = network.switch("other")
    with counted_calls() as count:
        for number in range(10):
            network.host(f"x{number}").plug("eth0", lan, f"10.1.0.{number + 1}/16")
    assert count[0] / 10 < 900  # 660 now, and 1,290 when each had four cables from the start.
