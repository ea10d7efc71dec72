"""The trace: a view of all events or the last ones, questions to it, and what it costs."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from trio_mcast import open_mcast_receiver, open_mcast_sender
from trio_mcast.testing import TraceEvent, VirtualHost, VirtualNetwork, network_test

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 5000


def hosts_on_a_lan(network: VirtualNetwork, *names: str) -> Sequence[VirtualHost]:
    lan = network.switch("lan", delay=0.001)
    hosts = [network.host(name) for name in names]
    for number, host in enumerate(hosts, start=1):
        host.plug("eth0", lan, f"10.0.0.{number}/24", f"fd00::{number}/64")
    return hosts


async def talk(a: VirtualHost, b: VirtualHost, count: int) -> None:
    with b:
        async with open_mcast_receiver(GROUP, PORT, interfaces="eth0") as receiver:
            with a:
                opening = open_mcast_sender(GROUP, PORT, interfaces="eth0", source_port=6000)
                async with opening as sender:
                    for number in range(count):
                        await sender.send(b"number %d" % number)
                        await trio.sleep(1)
                        assert receiver.receive_nowait().data == b"number %d" % number


@network_test
async def test_trace_is_a_view_and_its_slices_are_lists(network: VirtualNetwork) -> None:
    a, b = hosts_on_a_lan(network, "a", "b")
    trace = network.trace
    before = trace[:]
    assert len(before) == len(trace) == 2
    await talk(a, b, 3)
    assert len(before) == 2
    assert len(trace) == len(network.trace) > 2
    assert trace == network.trace == list(network.trace) == trace[:]
    assert trace != before
    assert trace[:2] == before
    assert trace[-1].what == "left"
    assert trace[1::2] == list(trace)[1::2]
    assert trace[3:1] == []
    assert repr(trace) == f"<VirtualTrace of {len(trace)} events>"
    with pytest.raises(IndexError):
        trace[len(trace)]
    assert [event.time for event in trace] == sorted(event.time for event in trace)


@network_test
async def test_trace_answers_questions(network: VirtualNetwork) -> None:
    a, b, c = hosts_on_a_lan(network, "a", "b", "c")
    await talk(a, b, 3)
    trace = network.trace
    assert [event.data for event in trace.sent(by=a)] == [b"number 0", b"number 1", b"number 2"]
    assert trace.sent(by="a", to=GROUP) == trace.sent(to=(GROUP, PORT)) == trace.sent()
    assert trace.sent(by=b) == trace.sent(to="239.1.2.4") == trace.sent(to=(GROUP, 1)) == []
    assert [event.where for event in trace.delivered(source=("10.0.0.1", 6000))] == ["b"] * 3
    assert trace.delivered(at=c) == []
    assert len(trace.delivered(at=b, data=b"number 1")) == 1
    assert [event.where for event in trace.dropped(to=GROUP)] == ["c"] * 3
    assert [event.where for event in trace.joined(to=GROUP)] == ["b"]
    assert len(trace.left(by=b)) == 1
    assert trace.lost() == trace.refused() == []
    assert trace.select(at="lan") == []
    assert len(trace.select("plugged")) == 3
    with pytest.raises(TypeError, match="a host, a switch, a router or a name is wanted, not 3"):
        trace.sent(by=3)
    with pytest.raises(TypeError, match="data must be bytes, not str"):
        trace.sent(data="x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="to"):
        trace.sent(to="nowhere")


@network_test
async def test_totals_count_datagrams_and_bytes(network: VirtualNetwork) -> None:
    a, b, c = hosts_on_a_lan(network, "a", "b", "c")
    await talk(a, b, 3)
    assert (network.trace.totals(a).sent, network.trace.totals(a).sent_bytes) == (3, 24)
    totals = network.trace.totals("b")
    assert (totals.delivered, totals.delivered_bytes, totals.sent) == (3, 24, 0)
    assert (network.trace.totals(c).dropped, network.trace.totals(c).dropped_bytes) == (3, 24)


@pytest.mark.parametrize("keep", [False, 0, 5, 100])
async def test_trace_keeps_the_last_events(keep: int, autojump_clock: object) -> None:
    async def events(trace: bool | int) -> tuple[list[TraceEvent], int]:
        async with VirtualNetwork(trace=trace) as network:
            a, b = hosts_on_a_lan(network, "a", "b")
            await talk(a, b, 30)
            return network.trace[:], network.trace.totals(a).sent

    every, _ = await events(True)
    last, sent = await events(keep)
    assert last == (every[-keep:] if keep else [])
    assert sent == 30


def test_trace_that_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError, match="trace must be True, False or an int, not str"):
        VirtualNetwork(trace="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="trace must be at least 0 events, not -1"):
        VirtualNetwork(trace=-1)


@network_test
async def test_event_takes_few_bytes(network: VirtualNetwork) -> None:
    a, *others = hosts_on_a_lan(network, *(f"h{number}" for number in range(40)))
    with a:
        async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
            await sender.send(b"warm up")
            await trio.sleep(1)
            before = len(network.trace)
            tracemalloc.start()
            for _ in range(200):
                await sender.send(b"hello")
                await trio.sleep(1)
            used, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    count = len(network.trace) - before
    assert count >= 200 * len(others)
    assert used / count < 60  # An object for each takes 440.


@pytest.mark.parametrize("what", ["open", "close"])
def test_opening_and_closing_take_as_long_with_more_hosts(what: str) -> None:
    """Count lines of Python that run, as a clock would tell the machine's load."""

    async def lines(hosts: int) -> int:
        count = 0

        def tracer(*_: object) -> object:
            nonlocal count
            count += 1
            return None

        async with VirtualNetwork() as network:
            a, *_ = hosts_on_a_lan(network, *(f"h{number}" for number in range(hosts)))
            await trio.testing.wait_all_tasks_blocked()  # The network's own tasks have begun.
            with a:
                opening = open_mcast_receiver(GROUP, PORT, interfaces="eth0")
                if what == "open":
                    sys.setprofile(tracer)
                async with opening:
                    sys.setprofile(tracer if what == "close" else None)
                sys.setprofile(None)
        return count

    clock = trio.testing.MockClock(autojump_threshold=0)
    trio.run(lines, 1, clock=clock)  # Now all is known that is worked out once.
    few, many = trio.run(lines, 10, clock=clock), trio.run(lines, 150, clock=clock)
    assert many < few * 1.1


@network_test(seeds=20)
async def test_trace_has_what_is_due_at_the_time_of_the_look(network: VirtualNetwork) -> None:
    # Else it would in half of all runs only, as Trio's order of tasks is random.
    lan = network.switch("lan", delay=0.5)
    a, b = network.host("a"), network.host("b")
    a.plug("eth0", lan, "10.0.0.1/24")
    b.plug("eth0", lan, "10.0.0.2/24")
    with a:
        async with open_mcast_sender("239.1.2.3", 5000, interfaces="eth0") as sender:
            trace = network.trace
            for count in range(1, 4):
                await sender.send(b"x")
                await trio.sleep(0.5)
                look = count % 3
                if look == 0:
                    assert len(trace.dropped(at=b)) == count
                elif look == 1:
                    assert trace.totals(b).dropped == count
                else:
                    assert trace[-1].what == "dropped"


@pytest.mark.parametrize("group", [GROUP, "ff05::9"])
@network_test
async def test_interface_that_is_gone_has_the_name_of_then(
    network: VirtualNetwork, group: str
) -> None:
    (a,) = hosts_on_a_lan(network, "a")
    interface = a.interface("eth0")
    with a:
        async with open_mcast_receiver(group, PORT, interfaces="eth0") as receiver:
            a.rename("eth0", "wan0")
            interface.unplug()
            # Another one of that name has another index.
            a.plug("wan0", network.switch("other"))
            await trio.testing.wait_all_tasks_blocked()
            receiver.close()
    assert [event.interface for event in network.trace.joined(to=group)] == ["eth0"]
    (left,) = network.trace.left(to=group)
    assert left.interface == "wan0"
    assert str(left).endswith(f"a        left        wan0 {group}")


@network_test
async def test_interface_that_was_renamed_has_its_new_name_when_it_refuses(
    network: VirtualNetwork,
) -> None:
    (a,) = hosts_on_a_lan(network, "a")
    with a:
        async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
            a.rename("eth0", "wan0")
            with pytest.raises(ValueError, match="does not fit"):
                await sender.send(bytes(65_508))
            a.interface("wan0").unplug()
            with pytest.raises(OSError):  # noqa: PT011
                await sender.send(b"x")
    refused = network.trace.refused()
    assert len(refused) >= 2
    assert {event.interface for event in refused} == {"wan0"}
