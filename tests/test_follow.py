"""The follower that receivers, senders and `watch_interfaces` share, on a watcher made up."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from trio_mcast import SocketSetupError
from trio_mcast._follow import Backoff, Follower
from trio_mcast._host.protocols import Ended
from trio_mcast._host.system import SystemHost

REFUSAL = SocketSetupError(24, "refused", step="list interfaces", group=None, interface=None)

MACHINE = SystemHost()  # Nobody looks at it.


class Watcher:
    """An `InterfaceWatcher` that is told what has changed, or refuses."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._removed: set[int] = set()
        self._closed = False
        self.refusals: list[SocketSetupError] = []

    def change(self, *removed: int) -> None:
        self._removed.update(removed)
        self._event.set()

    async def wait(self) -> Ended:
        while True:
            if self._closed:
                raise trio.ClosedResourceError
            await self._event.wait()
            if self._closed:
                raise trio.ClosedResourceError
            ended = self.take()
            if ended is not None:
                return ended

    def take(self) -> Ended | None:
        if self.refusals:
            raise self.refusals.pop()
        if not self._event.is_set():
            return None
        ended = Ended(frozenset(self._removed))
        self._removed.clear()
        self._event = trio.Event()
        return ended

    def close(self) -> None:
        self._closed = True
        self._event.set()


class Looks:
    """Puts down when was looked and what was removed by then; refuses when told so."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self.times: list[float] = []
        self.removed: list[frozenset[int]] = []
        self.refusals: list[Exception] = []
        self.due: Callable[[], float] = lambda: math.inf

    async def look(self) -> None:
        self.times.append(trio.current_time())
        self.removed.append(self._follower.ended.removed)
        await trio.lowlevel.checkpoint()
        if self.refusals:
            raise self.refusals.pop(0)

    async def follow(self) -> None:
        await self._follower.follow(self.look, lambda: self.due(), Backoff(1, 4), complaint="a: %s")

    def distances(self) -> list[float]:
        return [round(later - sooner, 6) for sooner, later in pairwise(self.times)]


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
async def follower(watcher: Watcher) -> Follower:
    return Follower(watcher, MACHINE)


@pytest.fixture
async def looks(follower: Follower) -> Looks:
    return Looks(follower)


def test_backoff_doubles_up_to_the_longest_pause_and_begins_again() -> None:
    backoff = Backoff(0.1, 0.5)
    assert [backoff.next_pause() for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    assert backoff.attempts == 5
    backoff.reset()
    assert backoff.attempts == 0
    assert backoff.next_pause() == 0.1


def test_backoff_stays_at_the_longest_pause_for_ever() -> None:
    backoff = Backoff(0.1, 30)
    assert [backoff.next_pause() for _ in range(5_000)][-1] == 30


async def test_wait_ends_for_a_change_and_at_the_time_given(
    autojump_clock: MockClock, watcher: Watcher, follower: Follower
) -> None:
    begin = trio.current_time()
    await follower.wait(begin + 3)
    assert trio.current_time() == begin + 3
    assert not follower.stale
    watcher.change(7)
    with assert_checkpoints():
        await follower.wait(begin + 9)
    assert trio.current_time() == begin + 3
    assert follower.stale
    assert follower.ended.removed == {7}


async def test_removed_interfaces_add_up_until_a_look_has_succeeded(
    watcher: Watcher, follower: Follower
) -> None:
    watcher.change(7)
    await follower.wait()
    watcher.change(8)
    # It is stale, so this wait is over at once; what the watcher has is not lost.
    with trio.fail_after(5), assert_checkpoints():
        await follower.wait()
    assert follower.ended.removed == {7}
    follower.looked()
    assert not follower.stale
    assert follower.ended.removed == frozenset()
    await follower.wait()
    assert follower.ended.removed == {8}


async def test_cancelled_wait_takes_nothing(watcher: Watcher, follower: Follower) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await follower.wait()
    assert scope.cancelled_caught
    assert not follower.stale
    watcher.change(7)
    with trio.CancelScope() as scope:
        scope.cancel()
        await follower.wait()
    with trio.fail_after(5):
        await follower.wait()
    assert follower.ended.removed == {7}


@pytest.mark.parametrize("seconds", [-1, 2])
async def test_other_tasks_bring_the_look_forward(
    seconds: float, autojump_clock: MockClock, follower: Follower
) -> None:
    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.wait, begin + 50)
        await wait_all_tasks_blocked()
        follower.hurry(begin + 60)  # Later than it is due: that changes nothing.
        follower.hurry(begin + seconds)
    assert trio.current_time() == begin + max(0, seconds)
    assert not follower.stale


async def test_look_that_is_asked_for_comes_whether_or_not_somebody_waits(
    autojump_clock: MockClock, watcher: Watcher, follower: Follower, looks: Looks
) -> None:
    follower.look_again()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(looks.follow)
        await trio.sleep(5)
        assert len(looks.times) == 1
        follower.look_again()
        await trio.sleep(5)
        assert looks.distances() == [5]
        watcher.close()


async def test_follow_looks_for_each_change_and_when_due(
    autojump_clock: MockClock, watcher: Watcher, follower: Follower, looks: Looks
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(looks.follow)
        await trio.sleep(100)
        assert looks.times == []
        watcher.change(7)
        await trio.sleep(5)
        watcher.change()
        await trio.sleep(1)
        assert looks.distances() == [5]
        assert looks.removed == [{7}, frozenset()]
        looks.due = lambda: looks.times[-1] + 2 if len(looks.times) < 5 else math.inf
        watcher.change()
        await trio.sleep(100)
        assert looks.distances() == [5, 1, 2, 2]
        follower.close()


async def test_look_that_is_refused_is_tried_again_and_told_once(
    autojump_clock: MockClock,
    watcher: Watcher,
    follower: Follower,
    looks: Looks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "trio_mcast"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(looks.follow)
            for _ in range(2):
                looks.times.clear()
                looks.removed.clear()
                looks.refusals = [REFUSAL] * 5
                watcher.change(7)
                await trio.sleep(100)
                assert looks.distances() == [1, 2, 4, 4, 4]
                assert looks.removed == [{7}] * 6
                assert follower.ended.removed == frozenset()
            follower.close()
    assert caplog.messages == [f"a: {REFUSAL}"] * 2


async def test_refusal_of_the_watcher_is_told_and_made_up_for(
    autojump_clock: MockClock, watcher: Watcher, looks: Looks, caplog: pytest.LogCaptureFixture
) -> None:
    watcher.refusals = [REFUSAL]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(looks.follow)
        watcher.change(7)
        await trio.sleep(100)
        assert caplog.messages == [f"a: {REFUSAL}"]
        assert looks.distances() == [0]  # One for the refusal, one for what it kept back.
        assert looks.removed == [frozenset(), {7}]
        watcher.close()


async def test_following_ends_when_closed_whatever_it_does(
    watcher: Watcher, follower: Follower, looks: Looks
) -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(looks.follow)
            await wait_all_tasks_blocked()
            follower.close()
        follower.close()
        await looks.follow()
        with pytest.raises(trio.ClosedResourceError):
            await follower.wait()
    assert looks.times == []


async def test_look_that_finds_all_closed_ends_the_following(
    watcher: Watcher, looks: Looks
) -> None:
    looks.refusals = [trio.ClosedResourceError()]
    watcher.change()
    with trio.fail_after(5):
        await looks.follow()
    assert len(looks.times) == 1


async def test_without_a_watcher_nothing_is_followed() -> None:
    follower = Follower(None, MACHINE)
    looks = Looks(follower)
    follower.look_again()
    with trio.fail_after(5):
        await looks.follow()
    assert looks.times == []
    follower.close()
