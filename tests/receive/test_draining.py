"""Sockets that are about to be closed: read to the end, with turns for other tasks."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from itertools import repeat
from typing import Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.lab.fixtures import TwoLans
from tests.lab.machine import on
from tests.support.traffic import FAMILIES, PORT, Family, group_of, plain_sender
from tests.support.virtual_hosts import GROUP4, receiving, sending, two_on_lan
from trio_mcast import open_mcast_receiver, open_mcast_sender
from trio_mcast._host.current import current_host
from trio_mcast._receive import intake
from trio_mcast._receive.intake import Intake
from trio_mcast._receive.queue import DatagramQueue
from trio_mcast.testing import VirtualHost

pytestmark = pytest.mark.once

MEBIBYTE = 1_048_576


@pytest.mark.skipif(sys.platform != "linux", reason="the lab is for Linux only")
@FAMILIES
async def test_leaving_reads_what_has_come_to_its_end_however_much(
    family: Family, two_lans: TwoLans
) -> None:
    group, sent = group_of(family), 20_000
    with on(two_lans.a), plain_sender(two_lans.a, group, "eth0") as sock:
        async with open_mcast_receiver(
            group,
            PORT,
            interfaces="eth0",
            max_buffered=1,
            receive_buffer_size=16 * MEBIBYTE,
        ) as receiver:
            if receiver.statistics().receive_buffer_granted < 16 * MEBIBYTE:
                pytest.skip("the system grants no large buffer here")
            for _ in range(sent):
                sock.sendto(b"x", (group, PORT))
            await wait_all_tasks_blocked()
            await receiver.leave(group)
            totals = receiver.statistics()
    assert totals.dropped_by_kernel == 0
    assert (totals.received, totals.waiting) == (sent, 1)
    assert totals.dropped_by_policy == sent - 1, "what did not fit is counted as dropped"


class Endless:
    """A socket to which datagrams come faster than anybody reads."""

    receive_buffer_granted = 4 * 1_000

    def __init__(self) -> None:
        self.received = 0
        self.rejected: Counter[object] = Counter()
        self.left_at: int | None = None

    def receive(self, max_datagrams: int) -> list[Any]:
        self.received += max_datagrams
        return []

    def leave(self) -> None:
        self.left_at = self.received

    def __getattr__(self, name: str) -> Any:
        return getattr(ANY_PLAN, name)


class ANY_PLAN:
    class socket_spec:
        class interface:
            name, index = "eth0", 2


async def test_draining_ends_although_more_and_more_comes(on_virtual_host: VirtualHost) -> None:
    drained = Intake(current_host(), DatagramQueue(1), buffer_asked=1)
    endless = Endless()
    with trio.fail_after(5):
        await drained.drain(cast(Any, endless))
    assert endless.left_at == 0, "the group is left first"
    assert 1_000 <= endless.received < 1_000 + intake._DRAINED_AT_ONCE


async def turns_until(done: Callable[[], bool]) -> int:
    """Return how many turns this task has until something is done."""
    for turns, _ in enumerate(repeat(None)):
        if done():
            return turns
        assert turns < 5_000
        await trio.lowlevel.checkpoint()
    raise AssertionError


def open_sockets(reading: Intake) -> int:
    return len(list(reading._sockets()))


async def test_other_tasks_have_turns_while_a_socket_that_serves_no_longer_is_drained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "_TURN_SECONDS", 0.0)
    monkeypatch.setattr(intake, "_DRAINED_AT_ONCE", 1)
    async with (
        two_on_lan() as lan,
        receiving(lan.b, accept_unicast=True, max_buffered=1) as receiver,
        sending(lan.a, interfaces="eth0") as sender,
    ):
        before = open_sockets(receiver._intake)
        lan.b.interface("eth0").add_address("10.0.0.9/24")
        await turns_until(lambda: open_sockets(receiver._intake) == before + 1)
        await sender.send_batch([b"x"] * 200, to=("10.0.0.9", PORT))
        await wait_all_tasks_blocked()
        assert receiver.statistics().waiting <= 1
        lan.b.interface("eth0").remove_address("10.0.0.9")
        assert await turns_until(lambda: open_sockets(receiver._intake) == before) >= 190
        assert receiver.statistics().received == 200


async def test_other_tasks_have_turns_while_replies_of_an_old_socket_are_drained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "_TURN_SECONDS", 0.0)
    monkeypatch.setattr(intake, "_DRAINED_AT_ONCE", 1)
    async with two_on_lan() as lan, sending(lan.a, interfaces="eth0") as asker:
        with lan.b:
            async with open_mcast_sender(
                GROUP4, PORT, interfaces="eth0", receive_replies=True
            ) as sender:
                (endpoint,) = sender.local_endpoints
                replies = sender.replies._intake
                count = 1_024 + 200
                for _ in range(count):
                    await asker.send(b"x", to=endpoint)
                    await trio.lowlevel.checkpoint()
                await wait_all_tasks_blocked()
                assert replies.statistics().received == 1_024
                lan.b.interface("eth0").remove_address("10.0.0.2")
                lan.b.interface("eth0").add_address("10.0.0.9/24")
                closed = lambda: sender.local_endpoints != (endpoint,)  # noqa: E731
                assert await turns_until(closed) >= 190
                assert open_sockets(replies) == 1
                assert replies.statistics().received == count


@pytest.mark.parametrize("how", ["close", "leave"])
async def test_groups_are_left_in_the_order_in_which_linux_finds_them_at_once(how: str) -> None:
    groups = [f"239.1.2.{number}" for number in range(1, 6)]
    async with two_on_lan() as lan, receiving(lan.b, groups) as receiver:
        if how == "close":
            receiver.close()
        else:
            await receiver.leave(groups)
        assert lan.events("left", "b") == groups[::-1]
