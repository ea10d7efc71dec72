"""Errors that nobody expects, of a look or a watch: they end no follower."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.blocks import GROUP, INTERFACE, OTHER, CrashError, new_host, sender
from trio_mcast import Interface, McastError, open_mcast_receiver, watch_interfaces
from trio_mcast.testing import VirtualHost, VirtualNetwork
from trio_mcast.testing._poller import VirtualWatcher

ERRORS = [ValueError("a dependency"), OSError(5, "the system"), McastError("this"), CrashError("?")]


Plug: TypeAlias = Callable[[str, str], None]


@pytest.fixture
async def plug() -> AsyncIterator[Plug]:
    """Open everything on a virtual host; return what plugs in another interface of the host."""
    async with VirtualNetwork() as network:
        host, lan = new_host(network), network.switch("another lan")

        def plug(name: str, address: str) -> None:
            host.plug(name, lan, address)

        with host:
            yield plug


def fail_while(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, error: Exception, failing: list[bool]
) -> None:
    """Have a method raise an error as long as there is something in a list."""
    original: Callable[..., Any] = getattr(owner, name)

    def fail(self: object, *args: object, **options: object) -> Any:
        if failing:
            raise error
        return original(self, *args, **options)

    monkeypatch.setattr(owner, name, fail)


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_receiver_survives_an_error_of_a_look_and_looks_again(
    plug: Plug,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    failing: list[bool] = []
    async with open_mcast_receiver(GROUP, 5000) as receiver, sender() as opened:
        fail_while(monkeypatch, VirtualHost, "list_interfaces", error, failing)
        failing.append(True)
        plug("virtual1", "10.0.1.1/24")
        await trio.sleep(30)
        records = [record for record in caplog.records if record.levelno >= logging.WARNING]
        # One of the receiver, and one of the sender.
        assert [repr(error) in record.getMessage() for record in records] == [True, True]
        assert all(record.exc_info for record in records)
        assert [membership.state for membership in receiver.memberships] == ["joined"]
        await opened.send(b"still")
        assert (await receiver.receive()).data == b"still"
        failing.clear()
        await trio.sleep(30)
        names = {membership.interface.name for membership in receiver.memberships}
        assert names == {INTERFACE, "virtual1"}
        assert {membership.state for membership in receiver.memberships} == {"joined"}


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_receiver_looks_although_the_watcher_raises_for_ever(
    plug: Plug,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    async with open_mcast_receiver(GROUP, 5000) as receiver:
        fail_while(monkeypatch, VirtualWatcher, "wait", error, [True])
        for number in (1, 2):
            plug(f"virtual{number}", f"10.0.{number}.1/24")
            await trio.sleep(30)
            assert len(receiver.memberships) == 1 + number
        errors = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(errors) == 1


async def test_membership_that_could_not_be_opened_for_an_unknown_reason_is_tried_again(
    plug: Plug, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing: list[bool] = []
    async with open_mcast_receiver([GROUP, OTHER], 5000) as receiver:
        fail_while(monkeypatch, VirtualHost, "open_socket", ValueError("odd"), failing)
        failing.append(True)
        plug("virtual1", "10.0.1.1/24")
        await trio.sleep(30)
        joined = [found for found in receiver.memberships if found.state == "joined"]
        assert [found.interface.name for found in joined] == [INTERFACE, INTERFACE]
        failing.clear()
        await trio.sleep(30)
        states = [(found.interface.name, found.state) for found in receiver.memberships]
        assert states == [(INTERFACE, "joined"), ("virtual1", "joined")] * 2


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize(
    ("owner", "name"), [(VirtualHost, "list_interfaces"), (VirtualWatcher, "wait")]
)
async def test_error_of_watching_comes_out_and_the_next_call_looks_again(
    plug: Plug,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    owner: type,
    name: str,
) -> None:
    failing = [True]
    async with watch_interfaces() as changes:
        fail_while(monkeypatch, owner, name, error, failing)
        plug("virtual1", "10.0.1.1/24")
        with pytest.raises(type(error)) as raised:
            await changes.receive()
        assert raised.value is error
        failing.clear()
        with trio.fail_after(5):
            change = await changes.receive()
        assert isinstance(change.after, Interface)
        assert change.after.name == "virtual1"
        await wait_all_tasks_blocked()
