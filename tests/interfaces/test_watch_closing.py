"""Watching interfaces: cancelled, shared, closed and refused."""

from __future__ import annotations

import errno
import os
import random
import socket

import pytest
import trio
import trio.testing

from tests.lab import Host
from tests.lab.machine import on
from tests.support.leftovers import open_descriptors, tasks_now
from tests.support.watched_host import Follower, Machine, ip, summary, take
from trio_mcast import InterfaceChange, SocketSetupError, list_interfaces, watch_interfaces

# Cancelling, sharing, closing -------------------------------------------------------------------


def random_command(chance: random.Random, names: list[str]) -> str:
    action = chance.choice(["add", "delete", "mtu", "address", "name"])
    if action == "add" or not names:
        names.append(f"y{chance.randrange(10**9)}")
        return f"link add {names[-1]} type bridge"
    name = chance.choice(names)
    if action == "delete":
        names.remove(name)
        return f"link delete {name}"
    if action == "name":
        names.remove(name)
        names.append(f"y{chance.randrange(10**9)}")
        return f"link set {name} name {names[-1]}"
    if action == "address":
        return f"address replace 10.0.{chance.randrange(256)}.1/24 dev {name}"
    return f"link set {name} mtu {chance.randrange(1300, 1500)}"


async def test_receive_cancelled_at_random_points_loses_and_doubles_nothing(host: Host) -> None:
    seed = random.randrange(2**32)
    chance, names = random.Random(seed), ["x0"]
    cancelled = 0
    with on(host), trio.fail_after(30):
        async with watch_interfaces() as changes:
            follower = Follower(list_interfaces())

            async def follow_or_cancel() -> bool:
                with trio.CancelScope() as scope:
                    scope.deadline = trio.current_time() + chance.choice([0, 1e-4, 5e-3, 3e-2])
                    if chance.random() < 0.2:
                        scope.cancel()
                    follower.tell(await changes.receive())
                return scope.cancelled_caught

            for _ in range(40):
                ip(host, *[random_command(chance, names) for _ in range(chance.randrange(4))])
                for _ in range(chance.randrange(8)):
                    cancelled += await follow_or_cancel()
            while follower.known != list_interfaces():
                cancelled += await follow_or_cancel()
            ip(host, "link add last0 type bridge")
            assert summary(await take(changes, 1)) == [("added", "last0")], seed
    assert cancelled > 0


async def test_each_change_goes_to_one_of_several_tasks(host: Host) -> None:
    told: list[InterfaceChange] = []
    with on(host):
        async with watch_interfaces() as changes, trio.open_nursery() as nursery:

            async def follow() -> None:
                told.extend(await take(changes, 2))  # More would never come.

            for _ in range(3):
                nursery.start_soon(follow)
            await trio.testing.wait_all_tasks_blocked()
            ip(host, *[f"link add y{number} type bridge" for number in range(6)])
    assert sorted(summary(told)) == [("added", f"y{number}") for number in range(6)]


@pytest.mark.parametrize("something_happens", [False, True])
async def test_closing_wakes_who_waits(
    something_happens: bool, host: Host, mock_clock: trio.testing.MockClock
) -> None:
    ended: list[int] = []
    with on(host):
        async with watch_interfaces() as changes:

            async def follow(number: int) -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await changes.receive()
                ended.append(number)

            async with trio.open_nursery() as nursery:
                for number in range(3):
                    nursery.start_soon(follow, number)
                await trio.testing.wait_all_tasks_blocked()
                if something_happens:  # Then the first of them is in its pause, and time stands.
                    ip(host, "link set x0 mtu 1400")
                    await trio.testing.wait_all_tasks_blocked()
                with trio.testing.assert_checkpoints():
                    await changes.aclose()
                await trio.testing.wait_all_tasks_blocked()
                assert sorted(ended) == [0, 1, 2]
            await changes.aclose()
            await follow(3)
    with pytest.raises(trio.ClosedResourceError):
        await changes.receive()


async def test_change_that_was_not_taken_is_not_given_after_closing(host: Host) -> None:
    with on(host):
        async with watch_interfaces() as changes:
            ip(host, "link set x0 mtu 1400", "link add y0 type bridge")
            assert summary(await take(changes, 1)) == [("changed", "x0")]
    with pytest.raises(trio.ClosedResourceError):
        await changes.receive()


async def test_every_call_is_a_checkpoint(host: Host) -> None:
    with on(host):
        watching = watch_interfaces()
        with trio.testing.assert_checkpoints():
            changes = await watching.__aenter__()
        ip(host, "link set x0 mtu 1400", "link add y0 type bridge")
        for _ in range(2):
            with trio.testing.assert_checkpoints():
                await changes.receive()
        with trio.testing.assert_checkpoints():
            await watching.__aexit__(None, None, None)


# Nothing stays open -----------------------------------------------------------------------------


async def test_nothing_outlives_the_block_and_the_bodys_exception_comes_out_unwrapped(
    host: Host,
) -> None:
    raised = KeyError("from the body")
    before, tasks = open_descriptors(), tasks_now()
    with on(host), pytest.raises(KeyError) as caught:  # noqa: PT012  # it is about the block
        async with watch_interfaces():
            assert len(open_descriptors()) == len(before) + 1
            assert tasks_now() == tasks
            raise raised
    assert caught.value is raised
    assert open_descriptors() == before


async def test_entering_that_is_cancelled_leaves_nothing_open(host: Host) -> None:
    before = open_descriptors()
    with on(host), trio.CancelScope() as scope:
        scope.cancel()
        async with watch_interfaces():
            pytest.fail("entered")
    assert scope.cancelled_caught
    assert open_descriptors() == before


def refuse(*args: object) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize("call", ["__init__", "setblocking", "bind"])
async def test_refusal_on_entering_is_explained(
    call: str, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_descriptors()
    with on(host), monkeypatch.context() as patch:
        patch.setattr(socket.socket, call, refuse)
        with pytest.raises(SocketSetupError, match=r"watch interfaces failed: .*EMFILE") as caught:
            await watch_interfaces().__aenter__()
    assert (caught.value.errno, caught.value.step) == (errno.EMFILE, "watch interfaces")
    assert open_descriptors() == before


async def test_first_look_that_is_refused_leaves_nothing_open(host: Host) -> None:
    machine = Machine(host)
    machine.before_look = refuse
    before = open_descriptors()
    with machine.used(), pytest.raises(OSError, match="Too many open files"):
        await watch_interfaces().__aenter__()
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("call", "step"), [("recv", "watch interfaces"), ("__init__", "list interfaces")]
)
async def test_refusal_when_receiving_is_explained_and_loses_nothing(
    call: str, step: str, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on(host):
        async with watch_interfaces() as changes:
            ip(host, "link set x0 mtu 1400")
            with monkeypatch.context() as patch:
                patch.setattr(socket.socket, call, refuse)
                for _ in range(2):
                    # What a watcher could not tell, the next look asks for.
                    pattern = f"({step}|list interfaces) failed: .*EMFILE"
                    with pytest.raises(SocketSetupError, match=pattern):
                        await take(changes, 1)
            assert summary(await take(changes, 1)) == [("changed", "x0")]
