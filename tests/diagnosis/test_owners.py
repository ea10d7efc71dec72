"""Who has joined what on this machine: of real sockets, and how users are counted."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import attrs
import pytest

from tests.lab import Host
from tests.lab.fixtures import TwoLans
from trio_mcast import list_interfaces
from trio_mcast._diagnosis.evidence import JoinedGroup
from trio_mcast._diagnosis.gather.owners import gather_ownership
from trio_mcast._diagnosis.ownership import (
    OwnedGroup,
    Owner,
    Ownership,
    add_by_address,
    share_of_system,
)

pytestmark = pytest.mark.once

# linux/in.h and linux/in6.h
IP_ADD_MEMBERSHIP, IP_BLOCK_SOURCE, IP_ADD_SOURCE_MEMBERSHIP = 35, 38, 39
IPV6_JOIN_GROUP = 20


def joined(group: str, users: int, interface: str = "eth0") -> JoinedGroup:
    return JoinedGroup(interface, group, users)


@pytest.mark.parametrize(
    ("group", "users", "addresses", "share"),
    [
        ("224.0.0.1", 1, [], 1),
        ("224.0.0.1", 2, [], 1),
        ("239.1.2.3", 1, [], 0),
        ("ff02::1", 1, [], 1),
        ("ff02::2", 1, [], 1),
        ("ff02::fb", 1, [], 0),
        ("ff02::1:ff00:1", 2, ["fd00::1", "fe80::1"], 2),
        ("ff02::1:ff00:1", 3, ["fd00::1", "fe80::1"], 2),
        ("ff02::1:ff00:1", 1, ["fd00::2"], 0),
        ("ff02::1:ff00:0", 1, ["fd00::2"], 1),
        ("ff15::1:ff00:1", 1, ["fd00::1"], 0),
    ],
)
def test_share_of_the_system_is_told(
    group: str, users: int, addresses: list[str], share: int
) -> None:
    numbers = [int.from_bytes(socket.inet_pton(socket.AF_INET6, it), "big") for it in addresses]
    assert share_of_system(joined(group, users), numbers) == share


def test_socket_that_is_bound_to_the_group_has_likely_joined_it() -> None:
    bound, other = Owner(1, "239.1.2.3", 5000, "alice"), Owner(2, "0.0.0.0", 5000, "bob")
    group = OwnedGroup(joined("239.1.2.3", 1), 0)
    assert add_by_address(group, [bound, other]).owners == (bound,)
    assert add_by_address(group, [bound]).untold == 1
    told = attrs.evolve(group, owners=(attrs.evolve(other, is_certain=True),))
    assert add_by_address(told, [bound]) == told


def open_ipv4(bind: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((bind, port))
    return sock


@contextmanager
def joined_by_hand(host: Host, address: str) -> Iterator[None]:
    """Join in three ways, none of which trio_mcast has a part in, and have a port besides."""
    index = host.index("eth0")
    group, for_source = socket.inet_aton("239.1.2.3"), socket.inet_aton("232.1.2.3")
    here, source = socket.inet_aton(address), socket.inet_aton("10.0.1.9")
    with ExitStack() as stack:
        with host.inside():
            wildcard = stack.enter_context(open_ipv4("", 5000))
            bound = stack.enter_context(open_ipv4("232.1.2.3", 5001))
            # Not bound at all, so no table lists it.
            unbound = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            stack.enter_context(open_ipv4(address, 5001))
        mreqn = struct.pack("=4s4si", group, bytes(4), index)
        wildcard.setsockopt(socket.IPPROTO_IP, IP_ADD_MEMBERSHIP, mreqn)
        wildcard.setsockopt(socket.IPPROTO_IP, IP_BLOCK_SOURCE, group + here + source)
        bound.setsockopt(socket.IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, for_source + here + source)
        ipv6 = socket.inet_pton(socket.AF_INET6, "ff15::1") + struct.pack("=i", index)
        unbound.setsockopt(socket.IPPROTO_IPV6, IPV6_JOIN_GROUP, ipv6)
        yield


def read(host: Host) -> Ownership:
    with host.inside():
        return gather_ownership(list_interfaces())


def test_who_has_joined_what_is_asked_of_the_sockets(two_lans: TwoLans) -> None:
    host = two_lans.a
    with joined_by_hand(host, "10.0.1.1"), joined_by_hand(two_lans.b, "10.0.1.2"):
        ownership = read(host)
    by_group = {(it.joined.interface, it.joined.group): it for it in ownership.groups}
    expected = {
        "239.1.2.3": ("0.0.0.0", 5000, True, ("10.0.1.9",)),
        "232.1.2.3": ("232.1.2.3", 5001, False, ("10.0.1.9",)),
        "ff15::1": ("", 0, True, ()),
    }
    for group, facts in expected.items():
        owned = by_group["eth0", group]
        assert owned.untold == 0
        (owner,) = owned.owners
        assert (owner.address, owner.port, owner.excludes, owner.sources) == facts
        assert owner.is_certain
        (program,) = (it for it in owner.programs if it.pid == os.getpid())
        assert program.name in sys.executable or program.name.startswith(("python", "pytest"))
    assert [(it.address, it.port) for it in ownership.on_ports] == [("10.0.1.1", 5001)]
    assert all(not it.untold for it in ownership.groups)
    assert by_group["eth0", "224.0.0.1"].of_system == 1
    solicited = [it for (_, group), it in by_group.items() if group.startswith("ff02::1:ff")]
    assert solicited
    assert all(it.of_system == it.joined.users for it in solicited)
    assert ownership.not_told == ()


def test_nothing_is_left_behind_in_the_sockets_of_others(two_lans: TwoLans) -> None:
    host = two_lans.a
    before = len(os.listdir("/proc/self/fd"))
    with joined_by_hand(host, "10.0.1.1"):
        read(host)
    # A copy of a descriptor that stayed open would keep the membership.
    assert len(os.listdir("/proc/self/fd")) == before
    assert "239.1.2.3" not in host.run("ip", "maddr", "show").stdout


def test_names_of_any_bytes_are_read(two_lans: TwoLans) -> None:
    host = two_lans.a
    host.run("ip", "link", "set", "eth0", "name", os.fsdecode(b"caf\xe9"))
    owned = [it for it in read(host).groups if it.joined.interface == "caf\\udce9"]
    assert owned
    assert all(it.of_system == it.joined.users for it in owned)
