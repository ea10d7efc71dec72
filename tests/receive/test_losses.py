"""Where datagrams get lost, with real sockets: every one is delivered, waiting or counted as lost.

All is sent on the host that receives. A copy for the own host goes straight to the sockets, so
nothing is lost before them.
"""

from __future__ import annotations

import errno
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, TypeAlias

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.lab import Host
from tests.lab.fixtures import TwoLans
from tests.lab.machine import on
from tests.support.askers import answer_all, counted
from tests.support.floods import flood
from tests.support.linux_sockets import numbered, send_unit
from tests.support.traffic import BOTH, FAMILIES, PORT, Family, group_of, plain_sender
from trio_mcast import (
    Datagram,
    DatagramCounts,
    McastReceiver,
    ReceiverStatistics,
    open_mcast_receiver,
    open_mcast_sender,
)
from trio_mcast._host.portable_socket import PosixSocket
from trio_mcast._receive.store import OVERFLOWS, Overflow

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import fast_path

pytestmark = pytest.mark.once

Key: TypeAlias = tuple[str, str]
EVERY_POLICY = pytest.mark.parametrize("overflow", OVERFLOWS)

GROUP = group_of("ipv4")


def assert_consistent(statistics: ReceiverStatistics) -> None:
    """The numbers fit each other, in total, of each membership, and of each interface and group."""
    parts = [*statistics.memberships, statistics.earlier]
    total = sum(parts, DatagramCounts())
    for name in ("interface", "group"):
        sums: dict[Any, DatagramCounts] = getattr(statistics, f"by_{name}")
        assert sum(sums.values(), statistics.earlier) == total
    for field in attrs.fields(DatagramCounts):
        assert getattr(statistics, field.name) == getattr(total, field.name)
    for counts in [statistics, *parts]:
        assert counts.received == counts.delivered + counts.waiting + counts.dropped_by_policy


def accounted(counts: DatagramCounts) -> int:
    """How many datagrams the counts tell of."""
    assert counts.dropped_by_kernel is not None
    return counts.delivered + counts.waiting + counts.dropped_by_kernel + counts.dropped_by_policy


async def until(
    receiver: McastReceiver, satisfied: Callable[[ReceiverStatistics], bool]
) -> ReceiverStatistics:
    """Let other tasks run until the statistics are so; they fit each other all the time."""
    while True:
        statistics = receiver.statistics()
        assert_consistent(statistics)
        if satisfied(statistics):
            return statistics
        await trio.lowlevel.checkpoint()


# To the datagram -------------------------------------------------------------------------------


class Traffic:
    """Numbered datagrams to each group on each interface of a host, and what came of them."""

    def __init__(self, stack: ExitStack, host: Host, groups: Iterable[str]) -> None:
        self.sent: Counter[Key] = Counter()
        self.taken: dict[Key, list[int]] = {}
        self._senders = {
            (group, name): stack.enter_context(plain_sender(host, group, name))
            for group in groups
            for name in BOTH
        }

    def send(self, count: int) -> None:
        """Send so many in all, to places chosen at random, without letting any task run."""
        for group, name in random.choices(list(self._senders), k=count):
            number = self.sent[group, name]
            # Of different sizes: kernels account for them differently.
            data = b"%-*d" % (random.choice([8, 300, 1200]), number)
            self._senders[group, name].sendto(data, (group, PORT))
            self.sent[group, name] += 1

    def take(self, datagrams: Iterable[Datagram]) -> None:
        for item in datagrams:
            self.taken.setdefault((str(item.group), item.interface.name), []).append(int(item.data))

    def assert_accounted(self, statistics: ReceiverStatistics) -> None:
        """Every datagram that was sent is accounted for, in every sum there is."""
        assert accounted(statistics) == self.sent.total()
        for item in statistics.memberships:
            key = (str(item.group), item.interface.name)
            assert accounted(item) == self.sent[key]
            assert item.delivered == len(self.taken.get(key, []))
        for name, counts in statistics.by_interface.items():
            assert accounted(counts) == sum(self.sent[key] for key in self.sent if key[1] == name)
        for group, counts in statistics.by_group.items():
            assert accounted(counts) == sum(self.sent[key] for key in self.sent if key[0] == group)
        for numbers in self.taken.values():
            assert numbers == sorted(set(numbers)), "in order, each once"


@EVERY_POLICY
@FAMILIES
async def test_every_datagram_is_accounted_for_under_overload(
    two_lans: TwoLans, family: Family, overflow: Overflow
) -> None:
    groups = [group_of(family, number) for number in (1, 2)]
    options: dict[str, Any] = {"max_buffered": 40, "receive_buffer_size": 20_000}
    with ExitStack() as stack, on(two_lans.a), trio.fail_after(20):
        traffic = Traffic(stack, two_lans.a, groups)
        async with open_mcast_receiver(
            groups, PORT, interfaces=BOTH, overflow=overflow, **options
        ) as receiver:
            for count in [400, *random.choices([10, 100, 400], k=20)]:
                traffic.send(count)
                await wait_all_tasks_blocked()
                if overflow != "wait":
                    # Nothing is left with the kernel.
                    traffic.assert_accounted(receiver.statistics())
                for _ in range(random.randrange(60)):
                    if not receiver.statistics().waiting:
                        break
                    traffic.take([receiver.receive_nowait()])
                assert_consistent(receiver.statistics())
            while accounted(receiver.statistics()) < traffic.sent.total():
                traffic.take(await receiver.receive_batch())
            statistics = receiver.statistics()
            traffic.assert_accounted(statistics)
            assert statistics.dropped_by_kernel
            assert bool(statistics.dropped_by_policy) == (overflow != "wait")
            assert set(statistics.by_interface) == set(BOTH)
            assert set(statistics.by_group) == set(groups)
        assert receiver.statistics() == statistics


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
@FAMILIES
async def test_policy_decides_whether_the_first_or_the_last_are_there(
    host: Host, family: Family, overflow: Overflow
) -> None:
    group = group_of(family)
    with on(host), plain_sender(host, group, "lo") as sender, trio.fail_after(10):
        async with open_mcast_receiver(
            group, PORT, interfaces="lo", max_buffered=50, overflow=overflow
        ) as receiver:
            for number in range(1_000):
                sender.sendto(b"%d" % number, (group, PORT))
                if number % 70 == 0:
                    await wait_all_tasks_blocked()
            await wait_all_tasks_blocked()
            statistics = receiver.statistics()
            assert (statistics.received, statistics.dropped_by_kernel) == (1_000, 0)
            assert (statistics.waiting, statistics.dropped_by_policy) == (50, 950)
            there = [int((await receiver.receive()).data) for _ in range(50)]
    assert there == list(range(950, 1_000) if overflow == "drop_oldest" else range(50))


async def test_units_are_counted_as_the_datagrams_they_are(host: Host) -> None:
    sent = 50 * 64
    with on(host), plain_sender(host, GROUP, "lo") as sender, trio.fail_after(10):
        # With so small a bound the kernel is asked to hand over single datagrams.
        async with open_mcast_receiver(
            GROUP, PORT, interfaces="lo", max_buffered=100, receive_buffer_size=20_000
        ) as receiver:
            for _ in range(50):
                send_unit(sender, (GROUP, PORT), b"".join(numbered(64)), 64)
            while accounted(receiver.statistics()) < sent:
                await receiver.receive_batch()
            statistics = receiver.statistics()
            assert statistics.dropped_by_kernel
            assert accounted(statistics) == sent
            assert statistics.received_bytes == 64 * statistics.received


async def test_unit_that_the_kernel_drops_whole_counts_once(host: Host) -> None:
    units = 50
    with on(host), plain_sender(host, GROUP, "lo") as sender, trio.fail_after(10):
        async with open_mcast_receiver(
            GROUP, PORT, interfaces="lo", receive_buffer_size=4_096
        ) as receiver:
            for _ in range(units):
                send_unit(sender, (GROUP, PORT), b"".join(numbered(64)), 64)
            await wait_all_tasks_blocked()
            statistics = receiver.statistics()
            whole, rest = divmod(statistics.received, 64)
            assert (rest, statistics.waiting) == (0, 64 * whole)
            assert statistics.dropped_by_kernel == units - whole


# A consumer that stops -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overflow", "wish", "max_buffered"),
    [
        ("wait", "singles", 100),
        ("wait", "units", 100),
        ("drop_oldest", "singles", 100),
        ("drop_oldest", "units", 2_000),
        ("drop_newest", "singles", 100),
        ("drop_newest", "units", 2_000),
    ],
)
async def test_consumer_that_stops_costs_no_more_than_the_bound(
    host: Host, overflow: Overflow, wish: str, max_buffered: int
) -> None:
    with flood(host, GROUP, "lo", wish), on(host), trio.fail_after(20):
        async with open_mcast_receiver(
            GROUP, PORT, interfaces="lo", max_buffered=max_buffered, overflow=overflow
        ) as receiver:

            def lost() -> int:
                counts = receiver.statistics()
                dropped = counts.dropped_by_kernel if overflow == "wait" else 0
                assert dropped is not None
                return dropped + counts.dropped_by_policy

            for _ in range(3):
                for _ in range(5):
                    assert len(await receiver.receive_batch()) <= max_buffered
                goal = lost() + 20 * max_buffered
                while lost() < goal:
                    assert len(list(receiver._intake.queue.waiting_datagrams())) <= max_buffered
                    await until(receiver, lambda seen: seen.waiting <= max_buffered)
                    await trio.lowlevel.checkpoint()
                await until(receiver, lambda seen: seen.waiting > max_buffered // 2)


# Sockets that are closed -----------------------------------------------------------------------


async def test_counts_of_a_socket_that_failed_stay(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = group_of("ipv4", 2)
    broken = False
    real_receive: Callable[..., list[Datagram]] = fast_path.LinuxSocket.receive

    def receive(sock: PosixSocket, *arguments: Any) -> list[Datagram]:
        if broken and sock.socket_spec.group == GROUP:
            raise OSError(errno.ENETDOWN, "Network is down")
        return real_receive(sock, *arguments)

    monkeypatch.setattr(fast_path.LinuxSocket, "receive", receive)
    with on(host), plain_sender(host, GROUP, "lo") as sender, trio.fail_after(5):
        async with open_mcast_receiver(
            [GROUP, other], PORT, interfaces="lo", max_buffered=10, receive_buffer_size=4_096
        ) as receiver:
            for _ in range(100):
                sender.sendto(b"12345", (GROUP, PORT))
            while accounted(receiver.statistics()) < 100:
                await receiver.receive_batch()
            before = receiver.statistics()
            assert before.dropped_by_kernel
            broken = True
            sender.sendto(b"never read", (GROUP, PORT))
            after = await until(receiver, lambda seen: bool(seen.sockets_failed))
            assert receiver.memberships[0].state == "failed"
    (failed,) = (item for item in after.memberships if item.group == GROUP)
    assert failed in before.memberships
    assert [item.group for item in after.memberships] == [other, GROUP]
    assert after == attrs.evolve(before, memberships=after.memberships, sockets_failed=1)


@EVERY_POLICY
@FAMILIES
async def test_group_that_is_left_and_joined_again_is_accounted_for(
    two_lans: TwoLans, family: Family, overflow: Overflow
) -> None:
    groups = [group_of(family, number) for number in (1, 2)]
    options: dict[str, Any] = {"max_buffered": 40, "receive_buffer_size": 20_000}
    with ExitStack() as stack, on(two_lans.a), trio.fail_after(20):
        traffic = Traffic(stack, two_lans.a, groups)
        async with open_mcast_receiver(
            groups, PORT, interfaces=BOTH, overflow=overflow, **options
        ) as receiver:
            for _ in range(5):
                traffic.send(400)
                await receiver.leave(groups[0])
                # What its sockets still had has been read.
                left = receiver.statistics().by_group[groups[0]]
                assert accounted(left) == sum(traffic.sent[groups[0], name] for name in BOTH)
                assert_consistent(receiver.statistics())
                for _ in range(receiver.statistics().waiting // 2):
                    traffic.take([receiver.receive_nowait()])
                await receiver.join(groups[0], interfaces=BOTH)
            while accounted(receiver.statistics()) < traffic.sent.total():
                traffic.take(await receiver.receive_batch())
            traffic.assert_accounted(receiver.statistics())
            assert len(receiver.statistics().memberships) == 4


async def test_interface_that_goes_and_comes_back_is_accounted_for(host: Host) -> None:
    with on(host), trio.fail_after(10):
        async with open_mcast_receiver(
            GROUP, PORT, interfaces="br0", allow_missing=True
        ) as receiver:
            for number in range(1, 4):
                host.run("ip", "link", "add", "br0", "type", "bridge")
                host.run("ip", "address", "add", "10.9.9.9/24", "dev", "br0")
                host.run("ip", "link", "set", "br0", "up")
                while receiver.memberships[0].state != "joined":
                    await trio.lowlevel.checkpoint()
                with plain_sender(host, GROUP, "br0") as sender:
                    for _ in range(100):
                        sender.sendto(b"12345", (GROUP, PORT))
                    while receiver.statistics().received < 100 * number:
                        await trio.lowlevel.checkpoint()
                host.run("ip", "link", "delete", "br0")
                while receiver.memberships[0].state == "joined":
                    await trio.lowlevel.checkpoint()
                (item,) = receiver.statistics().memberships
                assert (item.group, item.interface.name) == (GROUP, "br0")
                assert item.waiting == item.received == 100 * number


# Replies ---------------------------------------------------------------------------------------


async def test_replies_are_counted_by_interface_and_of_no_group(host: Host) -> None:
    with on(host), trio.fail_after(5):
        async with open_mcast_sender(GROUP, PORT, interfaces="lo", receive_replies=True) as asker:
            answer_all(host, asker, [b"here"] * 3)
            while counted(asker).received < 3:
                await trio.lowlevel.checkpoint()
            await asker.replies.receive()
            statistics = counted(asker)
            assert_consistent(statistics)
            (item,) = statistics.memberships
            assert (item.group, item.interface.name) == (None, "lo")
            assert (item.received, item.delivered, item.waiting) == (3, 1, 2)
            assert item.received_bytes == 3 * 4
            assert statistics.by_group == {None: statistics.by_interface["lo"]}
            asker.replies.close()
            answer_all(host, asker, [b"too late"])
            assert counted(asker) == statistics, "as things stood at the end"
    assert counted(asker) == statistics
