"""In every world: a channel receives on a port and sends from it, and never hears itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.contract.conftest import real_linux, real_world, world, world_name
from tests.contract.using import (
    BOTH,
    EVERY_GROUP,
    FAMILIES,
    PORT,
    all_of,
    data_of,
    group_of,
    receiving,
    sending,
)
from tests.contract.worlds import World, address_of
from trio_mcast import Datagram, Endpoint, Interface, McastChannel, open_mcast_channel
from trio_mcast._values.addresses import Family
from trio_mcast.testing import VirtualNetwork

__all__ = ["real_linux", "real_world", "world", "world_name"]


@asynccontextmanager
async def channel_on(
    world: World, host: str, groups: Any, port: Any = PORT, **options: Any
) -> AsyncIterator[McastChannel]:
    with world.on(host):
        async with open_mcast_channel(groups, port, **options) as channel:
            yield channel


@EVERY_GROUP
async def test_channel_sends_from_its_port_on_each_interface_and_does_not_hear_itself(
    world: World, group: str
) -> None:
    async with (
        channel_on(world, "a", group) as channel,
        channel_on(world, "b", group) as other,
        receiving(world, "a", group) as same_machine,
    ):
        for number in range(3):
            await channel.send(b"%d" % number)
        channel.send_nowait(b"3")
        await channel.send_batch([b"4", b"5", b"5"])
        await other.send(b"other")
        sent = [b"0", b"1", b"2", b"3", b"4", b"5", b"5"]
        for listening in (other, same_machine):
            heard = await all_of(world, listening)
            for name in BOTH:
                on_it = [it for it in heard if it.interface.name == name]
                from_a = [it for it in on_it if it.data != b"other"]
                assert [it.data for it in from_a] == sent
                assert {it.source for it in from_a} <= {
                    Endpoint(it.host.partition("%")[0] + f"%{name}", it.port)
                    if "%" in it.host
                    else it
                    for it in channel.local_endpoints
                }
                assert {it.source.port for it in from_a} == {PORT}
        assert await data_of(world, channel) == [b"other"] * 2
        statistics = channel.statistics()
        assert statistics.rejected_by_reason == {"own": 14}
        assert (statistics.received, statistics.delivered) == (2, 2)
        assert (statistics.sending.sent, statistics.sending.failed) == (14, 0)


@FAMILIES
async def test_another_channel_of_this_machine_is_heard_unless_loopback_is_off(
    world: World, family: Family
) -> None:
    group = group_of(family)
    async with (
        channel_on(world, "a", group, interfaces="eth0") as channel,
        channel_on(world, "a", group, interfaces="eth0") as other,
    ):
        # The same address, port and payload: one is this channel's own, the other is not.
        await channel.send(b"same")
        await other.send(b"same")
        for one in (channel, other):
            (datagram,) = await all_of(world, one)
            assert datagram.source == one.local_endpoints[0]
            assert one.statistics().rejected == 1
    async with (
        channel_on(world, "a", group, interfaces="eth0", loopback=False) as deaf,
        channel_on(world, "a", group, interfaces="eth0") as other,
        channel_on(world, "b", group, interfaces="eth0") as remote,
    ):
        await other.send(b"near")
        await deaf.send(b"own")
        await remote.send(b"far")
        assert await data_of(world, deaf) == [b"far"]


@FAMILIES
async def test_question_to_the_group_is_answered_by_unicast_or_to_the_group(
    world: World, family: Family
) -> None:
    group = group_of(family)
    async with (
        channel_on(world, "a", group) as channel,
        receiving(world, "c", group) as bystander,
        sending(world, "b", group, "eth1", receive_replies=True) as asking,
    ):
        await asking.send(b"who?")
        (question,) = await all_of(world, channel)
        await channel.answer(question, b"I")
        await channel.answer(question, b"all", to_group=True)
        with trio.fail_after(5):
            reply = await asking.replies.receive()
        assert (reply.data, reply.source) == (b"I", Endpoint(address_of(family, "a", 2), PORT))
        heard = [(it.data, it.interface.name) for it in await all_of(world, bystander)]
        assert heard == [(b"who?", "eth1"), (b"all", "eth1")]
        assert await data_of(world, channel) == []


@FAMILIES
async def test_question_by_unicast_is_answered_from_the_address_that_was_asked(
    world: World, family: Family
) -> None:
    group = group_of(family)
    second = "10.0.1.77" if family == "ipv4" else "fd00:1::77"
    world.address("a", "eth0", add=[f"{second}/{24 if family == 'ipv4' else 64}"])
    try:
        async with (
            channel_on(world, "a", group, accept_unicast=True) as channel,
            sending(world, "b", group, receive_replies=True) as asking,
        ):
            for asked in (address_of(family, "a"), second):
                await asking.send(asked.encode(), to=(asked, PORT))
                (question,) = await all_of(world, channel)
                assert question.group is None
                await channel.answer(question, b"I")
                with trio.fail_after(5):
                    reply = await asking.replies.receive()
                assert reply.source == Endpoint(asked, PORT)
                with pytest.raises(ValueError, match="came by unicast"):
                    await channel.answer(question, b"", to_group=True)
            assert channel.statistics().sending.sent == 2
    finally:
        world.address("a", "eth0", remove=[f"{second}/{24 if family == 'ipv4' else 64}"])


@FAMILIES
async def test_channel_that_answers_everything_does_not_answer_itself(
    world: World, family: Family
) -> None:
    group = group_of(family)
    async with (
        channel_on(world, "a", group, accept_unicast=True, interfaces="eth0") as channel,
        sending(world, "b", group) as asking,
        trio.open_nursery() as nursery,
    ):

        async def answer_all() -> None:
            async for datagram in channel:
                await channel.answer(datagram, b"answer", to_group=datagram.group is not None)
                await channel.send(b"to me", to=(address_of(family, "a"), PORT))

        nursery.start_soon(answer_all)
        await asking.send(b"who?")
        await world.settle()
        await world.settle()
        assert channel.statistics().sending.sent == 2
        assert channel.statistics().received == 1
        nursery.cancel_scope.cancel()


async def test_channel_with_several_ports_sends_from_the_first_unless_told_otherwise(
    world: World,
) -> None:
    group, ports = group_of("ipv4"), (PORT, PORT + 1)
    async with (
        channel_on(world, "a", group, ports, interfaces="eth0") as channel,
        receiving(world, "b", group, [*ports, PORT + 2], interfaces="eth0") as listening,
    ):
        await channel.send(b"0")
        await channel.send(b"1", to=(group, PORT + 1))
        await channel.send(b"2", to=(group, PORT + 2))
        heard = {
            it.data: (it.source.port, it.destination.port) for it in await all_of(world, listening)
        }
        assert heard == {
            b"0": (PORT, PORT),
            b"1": (PORT + 1, PORT + 1),
            b"2": (PORT, PORT + 2),
        }
        assert await data_of(world, channel) == []
        assert channel.statistics().sending.sent == 3
        async with sending(world, "b", group, receive_replies=True) as asking:
            await asking.send(b"who?", to=(group, PORT + 1))
            (question,) = await all_of(world, channel)
            await channel.answer(question, b"I")
            with trio.fail_after(5):
                assert (await asking.replies.receive()).source.port == PORT + 1


SOURCE = Endpoint("10.0.0.9", 9)
ETH0 = Interface("eth0", 2)
MADE_UP: dict[str, Any] = {
    "source": [None, ("10.0.0.9", 9), Endpoint(5, 5), Endpoint("10.0.0.9", "9")],  # type: ignore[arg-type]
    "destination": [None, 5, Endpoint(None, 5)],  # type: ignore[arg-type]
    "interface": ["eth0", None, Interface(5, 5)],  # type: ignore[arg-type]
    "group": [5, b"239.1.2.3"],
}


@pytest.fixture
async def virtual_channel() -> AsyncIterator[McastChannel]:
    async with VirtualNetwork() as network:
        host = network.host("a")
        host.plug("eth0", network.switch("lan"), "10.0.0.1/24", "fd00::1/64")
        with host:
            async with open_mcast_channel(["239.1.2.3", "ff15::1"], PORT) as channel:
                yield channel


@pytest.mark.parametrize(
    ("name", "number"), [(name, n) for name, values in MADE_UP.items() for n in range(len(values))]
)
async def test_answer_to_a_datagram_made_of_anything_says_what_is_wrong(
    name: str, number: int, virtual_channel: McastChannel
) -> None:
    question = Datagram(b"?", SOURCE, None, ETH0, destination=Endpoint("10.0.0.1", PORT))
    question = question._replace(**{name: MADE_UP[name][number]})
    with pytest.raises(TypeError, match=rf"^datagram\.{name} must be an? "):
        await virtual_channel.answer(question, b"I")
    assert virtual_channel.statistics().sending.failed == 0


@pytest.mark.parametrize(
    ("source", "group", "to"),
    [
        ("fd00::9", None, "10.0.0.1"),
        ("10.0.0.9", None, "fd00::1"),
        ("10.0.0.9", None, "nothing"),
        ("nobody", None, "10.0.0.1"),
        ("10.0.0.9", "no group", "10.0.0.1"),
        ("fd00::9", "239.1.2.3", "239.1.2.3"),
    ],
)
async def test_answer_to_a_made_up_datagram_that_makes_no_sense_is_counted_as_failed(
    source: str, group: str | None, to: str, virtual_channel: McastChannel
) -> None:
    question = Datagram(b"?", Endpoint(source, 9), group, ETH0, destination=Endpoint(to, PORT))
    await virtual_channel.answer(question, b"I")
    assert virtual_channel.statistics().sending.failed == 1


async def test_errors_of_a_channel_call_it_a_channel(virtual_channel: McastChannel) -> None:
    with pytest.raises(ValueError, match="not an interface of this channel"):
        await virtual_channel.send(b"", interface="eth7")
    await virtual_channel.aclose()
    for call in (virtual_channel.send(b""), virtual_channel.receive()):
        with pytest.raises(trio.ClosedResourceError, match=r"^this channel was closed$"):
            await call
    with pytest.raises(trio.ClosedResourceError, match=r"^this channel was closed$"):
        await virtual_channel.join("239.1.2.4")
