"""One look for all followers of a host: who looks, and who takes what others have seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.lab import Host, Lab
from tests.support.blocks import GROUP, new_host
from tests.support.watched_host import Machine, ip
from tests.test_follow import Watcher
from trio_mcast import Interface, _follow, open_mcast_receiver, open_mcast_sender, watch_interfaces
from trio_mcast._follow import Follower
from trio_mcast._host.current import current_network
from trio_mcast._host.protocols import LookSteps
from trio_mcast._host.system import SystemHost
from trio_mcast._host.ticking_watch import TickingWatcher
from trio_mcast.testing import VirtualHost, VirtualNetwork, VirtualSwitch

pytestmark = pytest.mark.once


class Looked:
    """A host that counts how often somebody looks."""

    def __init__(self) -> None:
        self.looks = 0
        self.refusals: list[Exception] = []

    def look(self) -> LookSteps:
        """Look in three steps."""
        self.looks += 1
        number = self.looks
        yield None
        if self.refusals:
            raise self.refusals.pop()
        yield None
        yield [Interface(f"look{number}", 1)]


class Following:
    """A follower, and what it has seen: the name of the interface, and the removed indexes."""

    def __init__(self, host: Any) -> None:
        self.watcher = Watcher()
        self.follower = Follower(self.watcher, host)
        self.seen: list[tuple[str, set[int]]] = []

    async def once(self) -> None:
        await self.follower.wait()
        (interface,) = await self.follower.look()
        self.seen.append((interface.name, {*self.follower.ended.removed}))
        self.follower.looked()


@pytest.fixture
def host() -> Looked:
    return Looked()


@pytest.fixture
async def followings(host: Looked) -> list[Following]:
    return [Following(host) for _ in range(3)]


async def all_look_once(followings: list[Following], *changed: int) -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for following in followings:
                nursery.start_soon(following.once)
            await wait_all_tasks_blocked()
            for following in followings:
                following.watcher.change(*changed)


async def test_all_who_wait_take_one_look_and_what_was_removed(
    host: Looked, followings: list[Following]
) -> None:
    for number in (1, 2):
        await all_look_once(followings, 10 + number)
        assert host.looks == number
        for following in followings:
            assert following.seen[-1] == (f"look{number}", {10 + number})


async def test_followers_of_other_hosts_look_for_themselves(host: Looked) -> None:
    other = Looked()
    await all_look_once([Following(host), Following(other)])
    assert (host.looks, other.looks) == (1, 1)


async def test_change_after_a_look_is_answered_by_another(
    host: Looked, followings: list[Following]
) -> None:
    first, second, _ = followings
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.once)
        await wait_all_tasks_blocked()
        first.watcher.change(1)
        await first.once()
        # The second one's watcher had noticed nothing when that look began.
        await wait_all_tasks_blocked()
        assert second.seen == []
        second.watcher.change(2)
    assert second.seen == [("look2", {2})]


async def test_who_does_not_wait_gets_a_look_of_its_own_later(
    host: Looked, followings: list[Following]
) -> None:
    first, late, _ = followings
    first.watcher.change(1)
    late.watcher.change(1)
    await first.once()
    await late.once()
    assert late.seen == [("look2", {1})]


async def test_look_into_another_network_is_not_taken(
    host: Looked, followings: list[Following], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = followings
    network = 1
    monkeypatch.setattr(_follow, "current_network", lambda _: network)

    async def look_elsewhere() -> None:
        nonlocal network
        await second.follower.wait()
        network = 2
        (interface,) = await second.follower.look()
        second.seen.append((interface.name, {*second.follower.ended.removed}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look_elsewhere)
        await wait_all_tasks_blocked()
        first.watcher.change(1)
        await first.follower.wait()
        second.watcher.change(2)
        (interface,) = await first.follower.look()
    assert interface.name == "look1"
    assert second.seen == [("look2", {2})]


def test_network_is_that_of_the_thread(lab: Lab) -> None:
    before = current_network(SystemHost())
    with lab.host("a").inside():
        assert current_network(SystemHost()) not in (None, before)
    assert current_network(SystemHost()) == before


async def test_look_that_was_refused_is_not_taken(
    host: Looked, followings: list[Following]
) -> None:
    host.refusals = [OSError(24, "refused")]
    refused: list[Following] = []

    async def look(following: Following) -> None:
        try:
            await following.once()
        except OSError:
            refused.append(following)
            await following.once()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for following in followings:
                nursery.start_soon(look, following)
            await wait_all_tasks_blocked()
            for following in followings:
                following.watcher.change(7)
    assert len(refused) == 1
    assert [following.seen[0][1] for following in followings] == [{7}] * 3
    assert all(following.seen[0][0] != "look1" for following in followings)


async def test_look_that_is_to_begin_now_takes_no_other(
    host: Looked, followings: list[Following]
) -> None:
    first, _, _ = followings
    first.watcher.change()
    await first.follower.wait()
    await first.follower.look()
    assert [each.name for each in await first.follower.look()] == ["look1"]
    assert [each.name for each in await first.follower.look(anew=True)] == ["look2"]
    # And nobody goes back behind it.
    assert [each.name for each in await first.follower.look()] == ["look2"]


async def test_watcher_that_refuses_does_not_end_the_look_of_another(
    host: Looked, followings: list[Following]
) -> None:
    first, second, _ = followings
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.once)
        await wait_all_tasks_blocked()

        def refuse() -> None:
            raise KeyError("from a dependency")

        second.watcher.take = refuse  # type: ignore[method-assign]
        first.watcher.change()
        await first.once()
        assert first.seen == [("look1", set())]
        nursery.cancel_scope.cancel()


@pytest.fixture
async def virtual() -> AsyncIterator[tuple[VirtualHost, VirtualSwitch]]:
    async with VirtualNetwork() as network:
        with (host := new_host(network)):
            yield host, network.switch("another lan")


async def test_virtual_host_is_looked_at_once_for_each_change(
    virtual: tuple[VirtualHost, VirtualSwitch],
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    virtual_host, lan = virtual
    looks: list[VirtualHost] = []
    real_list = VirtualHost.list_interfaces

    def list_interfaces(self: VirtualHost) -> list[Interface]:
        looks.append(self)
        return real_list(self)

    async with AsyncExitStack() as stack:
        receivers = [
            await stack.enter_async_context(open_mcast_receiver(GROUP, 5000 + number))
            for number in range(3)
        ]
        await stack.enter_async_context(open_mcast_sender(GROUP, 5000))
        changes = await stack.enter_async_context(watch_interfaces())
        async with trio.open_nursery() as nursery:
            told: list[str] = []

            async def follow() -> None:
                async for change in changes:
                    told.append(change.interface.name)

            nursery.start_soon(follow)
            await wait_all_tasks_blocked()
            monkeypatch.setattr(VirtualHost, "list_interfaces", list_interfaces)
            for number in (1, 2):
                virtual_host.plug(f"new{number}", lan, f"10.0.{number}.1/24")
                await trio.sleep(1)
                assert len(looks) == number
            assert told == ["new1", "new2"]
            for receiver in receivers:
                assert len(receiver.interfaces) == 3
            nursery.cancel_scope.cancel()


async def test_real_host_is_looked_at_once_for_each_change(lab: Lab) -> None:
    host: Host = lab.host("a")
    ip(host, "link add x0 type bridge", "link set x0 up", "address add 10.0.0.1/24 dev x0")
    machine = Machine(host)
    with machine.used():
        async with AsyncExitStack() as stack:
            receivers = [
                await stack.enter_async_context(
                    open_mcast_receiver(GROUP, 5000 + number, interfaces="x0")
                )
                for number in range(5)
            ]
            await stack.enter_async_context(open_mcast_sender(GROUP, 5000, interfaces="x0"))
            await trio.sleep(0.3)
            before = machine.looks
            ip(host, "address add 10.0.0.2/24 dev x0")
            await trio.sleep(0.3)
            assert all(len(each.interfaces[0].ipv4_addresses) == 2 for each in receivers)
            assert machine.looks == before + 1


class Slow(Looked):
    """A host whose looks go on when they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = trio.Event()

    def look(self) -> LookSteps:
        self.looks += 1
        number = self.looks
        while not self.steps.is_set():
            yield None
        yield [Interface(f"look{number}", 1)]


async def some_turns() -> None:
    for _ in range(20):
        await trio.lowlevel.checkpoint()


async def test_look_gives_turns_and_those_who_woke_before_it_wait_for_it() -> None:
    host = Slow()
    first, second = Following(host), Following(host)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.once)
        nursery.start_soon(second.once)
        await wait_all_tasks_blocked()
        second.watcher.change(2)
        first.watcher.change(1)
        await some_turns()
        assert host.looks == 1
        assert first.seen == second.seen == []
        host.steps.set()
    assert host.looks == 1
    assert (first.seen, second.seen) == ([("look1", {1})], [("look1", {2})])


async def test_change_while_others_look_is_answered_by_a_later_look() -> None:
    host = Slow()
    first, second = Following(host), Following(host)
    async with trio.open_nursery() as nursery:
        first.watcher.change(1)
        nursery.start_soon(first.once)
        nursery.start_soon(second.once)
        await some_turns()
        second.watcher.change(2)
        await some_turns()
        assert host.looks == 2
        host.steps.set()
    assert (first.seen, second.seen) == ([("look1", {1})], [("look2", {2})])


async def test_look_that_is_cancelled_is_made_by_another() -> None:
    host = Slow()
    first, second = Following(host), Following(host)

    async def look() -> None:
        second.watcher.change(2)
        await first.follower.look()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.once)
        await wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                first.watcher.change(1)
                await first.follower.wait()
                inner.start_soon(look)
                await some_turns()
                assert host.looks == 1
                scope.cancel()
        await some_turns()
        assert host.looks == 2
        host.steps.set()
    assert second.seen == [("look2", {2})]
    # What the first one has noticed is not lost.
    await first.once()
    assert first.seen == [("look3", {1})]


async def test_those_who_look_once_a_second_have_one_look_a_second(
    autojump_clock: MockClock,
) -> None:
    host = Looked()
    followers: list[Follower] = []
    seen = []

    async def follow(follower: Follower) -> None:
        while True:
            await follower.wait()
            await follower.look()
            seen.append(follower)
            follower.looked()

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            followers.append(Follower(TickingWatcher(), cast("Any", host)))
            nursery.start_soon(follow, followers[-1])
            await trio.sleep(0.3)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert 10 <= host.looks <= 11
    assert all(seen.count(follower) in (10, 11) for follower in followers)


async def test_watcher_that_ticks_ends_when_closed() -> None:
    watcher = TickingWatcher()
    with trio.fail_after(0.5):
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await watcher.wait()

            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            watcher.close()
            watcher.close()
