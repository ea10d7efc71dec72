"""Channels on real networks: other programs on the port, changes, refusals, and what waits."""

from __future__ import annotations

import logging
import pickle
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from ipaddress import IPv4Address
from typing import Any

import pytest
import trio

from tests.lab import Host, Lab, Switch
from tests.lab.fixtures import TwoHosts, TwoLans
from tests.lab.machine import on
from tests.support.senders import lan_of, plug_again
from tests.support.traffic import (
    BOTH,
    FAMILIES,
    PORT,
    TIMEOUT_SECONDS,
    Family,
    address_of,
    await_payload,
    group_of,
    plain_socket,
    receiver_on,
    sender_on,
)
from tests.support.waiting import until
from trio_mcast import (
    Datagram,
    Endpoint,
    McastChannel,
    McastChannelSpec,
    McastReceiver,
    open_mcast_channel,
)

pytestmark = pytest.mark.once


@asynccontextmanager
async def channel_on(host: Host, groups: Any, **options: Any) -> AsyncIterator[McastChannel]:
    with on(host):
        async with open_mcast_channel(groups, PORT, **options) as channel:
            yield channel


async def some(receiver: McastReceiver, count: int) -> list[Datagram]:
    with trio.fail_after(TIMEOUT_SECONDS):
        return [await receiver.receive() for _ in range(count)]


async def known(lan: Switch, host: Host, group: str) -> None:
    """Wait until a switch knows that a host wants the group."""
    await lan.wait_for_async(
        lambda subscriptions: any((it.group, it.host) == (group, host.name) for it in subscriptions)
    )


async def heard(receiver: McastReceiver, data: bytes, count: int) -> list[Datagram]:
    """Return so many datagrams with this payload; others are left out."""
    found: list[Datagram] = []
    with trio.fail_after(TIMEOUT_SECONDS):
        while len(found) < count:
            datagram = await receiver.receive()
            found += [datagram] if datagram.data == data else []
    return found


def program_on(host: Host, family: Family) -> socket.socket:
    """Open the socket of another program on the port, bound to no address, as avahi's is."""
    number = socket.AF_INET if family == "ipv4" else socket.AF_INET6
    with host.inside():
        program = socket.socket(number, socket.SOCK_DGRAM)
    program.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    program.bind(("0.0.0.0" if family == "ipv4" else "::", PORT))
    return program


@FAMILIES
@pytest.mark.parametrize("first", [True, False], ids=["program first", "channel first"])
async def test_unicast_of_another_program_on_the_port_is_left_to_it(
    family: Family, first: bool, two_lans: TwoLans
) -> None:
    a, b = two_lans.a, two_lans.b
    with ExitStack() as stack:
        program = stack.enter_context(program_on(a, family)) if first else None
        async with channel_on(a, [group_of(family), "ff02::1:2:1"]) as channel:
            if program is None:
                program = stack.enter_context(program_on(a, family))
            asking = stack.enter_context(plain_socket(b, family))
            await channel.send(b"hello")
            for number in range(20):
                lan = 1 + number % 2
                asking.sendto(b"%d" % number, (address_of(family, 1, lan), PORT))
                await_payload(program, b"%d" % number)
            await channel.send(b"hello")
            assert channel.statistics().received == 0


async def test_datagrams_that_waited_long_are_still_known_as_its_own(two_hosts: TwoHosts) -> None:
    group = group_of("ipv4")
    async with (
        channel_on(two_hosts.a, group, interfaces="eth0", max_buffered=2) as channel,
        sender_on(two_hosts.b, group, interfaces="eth0") as sender,
    ):
        await known(two_hosts.lan, two_hosts.a, group)
        await sender.send(b"1")
        await sender.send(b"2")
        await until(lambda: channel.statistics().waiting, 2)
        for number in range(500):
            await channel.send(b"own %d" % number)
        await trio.sleep(1.2)  # Longer than anything is remembered that does not wait.
        await sender.send(b"3")
        assert [it.data for it in await some(channel, 3)] == [b"1", b"2", b"3"]
        assert channel.statistics().rejected_by_reason == {"own": 500}
        # It has been taken out once: the same from another program here is heard.
        with on(two_hosts.a):
            async with open_mcast_channel(group, PORT, interfaces="eth0") as other:
                await channel.send(b"again")
                await other.send(b"again")
                (datagram,) = await some(channel, 1)
                assert datagram.source == channel.local_endpoints[0]


@pytest.mark.parametrize("group", ["239.1.2.1", "ff02::1:2:1", "ff05::1:2:1"])
async def test_own_datagram_that_comes_in_by_another_interface_is_not_delivered(
    lab: Lab, group: str
) -> None:
    lan = lab.switch("lan")
    a, b = lab.host("a"), lab.host("b")
    for number, name in enumerate(BOTH, 1):
        a.plug(name, lan, f"10.0.1.{number}/24", f"fd00:1::{number}/64")
    b.plug("eth0", lan, "10.0.1.9/24", "fd00:1::9/64")
    async with channel_on(a, group) as channel, channel_on(b, group) as other:
        places = {("a", "eth0"), ("a", "eth1"), ("b", "eth0")}
        await lan.wait_for_async(
            lambda subscriptions: (
                places <= {(it.host, it.interface) for it in subscriptions if it.group == group}
            )
        )
        await channel.send(b"own")
        await some(other, 2)
        await other.send(b"other")
        assert [it.data for it in await some(channel, 2)] == [b"other"] * 2


@FAMILIES
async def test_channel_follows_the_interfaces(family: Family, two_lans: TwoLans) -> None:
    a, b, group = two_lans.a, two_lans.b, group_of(family)
    a.unplug("eth1")
    async with (
        channel_on(a, group) as channel,
        receiver_on(two_lans, b, group) as receiver,
        sender_on(b, group, interfaces=BOTH) as sender,
    ):
        await channel.send(b"one")
        assert [it.interface.name for it in await some(receiver, 1)] == ["eth0"]
        for _ in range(2):
            plug_again(a, lan_of(two_lans, "eth1"), 2, "eth1")
            await until(lambda: [it.port for it in channel.local_endpoints], [PORT, PORT])
            await until(lambda: len(channel.interfaces), 2)
            await channel.send(b"both")
            both = await heard(receiver, b"both", 2)
            assert {it.interface.name for it in both} == set(BOTH)
            assert {it.source.port for it in both} == {PORT}
            question: list[Datagram] = []
            with trio.fail_after(TIMEOUT_SECONDS):
                while not any(it.interface.name == "eth1" for it in question):
                    await sender.send(b"who?", interface="eth1")
                    with trio.move_on_after(0.1):
                        question.append(await channel.receive())
            await channel.answer(question[-1], b"me", to_group=True)
            assert [it.interface.name for it in await heard(receiver, b"me", 1)] == ["eth1"]
            a.unplug("eth1")
            await until(lambda: len(channel.local_endpoints), 1)


def forged(source: tuple[str, int], asked: Datagram) -> Datagram:
    return asked._replace(source=Endpoint(*source))


async def test_answer_that_cannot_be_sent_is_counted_and_logged_once_for_each_reason(
    two_lans: TwoLans, caplog: pytest.LogCaptureFixture
) -> None:
    a, b, group = two_lans.a, two_lans.b, group_of("ipv4")
    async with (
        channel_on(a, group) as channel,
        sender_on(b, group, interfaces="eth1") as sender,
    ):
        await known(two_lans.lan2, a, group)
        await sender.send(b"who?")
        (question,) = await some(channel, 1)
        caplog.set_level(logging.WARNING, logger="trio_mcast")
        sources = [("10.0.2.2", 0), ("192.0.2.7", 4000), ("10.0.2.255", 4000), ("2001:db8::7", 1)]
        for source in sources * 3:
            await channel.answer(forged(source, question), b"")
        assert channel.statistics().sending.failed == 12
        assert len(caplog.records) == 4
        a.unplug("eth1")
        await until(lambda: len(channel.local_endpoints), 1)
        caplog.clear()
        for to_group in (False, True, False):
            await channel.answer(question, b"", to_group=to_group)
        assert channel.statistics().sending.interfaces["eth1"].failed == 15
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        with pytest.raises(ValueError, match="does not fit a UDP datagram"):
            await channel.answer(question, bytes(65_508))
        with pytest.raises(TypeError, match="data must be bytes-like"):
            await channel.answer(question, "text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="must be a Datagram"):
            await channel.answer(question.source, b"")  # type: ignore[arg-type]
        await channel.aclose()
        calls: list[Any] = [
            lambda: channel.answer(question, b""),
            lambda: channel.send(b""),
            lambda: channel.send_batch([b""]),
            channel.receive,
        ]
        for call in calls:
            with pytest.raises(trio.ClosedResourceError):
                await call()
        with pytest.raises(trio.ClosedResourceError):
            channel.send_nowait(b"")
        assert channel.statistics().sending.failed == 15


async def test_channel_is_a_receiver_and_a_send_channel_with_its_own_statistics(
    two_hosts: TwoHosts,
) -> None:
    async with channel_on(two_hosts.a, group_of("ipv4"), interfaces="eth0") as channel:
        assert isinstance(channel, McastReceiver)
        assert isinstance(channel, trio.abc.SendChannel)
        assert not isinstance(channel, trio.abc.Channel)
        await channel.join("239.7.7.7")
        await channel.send(b"", to="239.7.7.7")
        statistics = channel.statistics()
        assert statistics.sending.sent == 1
        assert pickle.loads(pickle.dumps(statistics)) == statistics
        with pytest.raises(ValueError, match="which has eth0"):
            await channel.send(b"", interface="eth7")


async def test_channel_on_the_loopback_interface_hears_others_only(lab: Lab) -> None:
    host = lab.host("alone")
    for loopback in (True, False):  # The loopback interface always delivers.
        options = {"interfaces": "lo", "loopback": loopback}
        async with (
            channel_on(host, "239.1.2.3", **options) as channel,
            channel_on(host, "239.1.2.3", **options) as other,
        ):
            await channel.send(b"own")
            await other.send(b"other")
            assert [it.data for it in await some(channel, 1)] == [b"other"]
            assert [it.data for it in await some(other, 1)] == [b"own"]
            await channel.send(b"own")
            await until(lambda: channel.statistics().rejected_by_reason["own"], 2)


async def test_answer_comes_from_the_address_that_the_channel_sends_to_that_group_from(
    two_hosts: TwoHosts,
) -> None:
    groups = ["ff05::1:2:1", "ff02::1:2:1"]
    async with (
        channel_on(two_hosts.a, groups, interfaces="eth0") as channel,
        sender_on(two_hosts.b, groups, interfaces="eth0", receive_replies=True) as asking,
    ):
        for group in groups:
            await known(two_hosts.lan, two_hosts.a, group)
            await asking.send(b"who?", to=group)
            (question,) = await some(channel, 1)
            await channel.answer(question, b"me")
            with trio.fail_after(TIMEOUT_SECONDS):
                reply = await asking.replies.receive()
            expected = address_of("ipv6", 1)
            if group.startswith("ff02"):
                expected = f"{two_hosts.a.link_local('eth0')}%eth0"
            assert reply.source == Endpoint(expected, PORT)


async def test_datagram_that_says_nothing_of_its_destination_can_be_answered(
    two_hosts: TwoHosts,
) -> None:
    group = group_of("ipv4")
    async with (
        channel_on(two_hosts.a, group, interfaces=["eth0"]) as channel,
        channel_on(two_hosts.b, group, interfaces="eth0") as other,
    ):
        await known(two_hosts.lan, two_hosts.b, group)
        made = Datagram(b"", Endpoint("10.0.1.2", 9), group, channel.interfaces[0])
        await channel.answer(made, b"answer", to_group=True)
        assert [it.data for it in await some(other, 1)] == [b"answer"]
        await channel.answer(made, b"")
        await channel.answer(made._replace(group=None), b"")
        assert channel.statistics().sending.sent == 3


async def test_channel_tells_when_a_datagram_left_and_does_not_hear_it(
    two_hosts: TwoHosts,
) -> None:
    group = group_of("ipv4")
    options: dict[str, Any] = {"interfaces": "eth0", "receive_timestamp": True}
    async with (
        channel_on(two_hosts.a, group, **options, traffic_class=0xB8) as channel,
        channel_on(two_hosts.b, group, **options, receive_traffic_class=True) as other,
    ):
        await known(two_hosts.lan, two_hosts.b, group)
        with trio.fail_after(TIMEOUT_SECONDS):
            left = await channel.send_timestamped(b"when?")
        (datagram,) = await some(other, 1)
        assert datagram.traffic_class == 0xB8
        assert datagram.timestamp_ns is not None
        assert 0 <= datagram.timestamp_ns - left < 1_000_000_000
        await until(lambda: channel.statistics().rejected_by_reason["own"], 1)


def test_spec_of_a_channel_checks_and_keeps_what_is_for_both() -> None:
    spec = McastChannelSpec(
        "239.1.2.3", [5000, 5001], interfaces="eth0", source_address=IPv4Address("10.0.0.1")
    )
    assert (spec.port, spec.source_address) == ((5000, 5001), "10.0.0.1")
    assert pickle.loads(pickle.dumps(spec)) == spec
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"ttl": 256}, ValueError, "ttl"),
        ({"unicast_ttl": 0}, ValueError, "unicast_ttl"),
        ({"traffic_class": "x"}, TypeError, "traffic_class"),
        ({"source_address": "2001:db8::1"}, ValueError, "source_address"),
        ({"send_buffer_size": 0}, ValueError, "send_buffer_size"),
        ({"max_buffered": 0}, ValueError, "max_buffered"),
        ({"sources": ["fe80::1"]}, ValueError, "sources"),
    ]
    for options, kind, says in wrong:
        with pytest.raises(kind, match=says):
            McastChannelSpec("239.1.2.3", 5000, **options)
    with pytest.raises(ValueError, match="groups is empty"):
        McastChannelSpec((), 5000, accept_unicast=True)
