"""Senders on interfaces that lack an address of a group's family."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

import pytest
import trio
import trio.testing

from tests.lab import Host, Lab
from tests.lab.machine import on
from tests.support.traffic import (
    FAMILIES,
    PORT,
    Family,
    address_of,
    await_payload,
    group_of,
    plain_socket,
    sender_on,
)
from tests.support.virtual_hosts import GROUP4, GROUP6, sending
from tests.support.waiting import until
from trio_mcast import SocketSetupError, open_mcast_sender
from trio_mcast.testing import VirtualNetwork

pytestmark = pytest.mark.once


class Unnumbered:
    """Host a, whose eth0 has no address while eth1 has one; and host b on the same networks."""

    def __init__(self, lab: Lab) -> None:
        self.lan1, self.lan2 = lab.switch("lan1"), lab.switch("lan2")
        self.a, self.b = lab.host("a"), lab.host("b")
        self.a.plug("eth0", self.lan1, link_local=False)
        self.a.plug("eth1", self.lan2, "10.0.2.1/24", "fd00:2::1/64")
        self.b.plug("eth0", self.lan1, "10.0.1.2/24", "fd00:1::2/64")
        self.b.plug("eth1", self.lan2, "10.0.2.2/24", "fd00:2::2/64")


@pytest.fixture
def unnumbered(lab: Lab) -> Unnumbered:
    return Unnumbered(lab)


def program_on(host: Host, family: Family) -> socket.socket:
    """Open the socket of another program on the port, bound to no address, as avahi's is."""
    with host.inside():
        number = socket.AF_INET if family == "ipv4" else socket.AF_INET6
        program = socket.socket(number, socket.SOCK_DGRAM)
    program.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    program.bind(("0.0.0.0" if family == "ipv4" else "::", PORT))
    return program


@FAMILIES
@pytest.mark.parametrize("replies", [False, True])
async def test_other_program_on_the_port_gets_its_unicast(
    family: Family, replies: bool, unnumbered: Unnumbered
) -> None:
    a, b, group = unnumbered.a, unnumbered.b, group_of(family)
    a.address("eth1", add=["10.0.2.9/24", "fd00:2::9/64"])
    addresses = {"10.0.2.1", "10.0.2.9"} if family == "ipv4" else {"fd00:2::1", "fd00:2::9"}
    with ExitStack() as stack:
        program = stack.enter_context(program_on(a, family))
        other = stack.enter_context(plain_socket(b, family))
        async with sender_on(
            a,
            group,
            interfaces=["eth0", "eth1"],
            source_port=PORT,
            receive_replies=replies,
        ) as sender:
            (endpoint,) = sender.local_endpoints
            # What goes to the sender's own address is its own.
            (address,) = addresses - {endpoint.host}
            for payload in (b"1", b"2", b"3"):
                other.sendto(payload, (address, PORT))
            await trio.to_thread.run_sync(await_payload, program, b"1", b"2", b"3")


@FAMILIES
async def test_interface_is_sent_on_from_its_own_address_when_it_has_one(
    family: Family, unnumbered: Unnumbered
) -> None:
    a, group = unnumbered.a, group_of(family)
    async with sender_on(a, group, interfaces=["eth0", "eth1"]) as sender:
        assert [interface.name for interface in sender.interfaces] == ["eth1"]
        await sender.send(b"on eth1 only")
        counts = sender.statistics().interfaces
        assert (counts["eth0"].failed, counts["eth1"].sent) == (1, 1)
        error = counts["eth0"].last_error
        assert error is not None
        assert error.errno == errno.EADDRNOTAVAIL
        assert "has no IPv" in str(error)
        a.address("eth0", add=["10.0.1.1/24", "fd00:1::1/64"])
        await until(lambda: len(sender.local_endpoints), 2)
        await sender.send(b"on both")
        assert sender.statistics().interfaces["eth0"].sent == 1
        hosts = {endpoint.host for endpoint in sender.local_endpoints}
        assert hosts == {address_of(family, 1), address_of(family, 1, lan=2)}


@FAMILIES
async def test_sender_that_can_send_nothing_yet_opens_and_sends_when_it_can(
    family: Family, unnumbered: Unnumbered
) -> None:
    a = unnumbered.a
    with on(a):
        async with open_mcast_sender(group_of(family), PORT, interfaces="eth0") as sender:
            assert sender.local_endpoints == ()
            with pytest.raises(SocketSetupError) as caught:
                await sender.send(b"before")
            assert caught.value.errno == errno.EADDRNOTAVAIL
            assert caught.value.interface == "eth0"
            label = "IPv4" if family == "ipv4" else "IPv6"
            assert f"interface eth0 has no {label} address" in str(caught.value)
            a.address("eth0", add=["10.0.1.1/24", "fd00:1::1/64"])
            await until(lambda: len(sender.local_endpoints), 1)
            await sender.send(b"after")
            counts = sender.statistics().interfaces["eth0"]
            assert (counts.sent, counts.failed) == (1, 1)


async def test_one_interface_without_ipv6_keeps_nobody_from_sending(lab: Lab) -> None:
    host = lab.host("a")
    for number in range(3):
        host.plug(f"eth{number}", lab.switch(f"lan{number}"), f"10.0.{number}.1/24")
    host.namespace.set_parameters({"ipv6/conf/eth1/disable_ipv6": "1"})
    names = [f"eth{number}" for number in range(3)]
    async with sender_on(host, ["239.1.2.3", "ff02::5"], interfaces=names) as sender:
        assert "::" not in [endpoint.host for endpoint in sender.local_endpoints]
        await sender.send(b"x")
        counts = sender.statistics().interfaces
        assert {name: (counts[name].sent, counts[name].failed) for name in names} == {
            "eth0": (2, 0),
            "eth1": (1, 1),
            "eth2": (2, 0),
        }
        host.namespace.set_parameters({"ipv6/conf/eth1/disable_ipv6": "0"})
        await until(lambda: len(sender.local_endpoints), 6)
        await sender.send(b"y")
        assert sender.statistics().interfaces["eth1"].sent == 3


async def test_loopback_without_ipv6_is_sent_on_with_ipv4(lab: Lab) -> None:
    host = lab.host("a")
    host.run("ip", "address", "delete", "::1/128", "dev", "lo")
    async with sender_on(host, ["239.1.2.3", "ff02::5"], interfaces="lo") as sender:
        assert [endpoint.host for endpoint in sender.local_endpoints] == ["127.0.0.1"]
        await sender.send(b"x")


async def test_virtual_interface_without_address_is_absent_until_it_has_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with VirtualNetwork() as network:
        host = network.host("a")
        eth0 = host.plug("eth0", network.switch("lan"), "10.0.0.1/24")
        async with sending(host, GROUP6, interfaces="eth0") as sender:
            with pytest.raises(SocketSetupError, match="interface eth0 has no IPv6 address now"):
                await sender.send(b"x")
        async with sending(host, [GROUP4, GROUP6], interfaces="eth0") as sender:
            await sender.send(b"x")
            counts = sender.statistics().interfaces["eth0"]
            assert (counts.sent, counts.failed) == (1, 1)
            eth0.add_address("fd00::1/64")
            await trio.sleep(1)
            await sender.send(b"y")
            counts = sender.statistics().interfaces["eth0"]
            assert (counts.sent, counts.failed) == (3, 1)
            assert [endpoint.host for endpoint in sender.local_endpoints] == ["10.0.0.1", "fd00::1"]
