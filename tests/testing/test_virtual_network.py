"""The network as a whole: its block, its trace, its clocks, and misuse."""

from __future__ import annotations

import gc
import inspect
import subprocess
import sys
import weakref

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

import trio_mcast.testing
from tests.support.pollers import open_poller, unexpected_failure
from trio_mcast import (
    McastReceiverSpec,
    list_interfaces,
    open_mcast_receiver,
    open_mcast_sender,
    watch_interfaces,
)
from trio_mcast._host.current import current_host
from trio_mcast.testing import TraceEvent, VirtualNetwork
from trio_mcast.testing.fixtures import virtual_network

from ..support.virtual_hosts import (
    GROUP4,
    PLATFORMS,
    PORT,
    drain,
    joining,
    open_plain,
    payloads,
    receiving,
    send_from,
    sending,
    two_on_lan,
)

pytestmark = pytest.mark.once

__all__ = ["virtual_network"]

# --- Determinism --------------------------------------------------------------------------------


async def listen(received: list[bytes]) -> None:
    async with open_mcast_receiver([GROUP4, "ff05::5"], PORT) as receiver:
        async for datagram in receiver:
            received.append(datagram.data)


async def talk(name: str) -> None:
    async with open_mcast_sender([GROUP4, "ff05::5"], PORT, interfaces="eth0") as sender:
        for number in range(20):
            await trio.sleep(0.01)
            await sender.send(f"{name} {number}".encode())


async def conversation(seed: int) -> tuple[list[TraceEvent], dict[str, list[bytes]]]:
    """Four hosts that all listen and talk at the same instants, on a bad switch."""
    received: dict[str, list[bytes]] = {}
    async with VirtualNetwork(seed=seed) as network:
        lan = network.switch(
            "lan",
            loss=0.1,
            delay=0.002,
            jitter=0.02,
            duplicate=0.1,
            reorder=0.1,
            snooping=True,
        )
        async with trio.open_nursery() as nursery:
            for number, platform in enumerate(PLATFORMS, start=1):
                host = network.host(f"h{number}", platform=platform)  # type: ignore[arg-type]
                host.plug("eth0", lan, f"10.0.0.{number}/24", f"fd00::{number}/64")
                with host:
                    nursery.start_soon(listen, received.setdefault(host.name, []))
                    nursery.start_soon(talk, host.name)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        return network.trace[:], received


async def test_same_seed_gives_the_same_trace(autojump_clock: MockClock) -> None:
    first, others = await conversation(7), [await conversation(7) for _ in range(3)]
    assert len(first[0]) > 500
    for other in others:
        assert list(map(str, other[0])) == list(map(str, first[0]))
        assert other == first
    assert await conversation(8) != first


@pytest.mark.parametrize("clock", ["autojump", "mock", "real"])
def test_any_clock_will_do(clock: str) -> None:
    async def main() -> list[bytes]:
        async with (
            two_on_lan(delay=0.01) as lan,
            receiving(lan.b) as receiver,
            sending(lan.a, interfaces="eth0") as sender,
        ):
            sent = trio.current_time()
            await sender.send(b"x")
            if mock is not None:  # Real time goes on meanwhile.
                assert await drain(receiver) == []
            if clock == "mock":
                assert mock is not None
                mock.jump(0.02)
            received = [(await receiver.receive()).data]
            assert trio.current_time() - sent >= 0.01
            return received

    mock = {
        "autojump": MockClock(autojump_threshold=0),
        "mock": MockClock(),
        "real": None,
    }[clock]
    assert trio.run(main, clock=mock) == [b"x"]


async def test_what_is_due_has_arrived_whoever_is_woken_first(autojump_clock: MockClock) -> None:
    for _ in range(20):
        async with two_on_lan(delay=0.5) as lan:
            sock = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
            send_from(lan.a, GROUP4, b"x")
            await trio.sleep(0.5)
            assert payloads(sock) == [b"x"]


# --- The trace ----------------------------------------------------------------------------------


async def test_trace_reads_as_it_happened(autojump_clock: MockClock) -> None:
    async with two_on_lan(delay=0.25) as lan:
        async with receiving(lan.b), sending(lan.a, interfaces="eth0") as sender:
            await sender.send(b"hello" * 10)
            await trio.sleep(1)
        assert [str(item) for item in lan.network.trace] == [
            "  0.000000 a        plugged     eth0 (into lan, 10.0.0.1/24, fd00::1/64, fe80::1/64)",
            "  0.000000 b        plugged     eth0 (into lan, 10.0.0.2/24, fd00::2/64, fe80::2/64)",
            "  0.000000 b        joined      eth0 239.1.2.3 (from any source)",
            "  0.000000 a        sent        eth0 10.0.0.1:49152 -> 239.1.2.3:5000 "
            "b'hellohellohellohellohellohellohe'... (50 bytes) (ttl 1)",
            "  0.250000 b        delivered   eth0 10.0.0.1:49152 -> 239.1.2.3:5000 "
            "b'hellohellohellohellohellohellohe'... (50 bytes)",
            "  1.000000 b        left        eth0 239.1.2.3",
        ]


async def test_trace_of_one_task_keeps_its_order() -> None:
    async with two_on_lan() as lan:
        open_plain(lan.a, "0.0.0.0", joining(lan.a, 2, GROUP4))
        open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        for host, data in [(lan.b, b"1"), (lan.a, b"2"), (lan.b, b"3")]:
            send_from(host, GROUP4, data)
        sent = [item for item in lan.network.trace if item.data]
        assert [item.data for item in sent] == [b"1"] * 3 + [b"2"] * 3 + [b"3"] * 3
        assert [item.what for item in sent] == ["sent", "delivered", "delivered"] * 3


# --- The block ----------------------------------------------------------------------------------


async def test_body_exception_leaves_as_itself() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with VirtualNetwork():
            raise KeyError("mine")


async def test_entering_and_leaving_leave_the_host_as_it_was() -> None:
    before = current_host()
    async with VirtualNetwork() as network:
        host = network.host("a")
        with host:
            assert current_host() is host
            with network.host("b"):
                pass
            assert current_host() is host
        assert current_host() is not before
    assert current_host() is before


async def test_outside_of_every_host_everything_is_refused() -> None:
    async with VirtualNetwork() as network:
        network.host("a")
        for use in (
            list_interfaces,
            lambda: trio_mcast.default_interface(GROUP4),
            lambda: current_host().platform,
            lambda: current_host().open_poller(unexpected_failure),
        ):
            with pytest.raises(RuntimeError, match="not called on one of its hosts"):
                use()
        for opening in (
            open_mcast_receiver(GROUP4, PORT),
            open_mcast_sender(GROUP4, PORT),
            watch_interfaces(),
        ):
            with pytest.raises(RuntimeError, match="'with host:' block"):
                async with opening:
                    pytest.fail("it was opened")


async def test_who_waits_at_the_end_gets_closed_resource_error() -> None:
    async def wait_for_datagram(seen: list[str]) -> None:
        async with open_mcast_receiver(GROUP4, PORT) as receiver:
            with pytest.raises(trio.ClosedResourceError):
                await receiver.receive()
        seen.append("datagram")

    async def wait_for_reply(seen: list[str]) -> None:
        opening = open_mcast_sender(GROUP4, PORT, interfaces="eth0", receive_replies=True)
        async with opening as sender:
            with pytest.raises(trio.ClosedResourceError):
                await sender.replies.receive()
        seen.append("reply")

    async def wait_for_change(seen: list[str]) -> None:
        async with watch_interfaces() as changes:
            with pytest.raises(trio.ClosedResourceError):
                await changes.receive()
        seen.append("change")

    seen: list[str] = []
    async with trio.open_nursery() as nursery, two_on_lan() as lan:
        with lan.b:
            for wait in (wait_for_datagram, wait_for_reply, wait_for_change):
                nursery.start_soon(wait, seen)
        await wait_all_tasks_blocked()
    assert sorted(seen) == ["change", "datagram", "reply"]


async def test_nothing_can_be_used_after_the_end() -> None:
    async with two_on_lan() as lan:
        sock = open_plain(lan.b, "0.0.0.0")
    trace = lan.network.trace[:]
    with pytest.raises(RuntimeError, match="this virtual network has ended"), lan.b:
        pytest.fail("it was entered")
    for use in (
        lan.b.list_interfaces,
        lan.b.watch,
        lan.b.interface("eth0").take_down,
        lambda: lan.network.host("c"),
        lan.switch.heal,
    ):
        with pytest.raises(RuntimeError, match="this virtual network has ended"):
            use()
    with pytest.raises(OSError, match="Bad file descriptor"):
        sock.receive(1)
    sock.close()
    assert lan.network.trace == trace


async def test_network_is_entered_once_and_before_it_is_used() -> None:
    network = VirtualNetwork()
    for use in (lambda: network.host("a"), lambda: network.switch("lan"), lambda: network.trace):
        with pytest.raises(RuntimeError, match="inside 'async with VirtualNetwork"):
            use()
    async with network:
        pass
    with pytest.raises(RuntimeError, match="entered once"):
        async with network:
            pytest.fail("it was entered twice")


async def test_names_and_numbers_are_checked() -> None:
    async with VirtualNetwork() as network:
        network.host("x")
        for make in (network.host, network.switch, network.router):
            with pytest.raises(ValueError, match="something called 'x' already"):
                make("x")
            with pytest.raises(ValueError, match="must not be empty"):
                make("")
            with pytest.raises(TypeError, match="name must be a str, not int: 3"):
                make(3)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"platform must be one of linux, .* not 'amiga'"):
            network.host("a", platform="amiga")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="platform must be a name such as 'linux', not None"):
            network.host("a", platform=None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"query_seconds must be at least 0\.001"):
            network.switch("lan", query_seconds=0)
        with pytest.raises(TypeError, match="membership_seconds must be a number"):
            network.router("r", membership_seconds="long")  # type: ignore[arg-type]


# --- Sockets and pollers ------------------------------------------------------------------------


async def test_waiting_is_a_checkpoint_and_can_be_cancelled() -> None:
    async with two_on_lan() as lan:
        poller = open_poller(lan.b)
        sock = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        poller.add(sock)
        with trio.move_on_after(0) as scope:
            await poller.wait_ready()
        assert scope.cancelled_caught
        send_from(lan.a, GROUP4, b"x")
        with assert_checkpoints():
            assert await poller.wait_ready() == [sock]
        with assert_checkpoints():
            await sock.wait_writable()
        poller.remove(sock)
        with trio.move_on_after(0) as scope:
            await poller.wait_ready()
        assert scope.cancelled_caught
        assert payloads(sock) == [b"x"]


async def test_closing_a_poller_wakes_who_waits() -> None:
    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await poller.wait_ready()

    async with two_on_lan() as lan, trio.open_nursery() as nursery:
        poller = open_poller(lan.b)
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        poller.close()
        poller.close()


async def test_sockets_that_are_ready_have_their_turns() -> None:
    async with two_on_lan() as lan:
        poller = open_poller(lan.b)
        sockets = [
            open_plain(lan.b, f"239.0.0.{n}", joining(lan.b, 2, f"239.0.0.{n}")) for n in (1, 2, 3)
        ]
        for group in ("239.0.0.3", "239.0.0.1"):
            send_from(lan.a, group, b"x")
        for sock in sockets:
            poller.add(sock)
        assert await poller.wait_ready() == [sockets[0], sockets[2]]
        sockets[0].receive(1)
        send_from(lan.a, "239.0.0.2", b"x")
        assert await poller.wait_ready() == [sockets[2], sockets[1]]


async def test_closed_socket_refuses_and_has_left() -> None:
    async with two_on_lan(snooping=True, last_member_seconds=0) as lan:
        sock = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        sock.close()
        sock.close()
        assert lan.switch.members(GROUP4) == []
        for use in (lambda: sock.receive(1), lambda: sock.send(b"x", (GROUP4, PORT))):
            with pytest.raises(OSError, match="Bad file descriptor"):
                use()
        with pytest.raises(trio.ClosedResourceError):
            await sock.wait_writable()
        send_from(lan.a, GROUP4, b"x")


async def test_plan_of_a_virtual_platform_is_that_of_the_planner() -> None:
    async with two_on_lan("windows") as lan:
        spec = McastReceiverSpec(GROUP4, PORT)
        (planned,) = spec.plan(lan.b.list_interfaces(), "windows")
        sock = lan.b.open_socket(planned)
        assert sock.socket_spec is planned
        assert sock.local_endpoint == ("10.0.0.2", PORT)


async def test_network_is_collected_after_use() -> None:
    async with two_on_lan() as lan, receiving(lan.b), sending(lan.a, interfaces="eth0") as sender:
        await sender.send(b"x")
    known = weakref.ref(lan.network)
    del lan, sender
    gc.collect()
    assert known() is None


# --- The fixture --------------------------------------------------------------------------------


async def test_fixture_gives_a_network(virtual_network: VirtualNetwork) -> None:
    lan = virtual_network.switch("lan")
    host = virtual_network.host("a")
    host.plug("eth0", lan, "10.0.0.1/24")
    with pytest.raises(RuntimeError, match="'with host:' block"):
        list_interfaces()
    async with receiving(host) as receiver, sending(host, interfaces="eth0") as sender:
        await sender.send(b"x")
        assert (await receiver.receive()).data == b"x"


def test_testing_needs_no_pytest() -> None:
    # trio.testing imports it where it is installed.
    check = "import sys; sys.modules['pytest'] = sys.modules['_pytest'] = None"
    subprocess.run([sys.executable, "-c", f"{check}; import trio_mcast.testing"], check=True)


def test_public_names_are_documented_and_sorted() -> None:
    names = trio_mcast.testing.__all__
    assert names == sorted(names)
    for name in names:
        kind = getattr(trio_mcast.testing, name)
        if not (inspect.isclass(kind) or inspect.isfunction(kind)):
            continue  # An alias of types: the reference explains it.
        assert kind.__module__ == "trio_mcast.testing"
        for attribute, value in {"": kind, **vars(kind)}.items():
            if not attribute.startswith("_") and (callable(value) or isinstance(value, property)):
                assert value.__doc__, f"{name}.{attribute} has no docstring"
