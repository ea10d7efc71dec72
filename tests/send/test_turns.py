"""Several tasks that send through one sender while its send buffer is full."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.lab import Host, Lab
from tests.lab.fixtures import TwoHosts
from tests.lab.machine import on
from tests.support.traffic import PORT, TIMEOUT_SECONDS, plain_socket, receiver_on, sender_on
from tests.support.waiting import until
from trio_mcast import McastSender, open_mcast_sender
from trio_mcast._host.portable_socket import PosixSocket
from trio_mcast._plan.socket_spec import BindAddress

pytestmark = pytest.mark.once

GROUP = "239.1.2.3"
TASKS = 4
COUNT = 120


def slow_down(host: Host, rate: str) -> None:
    """Have datagrams queue up behind a slow link, and so fill a sender's buffer."""
    host.run(*f"tc qdisc replace dev eth0 root tbf rate {rate} burst 20kb limit 10mb".split())


def sender_behind(
    network: TwoHosts, rate: str = "8kbit", **options: Any
) -> AbstractAsyncContextManager[McastSender]:
    """A sender on host a, whose buffer holds some 17 datagrams of 1,000 bytes."""
    slow_down(network.a, rate)
    return sender_on(
        network.a, GROUP, **{"interfaces": "eth0", "send_buffer_size": 20_000, **options}
    )


async def send_until_full(sender: McastSender, ended: list[str], name: str = "") -> None:
    """Send without end; note with what it ends."""
    try:
        while True:
            await sender.send(bytes(1_000))
    except trio.ClosedResourceError:
        ended.append(f"{name} closed")
    except trio.Cancelled:
        ended.append(f"{name} cancelled")
        raise


async def send_numbered(sender: McastSender, task: int, how: str) -> None:
    payloads = [b"%d %03d " % (task, number) + bytes(990) for number in range(COUNT)]
    if how == "batch":
        await sender.send_batch(payloads)
    else:
        for payload in payloads:
            await sender.send(payload)


# On a slow link --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [["send"] * TASKS, ["batch"] * TASKS, ["send", "batch", "send", "batch"]],
    ids=["send", "batch", "both"],
)
@pytest.mark.parametrize("replies", [False, True])
async def test_each_task_waits_and_has_all_of_its_own_sent_in_order(
    two_hosts: TwoHosts, how: list[str], replies: bool
) -> None:
    b = two_hosts.b
    got: list[list[bytes]] = [[] for _ in range(TASKS)]
    async with (
        receiver_on(two_hosts, b, GROUP, interfaces="eth0") as receiver,
        sender_behind(two_hosts, "30mbit", receive_replies=replies) as sender,
    ):
        with trio.fail_after(2 * TIMEOUT_SECONDS):
            async with trio.open_nursery() as nursery:
                for task in range(TASKS):
                    nursery.start_soon(send_numbered, sender, task, how[task])
                for number in range(TASKS * COUNT):
                    datagram = await receiver.receive()
                    got[int(datagram.data[:1])].append(datagram.data[2:5])
                    if replies and number % 50 == 0:  # While some of the tasks wait to send.
                        with plain_socket(b, "ipv4") as sock:
                            sock.sendto(b"reply %d" % number, sender.local_endpoints[0])
                        reply = await sender.replies.receive()
                        assert reply.data == b"reply %d" % number
        assert got == [[b"%03d" % number for number in range(COUNT)]] * TASKS
        assert (sender.statistics().sent, sender.statistics().failed) == (TASKS * COUNT, 0)


async def test_no_task_is_kept_waiting_by_others_that_go_on_sending(two_hosts: TwoHosts) -> None:
    sent = [0] * TASKS

    async def send_on_and_on(task: int) -> None:
        while True:
            await sender.send(bytes(1_000))
            sent[task] += 1

    async with (
        sender_behind(two_hosts, "30mbit") as sender,
        trio.open_nursery() as nursery,
    ):
        for task in range(TASKS):
            nursery.start_soon(send_on_and_on, task)
        await until(lambda: sum(sent) >= 1_000, True)
        nursery.cancel_scope.cancel()
    assert max(sent) - min(sent) <= 30  # Some ten fit in before the first has to wait.


async def test_all_that_wait_are_told_that_the_sender_was_closed(two_hosts: TwoHosts) -> None:
    ended: list[str] = []
    async with sender_behind(two_hosts) as sender:
        with trio.fail_after(TIMEOUT_SECONDS):
            async with trio.open_nursery() as nursery:
                for number in range(TASKS):
                    nursery.start_soon(send_until_full, sender, ended, str(number))
                await wait_all_tasks_blocked()
                assert not ended
                sender.close()
    assert sorted(ended) == [f"{number} closed" for number in range(TASKS)]
    assert not sender._transmitter.turns.taken


async def test_others_go_on_when_the_one_whose_turn_it_is_is_cancelled(
    two_hosts: TwoHosts,
) -> None:
    ended: list[str] = []
    scopes = [trio.CancelScope() for _ in range(TASKS)]

    async def send_in(scope: trio.CancelScope, name: str) -> None:
        with scope:
            await send_until_full(sender, ended, name)

    async with sender_behind(two_hosts) as sender:
        with trio.fail_after(TIMEOUT_SECONDS):
            async with trio.open_nursery() as nursery:
                for number, scope in enumerate(scopes):
                    nursery.start_soon(send_in, scope, str(number))
                await wait_all_tasks_blocked()
                # Each in turn, so that it is also the turn of one that is cancelled.
                for number, scope in enumerate(scopes[:-1]):
                    scope.cancel()
                    await wait_all_tasks_blocked()
                    assert ended == [f"{each} cancelled" for each in range(number + 1)]
                before = sender.statistics().sent
                two_hosts.a.run("tc", "qdisc", "delete", "dev", "eth0", "root")
                await until(lambda: sender.statistics().sent > before + 100, True)
                scopes[-1].cancel()
    assert not sender._transmitter.turns.taken


async def test_all_that_wait_go_on_through_the_socket_that_comes_in_place(
    two_hosts: TwoHosts,
) -> None:
    counts, wanted = [0] * TASKS, [20] * TASKS

    async def send_some(task: int) -> None:
        for _ in range(wanted[task]):
            await sender.send(bytes(1_000))
            counts[task] += 1

    async with sender_behind(two_hosts, send_buffer_size=60_000) as sender:
        with trio.fail_after(TIMEOUT_SECONDS):
            async with trio.open_nursery() as nursery:
                for task in range(TASKS):
                    nursery.start_soon(send_some, task)
                await wait_all_tasks_blocked()
                assert sum(counts) < sum(wanted) - TASKS
                two_hosts.a.address("eth0", add=["10.0.1.9/24"], remove=["10.0.1.1/24"])
                await until(lambda: sender.local_endpoints[0].host, "10.0.1.9")
        statistics = sender.statistics()
    assert counts == wanted
    assert (statistics.sent, statistics.failed) == (sum(wanted), 0)


# The order -------------------------------------------------------------------------------------


class Buffer:
    """A send buffer that has room when told so; a socket of the system cannot be told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 0
        self.sent: list[bytes] = []
        self._changed = trio.Event()
        self._waits = False
        monkeypatch.setattr(PosixSocket, "send", lambda _, data, to: self._send(data, to))
        monkeypatch.setattr(PosixSocket, "wait_writable", lambda _: self._wait())

    def _send(self, data: bytes, address: BindAddress) -> None:
        if not self.room:
            raise BlockingIOError
        self.room -= 1
        self.sent.append(data)

    async def _wait(self) -> None:
        assert not self._waits, "Trio lets one task wait for a socket"
        self._waits = True
        try:
            await self._changed.wait()
        finally:
            self._waits = False

    async def make_room(self, count: int = 1) -> None:
        self.room += count
        self._changed.set()
        self._changed = trio.Event()
        await wait_all_tasks_blocked()


async def test_room_is_given_in_the_order_of_coming(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = Buffer(monkeypatch)
    with on(lab.host("a")):
        async with (
            open_mcast_sender(GROUP, PORT, interfaces="lo") as sender,
            trio.open_nursery() as nursery,
        ):

            async def send_each(names: Iterable[bytes]) -> None:
                for name in names:
                    await sender.send(name)

            for names in ([b"a1", b"a2"], [b"b1"], [b"c1", b"c2"]):
                nursery.start_soon(send_each, names)
                await wait_all_tasks_blocked()
            await buffer.make_room()
            assert buffer.sent == [b"a1"]
            # What comes while others wait is behind them, also if there is room by then.
            buffer.room = 2
            nursery.start_soon(send_each, [b"d1"])
            await wait_all_tasks_blocked()
            assert buffer.sent == [b"a1"]
            await buffer.make_room(0)
            assert buffer.sent == [b"a1", b"b1", b"c1"]
            await buffer.make_room(9)
            assert buffer.sent == [b"a1", b"b1", b"c1", b"a2", b"d1", b"c2"]
            # Nobody waits any more, so nobody has to.
            await sender.send(b"e1")
            assert buffer.sent[-1] == b"e1"


async def test_full_buffer_of_one_interface_keeps_nobody_from_another(
    two_hosts: TwoHosts,
) -> None:
    ended: list[str] = []
    async with (
        sender_behind(two_hosts, interfaces=["eth0", "lo"]) as sender,
        trio.open_nursery() as nursery,
    ):
        for _ in range(2):
            nursery.start_soon(send_until_full, sender, ended)
        await wait_all_tasks_blocked()
        with trio.fail_after(TIMEOUT_SECONDS):
            for _ in range(100):
                await sender.send(b"x", to=("127.0.0.1", PORT))
        nursery.cancel_scope.cancel()
