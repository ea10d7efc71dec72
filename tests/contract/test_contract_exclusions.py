"""In every world: sources that are left out are, whoever filters them, and counted where we do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import pytest

from tests.support.waiting import until
from trio_mcast import McastReceiver, McastSender
from trio_mcast._values.addresses import Family

from .using import BOTH, FAMILIES, PORT, data_of, group_of, receive, receiving, sending
from .worlds import World, address_of, addresses_of, link_local_of


def rejected(world: World, receiver: McastReceiver) -> int | None:
    """How many datagrams of excluded sources were read; `None` where the kernel filters them."""
    counts = receiver.statistics().rejected_by_reason
    assert sum(counts.values()) == counts["excluded_source"]
    if world.platform in ("darwin", "freebsd"):
        return counts["excluded_source"]
    assert counts["excluded_source"] == 0
    return None


def read_by_us(world: World, count: int) -> int | None:
    return count if world.platform in ("darwin", "freebsd") else None


@asynccontextmanager
async def two_senders(
    world: World, *groups: str, interfaces: tuple[str, ...] = ("eth0",)
) -> AsyncIterator[tuple[McastSender, McastSender]]:
    """The senders of host b, which is to be left out, and of c, which is not."""
    async with (
        sending(world, "b", groups, *interfaces) as left_out,
        sending(world, "c", groups, *interfaces) as wanted,
    ):
        yield left_out, wanted


async def send_both(senders: tuple[McastSender, McastSender]) -> None:
    for sender, data in zip(senders, (b"left out", b"wanted"), strict=True):
        await sender.send(data)


@FAMILIES
@pytest.mark.parametrize("kind", [str, ip_address], ids=["text", "object"])
async def test_excluded_source_is_left_out_and_counted(
    world: World, family: Family, kind: Any
) -> None:
    group, source = group_of(family), kind(address_of(family, "b"))
    async with (
        receiving(world, "a", group, interfaces="eth0", excluded_sources=source) as receiver,
        receiving(world, "a", group, interfaces="eth0") as other,
        two_senders(world, group) as senders,
    ):
        await send_both(senders)
        assert await data_of(world, receiver) == [b"wanted"]
        assert await data_of(world, other) == [b"left out", b"wanted"]
        assert rejected(world, receiver) == read_by_us(world, 1)
        assert rejected(world, other) == read_by_us(world, 0)
        (membership,) = receiver.statistics().memberships
        assert membership.rejected == (read_by_us(world, 1) or 0)


async def test_excluded_link_local_source_is_left_out(world: World) -> None:
    group = "ff02::1:1"
    async with (
        receiving(
            world, "a", group, interfaces="eth0", excluded_sources=link_local_of("b")
        ) as receiver,
        two_senders(world, group) as senders,
    ):
        await send_both(senders)
        assert await data_of(world, receiver) == [b"wanted"]
        assert rejected(world, receiver) == read_by_us(world, 1)


@FAMILIES
async def test_group_that_is_joined_later_leaves_its_sources_out(
    world: World, family: Family
) -> None:
    first, second = group_of(family, 1), group_of(family, 2)
    async with (
        receiving(world, "a", first, interfaces="eth0") as receiver,
        two_senders(world, second) as senders,
    ):
        source = address_of(family, "b")
        await receiver.join(second, interfaces="eth0", excluded_sources=source)
        await send_both(senders)
        assert await data_of(world, receiver) == [b"wanted"]
        assert rejected(world, receiver) == read_by_us(world, 1)


@FAMILIES
async def test_source_that_was_heard_is_blocked_and_heard_again(
    world: World, family: Family
) -> None:
    group, source = group_of(family), address_of(family, "b")
    async with (
        receiving(world, "a", group, interfaces="eth0") as receiver,
        two_senders(world, group) as senders,
    ):
        for number in range(3):  # Each time it is known from before.
            await send_both(senders)
            assert await data_of(world, receiver) == [b"left out", b"wanted"]
            await receiver.block_source(source)
            await send_both(senders)
            assert await data_of(world, receiver) == [b"wanted"]
            assert rejected(world, receiver) == read_by_us(world, number + 1)
            await receiver.unblock_source(ip_address(source))


@FAMILIES
async def test_blocking_twice_does_nothing_more(world: World, family: Family) -> None:
    group, source = group_of(family), address_of(family, "b")
    async with (
        receiving(world, "a", group, interfaces="eth0") as receiver,
        two_senders(world, group) as senders,
    ):
        for change, heard in [
            (receiver.unblock_source, [b"left out", b"wanted"]),
            (receiver.block_source, [b"wanted"]),
            (receiver.unblock_source, [b"left out", b"wanted"]),
        ]:
            for _ in range(2):
                await change(source)
                await send_both(senders)
                assert await data_of(world, receiver) == heard
        with pytest.raises(ValueError, match="is not joined"):
            await receiver.block_source(source, groups=group_of(family, 9))


@FAMILIES
async def test_source_is_blocked_in_one_group_on_one_interface_only(
    world: World, family: Family
) -> None:
    first, second = group_of(family, 1), group_of(family, 2)
    async with (
        receiving(world, "a", [first, second], interfaces=BOTH) as receiver,
        sending(world, "b", [first, second], *BOTH) as sender,
    ):
        # Host b sends from another address on each LAN: both are blocked, where they are meant to.
        for lan in (1, 2):
            await receiver.block_source(
                address_of(family, "b", lan), groups=first, interfaces="eth0"
            )
        await sender.send(b"hello")
        await world.settle()
        heard: set[tuple[str | None, str]] = set()
        while len(heard) < 3:
            datagram = await receive(receiver)
            heard.add((datagram.group, datagram.interface.name))
        assert heard == {(first, "eth1"), (second, "eth0"), (second, "eth1")}
        assert await data_of(world, receiver) == []
        assert rejected(world, receiver) == read_by_us(world, 1)


@FAMILIES
async def test_block_holds_when_the_interface_comes_again(world: World, family: Family) -> None:
    group, source = group_of(family), address_of(family, "b")
    async with (
        receiving(world, "a", group, interfaces="eth0") as receiver,
        two_senders(world, group) as senders,
    ):
        await receiver.block_source(source)
        world.unplug("a", "eth0")
        await until(lambda: receiver.memberships[0].state, "waiting")
        world.plug("a", "eth0", 1, *addresses_of("a", 1))
        await until(lambda: receiver.memberships[0].state, "joined")
        await send_both(senders)
        assert await data_of(world, receiver) == [b"wanted"]
        assert receiver.memberships[0].excluded_sources == (source,)
        assert rejected(world, receiver) == read_by_us(world, 1)


@FAMILIES
async def test_blocked_source_is_left_out_of_unicast_too(world: World, family: Family) -> None:
    group, source = group_of(family), address_of(family, "b")
    async with (
        receiving(world, "a", group, interfaces="eth0", accept_unicast=True) as receiver,
        two_senders(world, group) as senders,
    ):
        to = (address_of(family, "a"), PORT)
        for expected in ([b"left out", b"wanted"], [b"wanted"]):
            for sender, data in zip(senders, (b"left out", b"wanted"), strict=True):
                await sender.send(data, to=to)
            assert await data_of(world, receiver) == expected
            if len(expected) == 2:
                await receiver.block_source(source)
        await send_both(senders)
        assert await data_of(world, receiver) == [b"wanted"]
        # No kernel filters unicast.
        counted = 1 + (read_by_us(world, 1) or 0)
        assert receiver.statistics().rejected_by_reason["excluded_source"] == counted
