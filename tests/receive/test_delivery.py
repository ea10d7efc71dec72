"""On real kernels: a receiver gets exactly the groups on the interfaces that were asked for."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from contextlib import ExitStack

import pytest

from tests.lab import Host, Lab
from tests.lab.fixtures import TwoHosts, TwoLans
from tests.lab.machine import on
from tests.support.leftovers import open_descriptors
from tests.support.traffic import (
    BOTH,
    EVERY_GROUP,
    FAMILIES,
    MARKER,
    PORT,
    Family,
    address_of,
    await_payload,
    delivered,
    family_of,
    group_of,
    member,
    places,
    plain_sender,
    plain_socket,
    receiver_on,
    sender_on,
)
from trio_mcast import McastReceiver, SocketSetupError, open_mcast_receiver
from trio_mcast._platform.linux import LINUX

pytestmark = pytest.mark.once

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)


# --- Groups and interfaces -------------------------------------------------------------------


@EVERY_GROUP
async def test_receiver_ignores_groups_that_only_others_joined(
    two_lans: TwoLans, group: str
) -> None:
    other = f"{group[:-1]}8"  # 239.1.2.8 for 239.1.2.1, and so on.
    async with (
        receiver_on(two_lans, two_lans.a, other, interfaces=BOTH) as theirs,
        receiver_on(two_lans, two_lans.a, group, interfaces=BOTH) as receiver,
        sender_on(two_lans.b, [group, other], interfaces=BOTH) as sender,
    ):
        with member(two_lans.a, other, *BOTH) as program:
            await sender.send(b"not asked for", to=other)
            for _ in BOTH:
                await_payload(program, b"not asked for")
            assert await delivered(receiver, sender) == []
            assert len(await delivered(theirs, sender)) == len(BOTH)


@EVERY_GROUP
async def test_receiver_ignores_interfaces_that_only_others_joined(
    two_lans: TwoLans, group: str
) -> None:
    async with (
        receiver_on(two_lans, two_lans.a, group, interfaces="eth1") as theirs,
        receiver_on(two_lans, two_lans.a, group, interfaces="eth0") as receiver,
        sender_on(two_lans.b, group, interfaces="eth0") as asked_for,
        sender_on(two_lans.b, group, interfaces="eth1") as not_asked_for,
    ):
        with member(two_lans.a, group, *BOTH) as program:
            await not_asked_for.send(b"on eth1")
            await_payload(program, b"on eth1")
            assert await delivered(receiver, asked_for) == []
            assert places(await delivered(theirs, not_asked_for)) == [(group, "eth1", b"on eth1")]


async def exchange_on_both(
    two_lans: TwoLans, receiver: McastReceiver, groups: list[str], count: int
) -> None:
    """Send numbered datagrams from b, and assert that the receiver on a gets each one once.

    One half comes singly from plain sockets, the other in batches, which can arrive as one unit.
    """
    sent = []
    for name in BOTH:
        async with sender_on(two_lans.b, groups, interfaces=name) as sender:
            for group in groups:
                payloads = [f"{n:02} to {group} on {name}".encode() for n in range(count)]
                with plain_sender(two_lans.b, group, name) as sock:
                    for payload in payloads[: count // 2]:
                        sock.sendto(payload, (group, PORT))
                await sender.send_batch(payloads[count // 2 :], to=group)
                sent += [(group, name, payload) for payload in payloads]
    async with sender_on(two_lans.b, groups, interfaces=BOTH) as marking:
        received = await delivered(receiver, marking)
    assert places(received) == sorted(sent)
    for datagram in received:
        assert datagram.group is not None
        lan = BOTH.index(datagram.interface.name) + 1
        family = family_of(datagram.group)
        expected = address_of(family, 2, lan)
        if datagram.group.startswith("ff02:"):
            name = datagram.interface.name
            expected = f"{two_lans.b.link_local(name)}%{name}"
        assert datagram.source.host == expected


@EVERY_GROUP
async def test_receiver_on_two_interfaces_gets_each_datagram_once(
    two_lans: TwoLans, group: str
) -> None:
    with member(two_lans.a, group, *BOTH):
        async with receiver_on(two_lans, two_lans.a, group, interfaces=BOTH) as receiver:
            await exchange_on_both(two_lans, receiver, [group], 10)
            assert receiver.statistics().rejected == 0


async def test_receiver_of_many_groups_gets_each_datagram_once(two_lans: TwoLans) -> None:
    groups = [group_of("ipv4", number) for number in range(1, 25)]  # One socket takes 20.
    groups += ["224.0.0.77", "ff02::1:2:1", "ff05::1:2:1", "ff05::1:2:2", "ff0e::1:2:1"]
    async with receiver_on(two_lans, two_lans.a, groups, interfaces=BOTH) as receiver:
        await exchange_on_both(two_lans, receiver, groups, 10)


@EVERY_GROUP
async def test_receiver_is_exact_where_binding_to_a_device_is_refused(
    two_lans: TwoLans, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_option = socket.socket.setsockopt
    refused = []

    def refuse(sock: socket.socket, level: int, option: int, *value: int) -> None:
        if (level, option) == (socket.SOL_SOCKET, LINUX.constants["SO_BINDTODEVICE"]):
            refused.append(option)
            raise PermissionError(errno.EPERM, "refused by the test")
        set_option(sock, level, option, *value)

    monkeypatch.setattr(socket.socket, "setsockopt", refuse)
    async with receiver_on(two_lans, two_lans.a, group, interfaces=BOTH) as receiver:
        await exchange_on_both(two_lans, receiver, [group], 10)
    assert len(refused) == (2 if family_of(group) == "ipv6" else 0)


@FAMILIES
async def test_receiver_on_an_interface_without_address(lab: Lab, family: Family) -> None:
    lan = lab.switch("lan")
    a, b = lab.host("a"), lab.host("b")
    a.plug("eth0", lan, link_local=False)
    b.plug("eth0", lan, "10.0.1.2/24", "fd00:1::2/64")
    network = TwoHosts(lab, lan, a, b)
    group = group_of(family)
    async with (
        receiver_on(network, a, group, interfaces="eth0") as receiver,
        sender_on(b, group, interfaces="eth0") as sender,
    ):
        (membership,) = receiver.memberships
        assert membership.interface.addresses(family) == ()
        await sender.send(b"hello")
        (datagram,) = await delivered(receiver, sender)
        assert (datagram.data, datagram.source.host) == (b"hello", address_of(family, 2))


# --- Unicast ---------------------------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize("first", ["receiver", "other program"])
async def test_unicast_reaches_the_other_program_on_the_port_only(
    two_lans: TwoLans, family: Family, first: str
) -> None:
    a, b = two_lans.a, two_lans.b
    group = group_of(family)
    with ExitStack() as stack:
        if first == "other program":
            program = stack.enter_context(plain_socket(a, family, port=PORT))
        async with (
            receiver_on(two_lans, a, group, interfaces=BOTH) as receiver,
            sender_on(b, group, interfaces=BOTH) as sender,
        ):
            if first == "receiver":
                program = stack.enter_context(plain_socket(a, family, port=PORT))
            for lan in (1, 2):
                await sender.send(b"%d" % lan, to=(address_of(family, 1, lan), PORT))
            await_payload(program, b"1", b"2")
            assert await delivered(receiver, sender) == []


@FAMILIES
async def test_unicast_to_the_port_is_refused_without_another_program(
    two_hosts: TwoHosts, family: Family
) -> None:
    group = group_of(family)
    async with (
        receiver_on(two_hosts, two_hosts.a, group) as receiver,
        sender_on(two_hosts.b, group, interfaces="eth0") as sender,
    ):
        with plain_socket(two_hosts.b, family) as sock:
            sock.connect((address_of(family, 1), PORT))
            sock.send(b"anybody there?")
            with pytest.raises(ConnectionRefusedError):
                sock.recv(100)
        assert await delivered(receiver, sender) == []


# --- All interfaces --------------------------------------------------------------------------


@FAMILIES
async def test_default_interfaces_are_up_and_not_loopback(
    two_lans: TwoLans, family: Family
) -> None:
    two_lans.a.plug("eth2", two_lans.lan1)
    two_lans.a.down("eth2")
    group = group_of(family)
    async with receiver_on(two_lans, two_lans.a, group) as receiver:
        found = [(item.group, item.interface.name, item.state) for item in receiver.memberships]
        assert found == [(group, "eth0", "joined"), (group, "eth1", "joined")]
        assert [item.name for item in receiver.interfaces] == BOTH
        await exchange_on_both(two_lans, receiver, [group], 5)


def disable_ipv6(host: Host, *interfaces: str) -> None:
    host.namespace.set_parameters({f"ipv6/conf/{name}/disable_ipv6": "1" for name in interfaces})


async def test_interface_that_refuses_a_join_does_not_stop_the_others(
    two_lans: TwoLans, caplog: pytest.LogCaptureFixture
) -> None:
    disable_ipv6(two_lans.a, "eth1")
    groups = [group_of("ipv4"), group_of("ipv6")]
    async with (
        receiver_on(two_lans, two_lans.a, groups) as receiver,
        sender_on(two_lans.b, groups, interfaces=BOTH) as sender,
    ):
        (failed,) = [item for item in receiver.memberships if item.state == "failed"]
        assert (failed.group, failed.interface.name) == (groups[1], "eth1")
        assert failed.error is not None
        assert (failed.error.errno, failed.error.interface) == (errno.ENODEV, "eth1")
        assert [item.message for item in caplog.records] == [str(failed.error)]
        assert caplog.records[0].name == "trio_mcast"
        await sender.send(b"hello")
        received = places(await delivered(receiver, sender))
        expected = [(groups[0], "eth0"), (groups[0], "eth1"), (groups[1], "eth0")]
        assert received == [(*place, b"hello") for place in expected]


@FAMILIES
async def test_opening_fails_with_every_cause_if_every_interface_refuses(
    two_lans: TwoLans, family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    if family == "ipv6":
        disable_ipv6(two_lans.a, *BOTH)
    else:
        two_lans.a.namespace.set_parameters({"ipv4/igmp_max_memberships": "0"})
    before = open_descriptors()
    with on(two_lans.a), pytest.raises(SocketSetupError) as failure:
        async with open_mcast_receiver(group_of(family), PORT):
            pytest.fail("opened")
    expected = errno.ENODEV if family == "ipv6" else errno.ENOBUFS
    assert failure.value.errno == expected
    assert [(item.interface, item.errno) for item in failure.value.causes] == [
        ("eth0", expected),
        ("eth1", expected),
    ]
    for cause in failure.value.causes:
        assert str(cause) in str(failure.value)
    assert open_descriptors() == before
    assert caplog.records == []


# --- Several programs ------------------------------------------------------------------------

OTHER_PROCESS = """if True:
    import json, sys, trio, trio_mcast

    async def main(group, port, count):
        async with trio_mcast.open_mcast_receiver(group, int(port)) as receiver:
            print("ready", flush=True)
            for _ in range(int(count)):
                datagram = await receiver.receive()
                place = datagram.group, datagram.interface.name, datagram.data.decode()
                print(json.dumps(place), flush=True)

    trio.run(main, *sys.argv[1:])
"""


@FAMILIES
async def test_two_processes_both_get_every_datagram(two_lans: TwoLans, family: Family) -> None:
    group = group_of(family)
    sent = sorted((group, name, str(number)) for name in BOTH for number in range(20))
    command = [sys.executable, "-c", OTHER_PROCESS, group, str(PORT), str(len(sent) + 2)]
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with two_lans.a.popen(*command, env=os.environ | path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        async with (
            receiver_on(two_lans, two_lans.a, group) as receiver,
            sender_on(two_lans.b, group, interfaces=BOTH) as sender,
        ):
            await sender.send_batch([b"%d" % number for number in range(20)])
            ours = await delivered(receiver, sender)
        lines = [process.stdout.readline() for _ in range(len(sent) + 2)]
    assert [(group, name, data.decode()) for group, name, data in places(ours)] == sent
    theirs = [tuple(json.loads(line)) for line in lines if MARKER.decode() not in line]
    assert sorted(theirs) == sent
