"""What the tests of the contract share: receivers and senders on a world's hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from trio_mcast import Datagram, McastReceiver, McastSender, open_mcast_receiver, open_mcast_sender
from trio_mcast._values.addresses import Family

from .worlds import TIMEOUT_SECONDS, World

PORT = 5000
BOTH = ("eth0", "eth1")
EACH_FAMILY: tuple[Family, ...] = ("ipv4", "ipv6")
FAMILIES = pytest.mark.parametrize("family", EACH_FAMILY)
EVERY_GROUP = pytest.mark.parametrize("group", ["239.1.2.1", "ff02::1:1", "ff05::1:1", "ff0e::1:1"])


def group_of(family: Family, number: int = 1) -> str:
    return f"239.1.2.{number}" if family == "ipv4" else f"ff05::1:{number}"


@asynccontextmanager
async def receiving(
    world: World,
    host: str,
    groups: str | Iterable[str],
    port: int | Iterable[int] = PORT,
    **options: Any,
) -> AsyncIterator[McastReceiver]:
    """A receiver on a host."""
    with world.on(host):
        async with open_mcast_receiver(groups, port, **options) as receiver:
            yield receiver


@asynccontextmanager
async def sending(
    world: World, host: str, groups: str | Iterable[str], *interfaces: str, **options: Any
) -> AsyncIterator[McastSender]:
    """A sender on a host, on eth0 unless told otherwise."""
    with world.on(host):
        async with open_mcast_sender(
            groups, PORT, interfaces=interfaces or "eth0", **options
        ) as sender:
            yield sender


async def all_of(world: World, receiver: McastReceiver) -> list[Datagram]:
    """All that the receiver gives, once everything has arrived."""
    await world.settle()
    found = []
    while True:
        try:
            found.append(receiver.receive_nowait())
        except trio.WouldBlock:
            if not receiver.statistics().waiting:
                return found
        await world.settle()  # There may have been no room for more.


async def data_of(world: World, receiver: McastReceiver) -> list[bytes]:
    """The payloads of all that the receiver gives, once everything has arrived."""
    return [item.data for item in await all_of(world, receiver)]


async def receive(receiver: McastReceiver) -> Datagram:
    with trio.fail_after(TIMEOUT_SECONDS):
        return await receiver.receive()
