"""Much of everything: sources, groups, floods, more than there is room for."""

from __future__ import annotations

import gc
import random
import struct
import sys
import tracemalloc
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address

import pytest
import trio
import trio.testing

from tests.lab import Host, Lab
from tests.lab.fixtures import TwoLans
from tests.lab.machine import on
from tests.support.floods import flood
from tests.support.leftovers import open_descriptors
from tests.support.linux_sockets import numbered, open_sockets, read_until, send_unit
from tests.support.needs import require
from tests.support.traffic import BOTH, PORT, group_of, plain_sender, receiver_on, sender_on
from trio_mcast import (
    Datagram,
    Endpoint,
    McastReceiver,
    McastReceiverSpec,
    McastSender,
    list_interfaces,
    open_mcast_receiver,
    open_mcast_sender,
)
from trio_mcast._host import endpoint_cache
from trio_mcast._host.endpoint_cache import CACHED_ENDPOINTS, EndpointCache
from trio_mcast._host.protocols import Rejection
from trio_mcast._platform.linux import LINUX

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

import resource

from trio_mcast._host.linux import buffers

pytestmark = pytest.mark.once

GROUP, QUIET = group_of("ipv4", 1), group_of("ipv4", 2)


# Sources ---------------------------------------------------------------------------------------


def forged(numbers: range) -> Iterator[bytes]:
    """The addresses of so many sources, as the kernel gives them."""
    layout = struct.Struct("=H2s4s8x")
    return (layout.pack(2, b"\x13\x88", struct.pack("!I", number)) for number in numbers)


def test_a_million_sources_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    # Decoding a million would take seconds, and is no matter here.
    source = Endpoint("10.0.0.1", 5000)
    monkeypatch.setattr(endpoint_cache, "decode_sockaddr", lambda *arguments: source)
    cache = EndpointCache(LINUX.sockaddr, ("eth0", 2), frozenset(), frozenset())
    for raw in forged(range(1_000_000)):
        cache[raw]
        assert len(cache) <= CACHED_ENDPOINTS


def test_many_sources_take_a_few_hundred_bytes_for_each_remembered_one() -> None:
    cache = EndpointCache(LINUX.sockaddr, ("eth0", 2), frozenset({"0.0.0.7"}), frozenset())
    tracemalloc.start()
    try:
        for number, raw in enumerate(forged(range(5 * CACHED_ENDPOINTS))):
            expected = (
                Rejection.EXCLUDED_SOURCE
                if number == 7
                else Endpoint(str(IPv4Address(number)), 5000)
            )
            assert cache[raw] == cache[raw] == expected
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1000 * CACHED_ENDPOINTS


def test_sources_of_many_ports_are_told_apart(host: Host) -> None:
    with ExitStack() as stack:
        (sock,) = open_sockets(stack, host, GROUP)
        senders = [stack.enter_context(plain_sender(host, GROUP, "lo")) for _ in range(300)]
        for turn in range(3):
            for number, sender in enumerate(senders):
                sender.sendto(b"%d %d" % (turn, number), (GROUP, PORT))
            found = read_until(sock, 300)
            assert [(item.data, item.source.port) for item in found] == [
                (b"%d %d" % (turn, number), sender.getsockname()[1])
                for number, sender in enumerate(senders)
            ]


def test_one_cache_serves_the_sockets_of_an_interface_and_goes_with_them(host: Host) -> None:
    with ExitStack() as stack:
        sockets = open_sockets(stack, host, [GROUP, QUIET], "lo")
        (other,) = open_sockets(
            stack,
            host,
            GROUP,
            loopback=False,
            excluded_sources=[f"10.9.9.{number}" for number in range(11)],
        )
        caches = {id(sock.endpoints) for sock in sockets}
        assert len(caches) == 1
        assert other.endpoints is not sockets[0].endpoints, "it rejects others"
        shared = weakref.ref(sockets[0].endpoints)
        sockets.pop()
        gc.collect()
        assert shared() is not None
    del sockets, other
    gc.collect()
    assert shared() is None


# A queue that is bounded -----------------------------------------------------------------------


async def take_slowly(receiver: McastReceiver, count: int, bound: int) -> list[Datagram]:
    """Receive one by one; the counts are right and the bound is kept all the time."""
    found: list[Datagram] = []
    while len(found) < count:
        found.append(await receiver.receive())
        statistics = receiver.statistics()
        assert statistics.delivered == len(found)
        assert statistics.received == statistics.delivered + statistics.waiting
        assert statistics.waiting <= bound
    return found


async def test_small_bound_is_exact_though_datagrams_come_as_units(host: Host) -> None:
    sent = numbered(200)
    with on(host), trio.fail_after(5):
        spec = McastReceiverSpec(GROUP, PORT, interfaces="lo", max_buffered=7)
        (plan,) = spec.plan(list_interfaces())
        assert "UDP_GRO" not in {option.symbol for option in plan.options}
        async with (
            spec.open() as receiver,
            open_mcast_sender(GROUP, PORT, interfaces="lo") as sender,
        ):
            await sender.send_batch(sent)
            await trio.testing.wait_all_tasks_blocked()
            assert receiver.statistics().waiting == 7
            assert [item.data for item in await take_slowly(receiver, 200, 7)] == sent


@pytest.mark.parametrize("size", [16, 50, 64, 128])
async def test_bound_is_exceeded_by_less_than_a_unit(host: Host, size: int) -> None:
    count = 1536 // size * size
    sent = numbered(count)
    with on(host), plain_sender(host, GROUP, "lo") as sender, trio.fail_after(10):
        async with open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver:
            for start in range(0, count, size):
                send_unit(sender, (GROUP, PORT), b"".join(sent[start : start + size]), 64)
            await trio.testing.wait_all_tasks_blocked()
            assert 1024 <= receiver.statistics().waiting < 1024 + size
            found = await take_slowly(receiver, count, 1024 + size - 1)
            assert [item.data for item in found] == sent


async def test_units_after_single_datagrams_exceed_the_bound_by_one_read_at_most(
    host: Host,
) -> None:
    singles, units = 300, 300
    # It takes some four seconds, and on a busy machine several times that.
    with on(host), plain_sender(host, GROUP, "lo") as sender, trio.fail_after(60):
        async with open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver:
            for data in numbered(singles):
                sender.sendto(data, (GROUP, PORT))
            for _ in range(units):
                send_unit(sender, (GROUP, PORT), b"u" * 128, 1)
            await trio.testing.wait_all_tasks_blocked()
            # What a read brings is not known before: up to 256 units, where there were none so far.
            assert receiver.statistics().waiting <= 1024 + buffers.BATCH * 128
            found = await take_slowly(receiver, singles + 128 * units, 1024 + buffers.BATCH * 128)
            assert [item.data for item in found] == numbered(singles) + [b"u"] * 128 * units


# Floods ----------------------------------------------------------------------------------------

KINDS = pytest.mark.parametrize("wish", ["units", "singles"])

# How many batches of a flood may come before a datagram of another group or interface. Arbitrary:
# where both wait for room, chance decides which comes first.
PATIENCE = 1_000


async def batches_before(receiver: McastReceiver, data: bytes) -> int:
    """Take batches until this datagram has come; how many came before."""
    count = 0
    async for batch in receiver.batches():
        if any(item.data == data for item in batch):
            return count
        count += 1
    raise AssertionError("a receiver does not end")


@KINDS
async def test_flooded_group_does_not_starve_another(host: Host, wish: str) -> None:
    with (
        flood(host, GROUP, "lo", wish),
        plain_sender(host, QUIET, "lo") as sender,
        on(host),
        trio.fail_after(20),
    ):
        async with open_mcast_receiver([GROUP, QUIET], PORT, interfaces="lo") as receiver:
            for number in range(20):
                sender.sendto(b"%d" % number, (QUIET, PORT))
                assert await batches_before(receiver, b"%d" % number) <= PATIENCE


@KINDS
async def test_flooded_interface_does_not_starve_another(two_lans: TwoLans, wish: str) -> None:
    async with (
        receiver_on(two_lans, two_lans.a, GROUP, interfaces=BOTH) as receiver,
        sender_on(two_lans.b, GROUP, interfaces="eth1") as sender,
    ):
        with flood(two_lans.b, GROUP, "eth0", wish), trio.fail_after(20):
            assert (await receiver.receive()).interface.name == "eth0"
            for number in range(20):
                await sender.send(b"%d" % number)
                assert await batches_before(receiver, b"%d" % number) <= PATIENCE


@KINDS
@pytest.mark.parametrize("max_buffered", [1024, 1_000_000])
async def test_other_tasks_run_while_flooded(host: Host, wish: str, max_buffered: int) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    with flood(host, GROUP, "lo", wish), on(host), trio.fail_after(20):
        async with (
            open_mcast_receiver(
                GROUP, PORT, interfaces="lo", max_buffered=max_buffered
            ) as receiver,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(count_turns)
            await receiver.receive()
            for _ in range(50):
                before, received = turns, receiver.statistics().received
                # Within one pass of the scheduler the order of the tasks is left to chance.
                await receiver.receive_batch()
                await receiver.receive_batch()
                assert turns > before
                # What was read meanwhile: a few turns' worth at the most.
                assert receiver.statistics().received - received <= 10 * (512 + 64 * 64)
            nursery.cancel_scope.cancel()


# Groups ----------------------------------------------------------------------------------------

GROUP_COUNT = 2_000
MANY_GROUPS = [f"239.20.{number // 200}.{number % 200 + 1}" for number in range(GROUP_COUNT)]
# A socket for each group on each interface, and some for everything else.
DESCRIPTORS = 2 * GROUP_COUNT + 200


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Raise the limit of open files for the test, or do not run it where that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        require(f"{DESCRIPTORS} open files are needed, and the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def many_hosts(lab: Lab) -> tuple[Host, Host]:
    """Two hosts on two switches that know nothing of groups, and so have nothing to learn."""
    hosts = lab.host("a"), lab.host("b")
    for lan in (1, 2):
        switch = lab.switch(f"lan{lan}", snooping=False)
        for number, host in enumerate(hosts, start=1):
            host.plug(f"eth{lan - 1}", switch, f"10.0.{lan}.{number}/24")
    return hosts


def tasks() -> list[str]:
    """The names of all tasks."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    found, unseen = [], [root]
    while unseen:
        task = unseen.pop()
        found.append(task.name)
        unseen += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return sorted(found)


@pytest.mark.usefixtures("many_descriptors")
async def test_2000_groups_on_two_interfaces_are_received_by_two_tasks(
    many_hosts: tuple[Host, Host],
) -> None:
    here, there = many_hosts
    descriptors, tasks_before = open_descriptors(), tasks()
    with trio.fail_after(60):
        async with sender_on(there, MANY_GROUPS, interfaces=BOTH) as sender:
            with on(here):
                async with open_mcast_receiver(MANY_GROUPS, PORT, interfaces=BOTH) as receiver:
                    assert [item.state for item in receiver.memberships] == ["joined"] * 4_000
                    await trio.testing.wait_all_tasks_blocked()
                    new = Counter(tasks()) - Counter(tasks_before)
                    assert new["read eth0"] == new["read eth1"] == 1
                    assert new.total() < 10, "as many for 2,000 groups as for one"
                    await assert_delivered(receiver, sender, random.sample(MANY_GROUPS, 200))
    assert tasks() == tasks_before
    assert open_descriptors() <= descriptors


async def assert_delivered(
    receiver: McastReceiver, sender: McastSender, groups: Sequence[str]
) -> None:
    for group in groups:
        await sender.send(group.encode(), to=group)
    found = [await receiver.receive() for _ in range(2 * len(groups))]
    assert sorted(
        (item.data.decode(), str(item.group), item.interface.name, item.source.host)
        for item in found
    ) == sorted(
        (group, group, interface, address)
        for group in groups
        for interface, address in (("eth0", "10.0.1.2"), ("eth1", "10.0.2.2"))
    )
    assert receiver.statistics().waiting == 0
