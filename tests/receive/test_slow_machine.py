"""A machine on which each pass through the scheduler takes long."""

from __future__ import annotations

import itertools
import time

import pytest
import trio
import trio.testing

from tests.support.blocks import GROUP, INTERFACE, new_host
from trio_mcast import open_mcast_receiver, open_mcast_sender
from trio_mcast._receive.store import OVERFLOWS, Overflow
from trio_mcast.testing import VirtualNetwork

pytestmark = pytest.mark.once


@pytest.mark.parametrize("overflow", OVERFLOWS)
async def test_readers_of_a_full_queue_come_to_rest(
    overflow: Overflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with VirtualNetwork() as network:
        host = new_host(network)
        host.plug("virtual1", network.switch("other lan"), "10.0.1.1/24")
        names = [INTERFACE, "virtual1"]
        with host:
            async with (
                open_mcast_receiver(
                    GROUP, 5000, interfaces=names, max_buffered=2, overflow=overflow
                ) as receiver,
                open_mcast_sender(GROUP, 5000, interfaces=names) as sender,
            ):
                milliseconds = itertools.count()
                monkeypatch.setattr(time, "perf_counter", lambda: next(milliseconds) / 1_000)
                await sender.send_batch([b"1", b"2", b"3", b"4"])
                with trio.fail_after(5):
                    await trio.testing.wait_all_tasks_blocked()
                assert receiver.statistics().waiting == 2
                await sender.send(b"5")
                with trio.fail_after(5):
                    await trio.testing.wait_all_tasks_blocked()
                assert (await receiver.receive()).data != b""
