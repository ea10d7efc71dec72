"""Interfaces whose names are the index or the address of another one: each is itself."""

from __future__ import annotations

import pytest
import trio

from tests.support.virtual_hosts import PLATFORMS, PORT, Lan, drain, receiving, sending, two_on_lan
from trio_mcast import Datagram, find_interfaces
from trio_mcast.testing import VirtualHost

EVERY_PLATFORM = pytest.mark.parametrize("platform", PLATFORMS)
GROUP = "ff02::77"
# Of eth0 these are the index and an address.
NAMES = ["2", "10.0.0.2"]


def plug(lan: Lan, name: str) -> VirtualHost:
    """Give host b a second interface, and return its neighbour there."""
    other = lan.network.switch("other")
    lan.b.plug(name, other, "10.1.0.2/24", "fe80::2/64")
    neighbour = lan.network.host("neighbour")
    neighbour.plug("eth0", other, "10.1.0.1/24", "fe80::1/64")
    return neighbour


def received(datagrams: list[Datagram]) -> list[tuple[bytes, str]]:
    return [(datagram.data, datagram.interface.name) for datagram in datagrams]


@EVERY_PLATFORM
@pytest.mark.parametrize("name", NAMES)
async def test_neighbour_is_answered_on_its_own_link(platform: str, name: str) -> None:
    async with two_on_lan(platform) as lan:
        neighbour = plug(lan, name)
        async with (
            receiving(lan.b, GROUP) as receiver,
            sending(lan.b, GROUP, interfaces=["eth0", name]) as answering,
            sending(lan.a, GROUP, receive_replies=True) as one,
            sending(neighbour, GROUP, receive_replies=True) as another,
        ):
            for asking in (one, another):
                await asking.send(b"who is there?")
            for datagram in await drain(receiver):
                await answering.send(datagram.interface.name.encode(), to=datagram.source)
            with trio.fail_after(5):
                answers = [(await asking.replies.receive()).data for asking in (one, another)]
            assert answers == [b"eth0", name.encode()]


@EVERY_PLATFORM
@pytest.mark.parametrize("name", NAMES)
async def test_groups_are_joined_sent_to_and_left_there_alone(platform: str, name: str) -> None:
    async with two_on_lan(platform) as lan:
        neighbour = plug(lan, name)
        with lan.b:
            assert [interface.name for interface in find_interfaces(name)] == [name]
        async with (
            receiving(lan.b, GROUP, interfaces=name) as receiver,
            receiving(neighbour, GROUP) as heard,
            sending(lan.b, GROUP, interfaces=["eth0", name]) as sender,
            sending(neighbour, GROUP) as asking,
        ):
            await asking.send(b"hello")
            assert received(await drain(receiver)) == [(b"hello", name)]
            assert received(await drain(heard)) == [(b"hello", "eth0")]
            await sender.send(b"there", to=f"{GROUP}%{name}")
            assert received(await drain(heard)) == [(b"there", "eth0")]
            sent = {place: count.sent for place, count in sender.statistics().interfaces.items()}
            assert sent == {"eth0": 0, name: 1}
            await receiver.join("ff02::78", interfaces=["eth0", name])
            await receiver.leave("ff02::78", interfaces=name)
            assert [(each.group, each.interface.name) for each in receiver.memberships] == [
                (GROUP, name),
                ("ff02::78", "eth0"),
            ]


@EVERY_PLATFORM
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("blocked", ["name", "eth0"])
async def test_source_is_blocked_there_alone(platform: str, name: str, blocked: str) -> None:
    blocked = name if blocked == "name" else blocked
    async with two_on_lan(platform) as lan:
        neighbour = plug(lan, name)
        async with (
            receiving(lan.b, GROUP, interfaces=["eth0", name]) as receiver,
            sending(lan.a, GROUP) as one,
            sending(neighbour, GROUP) as another,
        ):
            places = {("eth0", "eth0"), (name, name)}
            for change, expected in (
                (receiver.block_source, places - {(blocked, blocked)}),
                (receiver.unblock_source, places),
            ):
                # Both have the same link-local address.
                await change("fe80::1", interfaces=blocked)
                await one.send(b"eth0")
                await another.send(name.encode())
                datagrams = await drain(receiver)
                assert {(each.data.decode(), each.interface.name) for each in datagrams} == expected
                assert len(datagrams) == len(expected)
                assert all(each.source.port != PORT for each in datagrams)
