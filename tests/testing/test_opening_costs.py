"""The costs of plugging a host in, and of opening a receiver on it: counted, as times vary."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import FrameType
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trio_mcast import open_mcast_receiver
from trio_mcast.testing import VirtualNetwork

pytestmark = pytest.mark.once

HOSTS = 40


async def open_on_hosts(begin: Callable[[], None], end: Callable[[], None]) -> None:
    """Open a receiver on each of many hosts; count those after the first ones."""
    async with VirtualNetwork() as network, AsyncExitStack() as stack:
        lan = network.switch("lan")
        for number in range(2 * HOSTS):
            if number == HOSTS:
                begin()
            host = network.host(f"h{number}")
            host.plug("eth0", lan, f"10.0.0.{number + 1}/24")
            with host:
                opening = open_mcast_receiver("239.1.2.3", 5000, interfaces="eth0")
                await stack.enter_async_context(opening)
        await trio.testing.wait_all_tasks_blocked()
        end()


async def test_opening_takes_few_calls(autojump_clock: MockClock) -> None:
    calls = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    await open_on_hosts(lambda: sys.setprofile(count), lambda: sys.setprofile(None))
    assert calls / HOSTS < 920  # 835 on CPython 3.11


async def test_receiver_keeps_few_objects(autojump_clock: MockClock) -> None:
    counts = []

    def count() -> None:
        gc.collect()
        counts.append(len(gc.get_objects()))

    await open_on_hosts(count, count)
    assert (counts[1] - counts[0]) / HOSTS < 187  # 170 on CPython 3.11


async def test_opening_asks_the_machine_for_nothing(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat, asked = os.stat, list[str]()

    def count(path: Any, **options: Any) -> os.stat_result:
        asked.append(str(path))
        return stat(path, **options)

    await open_on_hosts(lambda: monkeypatch.setattr(os, "stat", count), monkeypatch.undo)
    assert [path for path in asked if path.startswith("/proc/")] == []
