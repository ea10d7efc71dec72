"""Sending in batches on Linux: which system calls it takes, what arrives, what happens midway."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lab import Host
from tests.lab.fixtures import TwoHosts
from tests.lab.machine import on
from tests.support.linux_sockets import open_sockets, read_all
from tests.support.traffic import FAMILIES, PORT, Family, group_of, member, receiver_on, sender_on
from trio_mcast import McastReceiver, SocketSetupError, open_mcast_receiver, open_mcast_sender

if sys.platform != "linux":
    pytest.skip("the fast path is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import sending

GROUP = group_of("ipv4")


# How a call goes: it gets the function that carries it out, and the call's arguments.
Behaviour = Callable[..., Any]


def as_always(real: Callable[..., Any], *arguments: Any) -> Any:
    return real(*arguments)


@attrs.define
class Kernel:
    """Counts the system calls that send, and behaves as told."""

    made: Counter[str] = attrs.Factory(Counter)
    behaviours: dict[str, Behaviour] = attrs.Factory(dict)

    def watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.made[name] += 1
            behaviour: Behaviour = self.behaviours.get(name, as_always)
            return behaviour(real, *arguments)

        return call

    def refuse(self, name: str, number: int, *, after: int = 0) -> None:
        """Refuse calls of that name, except the first few."""

        def refuse(real: Callable[..., Any], *arguments: Any) -> Any:
            if self.made[name] <= after:
                return real(*arguments)
            if name != "sendmmsg":
                raise OSError(number, os.strerror(number))
            ctypes.set_errno(number)
            return -1

        self.behaviours[name] = refuse


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    for name in ("sendto", "sendmsg"):
        monkeypatch.setattr(socket.socket, name, kernel.watched(name, getattr(socket.socket, name)))
    assert sending._sendmmsg is not None
    monkeypatch.setattr(sending, "_sendmmsg", kernel.watched("sendmmsg", sending._sendmmsg))
    return kernel


def payloads_of(sizes: Iterable[int]) -> list[bytes]:
    return [(b"%d " % number * (size // 2 + 1))[:size] for number, size in enumerate(sizes)]


async def receive_all(receiver: McastReceiver, count: int) -> list[bytes]:
    return [(await receiver.receive()).data for _ in range(count)]


async def sent_and_received(
    host: Host, payloads: Sequence[bytes], group: str = GROUP
) -> list[bytes]:
    """What arrives when the payloads are sent as one batch over the loopback interface."""
    with on(host), trio.fail_after(5):
        async with (
            open_mcast_receiver(group, PORT, interfaces="lo") as receiver,
            open_mcast_sender(group, PORT, interfaces="lo") as sender,
        ):
            await sender.send_batch(payloads)
            assert sender.statistics().sent == len(payloads)
            return await receive_all(receiver, len(payloads))


# How many calls it takes -----------------------------------------------------------------------

# The sizes of a batch, and the calls that it is to take.
CALLS: list[tuple[str, list[int], dict[str, int]]] = [
    ("one", [64], {"sendto": 1}),
    ("two alike", [64] * 2, {"sendmsg": 1}),
    ("a full unit", [64] * 128, {"sendmsg": 1}),
    ("one more", [64] * 129, {"sendmsg": 1, "sendto": 1}),
    ("two units", [64] * 256, {"sendmsg": 2}),
    ("the last is shorter", [64] * 99 + [10], {"sendmsg": 1}),
    ("then larger ones", [64] * 50 + [65] * 50, {"sendmsg": 2}),
    ("then smaller ones", [64] * 50 + [63] * 50, {"sendmsg": 2}),
    ("46 of 1400 bytes in 65,507", [1400] * 46, {"sendmsg": 1}),
    ("92 of 1400 bytes", [1400] * 92, {"sendmsg": 2}),
    ("2 of 32,753 bytes", [32_753] * 2, {"sendmsg": 1}),
    ("2 of 32,754 bytes", [32_754] * 2, {"sendmmsg": 1}),
    ("64 of rising sizes", list(range(64)), {"sendmmsg": 1}),
    ("96 of rising sizes", list(range(96)), {"sendmmsg": 2}),
    ("65 of rising sizes", list(range(65)), {"sendmmsg": 1, "sendto": 1}),
    ("64 empty ones", [0] * 64, {"sendmmsg": 1}),
]


@FAMILIES
@pytest.mark.parametrize(
    ("sizes", "expected"), [item[1:] for item in CALLS], ids=[item[0] for item in CALLS]
)
async def test_batch_takes_as_few_calls_as_it_can(
    host: Host, kernel: Kernel, family: Family, sizes: list[int], expected: dict[str, int]
) -> None:
    payloads = payloads_of(sizes)
    assert await sent_and_received(host, payloads, group_of(family)) == payloads
    assert kernel.made == expected


async def test_empty_datagrams_in_the_middle_are_delivered(host: Host) -> None:
    payloads = payloads_of([10, 10, 0, 10, 0, 0, 10, 10, 5, 0])
    assert await sent_and_received(host, payloads) == payloads


@FAMILIES
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(
        st.builds(
            lambda size, count: [size] * count,
            st.integers(0, 1500) | st.sampled_from([0, 1, 5, 9000]),
            st.integers(1, 3) | st.integers(1, 140),
        ),
        max_size=6,
    )
    .map(lambda runs: [size for run in runs for size in run])
    # What fits the receive buffer that Linux grants by default.
    .filter(lambda sizes: 2 * sum(sizes) + 800 * len(sizes) < 400_000)
)
def test_batch_of_any_sizes_arrives_in_order(host: Host, family: Family, sizes: list[int]) -> None:
    payloads = payloads_of(sizes)
    received = trio.run(sent_and_received, host, payloads, group_of(family))
    assert received == payloads


# Larger than the mtu ---------------------------------------------------------------------------


@FAMILIES
async def test_datagrams_larger_than_the_mtu_arrive_in_order_among_small_ones(
    two_hosts: TwoHosts, family: Family
) -> None:
    group = group_of(family)
    payloads = payloads_of([100] * 20 + [1400] * 5 + [9000, 9000] + [100] * 20 + [3000, 0, 100])
    with member(two_hosts.b, group, "eth0") as program, on(two_hosts.a):
        await two_hosts.lan.wait_for_async(lambda seen: any(item.group == group for item in seen))
        async with open_mcast_sender(group, PORT, interfaces="eth0") as sender:
            await sender.send_batch(payloads)
        assert [program.recv(65_536) for _ in payloads] == payloads


@FAMILIES
async def test_mtu_that_is_lowered_while_open_is_coped_with(
    two_hosts: TwoHosts, kernel: Kernel, family: Family
) -> None:
    group, payloads = group_of(family), payloads_of([1400] * 10)
    with member(two_hosts.b, group, "eth0") as program, on(two_hosts.a):
        await two_hosts.lan.wait_for_async(lambda seen: any(item.group == group for item in seen))
        async with open_mcast_sender(group, PORT, interfaces="eth0") as sender:
            await sender.send_batch(payloads)
            two_hosts.a.run("ip", "link", "set", "eth0", "mtu", "1300")
            await sender.send_batch(payloads)
            assert kernel.made == {"sendmsg": 2, "sendmmsg": 1}
            small = payloads_of([1200] * 10)
            await sender.send_batch(small)
            assert kernel.made == {"sendmsg": 3, "sendmmsg": 1}, "units are not given up"
        expected = payloads + payloads + small
        assert [program.recv(65_536) for _ in expected] == expected


# What the kernel refuses -----------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EIO, errno.EOPNOTSUPP, errno.ENOPROTOOPT, errno.ENOSYS])
async def test_interface_without_units_is_remembered(
    host: Host, kernel: Kernel, number: int
) -> None:
    payloads = payloads_of([64] * 200)
    kernel.refuse("sendmsg", number)
    assert await sent_and_received(host, payloads) == payloads
    assert kernel.made == {"sendmsg": 1, "sendmmsg": 4}


@pytest.mark.parametrize("sizes", [[64] * 30, list(range(30))], ids=["alike", "rising"])
async def test_kernel_with_neither_units_nor_sendmmsg_is_remembered(
    host: Host, kernel: Kernel, sizes: list[int]
) -> None:
    payloads = payloads_of(sizes)
    kernel.refuse("sendmsg", errno.EIO)
    kernel.refuse("sendmmsg", errno.ENOSYS)
    assert await sent_and_received(host, payloads) == payloads
    assert kernel.made["sendmsg"] <= 1
    assert (kernel.made["sendmmsg"], kernel.made["sendto"]) == (1, 30)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
@pytest.mark.parametrize("sizes", [[64] * 30, list(range(30))], ids=["alike", "rising"])
@pytest.mark.parametrize(
    ("refused", "made"),
    [
        (["sendmmsg"], [{"sendmsg": 1}, {"sendmmsg": 1, "sendto": 30}]),
        (["sendmsg"], [{"sendmsg": 1, "sendmmsg": 1}, {"sendmmsg": 1}]),
        (
            ["sendmsg", "sendmmsg"],
            [{"sendmsg": 1, "sendmmsg": 1, "sendto": 30}, {"sendmmsg": 1, "sendto": 30}],
        ),
    ],
    ids=["sendmmsg", "sendmsg", "both"],
)
async def test_call_that_a_sandbox_refuses_is_not_needed(
    host: Host,
    kernel: Kernel,
    number: int,
    sizes: list[int],
    refused: list[str],
    made: list[dict[str, int]],
) -> None:
    payloads = payloads_of(sizes)
    for name in refused:
        kernel.refuse(name, number)
    assert await sent_and_received(host, payloads) == payloads
    assert kernel.made == made[len(set(sizes)) > 1]


@pytest.mark.parametrize("sizes", [[64] * 30, list(range(30))], ids=["alike", "rising"])
async def test_firewall_that_refuses_a_batch_leaves_the_fast_ways_as_they_are(
    host: Host, kernel: Kernel, sizes: list[int]
) -> None:
    payloads = payloads_of(sizes)
    fast = "sendmsg" if len(set(sizes)) == 1 else "sendmmsg"
    with on(host), trio.fail_after(5):
        async with (
            open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver,
            open_mcast_sender(GROUP, PORT, interfaces="lo") as sender,
        ):
            host.run("nft", "add table inet t")
            host.run("nft", "add chain inet t c { type filter hook output priority 0 ; }")
            host.run("nft", "add rule inet t c udp dport 5000 drop")
            with pytest.raises(SocketSetupError, match="nft list ruleset") as caught:
                await sender.send_batch(payloads)
            assert caught.value.errno == errno.EPERM
            assert (sender.statistics().sent, sender.statistics().failed) == (0, 30)
            host.run("nft", "delete table inet t")
            kernel.made.clear()
            await sender.send_batch(payloads)
            assert kernel.made == {fast: 1}
            assert await receive_all(receiver, 30) == payloads


async def test_sendmmsg_that_sends_only_some_is_followed_by_the_rest(
    host: Host, kernel: Kernel
) -> None:
    kernel.behaviours["sendmmsg"] = lambda real, number, headers, count, flags: real(
        number, headers, min(count, 3), flags
    )
    payloads = payloads_of(range(31))
    assert await sent_and_received(host, payloads) == payloads
    assert kernel.made == {"sendmmsg": 10, "sendto": 1}


@pytest.mark.parametrize(
    ("name", "sizes", "first"), [("sendmsg", [64] * 300, 128), ("sendmmsg", range(100), 64)]
)
async def test_failing_midway_tells_how_many_had_been_sent(
    host: Host, kernel: Kernel, name: str, sizes: Sequence[int], first: int
) -> None:
    payloads = payloads_of(sizes)
    kernel.refuse(name, errno.ENETDOWN, after=1)
    with on(host), trio.fail_after(5):
        async with (
            open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver,
            open_mcast_sender(GROUP, PORT, interfaces="lo") as sender,
        ):
            wanted = f"{first} of {len(payloads)} datagrams had been sent"
            with pytest.raises(SocketSetupError, match=wanted) as caught:
                await sender.send_batch(payloads)
            assert caught.value.errno == errno.ENETDOWN
            statistics = sender.statistics()
            assert (statistics.sent, statistics.failed) == (first, len(payloads) - first)
            assert await receive_all(receiver, first) == payloads[:first]


# Waiting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("sendmsg", [1000] * 400), ("sendmmsg", [1000 + number % 400 for number in range(400)])],
)
async def test_full_send_buffer_is_waited_for_without_spinning(
    two_hosts: TwoHosts, kernel: Kernel, name: str, sizes: list[int]
) -> None:
    payloads = payloads_of(sizes)
    # A slow link, behind which datagrams queue up and fill the sender's buffer: it takes them in a
    # second, so the buffer is full even where this program has few turns.
    shape = "tc qdisc add dev eth0 root tbf rate 4mbit burst 20kb limit 10mb"
    two_hosts.a.run(*shape.split())
    results: list[object] = []

    def result_of(real: Callable[..., Any], *arguments: Any) -> Any:
        try:
            result = real(*arguments)
        except BlockingIOError:
            result = -1
            raise
        finally:
            results.append(result)
        return result

    kernel.behaviours = {"sendmsg": result_of, "sendmmsg": result_of}
    async with (
        receiver_on(two_hosts, two_hosts.b, GROUP, max_buffered=400) as receiver,
        sender_on(two_hosts.a, GROUP, interfaces="eth0", send_buffer_size=20_000) as sender,
    ):
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender.send_batch, payloads)
                assert await receive_all(receiver, len(payloads)) == payloads
        assert sender.statistics().sent == len(payloads)
    assert kernel.made[name] > 1
    assert -1 in results, "the buffer was full"
    # It waited until there was room: no two refusals follow each other.
    assert (-1, -1) not in pairwise(results)


async def test_full_interface_queue_is_given_up_after_two_seconds(
    host: Host, kernel: Kernel, autojump_clock: trio.testing.MockClock
) -> None:
    kernel.refuse("sendmsg", errno.ENOBUFS)
    with on(host):
        async with open_mcast_sender(GROUP, PORT, interfaces="lo") as sender:
            start = trio.current_time()
            with pytest.raises(SocketSetupError, match="0 of 2 datagrams had been") as caught:
                await sender.send_batch([b"1", b"2"])
            assert caught.value.errno == errno.ENOBUFS
    # Eleven pauses, from a millisecond on, each twice as long as the one before.
    assert trio.current_time() - start == pytest.approx(0.001 * (2**11 - 1))
    assert kernel.made == {"sendmsg": 12}


async def test_slow_interface_queue_is_not_given_up_while_it_takes_more(
    host: Host, kernel: Kernel, autojump_clock: trio.testing.MockClock
) -> None:
    def mostly_full(real: Callable[..., Any], *arguments: Any) -> Any:
        if kernel.made["sendmsg"] % 5:
            raise OSError(errno.ENOBUFS, "No buffer space available")
        return real(*arguments)

    kernel.behaviours["sendmsg"] = mostly_full
    with on(host):
        async with open_mcast_sender(GROUP, PORT, interfaces="lo") as sender:
            start = trio.current_time()
            await sender.send_batch([b"x"] * 128 * 20)
            assert sender.statistics().sent == 128 * 20
    assert kernel.made == {"sendmsg": 5 * 20}
    # Each unit is refused four times. Behind one that was taken, the first refusal is tried
    # again at once: so it is three pauses for all units but the first.
    assert trio.current_time() - start == pytest.approx(0.001 * ((2**4 - 1) + 19 * (2**3 - 1)))


async def test_units_as_large_as_can_be_are_handed_over_together(
    host: Host, kernel: Kernel
) -> None:
    with on(host):
        async with open_mcast_sender(GROUP, PORT, interfaces="lo") as sender:
            (outlet,) = sender._outlets.open_sockets
            payloads = [b"x" * 64] * 1_500
            assert outlet.send_batch(payloads, 0, (GROUP, PORT)) == 1_024
            assert outlet.send_batch(payloads, 1_024, (GROUP, PORT)) == 1_500 - 1_024
            assert outlet.send_batch([*payloads[:200], b"longer" * 20], 0, (GROUP, PORT)) == 200
            assert kernel.made == {"sendmsg": 8 + 4 + 2}
            kernel.refuse("sendmsg", errno.EAGAIN, after=14 + 3)
            assert outlet.send_batch(payloads, 0, (GROUP, PORT)) == 3 * 128
            with pytest.raises(BlockingIOError):
                outlet.send_batch(payloads, 3 * 128, (GROUP, PORT))


@pytest.mark.parametrize("passes", range(8))
@pytest.mark.parametrize("sizes", [[64] * 3000, [64, 65] * 1500], ids=["units", "sendmmsg"])
async def test_cancelled_batch_has_sent_a_prefix_and_counted_it(
    host: Host, sizes: list[int], passes: int
) -> None:
    payloads = [b"%0*d" % (size, number) for number, size in enumerate(sizes)]
    with ExitStack() as stack, on(host), trio.fail_after(5):
        (sock,) = open_sockets(stack, host, GROUP)
        async with (
            open_mcast_sender(GROUP, PORT, interfaces="lo") as sender,
            trio.open_nursery() as nursery,
        ):
            with trio.CancelScope() as scope:
                nursery.start_soon(cancel_after, scope, passes)
                await sender.send_batch(payloads)
            sent = sender.statistics().sent
            assert scope.cancelled_caught == (sent < len(payloads))
        assert [item.data for item in read_all(sock)] == payloads[:sent]


async def cancel_after(scope: trio.CancelScope, passes: int) -> None:
    for _ in range(passes):
        await trio.lowlevel.checkpoint()
    scope.cancel()


class OwnSteps(trio.abc.Instrument):
    """Counts the steps of one task."""

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self._task = task
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task is self._task


@pytest.mark.parametrize(("size", "most"), [(64, 1_024), (1_200, 256)])
async def test_other_tasks_have_turns_the_more_often_the_more_a_datagram_takes(
    host: Host, size: int, most: int
) -> None:
    async with sender_on(host, group_of("ipv4"), interfaces="lo") as sender:
        steps = OwnSteps(trio.lowlevel.current_task())
        trio.lowlevel.add_instrument(steps)
        await sender.send_batch([b"x" * size] * 4_096)
        trio.lowlevel.remove_instrument(steps)
        turns = 4_096 // most
        assert turns * 0.7 <= steps.count <= turns + 2
