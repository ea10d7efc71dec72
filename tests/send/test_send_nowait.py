"""`McastSender.send_nowait`: as far as there is room, and without a pass of the scheduler."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import trio
import trio.testing

from tests.lab import Host
from tests.lab.fixtures import TwoHosts, TwoLans
from tests.support.traffic import BOTH, PORT, TIMEOUT_SECONDS, receiver_on, refusals_in, sender_on
from tests.support.virtual_hosts import (
    GROUP4,
    GROUP6,
    PLATFORMS,
    add_second_lan,
    drain,
    receiving,
    sending,
    two_on_lan,
)
from trio_mcast import McastSender, SocketSetupError

pytestmark = pytest.mark.once

SMALL: dict[str, Any] = {"send_buffer_size": 20_000}


def slow_down(host: Host, *interfaces: str, rate: str = "8kbit") -> None:
    for name in interfaces:
        host.run(*f"tc qdisc replace dev {name} root tbf rate {rate} burst 20kb limit 10mb".split())


def empty_queue(host: Host) -> None:
    """Have the link be fast again; what has queued up is dropped."""
    host.run(*["tc", "qdisc", "delete", "dev", "eth0", "root"])


def fill(sender: McastSender, **where: Any) -> int:
    """Send until there is no room, and return how many were sent."""
    for number in range(10_000):
        try:
            sender.send_nowait(bytes(1_000), **where)
        except trio.WouldBlock:
            return number
    raise AssertionError("there was always room")


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_datagram_is_sent_at_once_where_it_is_to_go(
    platform: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with two_on_lan(platform) as lan:
        add_second_lan(lan)
        async with (
            receiving(lan.a, [GROUP4, GROUP6]) as receiver,
            sending(lan.b, GROUP4, interfaces="eth0") as one,
            sending(lan.b, [GROUP4, GROUP6], interfaces=["eth0", "eth1"]) as four,
        ):
            with trio.testing.assert_no_checkpoints():
                one.send_nowait(b"1")
                one.send_nowait(bytearray(b"2"))
                four.send_nowait(b"3")
                four.send_nowait(b"4", to=GROUP6)
                four.send_nowait(b"5", interface="eth1")
                one.send_nowait(b"6", to=("10.0.0.1", 9))
            assert sorted(it.data for it in await drain(receiver)) == [
                *[b"1", b"2"], *[b"3"] * 4, *[b"4"] * 2, *[b"5"] * 2
            ]  # fmt: skip
            assert (one.statistics().sent, four.statistics().sent) == (3, 8)


async def test_without_room_it_would_block_and_nothing_is_counted(two_hosts: TwoHosts) -> None:
    slow_down(two_hosts.a, "eth0")
    async with sender_on(two_hosts.a, GROUP4, interfaces="eth0", **SMALL) as sender:
        sent = fill(sender)
        assert sent > 5
        for _ in range(3):
            with pytest.raises(trio.WouldBlock):
                sender.send_nowait(bytes(1_000))
        statistics = sender.statistics()
        assert (statistics.sent, statistics.failed) == (sent, 0)
        empty_queue(two_hosts.a)
        with trio.fail_after(TIMEOUT_SECONDS):
            await sender.send(b"")
        sender.send_nowait(bytes(1_000))


async def test_where_some_have_room_the_full_ones_count_as_failed(two_lans: TwoLans) -> None:
    slow_down(two_lans.a, "eth0")
    async with (
        receiver_on(two_lans, two_lans.b, GROUP4, interfaces="eth1") as receiver,
        sender_on(two_lans.a, GROUP4, interfaces=BOTH, **SMALL) as sender,
    ):
        sent = fill(sender, interface="eth0")
        for number in range(5):
            sender.send_nowait(b"%d" % number)
        counts = sender.statistics().interfaces
        assert (counts["eth0"].sent, counts["eth0"].failed) == (sent, 5)
        assert (counts["eth1"].sent, counts["eth1"].failed) == (5, 0)
        assert counts["eth0"].last_error is not None
        assert counts["eth0"].last_error.errno == errno.EAGAIN
        with trio.fail_after(TIMEOUT_SECONDS):
            assert [(await receiver.receive()).data for _ in range(5)] == [
                b"0",
                b"1",
                b"2",
                b"3",
                b"4",
            ]
        slow_down(two_lans.a, "eth1")
        fill(sender, interface="eth1")
        with pytest.raises(trio.WouldBlock):
            sender.send_nowait(bytes(1_000))
        assert sender.statistics().interfaces["eth0"].failed == 5


async def test_task_that_waits_goes_first(two_hosts: TwoHosts) -> None:
    slow_down(two_hosts.a, "eth0")
    async with sender_on(two_hosts.a, GROUP4, interfaces="eth0", **SMALL) as sender:
        fill(sender)
        with trio.fail_after(TIMEOUT_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender.send, b"waits")
                await trio.testing.wait_all_tasks_blocked()
                empty_queue(two_hosts.a)  # There is room now, and the task has not run again.
                sender._outlets.open_sockets[0].send(b"room", (GROUP4, PORT))
                with pytest.raises(trio.WouldBlock):
                    sender.send_nowait(b"later")
        sender.send_nowait(b"later")
        assert not sender._transmitter.turns.taken


async def test_sender_that_drops_drops(two_hosts: TwoHosts) -> None:
    slow_down(two_hosts.a, "eth0")
    options = {"interfaces": "eth0", "overflow": "drop", **SMALL}
    async with sender_on(two_hosts.a, GROUP4, **options) as sender:
        for _ in range(200):
            sender.send_nowait(bytes(1_000))
        statistics = sender.statistics()
        assert statistics.sent + statistics.failed == 200
        assert statistics.failed > 100


async def test_refusal_is_raised_as_by_send(two_lans: TwoLans) -> None:
    a = two_lans.a
    async with (
        sender_on(a, GROUP4, interfaces="eth0") as one,
        sender_on(a, GROUP4, interfaces=BOTH) as two,
    ):
        with pytest.raises(SocketSetupError, match="port 0"):
            one.send_nowait(b"", to=("10.0.1.2", 0))
        a.down("eth0")
        with pytest.raises(SocketSetupError, match="on interface eth0"):
            one.send_nowait(b"")
        assert one.statistics().failed == 2
        two.send_nowait(b"")
        counts = two.statistics().interfaces
        assert (counts["eth0"].failed, counts["eth1"].sent) == (1, 1)
        a.down("eth1")
        with pytest.raises(Exception, match="nothing could be sent") as caught:
            two.send_nowait(b"")
        assert [error.interface for error in refusals_in(caught.value)] == BOTH
        with pytest.raises(TypeError, match="data must be bytes-like"):
            two.send_nowait("text")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="which has eth0, eth1"):
            two.send_nowait(b"", interface="eth7")
        two.close()
        with pytest.raises(trio.ClosedResourceError):
            two.send_nowait(b"")
