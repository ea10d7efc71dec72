"""Sockets that are read all at once while each has something: what is told and counted is right."""

from __future__ import annotations

import random
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.lab import Host
from tests.lab.machine import on
from tests.support.linux_sockets import open_sockets
from tests.support.loopback import LOCAL
from tests.support.readers import (
    groups_of,
    new_reader,
    one_pass,
    payloads_and_groups,
    poller_of,
    read_now,
    send_each,
    together_of,
)
from tests.support.system_calls import ENTER
from tests.support.traffic import FAMILIES, PORT, Family, plain_sender
from trio_mcast import Datagram, McastReceiver, open_mcast_receiver
from trio_mcast._host.protocols import McastSocket

if sys.platform != "linux":
    pytest.skip("the ring is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import chunk, fast_path, io_uring, read_many

COUNT = 20
GROUPS = groups_of("ipv4", COUNT)

# Without a ring, the sockets would be read another way.
pytestmark = [pytest.mark.fast_path, pytest.mark.usefixtures("ring")]


def record(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done, in order: looking at each socket of a chunk, and reading by the ring."""
    events: list[str] = []
    look = chunk.Chunk._look

    def look_at_each(each: Any) -> Any:
        events.append("look")
        return look(each)

    def enter(ring: int, count: int) -> int:
        events.append(f"read {count}")
        return ENTER(ring, count)

    monkeypatch.setattr(chunk.Chunk, "_look", look_at_each)
    monkeypatch.setattr(io_uring, "_enter", enter)
    return events


# How they are read -----------------------------------------------------------------------------


@FAMILIES
def test_sockets_that_all_have_something_again_are_read_without_looking_at_each(
    host: Host, monkeypatch: pytest.MonkeyPatch, family: Family
) -> None:
    groups, events = groups_of(family, COUNT), record(monkeypatch)
    with ExitStack() as stack, plain_sender(host, groups[0], "lo", LOCAL[family][0]) as sender:
        sockets = open_sockets(stack, host, groups)
        reader = new_reader(stack, host, sockets)
        for number in range(5):
            events.clear()
            sent = send_each(sender, groups, b"%d" % number)
            assert payloads_and_groups(read_now(reader)) == sent
            # The look afterwards is for what more they have.
            seen = ["look", "read 20", "look"] if not number else ["read 20", "look"]
            assert events == seen
            assert all(map(together_of, sockets))


def test_sockets_of_which_one_has_nothing_are_looked_at_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = record(monkeypatch)
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS)
        reader = new_reader(stack, host, sockets)
        for number in range(2):
            sent = send_each(sender, GROUPS, b"all %d" % number)
            assert payloads_and_groups(read_now(reader)) == sent
        sent = send_each(sender, GROUPS[:7] + GROUPS[8:], b"others")
        found = read_now(reader)
        assert payloads_and_groups(found) == sent
        assert not any(map(together_of, sockets))
        assert [sock.received for sock in sockets] == [3] * 7 + [2] + [3] * 12
        events.clear()
        sent = send_each(sender, GROUPS[:7] + GROUPS[8:], b"others")
        assert payloads_and_groups(read_now(reader)) == sent
        assert events[:3] == ["look", "read 19", "look"]
        sent = send_each(sender, GROUPS, b"all")
        assert payloads_and_groups(read_now(reader)) == sent
        assert all(map(together_of, sockets))
        assert [sock.received for sock in sockets] == [5] * 7 + [3] + [5] * 12


def test_sockets_that_may_reject_are_not_read_so(host: Host) -> None:
    excluded = [f"10.9.9.{number}" for number in range(11)]
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS, excluded_sources=excluded)
        reader = new_reader(stack, host, sockets)
        for number in range(3):
            sent = send_each(sender, GROUPS, b"%d" % number)
            assert payloads_and_groups(read_now(reader)) == sent
            assert not any(map(together_of, sockets))


def test_changed_socket_is_told_of_as_it_is_now(host: Host) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS)
        reader = new_reader(stack, host, sockets)
        for number in range(2):
            send_each(sender, GROUPS, b"%d" % number)
            assert {item.interface.name for item in read_now(reader)} == {"lo"}
        assert together_of(sockets[0])
        socket_spec = sockets[3].socket_spec
        for changed in sockets[3:5]:
            changed.revise(
                attrs.evolve(
                    changed.socket_spec, interface=attrs.evolve(socket_spec.interface, mtu=1234)
                ),
                [],
            )
        assert not any(map(together_of, sockets))
        for number in range(2):
            send_each(sender, GROUPS, b"%d" % number)
            mtus = {str(item.group): item.interface.mtu for item in read_now(reader)}
            assert [group for group in GROUPS if mtus[group] == 1234] == GROUPS[3:5]
        assert [sock.received for sock in sockets] == [4] * COUNT


# What is counted -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_exact_whichever_socket_is_asked_and_when(host: Host, seed: int) -> None:
    chance = random.Random(seed)
    counted: Counter[str] = Counter()
    bytes_counted: Counter[str] = Counter()
    unsettled = 0
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS)
        reader = new_reader(stack, host, sockets)
        for _ in range(60):
            missing = chance.choice([0, 0, 0, 0, 0, 1, 15])
            size = chance.choice([0, 1, 100, 1472])
            for group in chance.sample(GROUPS, COUNT - missing):
                data = bytes(chance.choice([size] * 100 + [7]))
                sender.sendto(data, (group, PORT))
                counted[group] += 1
                bytes_counted[group] += len(data)
            read_now(reader)
            unsettled += reads_unsettled(sockets)
            for sock in chance.sample(sockets, chance.choice([0, 0, 0, 1, 5])):
                group = str(sock.socket_spec.group)
                if chance.random() < 0.5:
                    assert sock.received == counted[group]
                    assert sock.received_bytes == bytes_counted[group]
                else:
                    assert sock.received_bytes == bytes_counted[group]
                    assert sock.received == counted[group]
        assert unsettled
        poller_of(reader).close()
        assert {str(sock.socket_spec.group): sock.received for sock in sockets} == counted
        assert {
            str(sock.socket_spec.group): sock.received_bytes for sock in sockets
        } == bytes_counted


def reads_unsettled(sockets: Sequence[McastSocket]) -> int:
    """How many reads of all of them have not been counted for each yet."""
    return sum(
        item.unsettled
        for item in {
            sock.together
            for sock in sockets
            if isinstance(sock, fast_path.LinuxSocket) and sock.together is not None
        }
        if isinstance(item, read_many.Together)
    )


def counts_of(receiver: McastReceiver) -> dict[str, tuple[int, int]]:
    return {
        str(item.group): (item.received, item.received_bytes)
        for item in receiver.statistics().memberships
    }


@attrs.define
class Model:
    """What a receiver has to have counted."""

    joined: set[str]
    blocked: set[str] = attrs.Factory(set)
    counts: dict[str, tuple[int, int]] = attrs.Factory(dict)
    sent: Counter[object] = attrs.Factory(Counter)

    def send(self, sender: socket.socket, is_good: bool, groups: Sequence[str], size: int) -> None:
        for group in groups:
            sender.sendto(bytes(size), (group, PORT))
            if group in self.joined and (is_good or group not in self.blocked):
                number, total = self.counts.get(group, (0, 0))
                self.counts[group] = number + 1, total + size
                self.sent[(bytes(size), group)] += 1


# More than share an epoll.
MANY = groups_of("ipv4", 80)


@pytest.mark.parametrize("seed", range(6))
async def test_counts_are_exact_while_memberships_change(host: Host, seed: int) -> None:
    chance = random.Random(seed)
    model = Model(set(MANY), counts=dict.fromkeys(MANY, (0, 0)))
    found: list[Datagram] = []
    unsettled = 0
    with ExitStack() as stack:
        good, bad = (
            stack.enter_context(plain_sender(host, MANY[0], "lo", address))
            for address in LOCAL["ipv4"]
        )
        stack.enter_context(on(host))
        with trio.fail_after(20):
            async with open_mcast_receiver(
                MANY, PORT, interfaces="lo", max_buffered=1_000_000
            ) as receiver:
                for _ in range(40):
                    # What is sent twice is mostly counted together, and not for each yet.
                    for _ in range(2):
                        size = chance.choice([0, 5, 100])
                        is_good = chance.random() < 0.7
                        model.send(good if is_good else bad, is_good, MANY, size)
                        await wait_all_tasks_blocked()
                    some = chance.sample(MANY, chance.randrange(70))
                    model.send(good, True, chance.choice([some, []]), 50)
                    unsettled += reads_unsettled(list(receiver._intake._sockets()))
                    await change(receiver, model, chance)
                    await wait_all_tasks_blocked()
                    if chance.random() < 0.3:
                        assert counts_of(receiver) == model.counts
                    if chance.random() < 0.3 and receiver.statistics().waiting:
                        found += await receiver.receive_batch()
                while receiver.statistics().waiting:
                    found += await receiver.receive_batch()
                model.send(good, True, MANY, 3)
                await wait_all_tasks_blocked()
                waiting = len(model.joined)
                assert reads_unsettled(list(receiver._intake._sockets()))
            assert counts_of(receiver) == model.counts
            statistics = receiver.statistics()
    assert statistics.received == len(found) + waiting == statistics.delivered + statistics.waiting
    assert payloads_and_groups(found) == model.sent - Counter(
        (bytes(3), group) for group in model.joined
    )
    assert unsettled


async def change(receiver: McastReceiver, model: Model, chance: random.Random) -> None:
    """Leave, join, block, unblock, or nothing; what has come before is not affected."""
    what = chance.choice(["leave", "join", "block", "unblock", "none", "none"])
    joined = sorted(model.joined)
    if what == "leave":
        some = sorted(set(chance.sample(joined, 5)) - model.blocked)
        if len(joined) > 30 and some:
            await receiver.leave(some)
            model.joined -= set(some)
    elif what == "join":
        some = sorted(set(MANY) - model.joined)[:7]
        if some:
            await receiver.join(some)
            model.joined |= set(some)
    elif what == "block":
        await wait_all_tasks_blocked()
        some = chance.sample(sorted(model.joined - model.blocked), 3)
        for group in some:
            await receiver.block_source(LOCAL["ipv4"][1], groups=group)
        model.blocked |= set(some)
    elif what == "unblock":
        await wait_all_tasks_blocked()
        for group in model.blocked:
            await receiver.unblock_source(LOCAL["ipv4"][1], groups=group)
        model.blocked.clear()


async def test_counts_stay_when_a_receiver_is_closed(host: Host) -> None:
    with on(host), plain_sender(host, GROUPS[0], "lo") as sender, trio.fail_after(5):
        async with open_mcast_receiver(GROUPS, PORT, interfaces="lo") as receiver:
            for _ in range(3):
                send_each(sender, GROUPS, b"12345")
                await wait_all_tasks_blocked()
            sockets = list(receiver._intake._sockets())
            assert reads_unsettled(sockets) == 3
            receiver.close()
            assert counts_of(receiver) == dict.fromkeys(GROUPS, (3, 15))
            assert not any(map(together_of, sockets))
            assert {(sock.received, sock.received_bytes) for sock in sockets} == {(3, 15)}


def test_socket_that_is_closed_leaves_the_others_right(host: Host) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS)
        reader = new_reader(stack, host, sockets)
        for number in range(3):
            send_each(sender, GROUPS, b"%d" % number)
            assert len(read_now(reader)) == COUNT
        send_each(sender, GROUPS, b"last")
        reader.stop_socket(sockets[5])
        assert not any(map(together_of, sockets))
        assert payloads_and_groups(one_pass(reader)) == Counter(
            (b"last", group) for group in GROUPS if group != GROUPS[5]
        )
        assert [sock.received for sock in sockets] == [4] * 5 + [3] + [4] * 14
