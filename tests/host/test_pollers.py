"""Ending a wait for sockets from outside; see also test_kqueue.py, and windows/test_polling.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.lab import Host, Lab
from tests.lab.fixtures import TwoLans
from tests.lab.machine import LabMachine, on
from tests.support.pollers import open_poller
from tests.support.traffic import PORT, plain_sender, receiver_on
from trio_mcast import McastReceiverSpec, open_mcast_sender
from trio_mcast._host.poller import PassPoller
from trio_mcast._host.protocols import McastSocket
from trio_mcast.testing import VirtualNetwork

GROUPS = ["239.1.2.3", "239.1.2.4"]


@attrs.frozen
class Bench:
    """Two sockets, a poller, and a function that sends to the first one."""

    poller: PassPoller
    sockets: list[McastSocket]
    send: Callable[[], object]


@asynccontextmanager
async def real(lab: Lab) -> AsyncIterator[Bench]:
    host = lab.host("a")
    machine = LabMachine(host)
    plan = McastReceiverSpec(GROUPS, PORT, interfaces="lo").plan(machine.list_interfaces())
    with plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = [machine.open_socket(item) for item in plan]
        poller = open_poller(machine)
        try:
            yield Bench(poller, sockets, lambda: sender.sendto(b"x", (GROUPS[0], PORT)))
        finally:
            poller.close()
            for item in sockets:
                item.close()


@asynccontextmanager
async def virtual(lab: Lab) -> AsyncIterator[Bench]:
    async with VirtualNetwork() as network:
        lan = network.switch("lan")
        host = network.host("a")
        host.plug("eth0", lan, "10.0.0.1/24")
        interfaces = host.list_interfaces()
        plan = McastReceiverSpec(GROUPS, PORT, interfaces="eth0").plan(interfaces, "linux")
        sockets = [host.open_socket(item) for item in plan]
        with host:
            async with open_mcast_sender(GROUPS[0], PORT, interfaces="eth0") as sender:
                (outlet,) = sender._outlets.open_sockets
                yield Bench(
                    open_poller(host),
                    sockets,
                    lambda: outlet.send(b"x", (GROUPS[0], PORT)),
                )


EACH = pytest.mark.parametrize("bench_of", [real, virtual])
BenchOf = Callable[[Lab], AbstractAsyncContextManager[Bench]]


@EACH
@pytest.mark.parametrize("count", [0, 1, 2])
async def test_interrupted_wait_returns_nothing_and_the_next_one_waits(
    bench_of: BenchOf, count: int, lab: Lab
) -> None:
    async with bench_of(lab) as bench:
        for item in bench.sockets[:count]:
            bench.poller.add(item)
        found: list[list[McastSocket]] = []

        async def wait() -> None:
            found.append(list(await bench.poller.wait_ready()))

        with trio.fail_after(5):
            bench.poller.interrupt()  # Nobody waits: the next wait is another one.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await wait_all_tasks_blocked()
                assert found == []
                bench.poller.interrupt()
            assert found == [[]]
            if count:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(wait)
                    await wait_all_tasks_blocked()
                    bench.send()
                assert found == [[], [bench.sockets[0]]]


@attrs.frozen
class BeforeStep(trio.abc.Instrument):
    """Does something right before a task goes on, when it can no longer be kept from doing so."""

    task_name: str
    act: Callable[[], object]

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task.name == self.task_name:
            self.act()


@EACH
async def test_wait_is_interrupted_though_what_it_has_ended_for_has_gone(
    bench_of: BenchOf, lab: Lab
) -> None:
    async with bench_of(lab) as bench:
        for item in bench.sockets:
            bench.poller.add(item)
        found: list[list[McastSocket]] = []

        async def wait() -> None:
            found.append(list(await bench.poller.wait_ready()))

        def read_and_interrupt() -> None:
            assert len(bench.sockets[0].receive(2)) == 1
            bench.poller.interrupt()
            trio.lowlevel.remove_instrument(instrument)

        instrument = BeforeStep("the wait", read_and_interrupt)
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait, name="the wait")
                await wait_all_tasks_blocked()
                bench.send()
                trio.lowlevel.add_instrument(instrument)
        assert found == [[]]


@EACH
@pytest.mark.parametrize("count", [1, 2])
async def test_who_waits_behind_is_not_woken_for_what_is_read_ahead(
    bench_of: BenchOf, count: int, lab: Lab
) -> None:
    async with bench_of(lab) as bench:
        poller = bench.poller
        for item in bench.sockets[:count]:
            poller.add(item)
        ended: list[str] = []

        async def ahead() -> None:
            await poller.wait()
            ended.append(f"ahead: {len(poller.read(10))}")

        async def behind() -> None:
            await poller.wait_behind()
            ended.append(f"behind: {len(poller.read(10))}")

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(behind)
                await wait_all_tasks_blocked()
                for _ in range(2):
                    ended.clear()
                    nursery.start_soon(ahead)
                    await wait_all_tasks_blocked()
                    bench.send()
                    await wait_all_tasks_blocked()
                    assert ended == ["ahead: 1"]
                # A socket goes and comes while both wait.
                ended.clear()
                nursery.start_soon(ahead)
                await wait_all_tasks_blocked()
                poller.remove(bench.sockets[0])
                poller.add(bench.sockets[0])
                bench.send()
                await wait_all_tasks_blocked()
                assert ended == ["ahead: 1"]
                bench.send()
            assert ended == ["ahead: 1", "behind: 1"]


@EACH
async def test_end_of_a_wait_ahead_leaves_the_other_one_to_be_woken(
    bench_of: BenchOf, lab: Lab
) -> None:
    async with bench_of(lab) as bench:
        bench.poller.add(bench.sockets[0])
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(bench.poller.wait_behind)
                with trio.CancelScope() as scope:
                    nursery.start_soon(wait_and_cancel, scope)
                    await bench.poller.wait()
                bench.send()
            assert scope.cancelled_caught
            assert len(bench.poller.read(10)) == 1
            async with trio.open_nursery() as nursery:
                nursery.start_soon(closed, bench.poller.wait)
                nursery.start_soon(closed, bench.poller.wait_behind)
                await wait_all_tasks_blocked()
                bench.poller.close()


async def wait_and_cancel(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked()
    scope.cancel()


async def closed(wait: Callable[[], Awaitable[object]]) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await wait()


async def test_what_is_likely_ready_is_found_without_waiting(lab: Lab) -> None:
    async with real(lab) as bench:
        assert bench.poller.likely_ready() == []
        first, second = bench.sockets
        bench.poller.add(second)
        assert bench.poller.likely_ready() == [second]  # Reading tells as much as asking would.
        bench.poller.add(first)
        assert bench.poller.likely_ready() == []
        bench.send()
        assert bench.poller.likely_ready() == [first]
        bench.poller.close()
        assert bench.poller.likely_ready() == []


async def test_waiting_to_send_outlasts_the_end_of_another_wait(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def end_it(sock: object) -> None:
        raise trio.ClosedResourceError("another task closed this fd")  # So does notify_closing.

    async with real(lab) as bench:
        monkeypatch.setattr(trio.lowlevel, "wait_writable", end_it)
        await bench.sockets[0].wait_writable()
        bench.sockets[0].close()
        with pytest.raises(trio.ClosedResourceError):
            await bench.sockets[0].wait_writable()


async def test_who_waits_for_one_interface_is_given_what_comes_on_the_other(
    two_lans: TwoLans,
) -> None:
    with (
        plain_sender(two_lans.b, GROUPS[0], "eth0") as one,
        plain_sender(two_lans.b, GROUPS[0], "eth1") as other,
    ):
        async with receiver_on(
            two_lans, two_lans.a, GROUPS[0], interfaces=["eth0", "eth1"]
        ) as receiver:
            for number in range(200):
                sender, name = ((one, "eth0"), (other, "eth1"))[number % 2]
                sender.sendto(b"%d" % number, (GROUPS[0], PORT))
                with trio.fail_after(5):
                    datagram = await receiver.receive()
                assert (datagram.data, datagram.interface.name) == (b"%d" % number, name)


async def test_group_joined_while_the_consumer_reads_for_itself_is_received(host: Host) -> None:
    with (
        plain_sender(host, GROUPS[0], "lo") as sender,
        on(host),
        trio.fail_after(5),
    ):
        spec = McastReceiverSpec(GROUPS[0], PORT, interfaces="lo")
        found: list[bytes] = []
        async with spec.open() as receiver, trio.open_nursery() as nursery:

            async def consume() -> None:
                async for datagram in receiver:
                    found.append(datagram.data)

            nursery.start_soon(consume)
            while receiver._intake.queue._borrowed is None:
                sender.sendto(b"first", (GROUPS[0], PORT))
                await wait_all_tasks_blocked()
            await receiver.join(GROUPS[1])
            found.clear()
            await wait_all_tasks_blocked()
            for group in GROUPS:
                sender.sendto(group.encode(), (group, PORT))
            while len(found) < 2:
                await trio.lowlevel.checkpoint()
            assert sorted(found) == [group.encode() for group in GROUPS]
            await receiver.leave(GROUPS[0])
            sender.sendto(b"last", (GROUPS[1], PORT))
            while found[-1] != b"last":
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
