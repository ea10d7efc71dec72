"""Unicast that a receiver accepts, on real kernels: what is given, and what is kept out."""

from __future__ import annotations

import errno
import socket
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest
import trio

from tests.lab import Host, Lab
from tests.lab.fixtures import TwoHosts, TwoLans
from tests.lab.machine import on
from tests.support.traffic import (
    BOTH,
    FAMILIES,
    PORT,
    TIMEOUT_SECONDS,
    Family,
    address_of,
    await_payload,
    delivered,
    group_of,
    member,
    plain_sender,
    plain_socket,
    receive,
    receiver_on,
    sender_on,
    with_prefix,
)
from trio_mcast import Datagram, Endpoint, McastReceiver, SocketSetupError, open_mcast_receiver

pytestmark = pytest.mark.once


def send_from(host: Host, source: str, to: str, *payloads: bytes) -> Endpoint:
    """Another program sends from an address of the host to the port; where it came from."""
    with plain_socket(host, "ipv6" if ":" in to else "ipv4", source) as sock:
        for payload in payloads:
            sock.sendto(payload, (to, PORT))
        address, port, *_ = sock.getsockname()
    return Endpoint(address, port)


async def first_of(receiver: McastReceiver, sender: Host, family: Family, lan: int = 1) -> Datagram:
    """What the receiver on host a gives before a unicast marker that host b sends it now."""
    send_from(sender, address_of(family, 2, lan), address_of(family, 1, lan), b"marker")
    return await receive(receiver)


def place(datagram: Datagram) -> tuple[bytes, str | None, str]:
    return datagram.data, datagram.group, datagram.interface.name


# What is given ---------------------------------------------------------------------------------


@FAMILIES
async def test_unicast_to_each_interface_comes_without_a_group(
    family: Family, two_lans: TwoLans
) -> None:
    a, b, group = two_lans.a, two_lans.b, group_of(family)
    async with receiver_on(two_lans, a, group, accept_unicast=True) as receiver:
        for lan, name in enumerate(BOTH, start=1):
            address = address_of(family, 1, lan)
            source = send_from(b, address_of(family, 2, lan), address, b"hello")
            datagram = await receive(receiver)
            (interface,) = (item for item in receiver.interfaces if item.name == name)
            to = Endpoint(address, PORT)
            assert datagram == Datagram(b"hello", source, None, interface, destination=to)


async def test_unicast_to_link_local_addresses_comes_with_the_zone(two_lans: TwoLans) -> None:
    a, b = two_lans.a, two_lans.b
    async with receiver_on(two_lans, a, "ff02::123", accept_unicast=True) as receiver:
        for name in BOTH:
            with plain_socket(b, "ipv6") as sock:
                sock.sendto(b"hello", (a.link_local(name), PORT, 0, b.index(name)))
            datagram = await receive(receiver)
            assert place(datagram) == (b"hello", None, name)
            assert datagram.source.host == f"{b.link_local(name)}%{name}"


@FAMILIES
async def test_each_address_of_an_interface_is_served(family: Family, two_hosts: TwoHosts) -> None:
    a, b, group = two_hosts.a, two_hosts.b, group_of(family)
    more = [address_of(family, number) for number in (21, 22)]
    a.address("eth0", add=with_prefix(more))
    async with receiver_on(two_hosts, a, group, accept_unicast=True) as receiver:
        for address in [address_of(family, 1), *more]:
            send_from(b, address_of(family, 2), address, address.encode())
            assert place(await receive(receiver)) == (address.encode(), None, "eth0")


@FAMILIES
async def test_groups_come_as_they_do_without_unicast(family: Family, two_lans: TwoLans) -> None:
    a, b = two_lans.a, two_lans.b
    groups = [group_of(family, number) for number in range(1, 26)]  # More than a socket could join.
    async with (
        receiver_on(two_lans, a, groups, accept_unicast=True) as receiver,
        sender_on(b, groups, interfaces=BOTH) as sender,
    ):
        assert [item.state for item in receiver.memberships] == ["joined"] * 52
        await sender.send(b"to all")
        found = await delivered(receiver, sender)
        expected = {(b"to all", group, name) for group in groups for name in BOTH}
        assert len(found) == len(expected)
        assert {place(item) for item in found} == expected
        assert place(await first_of(receiver, b, family)) == (b"marker", None, "eth0")
        assert place(await first_of(receiver, b, family, 2)) == (b"marker", None, "eth1")


@FAMILIES
async def test_unicast_from_the_own_machine_comes_too(family: Family, two_hosts: TwoHosts) -> None:
    a, group = two_hosts.a, group_of(family)
    async with receiver_on(
        two_hosts, a, group, interfaces=["eth0", "lo"], accept_unicast=True
    ) as receiver:
        address, loopback = address_of(family, 1), {"ipv4": "127.0.0.1", "ipv6": "::1"}[family]
        source = send_from(a, address, address, b"own")
        datagram = await receive(receiver)
        assert (*place(datagram), datagram.source) == (b"own", None, "eth0", source)
        source = send_from(a, loopback, loopback, b"loop")
        datagram = await receive(receiver)
        assert (*place(datagram), datagram.source) == (b"loop", None, "lo", source)
        if family == "ipv6":
            with plain_socket(a, family) as sock:
                sock.sendto(b"link", (a.link_local("eth0"), PORT, 0, a.index("eth0")))
            assert place(await receive(receiver)) == (b"link", None, "eth0")


@FAMILIES
async def test_datagram_that_arrives_elsewhere_has_the_interface_of_its_address(
    family: Family, two_lans: TwoLans
) -> None:
    a, b = two_lans.a, two_lans.b
    through = address_of(family, 1, lan=2)
    b.run("ip", "route", "replace", address_of(family, 1), "via", through, "dev", "eth1")
    async with receiver_on(two_lans, a, group_of(family), accept_unicast=True) as receiver:
        source = send_from(b, address_of(family, 2, lan=2), address_of(family, 1), b"hello")
        datagram = await receive(receiver)
    assert (*place(datagram), datagram.source) == (b"hello", None, "eth0", source)


@FAMILIES
@pytest.mark.parametrize("first", ["receiver", "sender"])
async def test_responder_is_asked_by_group_and_by_unicast(
    family: Family, first: str, two_hosts: TwoHosts
) -> None:
    a, b, group = two_hosts.a, two_hosts.b, group_of(family)
    responder = Endpoint(address_of(family, 2), PORT)
    options: dict[str, Any] = {"accept_unicast": True, "receive_ttl": True, "interfaces": "eth0"}
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        # As mDNS wants it: the answers come from the port of the questions.
        if first == "sender":
            answering = await enter(sender_on(b, group, interfaces="eth0", source_port=PORT))
        receiver = await enter(receiver_on(two_hosts, b, group, **options))
        if first == "receiver":
            answering = await enter(sender_on(b, group, interfaces="eth0", source_port=PORT))
        asker = await enter(sender_on(a, group, interfaces="eth0", receive_replies=True))
        for to, expected in ((group, group), (responder, None)):
            with trio.fail_after(TIMEOUT_SECONDS):
                await asker.send(b"who is there?", to=to)
                question = await receiver.receive()
                await answering.send(b"I am", to=question.source)
                reply = await asker.replies.receive()
            assert (question.group, question.ttl) == (expected, 64 if expected is None else 1)
            assert (reply.data, reply.source) == (b"I am", responder)


@FAMILIES
async def test_units_come_whole_in_order_and_counted(family: Family, two_hosts: TwoHosts) -> None:
    a, b, group = two_hosts.a, two_hosts.b, group_of(family)
    payloads = [b"%04d" % number for number in range(500)]
    async with (
        receiver_on(two_hosts, a, group, accept_unicast=True) as receiver,
        sender_on(b, group, interfaces="eth0") as sender,
    ):
        with trio.fail_after(TIMEOUT_SECONDS):
            await sender.send_batch(payloads, to=(address_of(family, 1), PORT))
            got: list[Datagram] = []
            async for batch in receiver.batches():
                got += batch
                if len(got) == len(payloads):
                    break
        statistics = receiver.statistics()
    assert [item.data for item in got] == payloads
    assert {item.group for item in got} == {None}
    assert (statistics.received, statistics.delivered, statistics.rejected) == (500, 500, 0)
    assert statistics.dropped_by_kernel == 0


# What is kept out ------------------------------------------------------------------------------


@FAMILIES
async def test_without_accept_unicast_another_program_keeps_it(
    family: Family, two_hosts: TwoHosts
) -> None:
    a, b, group = two_hosts.a, two_hosts.b, group_of(family)
    with plain_socket(a, family, port=PORT) as program:
        async with (
            receiver_on(two_hosts, a, group) as receiver,
            sender_on(b, group, interfaces="eth0") as marking,
        ):
            send_from(b, address_of(family, 2), address_of(family, 1), b"unicast")
            await trio.to_thread.run_sync(await_payload, program, b"unicast")
            assert await delivered(receiver, marking) == []
            assert receiver.statistics().rejected == 0


@FAMILIES
async def test_sender_takes_no_unicast_from_other_programs_on_its_port(
    family: Family, two_hosts: TwoHosts
) -> None:
    a, b, group = two_hosts.a, two_hosts.b, group_of(family)
    with plain_socket(a, family, port=PORT) as program, plain_socket(b, family, port=PORT) as other:
        async with sender_on(a, group, interfaces="eth0", source_port=PORT) as sender:
            send_from(b, address_of(family, 2), address_of(family, 1), b"to the program")
            await trio.to_thread.run_sync(await_payload, program, b"to the program")
            # It can be sent from all the same, to whomever.
            await sender.send(b"hello", to=(address_of(family, 2), PORT))
            data, (host, port, *_) = await trio.to_thread.run_sync(other.recvfrom, 100)
    assert (data, host, port) == (b"hello", address_of(family, 1), PORT)


@FAMILIES
@pytest.mark.parametrize("first", ["program", "receiver"])
async def test_unicast_to_other_interfaces_stays_with_other_programs(
    family: Family, first: str, two_lans: TwoLans
) -> None:
    a, b, group = two_lans.a, two_lans.b, group_of(family)
    with ExitStack() as stack:
        if first == "program":
            program = stack.enter_context(plain_socket(a, family, port=PORT))
        async with receiver_on(
            two_lans, a, group, interfaces="eth0", accept_unicast=True
        ) as receiver:
            if first == "receiver":
                program = stack.enter_context(plain_socket(a, family, port=PORT))
            send_from(b, address_of(family, 2, lan=2), address_of(family, 1, lan=2), b"eth1")
            await trio.to_thread.run_sync(await_payload, program, b"eth1")
            # Whoever was first: unicast to the interface's own address is this receiver's.
            assert (await first_of(receiver, b, family)).data == b"marker"
            statistics = receiver.statistics()
            assert (statistics.received, statistics.rejected) == (1, 0)


@FAMILIES
async def test_groups_and_broadcasts_of_other_programs_stay_theirs(
    family: Family, two_hosts: TwoHosts
) -> None:
    a, b, group, other = two_hosts.a, two_hosts.b, group_of(family), group_of(family, 9)
    with member(a, other, "eth0") as program, plain_sender(b, other, "eth0") as sock:
        await two_hosts.lan.wait_for_async(
            lambda seen: any((item.group, item.host) == (other, "a") for item in seen)
        )
        async with receiver_on(two_hosts, a, group, accept_unicast=True) as receiver:
            payloads = [b"other group"]
            sock.sendto(b"other group", (other, PORT))
            if family == "ipv4":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                sock.sendto(b"broadcast", ("10.0.1.255", PORT))
                payloads.append(b"broadcast")
            await trio.to_thread.run_sync(await_payload, program, *payloads)
            assert (await first_of(receiver, b, family)).data == b"marker"
            async with sender_on(b, group, interfaces="eth0") as marking:
                assert await delivered(receiver, marking) == []
            assert receiver.statistics().rejected == 0


@FAMILIES
async def test_loopback_false_leaves_out_unicast_of_this_machine(
    family: Family, two_hosts: TwoHosts
) -> None:
    a, b, group = two_hosts.a, two_hosts.b, group_of(family)
    async with receiver_on(two_hosts, a, group, accept_unicast=True, loopback=False) as receiver:
        send_from(a, address_of(family, 1), address_of(family, 1), b"own")
        assert (await first_of(receiver, b, family)).data == b"marker"
        assert receiver.statistics().rejected == 1


@FAMILIES
@pytest.mark.parametrize("mode", ["sources", "excluded_sources"])
async def test_sources_are_chosen_for_unicast_as_well(
    family: Family, mode: str, two_hosts: TwoHosts
) -> None:
    a, b, group = two_hosts.a, two_hosts.b, group_of(family)
    # More than the kernel takes on one socket, and one of each kind to send from.
    listed = [address_of(family, number) for number in range(21, 96)]
    unlisted = address_of(family, 20)
    b.address("eth0", add=with_prefix([listed[-1], unlisted]))
    wanted, unwanted = (listed[-1], unlisted) if mode == "sources" else (unlisted, listed[-1])
    options: dict[str, Any] = {mode: listed, "interfaces": "eth0", "accept_unicast": True}
    with on(a):
        async with open_mcast_receiver(group, PORT, **options) as receiver:
            to = address_of(family, 1)
            async with sender_on(b, group, interfaces="eth0", source_address=unwanted) as sender:
                await sender.send_batch([b"unwanted"] * 100, to=(to, PORT))
            source = send_from(b, wanted, to, b"wanted")
            datagram = await receive(receiver)
            assert (*place(datagram), datagram.source) == (b"wanted", None, "eth0", source)
            statistics = receiver.statistics()
            assert (statistics.received, statistics.rejected) == (1, 100)


@FAMILIES
async def test_of_two_receivers_one_gets_unicast_and_both_the_group(
    family: Family, two_hosts: TwoHosts
) -> None:
    a, b, group = two_hosts.a, two_hosts.b, group_of(family)
    options: dict[str, Any] = {"interfaces": "eth0", "accept_unicast": True}
    async with (
        receiver_on(two_hosts, a, group, **options) as one,
        receiver_on(two_hosts, a, group, **options) as other,
        sender_on(b, group, interfaces="eth0") as sender,
    ):
        for _ in range(10):
            await sender.send(b"unicast", to=(address_of(family, 1), PORT))
        with trio.fail_after(TIMEOUT_SECONDS):
            while one.statistics().received + other.statistics().received < 10:
                await trio.lowlevel.checkpoint()
        for _ in range(10):
            await sender.send(b"group", to=group)
        got = []
        for receiver in (one, other):
            got += [item.data for item in await delivered(receiver, sender)]
    assert (got.count(b"unicast"), got.count(b"group")) == (10, 20)


# Memberships -----------------------------------------------------------------------------------


async def test_unicast_is_a_membership_where_there_is_an_address(lab: Lab) -> None:
    lan, host = lab.switch("lan"), lab.host("a")
    host.plug("eth0", lan, "10.0.1.1/24")
    host.plug("eth1", lan, link_local=False)
    with on(host):
        async with open_mcast_receiver("239.1.2.3", PORT, accept_unicast=True) as receiver:
            found = [(item.group, item.interface.name, item.state) for item in receiver.memberships]
    assert found == [
        ("239.1.2.3", "eth0", "joined"),
        ("239.1.2.3", "eth1", "joined"),
        (None, "eth0", "joined"),
    ]


async def test_address_that_another_program_does_not_share_fails(two_lans: TwoLans) -> None:
    a, group = two_lans.a, "239.1.2.3"
    with a.inside():
        selfish = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with selfish, on(a):
        selfish.bind(("10.0.1.1", PORT))
        async with open_mcast_receiver(group, PORT, accept_unicast=True) as receiver:
            unicast = {
                item.interface.name: item for item in receiver.memberships if item.group is None
            }
            assert [item.state for item in unicast.values()] == ["failed", "joined"]
            error = unicast["eth0"].error
            assert error is not None
            assert (error.step, error.errno, error.group) == ("bind", errno.EADDRINUSE, None)
            assert "to 10.0.1.1 port 5000" in str(error)
            assert (await first_of(receiver, two_lans.b, "ipv4", lan=2)).data == b"marker"
        with pytest.raises(SocketSetupError, match=r"to 10\.0\.1\.1 port 5000"):
            async with open_mcast_receiver(group, PORT, interfaces="eth0", accept_unicast=True):
                pytest.fail("it opened")
        async with open_mcast_receiver(group, PORT, interfaces="eth0") as receiver:
            assert [item.state for item in receiver.memberships] == ["joined"]


async def test_address_that_is_not_usable_yet_is_served_when_it_is(two_hosts: TwoHosts) -> None:
    a, b, lan = two_hosts.a, two_hosts.b, two_hosts.lan
    # Without a carrier the system cannot check whether somebody else has the new address.
    a.namespace.set_parameters({"ipv6/conf/eth0/accept_dad": "1"})
    lan.run("ip", "link", "set", "port1", "down")
    a.run("ip", "address", "add", "fd00:1::77/64", "dev", "eth0")
    with on(a):
        async with open_mcast_receiver(
            "ff05::123", PORT, interfaces="eth0", accept_unicast=True
        ) as receiver:
            shown = a.run("ip", "-6", "address", "show", "dev", "eth0").stdout
            assert "fd00:1::77/64 scope global tentative" in shown
            assert {item.state for item in receiver.memberships} == {"joined"}
            lan.run("ip", "link", "set", "port1", "up")
            await trio.to_thread.run_sync(lambda: a.address("eth0"))
            send_from(b, "fd00:1::2", "fd00:1::77", b"hello")
            assert place(await receive(receiver)) == (b"hello", None, "eth0")
