"""The receive buffer: the size asked for and granted, and the first drop, which is logged."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from typing import Any

import pytest
import trio
import trio.testing

from tests.lab import Host
from tests.lab.machine import on
from tests.support.privileges import CAP_NET_ADMIN, has_capability, without_capability
from tests.support.traffic import PORT, plain_sender
from tests.support.waiting import until
from trio_mcast import McastReceiver, open_mcast_receiver
from trio_mcast._host.portable_socket import PosixSocket

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

GROUPS = ["239.1.2.3", "239.1.2.4"]
GROUP = GROUPS[0]


async def test_statistics_tell_the_buffers_asked_and_granted(host: Host) -> None:
    limit = int(host.read("/proc/sys/net/core/rmem_max")) if _has_rmem_max(host) else None
    with on(host):
        async with open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver:
            statistics = receiver.statistics()
            assert statistics.receive_buffer_asked == 1_048_576
            default = statistics.receive_buffer_granted
            assert limit is None or default == min(limit, 1_048_576)
        with without_capability(CAP_NET_ADMIN):
            opening = open_mcast_receiver(GROUP, PORT, interfaces="lo", receive_buffer_size=2**29)
            async with opening as receiver:
                statistics = receiver.statistics()
                assert statistics.receive_buffer_asked == 2**29
                assert 0 < statistics.receive_buffer_granted < 2**29
                assert limit is None or statistics.receive_buffer_granted == limit


async def test_program_with_the_privilege_is_granted_the_size_that_it_names(host: Host) -> None:
    if not has_capability(CAP_NET_ADMIN):
        pytest.skip("this needs CAP_NET_ADMIN")
    with on(host):
        async with open_mcast_receiver(
            [GROUP, "ff05::1:2"], PORT, interfaces="lo", receive_buffer_size=2**29
        ) as receiver:
            assert receiver.statistics().receive_buffer_granted == 2**29


def _has_rmem_max(host: Host) -> bool:
    # Shown inside a network namespace only by some kernels.
    try:
        host.read("/proc/sys/net/core/rmem_max")
    except OSError:
        return False
    return True


# The first drop ----------------------------------------------------------------------------------


def dropping(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the messages about drops, without their explanation."""
    return [
        record.getMessage().partition(" datagrams")[0]
        for record in caplog.records
        if "has dropped" in record.getMessage()
    ]


@pytest.fixture
def flood(host: Host) -> Iterator[Callable[[str, int], None]]:
    """Give a function that sends so many datagrams to a group, while no task runs."""
    with ExitStack() as stack:
        senders = {group: stack.enter_context(plain_sender(host, group, "lo")) for group in GROUPS}

        def send(group: str, count: int) -> None:
            for _ in range(count):
                senders[group].sendto(b"x", (group, PORT))

        yield send


def small(**settings: Any) -> AbstractAsyncContextManager[McastReceiver]:
    return open_mcast_receiver(
        GROUPS, PORT, interfaces="lo", receive_buffer_size=10_000, **settings
    )


async def test_first_drop_of_each_membership_is_logged_when_statistics_are_asked_for(
    host: Host, flood: Callable[[str, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    with on(host):
        async with small() as receiver:
            receiver.statistics()
            assert dropping(caplog) == []
            flood(GROUPS[0], 200)
            for _ in range(2):
                dropped = receiver.statistics().dropped_by_kernel
            expected = [f"group {GROUPS[0]} on interface lo: the system has dropped {dropped}"]
            assert dropping(caplog) == expected
            message = caplog.records[-1].getMessage()
            assert "(10000 bytes asked for, 10000 granted)" in message
            assert "net.core.rmem_max" in message
            await trio.testing.wait_all_tasks_blocked()
            flood(GROUPS[1], 200)
            flood(GROUPS[0], 200)
            receiver.statistics()
            assert len(dropping(caplog)) == 2
            assert GROUPS[1] in dropping(caplog)[1]


@pytest.mark.parametrize("how", ["leave", "close", "leave the block"])
async def test_drop_that_nobody_asked_for_is_logged_at_the_end(
    how: str, host: Host, flood: Callable[[str, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    with on(host):
        async with small() as receiver:
            flood(GROUPS[0], 200)
            assert dropping(caplog) == []
            if how == "leave":
                await receiver.leave(GROUPS[0])
            elif how == "close":
                receiver.close()
            if how != "leave the block":
                assert len(dropping(caplog)) == 1
    assert len(dropping(caplog)) == 1


async def test_drop_is_noticed_when_the_queue_fills(
    host: Host, flood: Callable[[str, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    with on(host):
        async with small(max_buffered=4):
            flood(GROUPS[0], 200)
            await trio.testing.wait_all_tasks_blocked()
            assert len(dropping(caplog)) == 1


async def test_drop_is_noticed_when_the_interfaces_change(
    host: Host, flood: Callable[[str, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    with on(host):
        async with small() as receiver:
            flood(GROUPS[0], 200)
            await trio.testing.wait_all_tasks_blocked()
            assert dropping(caplog) == []
            host.run("ip", "address", "add", "127.0.0.9/8", "dev", "lo")
            await until(lambda: len(dropping(caplog)), 1)
            assert receiver.memberships[0].state == "joined"


async def test_drop_is_looked_for_once_a_second_at_the_most(
    host: Host, flood: Callable[[str, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    real = PosixSocket.dropped

    def dropped(self: PosixSocket) -> int | None:
        nonlocal looks
        looks += 1
        return real(self)

    with on(host):
        async with small(max_buffered=1) as receiver:
            kind = type(next(iter(receiver._intake._sockets())))
            real = kind.dropped
            monkeypatch.setattr(kind, "dropped", dropped)
            with trio.move_on_after(0.5):
                while True:
                    flood(GROUPS[0], 3)
                    await trio.testing.wait_all_tasks_blocked()
                    with suppress(trio.WouldBlock):
                        while True:
                            receiver.receive_nowait()
            assert looks == len(GROUPS)
