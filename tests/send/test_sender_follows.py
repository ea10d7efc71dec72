"""A sender on real networks whose interfaces, addresses and routes change."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket

import pytest
import trio
import trio.testing

from tests.lab import Lab
from tests.lab.fixtures import TwoHosts, TwoLans
from tests.lab.machine import on
from tests.support.senders import (
    GROUPS,
    listening,
    plug_again,
    send_until_it_works,
    sending_address,
    until_on,
)
from tests.support.traffic import (
    FAMILIES,
    PORT,
    TIMEOUT_SECONDS,
    Family,
    group_of,
    places,
    receive,
    receiver_on,
    refusals_in,
    sender_on,
)
from tests.support.waiting import until
from trio_mcast import Endpoint, SocketSetupError, open_mcast_sender

pytestmark = pytest.mark.once

EVERY_GROUP = pytest.mark.parametrize("group", GROUPS)


def _received(program: socket.socket) -> tuple[bytes, int]:
    """A datagram, and the port that it comes from."""
    data, (_, port, *_) = program.recvfrom(100)
    return data, port


# One interface ---------------------------------------------------------------------------------


@EVERY_GROUP
async def test_interface_that_was_down_is_sent_on_from_the_same_address_and_port(
    two_hosts: TwoHosts, group: str
) -> None:
    a, b = two_hosts.a, two_hosts.b
    with await listening(b, two_hosts.lan, group) as program:
        async with sender_on(a, group, interfaces="eth0") as sender:
            endpoints = sender.local_endpoints
            a.down("eth0")
            with pytest.raises(SocketSetupError, match="on interface eth0") as caught:
                await sender.send(b"lost")
            assert caught.value.errno in (errno.ENETDOWN, errno.ENETUNREACH, errno.EADDRNOTAVAIL)
            await until(lambda: [item.is_up for item in sender.interfaces], [False])
            a.up("eth0")
            await send_until_it_works(sender, b"back")
            await until(lambda: [item.is_up for item in sender.interfaces], [True])
            assert sender.local_endpoints == endpoints
            assert _received(program) == (b"back", endpoints[0].port)


@EVERY_GROUP
async def test_interface_that_was_made_again_is_sent_on_from_the_same_port(
    two_hosts: TwoHosts, group: str
) -> None:
    a, b, lan = two_hosts.a, two_hosts.b, two_hosts.lan
    with await listening(b, lan, group) as program:
        async with sender_on(a, group, interfaces="eth0") as sender:
            (before,) = sender.interfaces
            (endpoint,) = sender.local_endpoints
            a.unplug("eth0")
            await until_on(sender)
            assert not sender.local_endpoints
            assert sender.statistics().send_buffer_granted == 0
            for call in (sender.send(b"lost"), sender.send(b"lost", to=(group, 7))):
                with pytest.raises(SocketSetupError, match="no interface is called 'eth0'") as lost:
                    await call
                assert (lost.value.errno, lost.value.interface) == (errno.ENODEV, "eth0")
                assert lost.value.group == group
            with pytest.raises(SocketSetupError, match="0 of 2 datagrams had been sent"):
                await sender.send_batch([b"lost", b"lost"])
            assert sender.statistics().interfaces["eth0"].failed == 4
            plug_again(a, lan)
            await send_until_it_works(sender, b"back")
            (after,) = sender.interfaces
            assert (after.name, after.index) != (before.name, before.index)
            assert sender.local_endpoints[0].port == endpoint.port
            assert sender.local_endpoints[0].host.partition("%")[0] == sending_address(a, group)
            assert _received(program) == (b"back", endpoint.port)
            await sender.send_batch([b"1", b"2"])
            assert [program.recv(100) for _ in range(2)] == [b"1", b"2"]


@FAMILIES
async def test_new_address_is_sent_from_when_the_old_one_has_gone(
    two_hosts: TwoHosts, family: Family
) -> None:
    a, group = two_hosts.a, group_of(family)
    old, new = ("10.0.1.1", "10.0.1.9") if family == "ipv4" else ("fd00:1::1", "fd00:1::9")
    length = "/24" if family == "ipv4" else "/64"
    with await listening(two_hosts.b, two_hosts.lan, group) as program:
        async with sender_on(a, group, interfaces="eth0") as sender:
            (endpoint,) = sender.local_endpoints
            a.address("eth0", add=[new + length])
            added = ipaddress.ip_address(new)
            await until(lambda: added in sender.interfaces[0].addresses(family), True)
            assert sender.local_endpoints == (endpoint,), "an address that is there is kept"
            a.address("eth0", remove=[old + length])
            await until(lambda: sender.local_endpoints, (Endpoint(new, endpoint.port),))
            await sender.send(b"x")
            assert program.recvfrom(100)[1][:2] == (new, endpoint.port)
            # Without any it does not send, as it would be from another interface's address.
            a.run("ip", "address", "delete", new + length, "dev", "eth0")
            if family == "ipv6":
                a.run("ip", "address", "flush", "dev", "eth0", "scope", "link")
            await until_on(sender)
            with pytest.raises(SocketSetupError, match=r"eth0 has no IPv. address now") as caught:
                await sender.send(b"x")
            assert caught.value.errno == errno.EADDRNOTAVAIL
            a.run("ip", "address", "add", old + length, "dev", "eth0")
            await until(lambda: sender.local_endpoints, (endpoint,))
            await sender.send(b"x")
            assert program.recvfrom(100)[1][:2] == endpoint


async def test_ipv6_address_that_cannot_be_used_yet_is_waited_for(two_hosts: TwoHosts) -> None:
    a = two_hosts.a
    # The kernel then asks first whether somebody else has the address, for about a second.
    a.namespace.set_parameters(
        {"ipv6/conf/eth0/accept_dad": "1", "ipv6/conf/eth0/dad_transmits": "1"}
    )
    async with sender_on(a, "ff05::123", interfaces="eth0") as sender:
        (endpoint,) = sender.local_endpoints
        a.run("ip", "address", "add", "fd00:1::9/64", "dev", "eth0")
        a.run("ip", "address", "delete", "fd00:1::1/64", "dev", "eth0")
        await until_on(sender)
        with pytest.raises(SocketSetupError, match="bind to fd00:1::9") as caught:
            await sender.send(b"?")
        assert caught.value.errno == errno.EADDRNOTAVAIL
        await until(lambda: sender.local_endpoints, (Endpoint("fd00:1::9", endpoint.port),))
        await sender.send(b"!")


async def test_port_that_somebody_else_has_taken_meanwhile_is_given_up(
    two_hosts: TwoHosts,
) -> None:
    a = two_hosts.a
    async with sender_on(a, GROUPS[0], interfaces="eth0") as sender:
        (endpoint,) = sender.local_endpoints
        a.unplug("eth0")
        await until_on(sender)
        with a.inside():
            other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with other:
            other.bind(("0.0.0.0", endpoint.port))
            plug_again(a, two_hosts.lan)
            await send_until_it_works(sender, b"x")
        (now,) = sender.local_endpoints
        assert now.host == endpoint.host
        assert now.port != endpoint.port


@EVERY_GROUP
async def test_source_port_that_was_asked_for_is_kept(two_hosts: TwoHosts, group: str) -> None:
    async with sender_on(two_hosts.a, group, interfaces="eth0", source_port=6_000) as sender:
        two_hosts.a.unplug("eth0")
        await until_on(sender)
        plug_again(two_hosts.a, two_hosts.lan)
        await send_until_it_works(sender, b"x")
        assert [item.port for item in sender.local_endpoints] == [6_000]


@pytest.mark.parametrize("named", ["index", "interface", "name"])
async def test_interface_is_known_by_its_name_however_it_was_named(
    two_hosts: TwoHosts, named: str
) -> None:
    a = two_hosts.a
    with on(a):
        async with open_mcast_sender(GROUPS[0], PORT, interfaces="eth0") as sender:
            (interface,) = sender.interfaces
    selector = {"index": interface.index, "interface": interface, "name": "eth0"}[named]
    async with sender_on(a, GROUPS[0], interfaces=selector) as sender:
        a.run("ip", "link", "set", "eth0", "down")
        a.run("ip", "link", "set", "eth0", "name", "other0")
        a.run("ip", "link", "set", "other0", "up")
        await until_on(sender)
        a.run("ip", "link", "set", "other0", "name", "eth0")
        await until_on(sender, "eth0")


# Replies ---------------------------------------------------------------------------------------


@EVERY_GROUP
async def test_replies_come_over_the_new_interface(two_hosts: TwoHosts, group: str) -> None:
    a, b, lan = two_hosts.a, two_hosts.b, two_hosts.lan
    async with (
        sender_on(a, group, interfaces="eth0", receive_replies=True) as asker,
        sender_on(b, group, interfaces="eth0") as responder,
    ):
        for index in range(3):
            (endpoint,) = asker.local_endpoints
            await responder.send(b"%d" % index, to=endpoint)
            with trio.fail_after(TIMEOUT_SECONDS):
                reply = await asker.replies.receive()
            assert reply.data == b"%d" % index
            assert reply.interface.index == a.index("eth0")
            a.unplug("eth0")
            await until_on(asker)
            plug_again(a, lan)
            b.run("ip", "neighbour", "flush", "dev", "eth0")  # It has another hardware address.
            await send_until_it_works(asker, b"?")
        statistics = asker.statistics().replies
        assert statistics is not None
        assert (statistics.received, statistics.delivered, statistics.sockets_failed) == (3, 3, 0)


async def test_replies_that_have_come_before_a_change_are_delivered_or_counted(
    two_hosts: TwoHosts,
) -> None:
    a, b, group = two_hosts.a, two_hosts.b, GROUPS[0]
    async with (
        sender_on(a, group, interfaces="eth0", receive_replies=True) as asker,
        sender_on(b, group, interfaces="eth0") as responder,
    ):
        # So that the hosts know each other: else most of a burst is lost.
        await responder.send(b"hello", to=asker.local_endpoints[0])
        with trio.fail_after(TIMEOUT_SECONDS):
            assert (await asker.replies.receive()).data == b"hello"
        # More than are read before somebody takes them: the rest waits in the kernel.
        await responder.send_batch([b"x"] * 2_000, to=asker.local_endpoints[0])
        a.address("eth0", add=["10.0.1.9/24"], remove=["10.0.1.1/24"])
        await until(lambda: asker.local_endpoints[0].host, "10.0.1.9")
        statistics = asker.statistics().replies
        assert statistics is not None
        assert statistics.received == 2_001
        assert statistics.waiting >= 1_024


async def test_sender_whose_replies_were_closed_follows_all_the_same(two_hosts: TwoHosts) -> None:
    a = two_hosts.a
    async with sender_on(a, GROUPS[0], interfaces="eth0", receive_replies=True) as asker:
        await asker.replies.aclose()
        a.unplug("eth0")
        await until_on(asker)
        plug_again(a, two_hosts.lan)
        await send_until_it_works(asker, b"?")


# Several interfaces ----------------------------------------------------------------------------


@EVERY_GROUP
async def test_one_interface_goes_and_comes_back_while_the_other_is_served(
    two_lans: TwoLans, group: str, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = two_lans.a, two_lans.b
    with caplog.at_level(logging.INFO, "trio_mcast"):
        async with (
            receiver_on(two_lans, b, group) as receiver,
            sender_on(a, group, interfaces=["eth0", "eth1"]) as sender,
        ):
            a.unplug("eth1")
            await until_on(sender, "eth0")
            for number in range(5):
                await sender.send(b"%d" % number)
            await sender.send_batch([b"5", b"6"])
            counts = sender.statistics().interfaces
            assert (counts["eth0"].sent, counts["eth0"].failed) == (7, 0)
            assert (counts["eth1"].sent, counts["eth1"].failed) == (0, 7)
            assert counts["eth0"].last_error is None
            assert counts["eth1"].last_error is not None
            assert counts["eth1"].last_error.errno == errno.ENODEV
            assert [item.levelname for item in caplog.records] == ["WARNING"]
            assert "no interface is called 'eth1'" in caplog.text
            got = [await receive(receiver) for _ in range(7)]
            assert [item.data for item in got] == [b"%d" % number for number in range(7)]
            plug_again(a, two_lans.lan2, 2, "eth1")
            await until_on(sender, "eth0", "eth1")
            await send_until_it_works(sender, b"back")
            got = [await receive(receiver) for _ in range(2)]
            assert places(got) == [(group, "eth0", b"back"), (group, "eth1", b"back")]
            assert [item.levelname for item in caplog.records] == ["WARNING", "INFO"]
            assert caplog.messages[1] == (
                f"datagrams to group {group} go out on interface eth1 again"
            )


@FAMILIES
async def test_where_every_interface_has_gone_each_failure_is_raised(
    two_lans: TwoLans, family: Family
) -> None:
    a, group = two_lans.a, group_of(family)
    async with sender_on(a, group, interfaces=["eth0", "eth1"]) as sender:
        a.unplug("eth0")
        a.unplug("eth1")
        await until_on(sender)
        with pytest.raises(Exception, match="nothing could be sent to any of 2") as caught:
            await sender.send(b"x")
        failures = refusals_in(caught.value)
        found = [(item.errno, item.group, item.interface) for item in failures]
        assert found == [(errno.ENODEV, group, "eth0"), (errno.ENODEV, group, "eth1")]
        zone = "%eth1" if family == "ipv6" else ""
        if zone:
            with pytest.raises(SocketSetupError) as alone:
                await sender.send(b"x", to=group + zone)
            assert alone.value.interface == "eth1"
        plug_again(a, two_lans.lan2, 2, "eth1")
        await until_on(sender, "eth1")
        await sender.send(b"x")


async def test_peer_is_reached_over_an_interface_that_is_there(two_lans: TwoLans) -> None:
    a, b = two_lans.a, two_lans.b
    async with (
        sender_on(a, GROUPS[0], interfaces=["eth0", "eth1"]) as sender,
        sender_on(b, GROUPS[0], interfaces="eth1", receive_replies=True) as peer,
    ):
        (to,) = peer.local_endpoints
        a.unplug("eth0")
        await until_on(sender, "eth1")
        await sender.send(b"hello", to=to)
        with trio.fail_after(TIMEOUT_SECONDS):
            assert (await peer.replies.receive()).interface.name == "eth1"
        a.unplug("eth1")
        await until_on(sender)
        with pytest.raises(SocketSetupError) as caught:
            await sender.send(b"hello", to=to)
        assert (caught.value.errno, caught.value.group) == (errno.ENODEV, None)


async def test_address_is_followed_to_another_interface(two_lans: TwoLans) -> None:
    a = two_lans.a
    async with sender_on(a, GROUPS[0], interfaces="10.0.1.1") as sender:
        (endpoint,) = sender.local_endpoints
        a.address("eth0", remove=["10.0.1.1/24"])
        await until_on(sender)
        with pytest.raises(SocketSetupError, match=r"no interface has the address 10\.0\.1\.1"):
            await sender.send(b"x")
        a.address("eth1", add=["10.0.1.1/24"])
        await until_on(sender, "eth1")
        assert sender.local_endpoints == (endpoint,)
        await sender.send(b"x")


# Routes ----------------------------------------------------------------------------------------


async def test_sender_without_interfaces_follows_the_ipv4_route(two_lans: TwoLans) -> None:
    a, group = two_lans.a, GROUPS[0]
    a.run("ip", "route", "add", "default", "via", "10.0.1.2")
    with await listening(two_lans.b, two_lans.lan2, group, "eth1") as program:
        async with sender_on(a, group) as sender:
            assert [item.name for item in sender.interfaces] == ["eth0"]
            (endpoint,) = sender.local_endpoints
            a.run("ip", "route", "replace", "default", "via", "10.0.2.2")
            await until_on(sender, "eth1")
            assert sender.local_endpoints == (Endpoint("10.0.2.1", endpoint.port),)
            await sender.send(b"x")
            assert program.recv(9) == b"x"
            # Without any route it stays where it is, as long as that is there.
            a.run("ip", "route", "delete", "default")
            a.address("eth0", add=["10.0.1.9/24"])
            await sender.send(b"y")
            assert program.recv(9) == b"y"
            a.down("eth1")
            await until_on(sender, "eth0")
            await sender.send(b"z")
            assert set(sender.statistics().interfaces) == {"eth0", "eth1"}


async def test_sender_without_interfaces_follows_the_ipv6_route(two_lans: TwoLans) -> None:
    a, group = two_lans.a, "ff05::123"
    with await listening(two_lans.b, two_lans.lan2, group, "eth1") as program:
        async with sender_on(a, group) as sender:
            assert [item.name for item in sender.interfaces] == ["eth0"]
            route = "ip -6 route add multicast ff05::/16 dev eth1 table local metric 1"
            a.run(*route.split())
            await until_on(sender, "eth1")
            await sender.send(b"x")
            assert program.recv(9) == b"x"


async def test_sender_with_interfaces_does_not_look_when_routes_change(lab: Lab) -> None:
    host = lab.host("a")
    with on(host):
        async with open_mcast_sender(GROUPS[0], PORT, interfaces="lo") as sender:
            watcher = sender._outlets._follower._watcher
            assert watcher is not None
            host.run("ip", "route", "add", "10.9.0.0/16", "dev", "lo")
            socket_of_watcher: socket.socket = vars(watcher)["_socket"]
            with pytest.raises(BlockingIOError):
                socket_of_watcher.recv(1)
