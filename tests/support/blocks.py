"""The blocks of this library around a body, tasks in them that fail, and what comes out."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import pytest
import trio

from trio_mcast import (
    McastReceiver,
    McastSender,
    open_mcast_receiver,
    open_mcast_sender,
    watch_interfaces,
)
from trio_mcast._follow import Follower
from trio_mcast.testing import VirtualHost, VirtualNetwork
from trio_mcast.testing._scheduler import Scheduler

if sys.version_info < (3, 11):
    # Trio depends on it there. Not every Python that types are checked on has it.
    from exceptiongroup import (  # type: ignore[import-not-found,unused-ignore]
        BaseExceptionGroup,
    )

GROUP, OTHER, PORT = "239.1.2.3", "239.1.2.4", 5000
# No real machine has one of that name: nothing can be joined there by mistake.
INTERFACE = "virtual0"

Body: TypeAlias = Callable[[], Awaitable[object]]
Block: TypeAlias = Callable[[Body], Awaitable[None]]


class BodyError(Exception):
    """Raised by the body of a block."""


class CrashError(Exception):
    """Raised by a task inside the block, or by its end."""


class SiblingError(Exception):
    """Raised by a task beside the block."""


def receiver() -> AbstractAsyncContextManager[McastReceiver]:
    return open_mcast_receiver(GROUP, PORT, interfaces=INTERFACE)


def sender(**options: bool) -> AbstractAsyncContextManager[McastSender]:
    return open_mcast_sender(GROUP, PORT, interfaces=INTERFACE, **options)  # type: ignore[arg-type]


async def in_receiver(body: Body) -> None:
    async with receiver():
        await body()


async def in_sender(body: Body) -> None:
    async with sender():
        await body()


async def in_sender_with_replies(body: Body) -> None:
    async with sender(receive_replies=True):
        await body()


async def in_joined(body: Body) -> None:
    async with receiver() as opened:
        try:
            async with opened.joined(OTHER):
                await body()
        finally:
            assert [membership.group for membership in opened.memberships] == [GROUP]


async def in_closed_receiver(body: Body) -> None:
    async with receiver() as opened, opened:
        await body()


async def in_closed_sender(body: Body) -> None:
    async with sender() as opened, opened:
        await body()


async def in_network(body: Body) -> None:
    async with VirtualNetwork() as network:
        network.host("only")
        await body()


async def in_watching(body: Body) -> None:
    async with watch_interfaces():
        await body()


async def in_closed_watching(body: Body) -> None:
    async with watch_interfaces() as changes, changes:
        await body()


BLOCKS_WITH_TASKS: list[Block] = [
    in_receiver,
    in_sender,
    in_sender_with_replies,
    in_joined,
    in_closed_receiver,
    in_closed_sender,
    in_network,
]
ALL_BLOCKS = [*BLOCKS_WITH_TASKS, in_watching, in_closed_watching]
# Those with a block inside, whose end is a checkpoint before that of the one with the tasks.
NESTED_BLOCKS = [in_joined, in_closed_receiver, in_closed_sender]


def new_host(network: VirtualNetwork) -> VirtualHost:
    host = network.host("a")
    host.plug(INTERFACE, network.switch("lan"), "10.0.0.1/24")
    return host


@pytest.fixture
async def on_virtual_host() -> AsyncIterator[VirtualHost]:
    """Open everything in the test on a virtual host with an interface."""
    async with VirtualNetwork() as network:
        with new_host(network) as host:
            yield host


class Crash:
    """Lets a task inside a block fail when it is told to, and not before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, block: Block) -> None:
        self.error = CrashError("a task")
        self._now = trio.Event()
        # The network around the test has its task already.
        owner, name = (Scheduler, "run") if block is in_network else (Follower, "follow")
        monkeypatch.setattr(owner, name, self._fail)

    async def _fail(self, *args: object, **options: object) -> None:
        await self._now.wait()
        raise self.error

    def set(self) -> None:
        self._now.set()


def leaves(error: BaseException | None) -> list[BaseException]:
    """Return the exceptions in a group, or in groups in it; one that is no group is alone."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [] if error is None else [error]


async def caught(call: Callable[[], Awaitable[object]]) -> BaseException | None:
    try:
        await call()
    except BaseException as error:
        return error
    return None
