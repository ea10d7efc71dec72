"""Crashes, clocks, waiting for events, and plain sockets on virtual hosts."""

from __future__ import annotations

import socket
import time

import pytest
import trio
import trio.testing

from trio_mcast import open_mcast_channel, open_mcast_receiver, open_mcast_sender
from trio_mcast.testing import VirtualHost, VirtualNetwork, VirtualSwitch, network_test

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 5000


def two_hosts(network: VirtualNetwork) -> tuple[VirtualSwitch, VirtualHost, VirtualHost]:
    lan = network.switch("lan", snooping=True)
    a, b = network.host("a"), network.host("b")
    a.plug("eth0", lan, "10.0.0.1/24")
    b.plug("eth0", lan, "10.0.0.2/24")
    return lan, a, b


async def talk(scope: trio.CancelScope | None = None) -> None:
    """Say hello each second, and goodbye at the end."""
    with scope or trio.CancelScope():
        await say_hello()


async def say_hello() -> None:
    async with open_mcast_channel(GROUP, PORT, interfaces="eth0") as channel:
        try:
            while True:
                await channel.send(b"hello")
                await trio.sleep(1)
        finally:
            with trio.CancelScope(shield=True):
                await channel.send(b"goodbye")


@network_test
async def test_crash_says_nothing_and_restart_begins_anew(network: VirtualNetwork) -> None:
    lan, a, b = two_hosts(network)
    program = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        with a:
            nursery.start_soon(talk, program)
        with b:
            nursery.start_soon(talk)
        await trio.sleep(2.5)
        assert lan.members(GROUP) == ["a/eth0", "b/eth0"]
        a.crash()
        assert lan.members(GROUP) == ["b/eth0"]
        await trio.sleep(2)
        program.cancel()
        await trio.sleep(1)
        assert [event.time for event in network.trace.sent(by=a)] == [0, 1, 2]
        assert network.trace.left(by=a) == []
        for use in (a.list_interfaces, a.__enter__, a.crash):
            with pytest.raises(RuntimeError, match="a has crashed, so none of its programs runs"):
                use()
        a.restart()
        assert a.list_interfaces()[1].is_up
        with a:
            async with open_mcast_receiver(GROUP, PORT, interfaces="eth0") as receiver:
                assert (await receiver.receive()).data == b"hello"
                assert lan.members(GROUP) == ["b/eth0", "a/eth0"] or len(lan.members(GROUP)) == 2
        with pytest.raises(RuntimeError, match="a has not crashed"):
            a.restart()
        nursery.cancel_scope.cancel()
    kinds = [event.what for event in network.trace.select(at=a) if "ed" in event.what]
    assert kinds.count("crashed") == kinds.count("restarted") == 1


async def test_receiver_of_a_crashed_host_ends_with_the_network(autojump_clock: object) -> None:
    ended = []
    async with trio.open_nursery() as nursery, VirtualNetwork() as network:
        _, a, _ = two_hosts(network)

        async def receive() -> None:
            with pytest.raises(trio.ClosedResourceError):
                async with open_mcast_receiver(GROUP, PORT, interfaces="eth0") as receiver:
                    await receiver.receive()
            ended.append(True)

        with a:
            nursery.start_soon(receive)
        await trio.sleep(1)
        a.crash()
        await trio.sleep(1)
        assert not ended
    assert ended


@network_test
async def test_expect_waits_for_what_happens(network: VirtualNetwork) -> None:
    _, a, b = two_hosts(network)
    async with trio.open_nursery() as nursery:
        with b:
            nursery.start_soon(talk)
        joined = await network.expect("joined", at=b, to=GROUP)
        assert (joined.what, joined.where, joined.time) == ("joined", "b", 0)
        sent = await network.expect("sent", to=(GROUP, PORT), data=b"hello", since=0)
        assert sent.time == 0
        sent = await network.expect("sent", at=b)
        assert sent.time == trio.current_time() - network_start(network)
        start = trio.current_time()
        with pytest.raises(AssertionError) as failure:
            await network.expect("sent", at=a, within=3.5)
        assert trio.current_time() == start + 3.5
        message = str(failure.value)
        assert message.startswith("there was no event (sent at a) within 3.5 s; what happened:")
        assert "hello" in message
        nursery.cancel_scope.cancel()
    with pytest.raises(ValueError, match="within must be more than 0 seconds, not 0"):
        await network.expect("sent", within=0)


def network_start(network: VirtualNetwork) -> float:
    assert network._core is not None
    return network._core.scheduler._start


@network_test
async def test_clocks_drift_and_step_and_stamp_datagrams(network: VirtualNetwork) -> None:
    _, a, b = two_hosts(network)
    start = 946_684_800
    assert time.time() == start
    b.clock.drift = 100e-6
    a.clock.step(-0.5)
    await trio.sleep(1_000)
    assert time.time() == start + 1_000
    assert time.time_ns() == (start + 1_000) * 10**9
    with a:
        assert time.time() == start + 999.5
    with b:
        assert time.time() == pytest.approx(start + 1_000.1, abs=1e-6)
        async with open_mcast_receiver(
            GROUP, PORT, interfaces="eth0", receive_timestamp=True
        ) as receiver:
            with a:
                async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
                    departure = await sender.send_timestamped(b"now")
            datagram = await receiver.receive()
        assert datagram.timestamp_ns == time.time_ns()
    assert departure == (start * 10 + 9_995) * 10**8
    b.clock.drift = 0
    before = b.clock.time()
    await trio.sleep(10)
    assert b.clock.time() == before + 10
    assert repr(b.clock).startswith("<VirtualClock of b: 946685810.1")
    with pytest.raises(ValueError, match="drift must be more than -1, not -1"):
        b.clock.drift = -1
    with pytest.raises(TypeError, match="seconds must be a number, not str"):
        b.clock.step("1")  # type: ignore[arg-type]


async def test_real_clock_is_back_after_the_network(autojump_clock: object) -> None:
    before = time.time()
    async with VirtualNetwork() as outer, VirtualNetwork():
        _, a, _ = two_hosts(outer)
        real = await trio.to_thread.run_sync(time.time, abandon_on_cancel=True)
        assert real < 1e9  # Threads that Trio starts belong to the task.
        with a:
            assert time.time() < 1e9
    assert before <= time.time() < before + 60
    assert socket.socket.__init__.__module__ == "socket"


@network_test
async def test_plain_and_trio_sockets_are_refused(network: VirtualNetwork) -> None:
    _, a, _ = two_hosts(network)
    refused = pytest.raises(RuntimeError, match=r"socket\.socket\(\) and trio\.socket\.socket\(\)")
    with refused:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with a:
        with refused:
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with refused:
            socket.socket()
        with refused:
            trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    left, right = socket.socketpair()
    left.close()
    right.close()


@network_test
async def test_names_are_not_looked_up_in_the_real_network(network: VirtualNetwork) -> None:
    _, a, _ = two_hosts(network)
    refused = pytest.raises(RuntimeError, match=r"asks the real network for 'server\.test'")
    with a:
        for look_up in (socket.gethostbyname, socket.gethostbyname_ex):
            with refused:
                look_up("server.test")
        with refused:
            socket.getaddrinfo("server.test", 80)
        with refused:
            await trio.socket.getaddrinfo(host="server.test", port=80)
        with refused:
            await trio.open_tcp_stream("server.test", 80)
        assert socket.getaddrinfo("10.0.0.2", 80)[0][4] == ("10.0.0.2", 80)
        assert await trio.socket.getaddrinfo("::1", 80)
        assert socket.getaddrinfo(None, 80)
        refused = pytest.raises(RuntimeError, match=r"the name of '10\.0\.0\.2'")
        for look_up in (socket.gethostbyaddr, socket.getfqdn):
            with refused:
                look_up("10.0.0.2")
        with refused:
            socket.getnameinfo(("10.0.0.2", 80), 0)
        with refused:
            await trio.socket.getnameinfo(("10.0.0.2", 80), 0)
        numbers = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        assert socket.getnameinfo(("10.0.0.2", 80), numbers) == ("10.0.0.2", "80")
    with pytest.raises(AssertionError, match=r"^there was no event within 1 s; what happened: no"):
        await network.expect(within=1)


def test_sockets_are_allowed_after_the_network() -> None:
    async def main() -> None:
        async with VirtualNetwork():
            pass
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()

    trio.run(main)
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
