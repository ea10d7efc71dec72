"""On real kernels: sharing a port with programs that have set only SO_REUSEPORT."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.lab import Host
from tests.lab.fixtures import TwoHosts, TwoLans
from tests.support.traffic import (
    FAMILIES,
    PORT,
    Family,
    address_of,
    delivered,
    family_of,
    group_of,
    receive,
    receiver_on,
    sender_on,
)
from trio_mcast import Endpoint, McastError, SocketSetupError

pytestmark = pytest.mark.once

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

COUNT = 100
NOBODY = 65_534


@contextmanager
def program_with(
    host: Host, address: str, group: str = "", user: int | None = None
) -> Iterator[socket.socket]:
    """The socket of another program, which shares by SO_REUSEPORT alone."""
    family = family_of(address)
    with host.inside():
        if user is not None:
            os.seteuid(user)
        try:
            sock = socket.socket(
                socket.AF_INET6 if family == "ipv6" else socket.AF_INET, socket.SOCK_DGRAM
            )
        finally:
            if user is not None:
                os.seteuid(0)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setblocking(False)
        if family == "ipv6":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, PORT))
        if group:
            index, packed = host.index("eth0"), ipaddress.ip_address(group).packed
            if family == "ipv6":
                request = struct.pack("=16sI", packed, index)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
            else:
                request = struct.pack("=4s4xi", packed, index)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        yield sock


def count_in(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            sock.recv(100)
        except BlockingIOError:
            return count
        count += 1


@FAMILIES
@pytest.mark.parametrize("to_group", [True, False], ids=["group", "wildcard"])
async def test_group_is_given_to_both(two_hosts: TwoHosts, family: Family, to_group: bool) -> None:
    group, b = group_of(family), two_hosts.b
    address = group if to_group else ("::" if family == "ipv6" else "0.0.0.0")
    async with sender_on(two_hosts.a, group, interfaces="eth0") as sender:
        with program_with(b, address, group) as program:
            async with receiver_on(two_hosts, b, group, interfaces="eth0") as receiver:
                await sender.send_batch([b"hello"] * COUNT)
                assert len(await delivered(receiver, sender)) == COUNT
                assert count_in(program) >= COUNT  # And what marks the end.


@FAMILIES
@pytest.mark.parametrize("to_group", [True, False], ids=["group", "wildcard"])
async def test_program_that_comes_later_is_given_the_group_too(
    two_lans: TwoLans, family: Family, to_group: bool
) -> None:
    group, a, b = group_of(family), two_lans.a, two_lans.b
    address = group if to_group else ("::" if family == "ipv6" else "0.0.0.0")
    async with (
        sender_on(a, group, interfaces=["eth0", "eth1"]) as sender,
        receiver_on(two_lans, b, group, interfaces=["eth0", "eth1"]) as receiver,
    ):
        with program_with(b, address, group) as program:
            await sender.send_batch([b"hello"] * COUNT)
            interfaces = [(await receive(receiver)).interface.name for _ in range(2 * COUNT)]
            assert interfaces.count("eth0") == COUNT
            assert count_in(program) >= COUNT


@FAMILIES
@pytest.mark.parametrize("shared", [True, False])
async def test_each_interface_has_its_own_datagrams_all_the_same(
    two_lans: TwoLans, family: Family, shared: bool
) -> None:
    group, a, b = group_of(family), two_lans.a, two_lans.b
    with ExitStack() as stack:
        if shared:
            stack.enter_context(program_with(b, "::" if family == "ipv6" else "0.0.0.0"))
        async with receiver_on(two_lans, b, group, interfaces=["eth0", "eth1"]) as receiver:
            for _ in range(20):  # Which socket it is depends on the port.
                async with sender_on(a, group, interfaces=["eth0", "eth1"]) as sender:
                    await sender.send(b"hello")
                    for _ in range(2):
                        datagram = await receive(receiver)
                        lan = 1 if datagram.interface.name == "eth0" else 2
                        assert datagram.source.host == address_of(family, 1, lan)


@FAMILIES
async def test_unicast_is_shared_only_where_the_port_cannot_be_had_without(
    two_hosts: TwoHosts, family: Family
) -> None:
    group, b, address = group_of(family), two_hosts.b, address_of(family, 2)
    peer = Endpoint(address, PORT)
    options: dict[str, Any] = {"interfaces": "eth0", "accept_unicast": True}
    async with sender_on(two_hosts.a, group, interfaces="eth0") as sender:
        async with receiver_on(two_hosts, b, group, **options) as receiver:
            # Not to be shared out: the program is refused.
            with pytest.raises(OSError, match="in use"), program_with(b, address):
                pass
            await sender.send_batch([b"hello"] * COUNT, to=peer)
            assert len(await delivered(receiver, sender)) == COUNT
        with program_with(b, address):
            async with receiver_on(two_hosts, b, group, **options) as receiver:
                assert {membership.state for membership in receiver.memberships} == {"joined"}


async def test_source_port_is_shared_with_a_program_that_shares_by_port(
    two_hosts: TwoHosts,
) -> None:
    with program_with(two_hosts.a, "0.0.0.0"):
        async with sender_on(
            two_hosts.a, group_of("ipv4"), interfaces="eth0", source_port=PORT
        ) as sender:
            assert sender.local_endpoints == (Endpoint("10.0.1.1", PORT),)


async def test_port_of_another_user_is_refused_and_says_why(two_hosts: TwoHosts) -> None:
    with program_with(two_hosts.b, "0.0.0.0", user=NOBODY), pytest.raises(McastError) as caught:
        async with receiver_on(two_hosts, two_hosts.b, group_of("ipv4"), interfaces="eth0"):
            pass
    assert isinstance(caught.value, SocketSetupError)
    assert "only SO_REUSEPORT, which counts among programs of one user" in str(caught.value)
