"""Nothing grows with what strangers or time bring, and nothing keeps other tasks waiting."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.blocks import GROUP, INTERFACE, PORT, new_host, sender
from trio_mcast import open_mcast_receiver, open_mcast_sender
from trio_mcast._plan.socket_spec import MembershipPlan
from trio_mcast._receive import intake
from trio_mcast._receive.memberships import Memberships
from trio_mcast.testing import VirtualHost, VirtualNetwork

pytestmark = pytest.mark.once


async def test_refusals_of_ever_other_groups_are_remembered_up_to_a_bound() -> None:
    async with VirtualNetwork() as network:
        host = new_host(network)
        going = host.plug("virtual1", network.switch("other lan"), "10.0.1.1/24")
        with host:
            names = [INTERFACE, "virtual1"]
            async with open_mcast_sender(GROUP, PORT, interfaces=names) as opened:
                going.unplug()
                await wait_all_tasks_blocked()
                for number in range(600):
                    await opened.send(b"x", to=(f"239.2.{number >> 8}.{number & 255}", PORT))
                assert opened.statistics().failed == 600
                # Each was refused on one of the two, so nothing was raised.
                refused = opened._transmitter.refused
                assert len(refused) == 256
                assert ("239.2.2.87", "virtual1") in refused  # The last.


async def test_other_tasks_have_turns_while_full_sockets_are_left(
    on_virtual_host: VirtualHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_TURN_SECONDS", 0.0, raising=False)
    groups = 8
    names = [f"239.3.0.{number}" for number in range(1, 1 + groups)]
    async with (
        open_mcast_receiver(names, PORT, interfaces=INTERFACE, max_buffered=1) as receiver,
        sender() as opened,
        trio.open_nursery() as nursery,
    ):
        for name in names:
            await opened.send_batch([b"x"] * 1000, to=(name, PORT))
        await wait_all_tasks_blocked()
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        nursery.start_soon(count_turns)
        await trio.lowlevel.checkpoint()
        turns = 0
        await receiver.leave(names)
        counted = turns
        nursery.cancel_scope.cancel()
        assert receiver.memberships == ()
        totals = receiver.statistics()
        assert totals.received + (totals.dropped_by_kernel or 0) == 1000 * groups
        assert totals.received >= 500 * groups
    assert counted >= 2 * groups


async def test_blocking_the_thousandth_source_takes_no_plan_that_looks_at_all_others(
    on_virtual_host: VirtualHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = 0
    original = Memberships.plan

    async def count_plans(self: Memberships, *args: Any, **options: Any) -> list[MembershipPlan]:
        nonlocal planned
        planned += 1
        return await original(self, *args, **options)

    async with open_mcast_receiver(GROUP, PORT, interfaces=INTERFACE) as receiver:
        monkeypatch.setattr(Memberships, "plan", count_plans)
        sources = [f"10.9.{number >> 8}.{number & 255}" for number in range(1, 201)]
        for source in sources:
            await receiver.block_source(source)
        assert planned <= 10  # As many as the system leaves out itself.
        await receiver.unblock_source(sources[100])
        (membership,) = receiver.memberships
        assert membership.excluded_sources == (*sources[:100], *sources[101:])
        assert planned <= 10
