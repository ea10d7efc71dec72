"""Routers: what they forward, and how ttl limits it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock

from trio_mcast.testing import VirtualHost, VirtualNetwork, VirtualRouter

from ..support.virtual_hosts import (
    GROUP4,
    GROUP6,
    PORT,
    drain,
    joining,
    open_plain,
    payloads,
    receiving,
    sending,
)

pytestmark = pytest.mark.once

GROUPS = pytest.mark.parametrize("group", [GROUP4, GROUP6])


@attrs.frozen
class Routed:
    network: VirtualNetwork
    router: VirtualRouter
    a: VirtualHost
    b: VirtualHost


@asynccontextmanager
async def routed(*, snooping: bool = True, forwards_joined: bool = True) -> AsyncIterator[Routed]:
    """Host a, a switch, a router, a switch, host b."""
    async with VirtualNetwork() as network:
        left = network.switch("left", snooping=snooping)
        right = network.switch("right", snooping=snooping)
        a, b = network.host("a"), network.host("b")
        a.plug("eth0", left, "10.0.1.1/24", "fd00:1::1/64", gateway="10.0.1.254")
        b.plug("eth0", right, "10.0.2.1/24", "fd00:2::1/64", gateway="10.0.2.254")
        router = network.router("r", forwards_joined=forwards_joined)
        router.plug("r1", left, "10.0.1.254/24", "fd00:1::254/64")
        router.plug("r2", right, "10.0.2.254/24", "fd00:2::254/64")
        yield Routed(network, router, a, b)


@GROUPS
async def test_group_is_forwarded_to_where_it_was_joined_if_its_ttl_allows(group: str) -> None:
    async with (
        routed() as net,
        receiving(net.b, group, receive_ttl=True) as receiver,
        sending(net.a, group, interfaces="eth0") as stays,
        sending(net.a, group, interfaces="eth0", ttl=2) as passes,
    ):
        await stays.send(b"ttl 1")
        await passes.send(b"ttl 2")
        assert [(item.data, item.ttl) for item in await drain(receiver)] == [(b"ttl 2", 1)]
        (dropped,) = [item for item in net.network.trace if item.what == "dropped"]
        assert (dropped.where, dropped.reason) == ("r", "its ttl of 1 is used up")


@GROUPS
async def test_group_that_nobody_joined_is_not_forwarded(
    group: str, autojump_clock: object
) -> None:
    async with routed() as net, sending(net.a, group, interfaces="eth0", ttl=9) as sender:
        await sender.send(b"to nobody")
        assert [item.what for item in net.network.trace if item.data] == ["sent"]
        async with receiving(net.b, group):
            pass
        await trio.sleep(2.1)  # The router asks whether anybody else wants it.
        await sender.send(b"to nobody any more")
        assert "forwarded" not in [item.what for item in net.network.trace]


async def test_configured_group_is_forwarded_from_one_interface_to_others() -> None:
    async with routed(forwards_joined=False, snooping=False) as net:
        net.router.forward(GROUP4, "r1", "r2")
        sock = open_plain(net.b, "0.0.0.0", joining(net.b, 2, GROUP4))
        back = open_plain(net.a, "0.0.0.0", joining(net.a, 2, GROUP4))
        async with (
            sending(net.a, interfaces="eth0", ttl=2, loopback=False) as sender,
            sending(net.b, interfaces="eth0", ttl=2, loopback=False) as other,
        ):
            await sender.send(b"there")
            await other.send(b"back")
        assert payloads(sock) == [b"there"]
        assert payloads(back) == []
        net.router.forward(GROUP4, "r1")
        async with sending(net.a, interfaces="eth0", ttl=2) as sender:
            await sender.send(b"no longer")
        assert payloads(sock) == []


@pytest.mark.parametrize("group", ["224.0.0.251", "ff02::5"])
async def test_groups_of_the_link_are_never_forwarded(group: str) -> None:
    async with (
        routed() as net,
        receiving(net.b, group) as receiver,
        sending(net.a, group, interfaces="eth0", ttl=9) as sender,
    ):
        await sender.send(b"x")
        assert await drain(receiver) == []
        with pytest.raises(ValueError, match="stays on its link"):
            net.router.forward(group, "r1", "r2")


async def test_unicast_is_answered_through_a_router() -> None:
    async with (
        routed() as net,
        receiving(net.b) as receiver,
        sending(net.a, interfaces="eth0", ttl=2, receive_replies=True) as asking,
        sending(net.b, interfaces="eth0") as answering,
    ):
        await asking.send(b"question")
        question = await receiver.receive()
        await answering.send(b"answer", to=question.source)
        assert (await asking.replies.receive()).data == b"answer"
        await asking.send(b"x", to=("10.0.3.3", PORT))
        await asking.send(b"x", to=("10.0.2.254", PORT))
        reasons = [item.reason for item in net.network.trace if item.what == "dropped"]
        assert reasons == ["no route", "it is for the router, which has no programs"]


async def test_gateway_covers_groups_as_a_default_route_does() -> None:
    async with routed() as net, receiving(net.b) as receiver, sending(net.a, ttl=2) as sender:
        assert [item.name for item in sender.interfaces] == ["eth0"]
        await sender.send(b"x")
        assert len(await drain(receiver)) == 1


async def test_router_forgets_who_reports_no_longer(autojump_clock: MockClock) -> None:
    async with routed() as net:
        interface = net.b.interface("eth0")
        async with receiving(net.b), sending(net.a, interfaces="eth0", ttl=2) as sender:
            interface.take_down()
            await trio.sleep(300)
            await sender.send(b"x")
            assert "forwarded" not in [item.what for item in net.network.trace]
            forgot = [item.where for item in net.network.trace if item.what == "forgot"]
            assert sorted(forgot) == ["r", "right"]


async def test_misuse_of_a_router_is_an_error() -> None:
    async with routed() as net:
        with pytest.raises(ValueError, match="r has an interface 'r1' already"):
            net.router.plug("r1", net.network.switch("third"))
        with pytest.raises(ValueError, match="r has no interface 'r9'"):
            net.router.forward(GROUP4, "r1", "r9")
        with pytest.raises(ValueError, match="is not a multicast group"):
            net.router.forward("10.0.0.1", "r1", "r2")
