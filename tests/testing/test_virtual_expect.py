"""A wait for an event of a virtual network ends in the same way every time."""

from __future__ import annotations

import pytest
import trio

from trio_mcast import open_mcast_sender
from trio_mcast.testing import VirtualHost, VirtualNetwork, network_test

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 5000


def hosts_on_lan(network: VirtualNetwork, delay: float, *names: str) -> list[VirtualHost]:
    lan = network.switch("lan", delay=delay)
    hosts = [network.host(name) for name in names]
    for number, host in enumerate(hosts, start=1):
        host.plug("eth0", lan, f"10.0.0.{number}/24")
    return hosts


async def send_in_a_second(host: VirtualHost, data: bytes) -> None:
    with host:
        async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
            await trio.sleep(1)
            await sender.send(data)


# Trio's order is random: each of the following would fail in half of all runs.


@network_test(seeds=20)
async def test_what_happens_in_the_last_moment_counts(network: VirtualNetwork) -> None:
    (a, b) = hosts_on_lan(network, 0.002, "a", "b")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_in_a_second, a, b"x")
        event = await network.expect("dropped", at=b, within=1.002)
        assert event.time == 1.002


@network_test(seeds=20)
async def test_what_happens_after_the_last_moment_does_not(network: VirtualNetwork) -> None:
    (a, b) = hosts_on_lan(network, 0.002, "a", "b")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_in_a_second, a, b"x")
        start = trio.current_time()
        with pytest.raises(AssertionError, match=r"within 1\.001 s; what happened:\n.* sent "):
            await network.expect("dropped", at=b, within=1.001)
        assert trio.current_time() - start == pytest.approx(1.001)


@network_test(seeds=20)
async def test_of_two_events_at_one_time_it_is_the_first_of_the_trace(
    network: VirtualNetwork,
) -> None:
    (a, b) = hosts_on_lan(network, 0, "a", "b")
    async with trio.open_nursery() as nursery:
        for host in (b, a):
            nursery.start_soon(send_in_a_second, host, host.name.encode())
        event = await network.expect("sent")
        assert (event.time, event.where) == (1, "a")
        assert network.trace.sent() == [event, *network.trace.sent(by=b)]


async def test_expect_takes_no_time_with_a_real_clock() -> None:
    async with VirtualNetwork() as network, trio.open_nursery() as nursery:

        async def change() -> None:
            network.host("a").plug("eth0", network.switch("lan"), "10.0.0.1/24")
            while True:  # A busy task holds nobody up.
                await trio.lowlevel.checkpoint()

        nursery.start_soon(change)
        with trio.fail_after(5):
            event = await network.expect("plugged")
        assert event.where == "a"
        nursery.cancel_scope.cancel()
