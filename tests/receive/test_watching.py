"""The changes of a receiver's memberships as a channel, and the wait until all are joined."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.lab import Host
from tests.lab.machine import on
from tests.support.watched_host import ip
from trio_mcast import (
    McastReceiver,
    Membership,
    MembershipChange,
    SocketSetupError,
    open_mcast_receiver,
)
from trio_mcast.testing import VirtualHost, VirtualNetwork, VirtualSwitch

pytestmark = pytest.mark.once

GROUP, OTHER, PORT = "239.1.2.3", "239.1.2.4", 12345


@asynccontextmanager
async def host_on_lan() -> AsyncIterator[tuple[VirtualHost, VirtualSwitch]]:
    async with VirtualNetwork() as network:
        host, lan = network.host("a"), network.switch("lan")
        host.plug("eth0", lan, "10.0.0.1/24")
        with host:
            yield host, lan


def told(change: MembershipChange) -> tuple[str | None, str, str | None, str | None]:
    """Group, interface, and the state before and after."""
    of = change.membership
    before, after = (None if one is None else one.state for one in (change.before, change.after))
    return of.group, of.interface.name, before, after


def key(membership: Membership) -> tuple[str | None, str]:
    return membership.group, membership.interface.name


# Watching ----------------------------------------------------------------------------------------


async def test_changes_are_told_as_they_happen(autojump_clock: MockClock) -> None:
    async with (
        host_on_lan() as (host, lan),
        open_mcast_receiver(GROUP, PORT) as receiver,
        receiver.watch_memberships() as changes,
    ):
        with trio.move_on_after(5):
            pytest.fail(f"nothing has changed: {await changes.receive()}")
        await receiver.join(OTHER)
        assert told(await changes.receive()) == (OTHER, "eth0", None, "joined")
        interface = host.interface("eth0")
        interface.take_down()
        both = [told(await changes.receive()) for _ in range(2)]
        assert both == [(group, "eth0", "joined", "waiting") for group in (GROUP, OTHER)]
        await receiver.leave(OTHER)
        assert told(await changes.receive()) == (OTHER, "eth0", "waiting", None)
        interface.take_up()
        assert told(await changes.receive()) == (GROUP, "eth0", "waiting", "joined")
        host.plug("eth1", lan, "10.0.0.2/24")
        assert told(await changes.receive()) == (GROUP, "eth1", None, "joined")
        await receiver.block_source("10.0.0.9", interfaces="eth1")
        change = await changes.receive()
        assert change.before is not None
        assert change.after is not None
        assert change.before.excluded_sources == ()
        assert change.after.excluded_sources == ("10.0.0.9",)
        assert change.membership is change.after
        host.interface("eth1").unplug()
        assert told(await changes.receive()) == (GROUP, "eth1", "joined", None)


async def test_what_nobody_receives_does_not_pile_up(autojump_clock: MockClock) -> None:
    async with (
        host_on_lan(),
        open_mcast_receiver(GROUP, PORT) as receiver,
        receiver.watch_memberships() as changes,
    ):
        for _ in range(100):
            await receiver.join(OTHER)
            await receiver.leave(OTHER)
        await receiver.leave(GROUP)
        await receiver.join(OTHER)
        assert told(await changes.receive()) == (GROUP, "eth0", "joined", None)
        assert told(await changes.receive()) == (OTHER, "eth0", None, "joined")
        with trio.move_on_after(5):
            pytest.fail(f"nothing else has changed: {await changes.receive()}")


async def test_attempts_that_are_refused_alike_are_no_changes(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host_on_lan() as (host, lan):
        host.plug("eth1", lan, "10.0.0.2/24")
        real, attempts = host.open_socket, []

        def open_socket(socket_spec: Any) -> Any:
            if socket_spec.interface.name == "eth1":
                attempts.append(socket_spec)
                raise SocketSetupError(105, "no room", step="MCAST_JOIN_GROUP")
            return real(socket_spec)

        monkeypatch.setitem(vars(host), "open_socket", open_socket)
        async with (
            open_mcast_receiver(GROUP, PORT) as receiver,
            receiver.watch_memberships() as changes,
        ):
            with trio.move_on_after(60):
                pytest.fail(f"nothing has changed: {await changes.receive()}")
            assert len(attempts) > 5
            monkeypatch.undo()
            assert told(await changes.receive()) == (GROUP, "eth1", "failed", "joined")


async def test_closing_the_receiver_ends_the_channel(autojump_clock: MockClock) -> None:
    async with host_on_lan(), trio.open_nursery() as nursery:
        async with open_mcast_receiver(GROUP, PORT) as receiver:
            watching = receiver.watch_memberships()
            async with watching as changes, receiver.watch_memberships() as others:
                ended = []

                async def follow() -> None:
                    async for change in others:
                        ended.append(told(change))
                    ended.append((None, "end", None, None))

                nursery.start_soon(follow)
                await wait_all_tasks_blocked()
                await receiver.join(OTHER)
                receiver.close()
                assert told(await changes.receive()) == (OTHER, "eth0", None, "joined")
                for _ in range(2):
                    with pytest.raises(trio.EndOfChannel):
                        await changes.receive()
                await wait_all_tasks_blocked()
                assert ended == [(OTHER, "eth0", None, "joined"), (None, "end", None, None)]
            with pytest.raises(trio.ClosedResourceError):
                await changes.receive()
        with pytest.raises(trio.ClosedResourceError):
            async with receiver.watch_memberships():
                pytest.fail("entered")


async def test_closing_the_channel_ends_the_waiting_of_others(autojump_clock: MockClock) -> None:
    async with (
        host_on_lan(),
        open_mcast_receiver(GROUP, PORT) as receiver,
        receiver.watch_memberships() as changes,
        trio.open_nursery() as nursery,
    ):

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await changes.receive()

        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        await changes.aclose()
        await receiver.join(OTHER)


async def test_cancelled_receive_has_taken_nothing(autojump_clock: MockClock) -> None:
    chance = random.Random(16)
    async with (
        host_on_lan(),
        open_mcast_receiver(GROUP, PORT) as receiver,
        receiver.watch_memberships() as changes,
        trio.open_nursery() as nursery,
    ):
        known = {key(membership) for membership in receiver.memberships}

        async def change() -> None:
            for number in range(60):
                group = f"239.2.0.{number % 7}"
                joined = (group, "eth0") in {key(one) for one in receiver.memberships}
                await (receiver.leave if joined else receiver.join)(group)
                await trio.sleep(chance.choice([0, 0.01]))

        nursery.start_soon(change)
        while nursery.child_tasks:
            with trio.move_on_after(chance.choice([0, 0.005, 0.02])):
                got = await changes.receive()
                assert (key(got.membership) in known) is (got.before is not None)
                (known.add if got.after else known.discard)(key(got.membership))
        with trio.move_on_after(1):
            async for got in changes:
                (known.add if got.after else known.discard)(key(got.membership))
        assert known == {key(membership) for membership in receiver.memberships}


async def test_real_interface_that_comes_and_goes_is_told(host: Host) -> None:
    with on(host), trio.fail_after(20):
        async with (
            open_mcast_receiver(GROUP, PORT, interfaces="x9", allow_missing=True) as receiver,
            receiver.watch_memberships() as changes,
        ):
            ip(host, "link add x9 type bridge", "link set x9 up")
            while told(await changes.receive())[3] != "joined":
                pass
            await receiver.wait_joined()
            ip(host, "link delete x9")
            while told(await changes.receive())[3] != "waiting":
                pass


def test_change_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="not neither"):
        MembershipChange(None, None)


# Waiting until all is joined ---------------------------------------------------------------------


async def ended_at(receiver: McastReceiver) -> float:
    await receiver.wait_joined()
    return trio.current_time()


async def test_wait_joined_waits_for_each_group_on_one_interface(
    autojump_clock: MockClock,
) -> None:
    async with host_on_lan() as (host, lan):
        opening = open_mcast_receiver(
            [GROUP, "ff05::1"], PORT, interfaces=["eth8", "eth9"], allow_missing=True
        )
        async with opening as receiver, trio.open_nursery() as nursery:

            async def plug() -> None:
                await trio.sleep(2)
                host.plug("eth8", lan, "10.0.0.8/24")

            with trio.move_on_after(1) as scope:
                await receiver.wait_joined()
            assert scope.cancelled_caught
            start = trio.current_time()
            nursery.start_soon(plug)
            assert 2 <= await ended_at(receiver) - start < 3
            assert {membership.state for membership in receiver.memberships} == {
                "joined",
                "waiting",
            }
            assert await ended_at(receiver) == trio.current_time()


async def test_wait_joined_counts_what_is_joined_and_left_meanwhile(
    autojump_clock: MockClock,
) -> None:
    async with host_on_lan():
        opening = open_mcast_receiver(
            [GROUP, OTHER], PORT, interfaces=["eth0", "eth9"], allow_missing=True
        )
        async with opening as receiver, trio.open_nursery() as nursery:
            await receiver.leave(OTHER, interfaces="eth0")
            done = trio.Event()

            async def wait() -> None:
                await receiver.wait_joined()
                done.set()

            nursery.start_soon(wait)
            await trio.sleep(1)
            assert not done.is_set()
            await receiver.leave(OTHER)
            await trio.sleep(0.001)
            assert done.is_set()
            await receiver.leave(GROUP)
            await receiver.wait_joined()  # For nothing.


async def test_wait_joined_takes_a_zone_seriously(autojump_clock: MockClock) -> None:
    async with host_on_lan() as (host, lan):
        opening = open_mcast_receiver(["ff02::7%eth0", "ff02::7%eth9"], PORT, allow_missing=True)
        async with opening as receiver:
            with trio.move_on_after(1) as scope:
                await receiver.wait_joined()
            assert scope.cancelled_caught
            host.plug("eth9", lan, "10.0.0.9/24")
            with trio.fail_after(5):
                await receiver.wait_joined()


async def test_wait_joined_ends_when_the_receiver_is_closed(autojump_clock: MockClock) -> None:
    async with host_on_lan(), trio.open_nursery() as nursery:
        opening = open_mcast_receiver(GROUP, PORT, interfaces="eth9", allow_missing=True)
        async with opening as receiver:

            async def wait() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await receiver.wait_joined()

            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            receiver.close()
        with pytest.raises(trio.ClosedResourceError):
            await receiver.wait_joined()
