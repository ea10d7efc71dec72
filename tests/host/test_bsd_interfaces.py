"""Interfaces on macOS and FreeBSD: their bytes, made by hand; and what runs on Linux as well.

Nothing here was ever run on either of the two.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
import sys
from collections.abc import Iterable
from ipaddress import IPv6Address

import attrs
import ifaddr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab import Host, Lab
from tests.lab.fixtures import TwoLans
from tests.lab.machine import LabMachine, on
from trio_mcast import Interface, list_interfaces
from trio_mcast._host.connected_route import route_by_connecting
from trio_mcast._plan.route import Route
from trio_mcast._platform import bsd
from trio_mcast._values.addresses import parse_group

if sys.platform == "win32":
    pytest.skip("not for Windows", allow_module_level=True)

from trio_mcast._host.bsd import interfaces, link_facts
from trio_mcast._host.bsd.link_facts import InterfaceFacts

# Bytes to values ------------------------------------------------------------------------------


def sockaddr_dl(index: int, name: bytes, address: bytes, room: int = 20) -> bytes:
    start = struct.pack("=BBHBBBB", room, 18, index, 6, len(name), len(address), 0)
    return (start + name + address).ljust(room, b"\0")


@pytest.mark.parametrize(
    ("address", "text"),
    [(bytes.fromhex("0200000000ff"), "02:00:00:00:00:ff"), (b"", None), (bytes(8), None)],
)
def test_link_address_is_decoded(address: bytes, text: str | None) -> None:
    found = bsd.decode_sockaddr_dl(sockaddr_dl(5, b"en0", address))
    assert (found.index, found.name, found.address, found.text) == (5, b"en0", address, text)


@given(st.binary(min_size=8, max_size=60))
def test_link_address_is_decoded_whatever_the_bytes(raw: bytes) -> None:
    found = bsd.decode_sockaddr_dl(raw)
    assert 0 <= found.index < 2**16
    assert found.name + found.address in raw


@given(st.binary(max_size=7))
def test_link_address_that_is_too_short_is_a_struct_error(raw: bytes) -> None:
    with pytest.raises(struct.error):
        bsd.decode_sockaddr_dl(raw)


@pytest.mark.parametrize(
    ("embedded", "bare"),
    [
        ("fe80:4::1", "fe80::1"),
        ("fe80:ffff::1", "fe80::1"),
        ("fe80::1", "fe80::1"),
        ("2001:4::1", "2001:4::1"),
        ("::1", "::1"),
    ],
)
def test_scope_inside_a_link_local_address_is_taken_out(embedded: str, bare: str) -> None:
    assert bsd.without_embedded_scope(IPv6Address(embedded)) == IPv6Address(bare)


def test_mtu_is_taken_from_the_answer() -> None:
    answer = bytearray(bsd.mtu_request("en0"))
    assert answer[:16] == b"en0".ljust(16, b"\0")
    struct.pack_into("=i", answer, 16, 1_280)
    assert bsd.mtu_in(bytes(answer)) == 1_280


# Interfaces ------------------------------------------------------------------------------------


def linux_sockaddr_bytes(start: bytes) -> int:
    (family,) = struct.unpack("=H", start)
    return {2: 16, 10: 28, 17: 20}[family]  # AF_INET, AF_INET6, AF_PACKET


def test_list_of_addresses_is_walked_on_linux(two_lans: TwoLans) -> None:
    if sys.platform != "linux":
        pytest.skip("sockaddr_ll is of Linux")
    with two_lans.a.inside():
        entries = link_facts.read_entries(linux_sockaddr_bytes)
    with on(two_lans.a):
        listed = {item.name: item for item in list_interfaces()}
    assert {item.name for item in entries} == set(listed) == {"lo", "eth0", "eth1"}
    links, addresses = {}, set()
    for item in entries:
        (family,) = struct.unpack_from("=H", item.sockaddr)
        if family == socket.AF_PACKET:  # struct sockaddr_ll: index at 4, address from 12 on
            links[item.name] = struct.unpack_from("=i4x6s", item.sockaddr, 4)
        elif family == socket.AF_INET:
            addresses.add((item.name, socket.inet_ntoa(item.sockaddr[4:8])))
        assert bool(item.flags & bsd.IFF_UP) == listed[item.name].is_up
        assert bool(item.flags & bsd.IFF_LOOPBACK) == listed[item.name].is_loopback
    for name, (index, address) in links.items():
        assert index == listed[name].index
        assert address.hex(":") == (listed[name].link_address or "00:00:00:00:00:00")
    assert addresses == {
        (item.name, str(address)) for item in listed.values() for address in item.addresses("ipv4")
    }


FACTS = InterfaceFacts(None, 1_500, True, False, True)


def test_names_and_addresses_come_from_ifaddr_and_the_rest_from_the_system(
    two_lans: TwoLans,
) -> None:
    with on(two_lans.a):
        listed = {item.name: item for item in list_interfaces()}
    asked: list[str] = []

    def facts_of(name: str) -> InterfaceFacts:
        asked.append(name)
        return FACTS

    with two_lans.a.inside():
        read = interfaces.read_bsd_interfaces(lambda query: facts_of)
    assert sorted(asked) == ["eth0", "eth1", "lo"]
    assert read == [
        attrs.evolve(
            listed[name],
            **FACTS._asdict(),
            # Neither ifaddr nor the BSDs tell the state of an address.
            address_details=tuple(
                attrs.evolve(detail, state=None) for detail in listed[name].address_details
            ),
        )
        for name in ("lo", "eth0", "eth1")
    ]


def test_interface_renamed_while_they_are_read_is_not_missing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = lab.host("a")
    host.run("ip", "link", "add", "old0", "type", "bridge")
    names = ["old0", "new0"]
    read_adapters = ifaddr.get_adapters

    def rename_after_reading(*, include_unconfigured: bool) -> Iterable[ifaddr.Adapter]:
        adapters = read_adapters(include_unconfigured)
        if len(names) > 1:
            host.run("ip", "link", "set", names.pop(0), "name", names[0])
        return adapters

    monkeypatch.setattr(ifaddr, "get_adapters", rename_after_reading)
    with host.inside():
        read = interfaces.read_bsd_interfaces(lambda query: lambda name: FACTS)
    assert [item.name for item in read] == ["lo", "new0"]


def test_refused_list_of_addresses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda *args, **kwargs: _Refusing())
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.EMFILE)
    with pytest.raises(OSError, match="Too many open files"):
        link_facts.read_entries()


class _Refusing:
    def getifaddrs(self, first: object) -> int:
        return -1

    def freeifaddrs(self, first: object) -> None:
        raise AssertionError("there is nothing to free")


EN0 = link_facts.Entry("en0", 0x8863, sockaddr_dl(4, b"en0", bytes.fromhex("0200000000ff")))
ENTRIES = [
    link_facts.Entry("lo0", 0x8049, sockaddr_dl(1, b"lo0", b"")),
    link_facts.Entry("lo0", 0x8049, struct.pack("=BBH4s8x", 16, 2, 0, b"\x7f\0\0\x01")),
    EN0,
    link_facts.Entry("en0", 0x8863, struct.pack("=BBHI16sI", 28, 30, 0, 0, bytes(16), 4)),
    link_facts.Entry("gif0", 0x8010, sockaddr_dl(2, b"gif0", b"")),
]


def test_facts_come_from_links_and_the_mtu_from_the_ioctl(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ioctl(query: object, request: int, argument: bytes) -> bytes:
        asked.append((request, argument[:16].rstrip(b"\0")))
        return argument[:16] + struct.pack("=i12x", 1_400)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        facts = link_facts.LinkFacts(query, ENTRIES)
        en0, lo0, gif0 = (facts.read_facts(name) for name in ("en0", "lo0", "gif0"))
        with pytest.raises(OSError, match="en7 was not there"):
            facts.read_facts("en7")
    assert en0 == ("02:00:00:00:00:ff", 1_400, True, False, True)
    assert (lo0.link_address, lo0.is_loopback, lo0.is_multicast, lo0.is_up) == (
        None,
        True,
        True,
        True,
    )
    assert not gif0.is_up
    assert asked == [(0xC0206933, name) for name in (b"en0", b"lo0", b"gif0")]


@pytest.mark.parametrize("number", [errno.ENODEV, errno.ENXIO])
def test_interface_that_is_gone_is_left_out(number: int, host: Host) -> None:
    host.run("ip", "link", "add", "br0", "type", "bridge")

    def facts_of(name: str) -> InterfaceFacts:
        if name == "br0":
            raise OSError(number, "gone")
        return FACTS

    with host.inside():
        read = interfaces.read_bsd_interfaces(lambda query: facts_of)
    assert [interface.name for interface in read] == ["lo"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.EMFILE])
def test_refused_question_about_an_interface_is_no_answer(number: int, host: Host) -> None:
    def refuse(name: str) -> InterfaceFacts:
        raise OSError(number, "refused")

    with host.inside(), pytest.raises(OSError, match="refused"):
        interfaces.read_bsd_interfaces(lambda query: refuse)


def test_mtu_that_the_system_refuses_to_tell_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [errno.EPERM, errno.ENXIO]

    def refuse(query: object, request: int, argument: bytes) -> bytes:
        raise OSError(numbers.pop(0), "refused")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        facts = link_facts.LinkFacts(query, ENTRIES)
        assert facts.read_facts("en0") == ("02:00:00:00:00:ff", 0, True, False, True)
        with pytest.raises(OSError, match="refused"):
            facts.read_facts("en0")


def test_first_byte_of_an_address_is_its_length() -> None:
    assert all(
        link_facts.bsd_sockaddr_bytes(item.sockaddr[:2]) == len(item.sockaddr) for item in ENTRIES
    )


# Routes ----------------------------------------------------------------------------------------


def routed(host: Host, group: str) -> Interface | None:
    interfaces = LabMachine(host).list_interfaces()
    with host.inside():
        route = route_by_connecting(parse_group(group).address, interfaces)
    return route.interface if isinstance(route, Route) else None


@pytest.mark.parametrize(
    ("routes", "group", "expected"),
    [
        ([], "239.0.0.0", None),
        (["239.0.0.0/8 dev eth1"], "239.0.0.0", "eth1"),
        (["239.0.0.0/8 dev eth1"], "224.1.1.1", None),
        (["default dev eth0", "239.1.0.0/16 dev eth1"], "239.1.2.3", "eth1"),
        (["default via 10.0.2.2"], "239.0.0.0", "eth1"),
        (["multicast ff05::/16 dev eth1 table local"], "ff05::1", "eth1"),
    ],
)
def test_connecting_a_socket_shows_the_route(
    routes: list[str], group: str, expected: str | None, two_lans: TwoLans
) -> None:
    if sys.platform != "linux":
        pytest.skip("the routes are made with ip")
    for route in routes:
        two_lans.a.run("ip", *(["-6"] if ":" in route else []), "route", "add", *route.split())
    found = routed(two_lans.a, group)
    assert (found and found.name) == expected
