"""What a receiver does with what arrives: order, cancellation, backpressure, counting, closing."""

from __future__ import annotations

import errno
import logging
import random
import socket
from collections.abc import AsyncIterator
from typing import Literal

import pytest
import trio
import trio.testing

from tests.lab import Host
from tests.lab.machine import on
from tests.support.traffic import plain_sender
from tests.support.ways_to_receive import EVERY_CALL, Call
from trio_mcast import (
    Datagram,
    McastReceiver,
    McastSender,
    Membership,
    SocketSetupError,
    open_mcast_receiver,
    open_mcast_sender,
)

GROUP, PORT = "239.1.2.3", 5000


@pytest.fixture
async def sender(host: Host) -> AsyncIterator[McastSender]:
    with on(host):
        async with open_mcast_sender(GROUP, PORT, interfaces="lo") as sender:
            yield sender


def number_of(datagram: Datagram) -> int:
    return int(datagram.data)


async def send_numbers(sender: McastSender, numbers: range) -> None:
    for number in numbers:
        await sender.send(str(number).encode())


async def wait_until_read(receiver: McastReceiver, count: int) -> None:
    """Wait until the receiver's task has read so many datagrams from the kernel."""
    with trio.fail_after(5):
        while receiver.statistics().received < count:
            await trio.lowlevel.checkpoint()


async def test_receive_cancelled_at_random_points_loses_and_doubles_nothing(
    host: Host, sender: McastSender
) -> None:
    count, seed = 4_000, random.randrange(2**32)
    chance = random.Random(seed)
    numbers: list[int] = []
    cancelled = 0
    with on(host), trio.fail_after(20):
        async with (
            open_mcast_receiver(GROUP, PORT, interfaces="lo", max_buffered=50) as receiver,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_send_with_pauses, sender, count, random.Random(seed + 1))
            while len(numbers) < count:
                with trio.CancelScope() as scope:
                    if chance.random() < 0.5:
                        nursery.start_soon(_cancel_soon, scope, chance.randrange(4))
                    if chance.random() < 0.1:
                        scope.cancel()
                    numbers.append(number_of(await receiver.receive()))
                cancelled += scope.cancelled_caught
    assert numbers == list(range(count)), f"seed {seed}"
    assert cancelled > count // 20


async def _send_with_pauses(sender: McastSender, count: int, chance: random.Random) -> None:
    for number in range(count):
        await sender.send(str(number).encode())
        for _ in range(chance.randrange(4)):
            await trio.lowlevel.checkpoint()


async def _cancel_soon(scope: trio.CancelScope, passes: int) -> None:
    for _ in range(passes):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def test_batches_cancelled_at_random_points_lose_and_double_nothing(
    host: Host, sender: McastSender
) -> None:
    count, seed = 4_000, random.randrange(2**32)
    chance = random.Random(seed)
    numbers: list[int] = []
    with on(host), trio.fail_after(20):
        async with (
            open_mcast_receiver(GROUP, PORT, interfaces="lo", max_buffered=50) as receiver,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_send_with_pauses, sender, count, random.Random(seed + 1))
            while len(numbers) < count:
                with trio.CancelScope() as scope:
                    nursery.start_soon(_cancel_soon, scope, chance.randrange(6))
                    limit = chance.choice([None, 1, 7])
                    batch = await receiver.receive_batch(limit)
                    assert 1 <= len(batch) <= (limit or 50)
                    numbers.extend(number_of(item) for item in batch)
    assert numbers == list(range(count)), f"seed {seed}"


async def test_async_for_and_batches_give_every_datagram(host: Host, sender: McastSender) -> None:
    with on(host), trio.fail_after(5):
        async with open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver:
            await send_numbers(sender, range(10))
            singles = []
            async for datagram in receiver:
                singles.append(number_of(datagram))
                if len(singles) == 4:
                    break
            rest: list[int] = []
            async for batch in receiver.batches():
                rest.extend(number_of(item) for item in batch)
                if len(rest) == 6:
                    break
            assert (singles, rest) == ([0, 1, 2, 3], [4, 5, 6, 7, 8, 9])
            with pytest.raises(trio.WouldBlock):
                receiver.receive_nowait()


async def test_several_tasks_share_one_receiver(host: Host, sender: McastSender) -> None:
    seen: list[int] = []

    async def take(receiver: McastReceiver, count: int) -> None:
        for _ in range(count):
            seen.append(number_of(await receiver.receive()))

    with on(host), trio.fail_after(5):
        async with (
            open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver,
            trio.open_nursery() as nursery,
        ):
            for count in (1, 2, 3, 4):
                nursery.start_soon(take, receiver, count)
            await trio.testing.wait_all_tasks_blocked()
            await send_numbers(sender, range(10))
    assert sorted(seen) == list(range(10))


async def test_receiving_is_a_checkpoint_even_when_datagrams_wait(
    host: Host, sender: McastSender
) -> None:
    with on(host):
        async with open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver:
            await send_numbers(sender, range(4))
            await wait_until_read(receiver, 4)
            with trio.testing.assert_checkpoints():
                await receiver.receive()
            with trio.testing.assert_checkpoints():
                await receiver.receive()
            with trio.testing.assert_checkpoints():
                await receiver.receive_batch()


async def test_at_most_max_buffered_datagrams_wait_in_the_process(
    host: Host, sender: McastSender
) -> None:
    with on(host), trio.fail_after(5):
        async with open_mcast_receiver(GROUP, PORT, interfaces="lo", max_buffered=7) as receiver:
            await send_numbers(sender, range(100))
            await wait_until_read(receiver, 7)
            await trio.testing.wait_all_tasks_blocked()
            statistics = receiver.statistics()
            assert (statistics.received, statistics.waiting) == (7, 7)
            numbers: list[int] = []
            while len(numbers) < 100:
                numbers.append(number_of(await receiver.receive()))
                assert receiver.statistics().waiting <= 7
    assert numbers == list(range(100))


@pytest.mark.parametrize(
    ("overflow", "kept"), [("drop_oldest", range(93, 100)), ("drop_newest", range(7))]
)
async def test_receiver_that_drops_reads_on_and_keeps_max_buffered(
    host: Host, sender: McastSender, overflow: Literal["drop_oldest", "drop_newest"], kept: range
) -> None:
    with on(host), trio.fail_after(5):
        async with open_mcast_receiver(
            GROUP, PORT, interfaces="lo", max_buffered=7, overflow=overflow
        ) as receiver:
            await send_numbers(sender, range(100))
            await trio.testing.wait_all_tasks_blocked()
            statistics = receiver.statistics()
            assert (statistics.received, statistics.waiting) == (100, 7)
            assert [number_of(await receiver.receive()) for _ in kept] == list(kept)
            with pytest.raises(trio.WouldBlock):
                receiver.receive_nowait()


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
async def test_receiver_that_drops_keeps_max_buffered_of_what_comes_as_one_unit(
    host: Host, overflow: Literal["drop_oldest", "drop_newest"]
) -> None:
    with on(host), trio.fail_after(5):
        async with (
            open_mcast_receiver(
                GROUP, PORT, interfaces="lo", max_buffered=7, overflow=overflow
            ) as receiver,
            open_mcast_sender(GROUP, PORT, interfaces="lo") as unit_sender,
        ):
            await unit_sender.send_batch([b"%04d" % number for number in range(100)])
            await trio.testing.wait_all_tasks_blocked()
            statistics = receiver.statistics()
            assert (statistics.received, statistics.waiting) == (100, 7)


async def test_nothing_is_dropped_of_a_burst_if_the_program_takes_all_there_is(
    host: Host,
) -> None:
    with on(host), plain_sender(host, GROUP, "lo") as plain, trio.fail_after(5):
        async with open_mcast_receiver(
            GROUP, PORT, interfaces="lo", max_buffered=7, overflow="drop_oldest"
        ) as receiver:
            for number in range(200):  # Without a checkpoint: nothing is read yet.
                plain.sendto(b"%d" % number, (GROUP, PORT))
            numbers: list[int] = []
            while len(numbers) < 200:
                numbers.extend(map(number_of, await receiver.receive_batch()))
    assert numbers == list(range(200))


async def test_what_the_kernel_drops_is_counted(host: Host, sender: McastSender) -> None:
    sent = 2_000
    with on(host), trio.fail_after(10):
        async with open_mcast_receiver(
            GROUP, PORT, interfaces="lo", max_buffered=10, receive_buffer_size=10_000
        ) as receiver:
            await send_numbers(sender, range(sent))
            numbers: list[int] = []
            while receiver.statistics().dropped_by_kernel != sent - len(numbers):
                numbers.append(number_of(await receiver.receive()))
            statistics = receiver.statistics()
            assert statistics.dropped_by_kernel
            assert statistics.received == statistics.delivered == len(numbers)
            assert numbers == sorted(set(numbers))
        assert receiver.statistics() == statistics


@EVERY_CALL
async def test_every_call_after_closing_gives_closed_resource_error(
    call: Call, host: Host, sender: McastSender
) -> None:
    with on(host):
        async with open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver:
            await send_numbers(sender, range(3))
            await wait_until_read(receiver, 3)
            with trio.testing.assert_checkpoints():
                await receiver.aclose()
            await receiver.aclose()
            with pytest.raises(trio.ClosedResourceError):
                await call(receiver)
        with pytest.raises(trio.ClosedResourceError):
            await call(receiver)
        assert receiver.statistics().waiting == 3


async def test_closing_wakes_those_who_wait(host: Host) -> None:
    async def wait_for_the_end(receiver: McastReceiver) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await receiver.receive()

    with on(host), trio.fail_after(5):
        async with (
            open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver,
            trio.open_nursery() as nursery,
        ):
            for _ in range(3):
                nursery.start_soon(wait_for_the_end, receiver)
            await trio.testing.wait_all_tasks_blocked()
            await receiver.aclose()


async def test_aclose_closes_even_if_cancelled(host: Host) -> None:
    with on(host):
        async with open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver:
            with trio.CancelScope() as scope:
                scope.cancel()
                await receiver.aclose()
            assert scope.cancelled_caught
            assert GROUP not in host.read("/proc/net/mcfilter")
            with pytest.raises(trio.ClosedResourceError):
                await receiver.receive()


async def test_a_socket_that_cannot_be_read_fails_its_membership_only(
    host: Host,
    sender: McastSender,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken_group = "239.1.2.4"
    real_recvmsg = getattr(socket.socket, "recvmsg", None)
    assert real_recvmsg is not None

    def recvmsg(sock: socket.socket, size: int, control_size: int) -> object:
        if sock.getsockname()[0] == broken_group:
            raise OSError(errno.ENETDOWN, "Network is down")
        return real_recvmsg(sock, size, control_size)

    monkeypatch.setattr(socket.socket, "recvmsg", recvmsg)
    with on(host), trio.fail_after(5), caplog.at_level(logging.WARNING, "trio_mcast"):
        async with open_mcast_receiver([GROUP, broken_group], PORT, interfaces="lo") as receiver:
            await sender.send(b"0", to=broken_group)
            await sender.send(b"1")
            assert number_of(await receiver.receive()) == 1
            fine, broken = receiver.memberships
            assert (fine.group, fine.state, fine.error) == (GROUP, "joined", None)
            assert (broken.group, broken.state) == (broken_group, "failed")
            assert isinstance(broken.error, SocketSetupError)
            assert broken.error.errno == errno.ENETDOWN
    assert [record.message for record in caplog.records] == [str(broken.error)]


async def test_memberships_tell_group_interface_and_sources(host: Host) -> None:
    with on(host):
        async with open_mcast_receiver(
            ["239.1.2.3", "239.1.2.4"], PORT, interfaces="lo", sources=["10.0.0.1", "10.0.0.2"]
        ) as receiver:
            first, second = receiver.memberships
            assert isinstance(first, Membership)
            assert (first.group, second.group) == ("239.1.2.3", "239.1.2.4")
            assert first.interface.name == "lo"
            assert first.sources == ("10.0.0.1", "10.0.0.2")
            assert [item.name for item in receiver.interfaces] == ["lo"]


async def test_a_flooded_group_lets_others_have_their_turn(host: Host) -> None:
    quiet = "239.1.2.4"
    with host.inside():
        flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        flood.bind(("127.0.0.1", 0))
        flood.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    with flood, on(host), trio.fail_after(10):
        async with open_mcast_receiver([GROUP, quiet], PORT, interfaces="lo") as receiver:
            # Without a checkpoint, so that the receiver's task finds all of it at once.
            for number in range(1_000):
                flood.sendto(str(number).encode(), (GROUP, PORT))
            flood.sendto(b"quiet", (quiet, PORT))
            before_quiet = 0
            async for datagram in receiver:
                if datagram.group == quiet:
                    break
                before_quiet += 1
            # At most one helping of the flooded group comes first, not all of it.
            assert before_quiet < 200


@pytest.mark.parametrize(("wrong", "kind"), [(0, ValueError), (-1, ValueError), ("2", TypeError)])
async def test_receive_batch_refuses_a_wrong_limit(
    wrong: int, kind: type[Exception], host: Host
) -> None:
    with on(host):
        async with open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver:
            with pytest.raises(kind, match="max_datagrams"):
                await receiver.receive_batch(wrong)
