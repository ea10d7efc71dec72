"""Reading from many sockets at once: the same datagrams, by fewer calls."""

from __future__ import annotations

import errno
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

import attrs
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from tests.lab import Host
from tests.lab.fixtures import TwoHosts
from tests.lab.machine import on
from tests.support.leftovers import open_descriptors
from tests.support.linux_sockets import numbered, open_sockets, send_unit
from tests.support.loopback import LOCAL
from tests.support.readers import (
    groups_of,
    new_reader,
    one_pass,
    poller_of,
    read_now,
    together_of,
)
from tests.support.system_calls import Calls, refuse_ring
from tests.support.traffic import (
    EACH_FAMILY,
    FAMILIES,
    PORT,
    Family,
    address_of,
    await_payload,
    member,
    plain_sender,
)
from trio_mcast import Datagram, Endpoint, open_mcast_receiver

if sys.platform != "linux":
    pytest.skip("the ring is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import io_uring, read_many

pytestmark = pytest.mark.fast_path

AT_ONCE = io_uring.SOCKETS_AT_ONCE


def told(datagrams: Sequence[Datagram]) -> list[tuple[bytes, Endpoint, str | None, str]]:
    return [(item.data, item.source, item.group, item.interface.name) for item in datagrams]


def send_each(
    sender: socket.socket, groups: Sequence[str], data: bytes = b""
) -> list[tuple[bytes, Endpoint, str | None, str]]:
    """Send one datagram to each group, and tell what is to arrive; the group itself by default."""
    source = Endpoint(*sender.getsockname()[:2])
    for group in groups:
        sender.sendto(data or group.encode(), (group, PORT))
    return [(data or group.encode(), source, group, "lo") for group in groups]


# How many calls it takes -----------------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (8, [8]),
        (20, [20]),
        (AT_ONCE, [AT_ONCE]),
        (AT_ONCE + 1, [AT_ONCE]),
        (2 * AT_ONCE + 2, [AT_ONCE, AT_ONCE]),
    ],
)
def test_many_sockets_are_read_by_one_call_for_each_128(
    host: Host, calls: Calls, enters: list[int], family: Family, count: int, expected: list[int]
) -> None:
    groups = groups_of(family, count)
    with ExitStack() as stack, plain_sender(host, groups[0], "lo", LOCAL[family][0]) as sender:
        reader = new_reader(stack, host, open_sockets(stack, host, groups))
        for _ in range(3):
            sent = send_each(sender, groups)
            assert sorted(told(read_now(reader))) == sorted(sent)
            assert enters == expected
            enters.clear()
            # The last one or two are few, and read one by one; there is nothing else.
            assert calls.counts == ({"recvmsg": count - sum(expected)} if count > AT_ONCE else {})
            calls.counts.clear()
            calls.now += 1


def test_more_on_the_same_sockets_is_read_one_by_one(
    host: Host, calls: Calls, enters: list[int]
) -> None:
    groups = groups_of("ipv4", 20)
    with ExitStack() as stack, plain_sender(host, groups[0], "lo") as sender:
        reader = new_reader(stack, host, open_sockets(stack, host, groups))
        sent = send_each(sender, groups)
        for _ in range(100):
            sent += send_each(sender, groups[:3], b"again")
        assert Counter(told(read_now(reader))) == Counter(sent)
    # The first ones by the ring, the rest by calls for 1, 64, and then for more.
    assert enters == [20]
    assert calls.counts == {"recvmmsg": 3 * 3}


def test_few_ready_sockets_are_read_without_a_ring(
    host: Host, calls: Calls, enters: list[int]
) -> None:
    groups = groups_of("ipv4", 20)
    with ExitStack() as stack, plain_sender(host, groups[0], "lo") as sender:
        reader = new_reader(stack, host, open_sockets(stack, host, groups))
        before = open_descriptors()
        few = groups[: read_many.FEWEST - 1]
        sent = send_each(sender, few)
        assert sorted(told(one_pass(reader))) == sorted(sent)
        assert open_descriptors() == before
        assert (enters, calls.counts) == ([], {"recvmsg": len(few)})
        send_each(sender, groups[: read_many.FEWEST])
        assert len(read_now(reader)) == read_many.FEWEST
        assert enters == [read_many.FEWEST]
        assert len(open_descriptors() - before) == 3


def test_sockets_of_both_families_are_read_in_one_poller(
    host: Host, calls: Calls, enters: list[int]
) -> None:
    with ExitStack() as stack:
        sockets, senders = [], {}
        for family in EACH_FAMILY:
            groups = groups_of(family, 20)
            sockets += open_sockets(stack, host, groups)
            senders[family] = stack.enter_context(
                plain_sender(host, groups[0], "lo", LOCAL[family][0])
            )
        reader = new_reader(stack, host, sockets[::2] + sockets[1::2])
        for _ in range(3):
            sent = [
                item
                for family, sender in senders.items()
                for item in send_each(sender, groups_of(family, 20))
            ]
            assert sorted(told(read_now(reader)), key=str) == sorted(sent, key=str)
    assert enters == [20] * 6
    assert not any(map(together_of, sockets))


# The same datagrams on every path --------------------------------------------------------------

# What the system says to a ring: nothing against it, or this.
REFUSALS = [None, errno.ENOSYS, errno.EPERM, errno.ENOMEM]
COUNT = 20


@attrs.frozen
class Round:
    """What is sent in one go, to groups each of which gets so many datagrams or units.

    The first comes from ``sender``, and each other one from ``step`` senders further on. Sizes are
    taken in turn.
    """

    counts: tuple[int, ...]
    sizes: tuple[int, ...]
    sender: int
    step: int
    unit: int


sizes = st.integers(0, 3000) | st.sampled_from([0, 1, 64, 1472])
rounds = st.builds(
    Round,
    # Mostly one for each, or for nearly each: then they are read together.
    counts=st.just((1,) * COUNT)
    | st.integers(0, COUNT - 1).map(lambda odd: tuple(int(n != odd) for n in range(COUNT)))
    | st.lists(st.integers(0, 3), min_size=COUNT, max_size=COUNT).map(tuple)
    # Or more than are read one of each at a time.
    | st.integers(2, 20).map(lambda most: tuple(max(1, most - n % 3) for n in range(COUNT))),
    sizes=sizes.map(lambda size: (size,)) | st.lists(sizes, min_size=2, max_size=30).map(tuple),
    sender=st.integers(0, 3),
    step=st.sampled_from([0, 0, 1]),
    # Of how many datagrams each unit is; none is one.
    unit=st.sampled_from([0, 0, 0, 2, 5]),
)


def send_round(
    senders: Sequence[socket.socket], groups: Sequence[str], what: Round
) -> list[tuple[str, bytes, Endpoint]]:
    """Send it, and tell what is to arrive."""
    sent: list[tuple[str, bytes, Endpoint]] = []
    for turn in range(max(what.counts)):
        for number, group in enumerate(groups):
            if what.counts[number] <= turn:
                continue
            place = turn * COUNT + number
            sender = senders[(what.sender + place * what.step) % len(senders)]
            size = what.sizes[place % len(what.sizes)]
            data = (b"%d " % place * size)[:size]
            parts = [data]
            if what.unit and 0 < size <= 1400:
                parts = [*[data] * (what.unit - 1), data[: size // 2 + 1]]
                send_unit(sender, (group, PORT), b"".join(parts), size)
            else:
                sender.sendto(data, (group, PORT))
            source = Endpoint(*sender.getsockname()[:2])
            sent += [(group, part, source) for part in parts]
    return sent


@FAMILIES
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(traffic=st.lists(rounds, min_size=1, max_size=5), ttl=st.booleans())
def test_every_path_gives_the_same_datagrams(
    host: Host, family: Family, traffic: list[Round], ttl: bool
) -> None:
    groups = groups_of(family, COUNT)
    with ExitStack() as stack:
        # Two ports on each of two addresses.
        senders = [
            stack.enter_context(plain_sender(host, groups[0], "lo", address))
            for address in LOCAL[family] * 2
        ]
        opened = [open_sockets(stack, host, groups, receive_ttl=ttl) for _ in REFUSALS]
        readers = [new_reader(stack, host, sockets) for sockets in opened]
        total = 0
        for what in traffic:
            expected: dict[str, list[tuple[object, ...]]] = {group: [] for group in groups}
            for group, data, source in send_round(senders, groups, what):
                arrival = (1 if ttl else None, None, Endpoint(group, PORT), None)
                expected[group].append((data, source, "lo", *arrival))
                total += 1
            for refusal, reader in zip(REFUSALS, readers, strict=True):
                found: dict[str | None, list[tuple[object, ...]]] = {group: [] for group in groups}
                with pytest.MonkeyPatch.context() as patch:
                    if refusal is not None:
                        refuse_ring(patch, refusal)
                    for item in read_now(reader):
                        found[item.group].append(
                            (item.data, item.source, item.interface.name, *item[4:])
                        )
                assert found == expected, refusal
        for sockets in opened:
            assert sum(sock.received for sock in sockets) == total
            assert not any(sock.dropped() for sock in sockets)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.ENOMEM])
def test_refused_ring_is_not_tried_again(
    host: Host, calls: Calls, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    groups = groups_of("ipv4", COUNT)
    asked = refuse_ring(monkeypatch, number)
    with ExitStack() as stack, plain_sender(host, groups[0], "lo") as sender:
        reader = new_reader(stack, host, open_sockets(stack, host, groups))
        before = open_descriptors()
        for turn in range(1, 4):
            sent = send_each(sender, groups)
            assert sorted(told(read_now(reader))) == sorted(sent)
            calls.now += 1
            assert calls.counts == {"recvmsg": COUNT * turn}
        assert asked == [number]
        assert open_descriptors() == before


# Rejected sources ------------------------------------------------------------------------------


def test_rejected_sources_are_counted_exactly(host: Host, calls: Calls, enters: list[int]) -> None:
    groups = groups_of("ipv4", COUNT)
    # The kernel takes ten; the eleventh is rejected here.
    excluded = [f"10.9.9.{number}" for number in range(10)] + ["127.0.0.2"]
    with ExitStack() as stack:
        good, bad = (
            stack.enter_context(plain_sender(host, groups[0], "lo", address))
            for address in LOCAL["ipv4"]
        )
        sockets = open_sockets(stack, host, groups, excluded_sources=excluded)
        reader = new_reader(stack, host, sockets)
        sent = []
        found: list[Datagram] = []
        for _ in range(3):
            sent += send_each(good, groups[::2])
            send_each(bad, groups[1::2])
            found += read_now(reader)
            for group in groups:
                send_unit(bad, (group, PORT), b"x" * (2 * 64 + 1), 64)
            found += read_now(reader)
        assert Counter(told(found)) == Counter(sent)
    assert enters == [COUNT] * 6
    assert not calls.counts["recvmsg"] + calls.counts["recvmmsg"]
    assert [sock.received for sock in sockets] == [3, 0] * (COUNT // 2)
    assert [sock.rejected.total() for sock in sockets] == [9, 12] * (COUNT // 2)
    assert sum(sock.received_bytes for sock in sockets) == sum(len(item.data) for item in found)


def test_sockets_that_reject_differently_are_told_apart(
    host: Host, calls: Calls, enters: list[int]
) -> None:
    groups = groups_of("ipv4", COUNT)
    excluded = [f"10.9.9.{number}" for number in range(10)] + ["127.0.0.1"]
    with ExitStack() as stack, plain_sender(host, groups[0], "lo", "127.0.0.1") as sender:
        rejecting = open_sockets(stack, host, groups[1::2], excluded_sources=excluded)
        others = open_sockets(stack, host, groups[::2])
        # The first one, after which the others might be judged, rejects nothing.
        sockets = [each for pair in zip(others, rejecting, strict=True) for each in pair]
        reader = new_reader(stack, host, sockets)
        for _ in range(3):
            sent = send_each(sender, groups)
            assert sorted(told(read_now(reader))) == sorted(sent[::2])
        assert [sock.received for sock in sockets] == [3, 0] * (COUNT // 2)
        assert [sock.rejected.total() for sock in sockets] == [0, 3] * (COUNT // 2)
    assert enters == [COUNT] * 3
    assert not calls.counts


@FAMILIES
async def test_loopback_off_rejects_own_datagrams_only(
    two_hosts: TwoHosts, enters: list[int], family: Family
) -> None:
    groups, lan = groups_of(family, COUNT), two_hosts.lan
    with ExitStack() as stack:
        own, other = (
            stack.enter_context(plain_sender(host, groups[0], "eth0", address_of(family, number)))
            for number, host in enumerate((two_hosts.a, two_hosts.b), start=1)
        )
        program = stack.enter_context(member(two_hosts.a, groups[-1], "eth0"))
        sockets = open_sockets(stack, two_hosts.a, groups, "eth0", loopback=False)
        reader = new_reader(stack, two_hosts.a, sockets)
        await lan.wait_for_async(lambda seen: set(groups) <= {item.group for item in seen})
        for turn in range(1, 4):
            send_each(own, groups, b"own")
            await_payload(program, b"own")
            assert read_now(reader) == []
            last = b"last %d" % turn
            send_each(other, groups, last)
            await_payload(program, last)
            found = read_now(reader)
            assert sorted(str(item.group) for item in found) == sorted(groups)
            assert {item.source.host for item in found} == {address_of(family, 2)}
            assert {sock.rejected.total() for sock in sockets} == {turn}
            assert {sock.received for sock in sockets} == {turn}
    assert sum(enters) >= 6 * COUNT


# Room ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_buffered", [1, 7, 8, 13, 64, 100])
async def test_no_more_is_read_than_there_is_room_for(
    host: Host, enters: list[int], max_buffered: int
) -> None:
    groups = groups_of("ipv4", 2 * AT_ONCE + 2)
    with on(host), plain_sender(host, groups[0], "lo") as sender, trio.fail_after(10):
        async with open_mcast_receiver(
            groups, PORT, interfaces="lo", max_buffered=max_buffered
        ) as receiver:
            sent = []
            for number in range(3):
                sent += send_each(sender, groups, b"%d" % number)
            found: list[Datagram] = []
            while len(found) < len(sent):
                await wait_all_tasks_blocked()
                assert receiver._intake.queue.waiting <= max_buffered
                found.append(await receiver.receive())
            await wait_all_tasks_blocked()
            assert receiver.statistics().received == len(sent)
    assert Counter(told(found)) == Counter(sent)
    for group in groups:
        assert [item.data for item in found if item.group == group] == [b"0", b"1", b"2"]
    assert max(enters, default=0) <= max_buffered
    assert bool(enters) == (max_buffered >= read_many.FEWEST)


def test_units_count_as_so_many_datagrams_where_room_is_short(
    host: Host, enters: list[int]
) -> None:
    groups = groups_of("ipv4", COUNT)
    with ExitStack() as stack, plain_sender(host, groups[0], "lo") as sender:
        # What is told of a queue is not looked at: nothing is put into it.
        reader = new_reader(stack, host, open_sockets(stack, host, groups), max_buffered=200)
        for _ in range(2):
            for group in groups:
                send_unit(sender, (group, PORT), b"x" * 64 * 16, 64)
        # What comes is not known before: then one of each, and no more.
        assert len(one_pass(reader)) == 16 * COUNT
        assert len(one_pass(reader)) <= 200 + 15
        assert enters[1:] == [200 // 16]
        assert poller_of(reader).likely_ready()


def test_numbered_datagrams_of_one_group_stay_in_order(host: Host, enters: list[int]) -> None:
    groups = groups_of("ipv4", COUNT)
    with ExitStack() as stack, plain_sender(host, groups[0], "lo") as sender:
        reader = new_reader(stack, host, open_sockets(stack, host, groups))
        found: list[Datagram] = []
        for number, data in enumerate(numbered(50)):
            send_each(sender, groups, data)
            if number % 3 == 0:
                found += one_pass(reader)
        found += read_now(reader)
        for group in groups:
            assert [item.data for item in found if item.group == group] == numbered(50)
    assert enters
