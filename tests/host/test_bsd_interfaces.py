"""Interfaces on macOS and FreeBSD: their bytes, made by hand; and what runs on Linux as well.

Nothing here was ever run on either of the two.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address

import attrs
import ifaddr
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tests.lab import Host, Lab
from tests.lab.fixtures import TwoLans
from tests.lab.machine import LabMachine, on
from trio_mcast import Interface, SocketSetupError, list_interfaces
from trio_mcast._platform import bsd
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._platform.model import PlatformName
from trio_mcast._values.addresses import parse_group

if sys.platform == "win32":
    pytest.skip("not for Windows", allow_module_level=True)

from trio_mcast._host.bsd import interfaces, link_facts, watch
from trio_mcast._host.bsd.routes import interface_by_connecting
from trio_mcast._host.protocols import InterfaceWatcher

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


# Messages of a routing socket -----------------------------------------------------------------


def message(kind: int, index: int = 7, what: int = 0) -> bytes:
    """A message with as much as all of them have; only an announcement says what happened."""
    return struct.pack("=HBBH16sH", 24, 5, kind, index, b"em0", what) + bytes(100)


ADD_ROUTE, NEW_ADDRESS, DELETE_ADDRESS, INFORMATION, ANNOUNCE = 0x1, 0xC, 0xD, 0xE, 0x11
MESSAGES: list[tuple[bytes, bool, frozenset[int] | None]] = [
    *((message(kind), False, frozenset()) for kind in (NEW_ADDRESS, DELETE_ADDRESS, INFORMATION)),
    *((message(kind), True, frozenset()) for kind in (NEW_ADDRESS, DELETE_ADDRESS, INFORMATION)),
    (message(ANNOUNCE, 7, what=0), True, frozenset()),
    (message(ANNOUNCE, 7, what=1), True, frozenset({7})),
    # On macOS that is another message, and says nothing of interfaces.
    (message(ANNOUNCE, 7, what=1), False, None),
    (message(ADD_ROUTE), True, None),
    (message(ADD_ROUTE), False, None),
    # Cut short.
    (message(ANNOUNCE, 7, what=1)[:23], True, frozenset()),
    (message(INFORMATION)[:3], True, None),
    (b"", True, None),
]


@pytest.mark.parametrize(("raw", "announces", "expected"), MESSAGES)
def test_message_tells_of_interfaces(
    raw: bytes, announces: bool, expected: frozenset[int] | None
) -> None:
    assert bsd.removed_interfaces(raw, announces=announces) == expected
    assert bsd.removed_interfaces(raw[: bsd.MESSAGE_BYTES], announces=announces) == expected


@given(st.binary(max_size=40), st.booleans())
def test_message_tells_something_or_nothing_whatever_the_bytes(raw: bytes, announces: bool) -> None:
    removed = bsd.removed_interfaces(raw, announces=announces)
    assert removed is None or announces or not removed


# The watcher, on a socket that hands over messages just as a routing socket does ---------------


@attrs.define
class Kernel:
    """The other end of a watcher's socket: what is sent there is a message of the kernel."""

    _ours: socket.socket
    theirs: socket.socket

    def send(self, raw: bytes) -> None:
        self._ours.send(raw)

    def watcher(self, platform: PlatformName = "freebsd") -> InterfaceWatcher:
        return watch.RoutingSocketWatcher(PLATFORMS[platform], self.theirs)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        yield Kernel(ours, theirs)


async def test_watcher_tells_which_interfaces_were_removed(
    kernel: Kernel, autojump_clock: trio.testing.MockClock
) -> None:
    watcher = kernel.watcher()
    for raw in (message(ADD_ROUTE), message(ANNOUNCE, 7, 1), message(ANNOUNCE, 9, 1)):
        kernel.send(raw)
    assert await watcher.wait() == {7, 9}
    kernel.send(message(NEW_ADDRESS))
    assert await watcher.wait() == frozenset()
    watcher.close()


async def test_watcher_on_macos_knows_of_no_removals(
    kernel: Kernel, autojump_clock: trio.testing.MockClock
) -> None:
    watcher = kernel.watcher("darwin")
    kernel.send(message(ANNOUNCE, 7, 1))
    kernel.send(message(INFORMATION, 7))
    assert await watcher.wait() == frozenset()
    watcher.close()


async def test_messages_about_routes_wake_nobody(
    kernel: Kernel, mock_clock: trio.testing.MockClock
) -> None:
    mock_clock.autojump_threshold = 0
    watcher, told = kernel.watcher(), trio.Event()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            assert await watcher.wait() == frozenset()
            told.set()

        nursery.start_soon(wait)
        for _ in range(3):
            kernel.send(message(ADD_ROUTE))
            await trio.sleep(1)
        assert not told.is_set()
        began = trio.current_time()
        kernel.send(message(INFORMATION))
        await told.wait()
        assert trio.current_time() - began < 1
    watcher.close()


async def test_wait_that_was_cancelled_has_taken_nothing(
    kernel: Kernel, autojump_clock: trio.testing.MockClock
) -> None:
    watcher = kernel.watcher()
    kernel.send(message(ANNOUNCE, 7, 1))
    with trio.move_on_after(0.01) as scope:
        await watcher.wait()
    assert scope.cancelled_caught
    assert await watcher.wait() == {7}
    watcher.close()


async def test_lost_messages_mean_that_something_may_have_changed(
    kernel: Kernel, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher, errors = kernel.watcher(), [errno.ENOBUFS]
    real = socket.socket.recv

    def recv(sock: socket.socket, size: int) -> bytes:
        if errors:
            raise OSError(errors.pop(), "lost")
        return real(sock, size)

    kernel.send(message(ADD_ROUTE))
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "recv", recv)
        assert await watcher.wait() == frozenset()
        errors.append(errno.EBADF)
        kernel.send(message(ANNOUNCE, 7, 1))
        with pytest.raises(SocketSetupError, match="watch interfaces failed"):
            await watcher.wait()
    assert await watcher.wait() == {7}
    watcher.close()


async def test_closing_a_watcher_ends_its_wait(
    kernel: Kernel, autojump_clock: trio.testing.MockClock
) -> None:
    watcher = kernel.watcher()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await watcher.wait()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        watcher.close()
    watcher.close()
    await wait()


def test_socket_for_watching_that_is_refused_is_closed(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket.socket, "setblocking", refuse)
    with pytest.raises(OSError, match="Too many"):
        kernel.watcher()
    assert kernel.theirs.fileno() < 0


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


FACTS = link_facts.InterfaceFacts(None, 1_500, True, False, True)


def test_names_and_addresses_come_from_ifaddr_and_the_rest_from_the_system(
    two_lans: TwoLans,
) -> None:
    with on(two_lans.a):
        listed = {item.name: item for item in list_interfaces()}
    asked: list[str] = []

    def facts_of(name: str) -> link_facts.InterfaceFacts:
        asked.append(name)
        return FACTS

    with two_lans.a.inside():
        read = interfaces.read_bsd_interfaces(lambda query: facts_of)
    assert sorted(asked) == ["eth0", "eth1", "lo"]
    assert read == [
        attrs.evolve(listed[name], **FACTS._asdict()) for name in ("lo", "eth0", "eth1")
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


def test_first_byte_of_an_address_is_its_length() -> None:
    assert all(
        link_facts.bsd_sockaddr_bytes(item.sockaddr[:2]) == len(item.sockaddr) for item in ENTRIES
    )


# Routes ----------------------------------------------------------------------------------------


def routed(host: Host, group: str) -> Interface | None:
    listed = LabMachine(host).list_interfaces()
    with host.inside():
        return interface_by_connecting(parse_group(group), listed)


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
