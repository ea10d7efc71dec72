"""Cables: impairments of each direction, rate, queue and marks; datagrams chosen to drop."""

from __future__ import annotations

from typing import TypeAlias

import pytest
import trio
import trio.testing

from trio_mcast import McastReceiver, open_mcast_receiver, open_mcast_sender
from trio_mcast.testing import (
    DatagramOnLink,
    VirtualHost,
    VirtualNetwork,
    VirtualSwitch,
    network_test,
)

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 5000

# The time, the payload, and the traffic class.
Heard: TypeAlias = tuple[float, bytes, int | None]


def three_hosts(network: VirtualNetwork, lan: VirtualSwitch | None = None) -> list[VirtualHost]:
    lan = lan or network.switch("lan")
    hosts = [network.host(name) for name in "abc"]
    for number, host in enumerate(hosts, start=1):
        host.plug("eth0", lan, f"10.0.0.{number}/24")
    return hosts


async def listen(host: VirtualHost, heard: dict[str, list[Heard]]) -> None:
    with host:
        async with open_mcast_receiver(
            GROUP, PORT, interfaces="eth0", receive_traffic_class=True
        ) as receiver:
            async for datagram in receiver:
                heard.setdefault(host.name, []).append(
                    (round(trio.current_time(), 6), datagram.data, datagram.traffic_class)
                )


@network_test
async def test_each_direction_of_an_interface_is_impaired(network: VirtualNetwork) -> None:
    a, b, c = three_hosts(network)
    heard: dict[str, list[Heard]] = {}
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for host in (b, c):
            nursery.start_soon(listen, host, heard)
        await trio.sleep(1)
        with a:
            async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
                b.interface("eth0").incoming.delay = 0.5
                await sender.send(b"late at b")
                await trio.sleep(1)
                b.interface("eth0").incoming.delay = 0
                b.interface("eth0").incoming.loss = 1
                await sender.send(b"lost at b")
                await trio.sleep(1)
                b.interface("eth0").incoming.loss = 0
                a.interface("eth0").outgoing.loss = 1
                await sender.send(b"lost by a")
                await trio.sleep(1)
                a.interface("eth0").outgoing.loss = 0
                a.interface("eth0").outgoing.duplicate = 1
                await sender.send(b"twice")
                await trio.sleep(1)
        nursery.cancel_scope.cancel()
    times = {
        name: [(round(time - start, 6), data) for time, data, _ in datagrams]
        for name, datagrams in heard.items()
    }
    assert times == {
        "b": [(1.5, b"late at b"), (4, b"twice"), (4, b"twice")],
        "c": [(1, b"late at b"), (2, b"lost at b"), (4, b"twice"), (4, b"twice")],
    }
    lost = network.trace.lost()
    assert [(event.where, event.data, event.reason) for event in lost] == [
        ("b", b"lost at b", "incoming cable"),
        ("a", b"lost by a", "outgoing cable"),
    ]


async def received_times(
    a: VirtualHost, b: VirtualHost, count: int, size: int, traffic_class: int = 0
) -> list[Heard]:
    heard: dict[str, list[Heard]] = {}
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, b, heard)
        await trio.testing.wait_all_tasks_blocked()
        with a:
            async with open_mcast_sender(
                GROUP, PORT, interfaces="eth0", traffic_class=traffic_class
            ) as sender:
                for number in range(count):
                    await sender.send(bytes([number]) * size)
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    return [(round(time - start, 6), data, mark) for time, data, mark in heard["b"]]


@network_test
async def test_rate_spaces_frames_as_ethernet_does(network: VirtualNetwork) -> None:
    a, b, _ = three_hosts(network)
    a.interface("eth0").outgoing.rate = 10_000_000
    # 958 + 8 + 20 in 38 bytes of Ethernet: 1,024 bytes, 819.2 us at 10 Mbit/s.
    heard = await received_times(a, b, 3, 958)
    assert [time for time, *_ in heard] == [0.000819, 0.001638, 0.002458]


@network_test
async def test_queue_that_is_full_drops(network: VirtualNetwork) -> None:
    a, b, _ = three_hosts(network)
    cable = a.interface("eth0").outgoing
    cable.rate, cable.queue = 1_000_000, 4 * 1_024
    heard = await received_times(a, b, 10, 958)
    assert [data[0] for _, data, _ in heard] == [0, 1, 2, 3]
    full = network.trace.dropped(at=a)
    assert len(full) == 6
    assert {event.reason for event in full} == {"the queue of the cable is full"}


@pytest.mark.parametrize(("traffic_class", "marked"), [(0, 0), (0b10, 0b11), (0b101101, 0b101111)])
@network_test
async def test_long_queue_marks_what_may_be_marked(
    network: VirtualNetwork, traffic_class: int, marked: int
) -> None:
    a, b, _ = three_hosts(network)
    cable = a.interface("eth0").outgoing
    cable.rate, cable.mark = 1_000_000, 2 * 1_024
    heard = await received_times(a, b, 4, 958, traffic_class)
    assert [mark for *_, mark in heard] == [traffic_class, traffic_class, marked, marked]


@network_test
async def test_measures_of_a_cable_are_checked(network: VirtualNetwork) -> None:
    a, *_ = three_hosts(network)
    cable = a.interface("eth0").outgoing
    assert repr(cable) == "<Cable outgoing of a/eth0>"
    cable.loss, cable.rate = 0.5, 1_000
    assert repr(cable) == "<Cable outgoing of a/eth0 loss=0.5 rate=1000>"
    with pytest.raises(ValueError, match="loss must be from 0 to 1, not 2"):
        cable.loss = 2
    with pytest.raises(
        ValueError, match="rate must be at least 1 bit per second, or None for no limit, not 0"
    ):
        cable.rate = 0
    with pytest.raises(TypeError, match="queue must be an int, or None for no limit, not float"):
        cable.queue = 1.5  # type: ignore[assignment]
    with pytest.raises(ValueError, match="mark must be at least 0 bytes, or None for no"):
        cable.mark = -1
    with pytest.raises(AttributeError, match="Cable has no attribute 'los'"):
        cable.los = 1
    with pytest.raises(AttributeError, match="cannot be changed"):
        a.interface("eth0").outgoing = cable  # type: ignore[misc]


@network_test
async def test_cable_has_the_name_of_its_interface(network: VirtualNetwork) -> None:
    a, *_ = three_hosts(network)
    cable = a.interface("eth0").outgoing
    cable.loss = 1
    a.rename("eth0", "wan0")
    assert repr(cable) == "<Cable outgoing of a/wan0 loss=1>"
    with a:
        async with open_mcast_sender(GROUP, PORT, interfaces="wan0") as sender:
            await sender.send(b"x")
    assert [event.interface for event in network.trace.lost()] == ["wan0"]


@network_test
async def test_chosen_datagrams_are_dropped(network: VirtualNetwork) -> None:
    lan = network.switch("lan")
    a, b, c = three_hosts(network, lan)
    seen: list[DatagramOnLink] = []

    def to_b(datagram: DatagramOnLink) -> bool:
        seen.append(datagram)
        return datagram.receiver == "b/eth0" and b"2" not in datagram.data

    async def data_of(receiver: McastReceiver) -> list[bytes]:
        await trio.testing.wait_all_tasks_blocked()
        data = []
        while receiver.statistics().waiting:
            data.append(receiver.receive_nowait().data)
        return data

    with b:
        at_b = open_mcast_receiver(GROUP, PORT, interfaces="eth0")
        async with at_b as receiver_b:
            with c:
                async with open_mcast_receiver(GROUP, PORT, interfaces="eth0") as receiver_c:
                    with a:
                        async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
                            with lan.drop(to_b) as rule:
                                for number in range(3):
                                    await sender.send(b"%d" % number)
                            await sender.send(b"3")
                    assert await data_of(receiver_b) == [b"2", b"3"]
                    assert await data_of(receiver_c) == [b"0", b"1", b"2", b"3"]
    assert rule.dropped == 2
    assert len(seen) == 6
    assert (seen[0].sender, seen[0].destination, seen[0].ttl) == ("a/eth0", (GROUP, PORT), 1)
    reasons = {event.reason for event in network.trace.dropped(at=lan)}
    assert reasons == {"a rule of the test drops it"}
    rule.end()
    with pytest.raises(TypeError, match="predicate must be a function, not 3"):
        lan.drop(3)  # type: ignore[arg-type]


@network_test
async def test_error_of_a_rule_ends_the_network_if_the_sender_has_gone_on(
    network: VirtualNetwork,
) -> None:
    lan = network.switch("lan")
    a, b, _ = three_hosts(network, lan)

    def fail(datagram: DatagramOnLink) -> bool:
        raise ZeroDivisionError(datagram.data)

    with lan.drop(fail), b:
        async with open_mcast_receiver(GROUP, PORT, interfaces="eth0") as receiver:
            with a:
                async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
                    with pytest.raises(ZeroDivisionError, match="at once"):
                        await sender.send(b"at once")
            assert receiver.statistics().received == 0

    async def main() -> None:
        async with VirtualNetwork() as other:
            lan = other.switch("lan")
            a, b, _ = three_hosts(other, lan)
            a.interface("eth0").outgoing.delay = 1
            lan.drop(fail)
            with a:
                async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
                    await sender.send(b"later")
            # Who comes by then is not to blame.
            with b:
                async with open_mcast_receiver(GROUP, PORT, interfaces="eth0") as receiver:
                    await trio.sleep(1)
                    with pytest.raises(trio.WouldBlock):
                        receiver.receive_nowait()
                    await trio.sleep(1)
                    raise AssertionError("the network goes on")

    with pytest.raises(ZeroDivisionError, match="later"):
        await main()


@pytest.mark.parametrize("how", ["crash", "take_down", "lose_carrier", "unplug"])
@network_test
async def test_what_waits_is_lost_with_the_link(network: VirtualNetwork, how: str) -> None:
    a, b, _ = three_hosts(network)
    eth0 = a.interface("eth0")
    eth0.outgoing.rate = 100_000
    heard: dict[str, list[Heard]] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, b, heard)
        await trio.testing.wait_all_tasks_blocked()
        with a:
            async with open_mcast_sender(
                GROUP, PORT, interfaces="eth0", send_buffer_size=10_000
            ) as sender:
                # 1,024 bytes on the wire: one leaves each 82 ms.
                for _ in range(8):
                    await sender.send(bytes(958))
                await trio.sleep(0.3)
                (a.crash if how == "crash" else getattr(eth0, how))()
                dropped = network.trace.dropped(at=a)
                assert len(heard["b"]) + len(dropped) == 8
                assert {event.reason for event in dropped} == {
                    "the link was lost before it could leave"
                }
        await trio.sleep(0.001)
        if how == "lose_carrier":
            eth0.restore_carrier()
            with a:
                async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
                    await sender.send(bytes(958))
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    times = [time for time, *_ in heard["b"]]
    assert times[:3] == [0.08192, 0.16384, 0.24576]
    # The queue is empty: the next one leaves at once.
    assert times[3:] == ([0.38292] if how == "lose_carrier" else [])


@network_test
async def test_interface_of_a_crashed_host_has_no_power(network: VirtualNetwork) -> None:
    lan = network.switch("lan")
    a, *_ = three_hosts(network, lan)
    a.crash()
    eth1 = a.plug("eth1", lan, "10.0.0.11/24")
    assert not eth1.is_up
    a.restart()
    assert eth1.is_up
