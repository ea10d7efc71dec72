"""The tables of the four platforms, against what the systems' own headers say."""

from __future__ import annotations

import ast
import ctypes
import errno
import json
import re
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import trio_mcast
from trio_mcast._addresses import (
    SOCKADDR_IN6_BYTES,
    SOCKADDR_IN_BYTES,
    Family,
    encode_sockaddr,
    parse_address,
)
from trio_mcast._host import _windows_api
from trio_mcast._platform import (
    PLATFORMS,
    Platform,
    PlatformName,
    _bsd,
    current_platform,
    platform_named,
)
from trio_mcast._platform import _layout as layout
from trio_mcast._platform.linux import LINUX, LINUX_32

DATA = Path(__file__).parent / "data"
PACKAGE = Path(trio_mcast.__file__).parent

NAMES: tuple[PlatformName, ...] = ("linux", "darwin", "freebsd", "windows")
FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")
# The targets of the table for which `LINUX_32` stands.
LINUX_32_TARGETS = ("x86-linux-gnu", "arm-linux-gnueabihf")


def _read_headers() -> dict[str, dict[str, dict[str, int]]]:
    """By platform or target, then by kind ("constants", "sizeof", "offsets"): what headers say."""
    table: dict[str, Any] = json.loads((DATA / "platform-abi.json").read_text())
    more: dict[str, Any] = json.loads((DATA / "platform-abi-more.json").read_text())
    headers: dict[str, dict[str, dict[str, int]]] = {}
    for name in NAMES:
        headers[name] = {
            kind: {**table[name][kind], **more[name].get(kind, {})}
            for kind in ("constants", "sizeof", "offsets")
        }
        headers[name]["constants"].update(table[name].get("errno", {}))
    for target in LINUX_32_TARGETS:
        variant = table["variants"][target]
        headers[target] = {
            kind: {**headers["linux"][kind], **variant.get(kind, {})}
            for kind in ("constants", "sizeof", "offsets")
        }
    return headers


HEADERS = _read_headers()
TABLES: dict[str, Platform] = {
    **{name: PLATFORMS[name] for name in NAMES},
    **dict.fromkeys(LINUX_32_TARGETS, LINUX_32),
}
EVERY_TABLE = pytest.mark.parametrize("target", TABLES)
EVERY_PLATFORM = pytest.mark.parametrize("name", NAMES)


# Numbers ---------------------------------------------------------------------------------------

CONSTANTS = [(target, symbol) for target, table in TABLES.items() for symbol in table.constants]


@pytest.mark.parametrize(("target", "symbol"), CONSTANTS)
def test_constant_is_what_the_header_says(target: str, symbol: str) -> None:
    # A symbol that the headers do not have is an error too: no row goes unchecked.
    assert symbol in HEADERS[target]["constants"]
    assert TABLES[target].constants[symbol] == HEADERS[target]["constants"][symbol]


@EVERY_PLATFORM
def test_supplement_repeats_nothing_of_the_table(name: PlatformName) -> None:
    table = json.loads((DATA / "platform-abi.json").read_text())[name]
    more = json.loads((DATA / "platform-abi-more.json").read_text())[name]
    for kind, values in more.items():
        assert not set(values) & set(table[kind])


PYTHON_HAS = [symbol for symbol in current_platform().constants if hasattr(socket, symbol)]


@pytest.mark.parametrize("symbol", PYTHON_HAS)
def test_constant_is_what_this_python_says(symbol: str) -> None:
    assert current_platform().constants[symbol] == getattr(socket, symbol)


def test_python_knows_some_constants_of_this_platform() -> None:
    assert {"SOL_SOCKET", "SO_RCVBUF", "IP_TOS", "IPV6_V6ONLY"} <= set(PYTHON_HAS)


@EVERY_TABLE
@pytest.mark.parametrize("family", FAMILIES)
def test_family_number_is_what_the_header_says(target: str, family: Family) -> None:
    symbol = {"ipv4": "AF_INET", "ipv6": "AF_INET6"}[family]
    assert TABLES[target].sockaddr.number(family) == HEADERS[target]["constants"][symbol]


# What looks like an operating system's number, wherever in the package it stands; a name that ends
# in _BYTES is one of ours.
_SYSTEM_SYMBOL = re.compile(
    r"_?((?:(?:AF|ARPHRD|ERROR|GAA|IF|IFAN|IFF|IP|IPV6|MCAST|MIB|MSG|NLM|RTA|RTM|RTMGRP|SCM|SIO|SO|SOL|UDP)_|SIOCGIF|WSAE)[A-Z0-9_]+)(?<!_BYTES)"
)


def _numbers_outside_the_tables() -> Iterator[tuple[str, str, int]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign):
                targets, value = node.targets, node.value
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                targets, value = [node.target], node.value
            else:
                continue
            if not (isinstance(value, ast.Constant) and type(value.value) is int):
                continue
            for target in targets:
                found = isinstance(target, ast.Name) and _SYSTEM_SYMBOL.fullmatch(target.id)
                if found:
                    yield path.relative_to(PACKAGE).as_posix(), found[1], value.value


OUTSIDE = list(_numbers_outside_the_tables())


@pytest.mark.parametrize(("path", "symbol", "number"), OUTSIDE)
def test_constant_outside_the_tables_is_what_the_header_says(
    path: str, symbol: str, number: int
) -> None:
    systems = ["linux"]
    if "windows" in path:
        systems = ["windows"]
    elif "bsd" in path:  # What only FreeBSD has is used for it alone.
        systems = [name for name in ("darwin", "freebsd") if symbol in HEADERS[name]["constants"]]
    assert systems
    assert {number} == {HEADERS[system]["constants"][symbol] for system in systems}


def test_constants_outside_the_tables_are_found() -> None:
    found = {symbol for _, symbol, _ in OUTSIDE}
    assert {"IFF_UP", "IFF_LOOPBACK", "IFF_MULTICAST", "RTM_GETROUTE", "RTA_OIF"} <= found
    assert {"AF_LINK", "AF_ROUTE", "RTM_IFANNOUNCE", "IFAN_DEPARTURE"} <= found
    assert {"SIO_UDP_CONNRESET", "WSAECONNRESET", "IF_TYPE_SOFTWARE_LOOPBACK"} <= found


# Structures ------------------------------------------------------------------------------------


@EVERY_TABLE
def test_group_requests_have_the_sizes_and_offsets_of_the_header(target: str) -> None:
    sizes, offsets = HEADERS[target]["sizeof"], HEADERS[target]["offsets"]
    ours = TABLES[target].group_request
    assert ours.group_req_size == sizes["group_req"]
    assert ours.group_source_req_size == sizes["group_source_req"]
    assert ours.group_offset == offsets["group_req.gr_group"]
    assert ours.group_offset == offsets["group_source_req.gsr_group"]
    assert ours.source_offset == offsets["group_source_req.gsr_source"]
    # The encoders put the index at the very beginning.
    assert offsets["group_req.gr_interface"] == offsets["group_source_req.gsr_interface"] == 0


@EVERY_TABLE
def test_sockaddrs_have_the_sizes_of_the_header(target: str) -> None:
    sizes = HEADERS[target]["sizeof"]
    assert sizes["sockaddr_in"] == SOCKADDR_IN_BYTES
    assert sizes["sockaddr_in6"] == SOCKADDR_IN6_BYTES
    sockaddr = TABLES[target].sockaddr
    for text, symbol in (("239.1.2.3", "sockaddr_in"), ("ff05::1", "sockaddr_in6")):
        assert len(encode_sockaddr(sockaddr, parse_address(text, "address"))) == sizes[symbol]


@EVERY_TABLE
def test_sockaddr_begins_with_its_length_where_the_header_has_it(target: str) -> None:
    offsets, ours = HEADERS[target]["offsets"], TABLES[target].sockaddr
    assert ours.has_length == ("sockaddr_in.sin_len" in offsets)
    assert ours.has_length == ("sockaddr_in6.sin6_len" in offsets)
    expected_family_offset = 1 if ours.has_length else 0
    assert offsets["sockaddr_in.sin_family"] == expected_family_offset
    assert offsets["sockaddr_in6.sin6_family"] == expected_family_offset


@EVERY_TABLE
def test_sockaddr_members_are_where_the_header_has_them(target: str) -> None:
    offsets, ours = HEADERS[target]["offsets"], TABLES[target].sockaddr
    v4 = encode_sockaddr(ours, parse_address("1.2.3.4", "address"), 0x1122)
    assert v4[offsets["sockaddr_in.sin_port"] :][:2] == b"\x11\x22"
    assert v4[offsets["sockaddr_in.sin_addr"] :][:4] == b"\x01\x02\x03\x04"
    v6 = encode_sockaddr(ours, parse_address("ff05::9", "address"), 0x1122, 0x33445566)
    assert v6[offsets["sockaddr_in6.sin6_port"] :][:2] == b"\x11\x22"
    assert v6[offsets["sockaddr_in6.sin6_flowinfo"] :][:4] == bytes(4)
    assert v6[offsets["sockaddr_in6.sin6_addr"] :][:16] == b"\xff\x05" + bytes(13) + b"\x09"
    scope = v6[offsets["sockaddr_in6.sin6_scope_id"] :][:4]
    assert int.from_bytes(scope, sys.byteorder) == 0x33445566


@EVERY_PLATFORM
def test_multicast_if_takes_ip_mreqn_only_where_there_is_one(name: PlatformName) -> None:
    platform, sizes = PLATFORMS[name], HEADERS[name]["sizeof"]
    assert platform.multicast_if_takes_mreqn == ("ip_mreqn" in sizes)
    value = layout.multicast_interface(platform, "ipv4", 7).value
    assert isinstance(value, bytes)
    if platform.multicast_if_takes_mreqn:
        assert len(value) == sizes["ip_mreqn"]
        offset = HEADERS[name]["offsets"]["ip_mreqn.imr_ifindex"]
        assert int.from_bytes(value[offset : offset + 4], sys.byteorder) == 7


def test_windows_fallbacks_have_the_fields_where_the_header_has_them() -> None:
    windows, sizes = PLATFORMS["windows"], HEADERS["windows"]["sizeof"]
    offsets = HEADERS["windows"]["offsets"]
    group, source, local = (
        parse_address(text, "address") for text in ("239.1.2.3", "10.0.0.9", "10.0.0.1")
    )
    fallback = layout.join_group(windows, 7, group, local).fallback
    assert fallback is not None
    assert isinstance(fallback.value, bytes)
    assert len(fallback.value) == sizes["ip_mreq"]
    assert fallback.value[offsets["ip_mreq.imr_multiaddr"] :][:4] == group.packed
    assert fallback.value[offsets["ip_mreq.imr_interface"] :][:4] == local.packed
    for encode in (layout.join_source, layout.block_source):
        fallback = encode(windows, 7, group, source, local).fallback
        assert fallback is not None
        assert isinstance(fallback.value, bytes)
        assert len(fallback.value) == sizes["ip_mreq_source"]
        assert fallback.value[offsets["ip_mreq_source.imr_multiaddr"] :][:4] == group.packed
        assert fallback.value[offsets["ip_mreq_source.imr_sourceaddr"] :][:4] == source.packed
        assert fallback.value[offsets["ip_mreq_source.imr_interface"] :][:4] == local.packed
    six = parse_address("ff05::1", "address")
    fallback = layout.join_group(windows, 7, six, None).fallback
    assert fallback is not None
    assert isinstance(fallback.value, bytes)
    assert len(fallback.value) == sizes["ipv6_mreq"]
    assert fallback.value[offsets["ipv6_mreq.ipv6mr_multiaddr"] :][:16] == six.packed
    index = fallback.value[offsets["ipv6_mreq.ipv6mr_interface"] :][:4]
    assert int.from_bytes(index, sys.byteorder) == 7


@EVERY_PLATFORM
def test_pktinfo_has_the_index_where_the_table_says(name: PlatformName) -> None:
    offsets = HEADERS[name]["offsets"]
    expected = {
        family: offsets[member]
        for family, member in (
            ("ipv4", "in_pktinfo.ipi_ifindex"),
            ("ipv6", "in6_pktinfo.ipi6_ifindex"),
        )
        if member in offsets  # FreeBSD has no in_pktinfo.
    }
    assert PLATFORMS[name].packet_info_index == expected
    assert PLATFORMS[name].packet_info_destination == {
        family: offsets[member]
        for family, member in (("ipv4", "in_pktinfo.ipi_addr"), ("ipv6", "in6_pktinfo.ipi6_addr"))
        if member in offsets
    }
    assert HEADERS[name]["sizeof"]["in6_pktinfo"] == 20


# The structures that the Windows modules read and write.
WINDOWS_STRUCTURES = [
    ("WSABUF", _windows_api.WsaBuf),
    ("WSAMSG", _windows_api.WsaMsg),
    ("SOCKET_ADDRESS", _windows_api.SocketAddress),
    ("IP_ADAPTER_UNICAST_ADDRESS", _windows_api.UnicastAddress),
    ("IP_ADAPTER_ADDRESSES", _windows_api.AdapterAddresses),
    ("MIB_IPINTERFACE_ROW", _windows_api.IpInterfaceRow),
]


@pytest.mark.skipif(struct.calcsize("P") != 8, reason="the table of headers is for 64 bits")
@pytest.mark.parametrize(("name", "ours"), WINDOWS_STRUCTURES)
def test_windows_structure_has_its_members_where_the_header_has_them(name: str, ours: Any) -> None:
    offsets, sizes = HEADERS["windows"]["offsets"], HEADERS["windows"]["sizeof"]
    checked = {
        member: (getattr(ours, member.partition(".")[2]).offset, offset)
        for member, offset in offsets.items()
        if member.startswith(f"{name}.")
    }
    assert checked
    assert all(found == expected for found, expected in checked.values()), checked
    if name in sizes:  # Of the others, what follows the last member that is read is left out.
        assert ctypes.sizeof(ours) == sizes[name]


def test_windows_lays_out_control_messages_as_64_bit_linux_does() -> None:
    # So that one function cuts up both.
    linux, windows = HEADERS["linux"], HEADERS["windows"]
    for member in ("cmsg_len", "cmsg_level", "cmsg_type"):
        assert windows["offsets"][f"cmsghdr.{member}"] == linux["offsets"][f"cmsghdr.{member}"]
    assert windows["sizeof"]["cmsghdr"] == linux["sizeof"]["cmsghdr"] == 16


BSDS = pytest.mark.parametrize("name", ["darwin", "freebsd"])


@BSDS
def test_mtu_is_asked_for_with_the_number_and_structure_of_the_header(name: str) -> None:
    headers = HEADERS[name]
    assert headers["constants"]["SIOCGIFMTU"] == _bsd.SIOCGIFMTU
    assert len(_bsd.mtu_request("en0")) == headers["sizeof"]["ifreq"]
    # The sum of which the number is made: IOC_INOUT, size, letter, number.
    assert 0xC0000000 + (headers["sizeof"]["ifreq"] << 16) + (0x69 << 8) + 51 == _bsd.SIOCGIFMTU


@BSDS
def test_link_address_has_its_members_where_the_header_has_them(name: str) -> None:
    offsets = HEADERS[name]["offsets"]
    raw = bytearray(HEADERS[name]["sizeof"]["sockaddr_dl"])
    struct.pack_into("=H", raw, offsets["sockaddr_dl.sdl_index"], 0x1122)
    raw[offsets["sockaddr_dl.sdl_nlen"]] = 3
    raw[offsets["sockaddr_dl.sdl_alen"]] = 6
    start = offsets["sockaddr_dl.sdl_data"]
    raw[start : start + 9] = b"en0" + bytes(range(1, 7))
    found = _bsd.decode_sockaddr_dl(bytes(raw))
    assert (found.index, found.name, found.text) == (0x1122, b"en0", "01:02:03:04:05:06")
    # Two assumptions of the code that reads the list of addresses.
    assert (offsets["sockaddr_dl.sdl_len"], offsets["sockaddr_dl.sdl_family"]) == (0, 1)


def test_announcement_has_its_members_where_the_header_has_them() -> None:
    numbers, offsets = HEADERS["freebsd"]["constants"], HEADERS["freebsd"]["offsets"]
    raw = bytearray(HEADERS["freebsd"]["sizeof"]["if_announcemsghdr"])
    assert len(raw) == _bsd.MESSAGE_BYTES
    raw[offsets["if_announcemsghdr.ifan_type"]] = numbers["RTM_IFANNOUNCE"]
    struct.pack_into("=H", raw, offsets["if_announcemsghdr.ifan_index"], 0x1122)
    struct.pack_into("=H", raw, offsets["if_announcemsghdr.ifan_what"], numbers["IFAN_DEPARTURE"])
    assert _bsd.removed_interfaces(bytes(raw), announces=True) == frozenset({0x1122})


@EVERY_PLATFORM
def test_timestamps_have_the_layout_of_the_header(name: PlatformName) -> None:
    stamps = PLATFORMS[name].timestamps
    if stamps is None:
        assert name == "windows"
        return
    # A timespec is laid out as a timeval is, with nanoseconds instead of microseconds.
    structure = {"SO_TIMESTAMP": "timeval", "SO_TIMESTAMPNS": "timespec"}[stamps.option]
    assert stamps.fraction_ns == {"timeval": 1_000, "timespec": 1}[structure]
    sizes, offsets = HEADERS[name]["sizeof"], HEADERS[name]["offsets"]
    padded_to = sizes.get("timespec", sizes["timeval"])
    if "@" not in stamps.layout or current_platform().name == name == "linux":
        # The last member may be shorter than the padded structure (macOS: a 32-bit tv_usec).
        assert offsets["timeval.tv_usec"] < struct.calcsize(stamps.layout) <= padded_to
        assert struct.calcsize(f"{stamps.layout[:2]}") == offsets["timeval.tv_usec"]


@pytest.mark.parametrize("target", LINUX_32_TARGETS)
def test_linux_32_differs_in_the_layout_only(target: str) -> None:
    assert attrs.evolve(LINUX_32, group_request=LINUX.group_request) == LINUX
    assert HEADERS[target]["sizeof"]["group_req"] == LINUX_32.group_request.group_req_size == 132


# What the tables refer to ----------------------------------------------------------------------


@EVERY_TABLE
def test_every_symbol_a_table_refers_to_is_in_it(target: str) -> None:
    table = TABLES[target]
    symbols = {
        *table.port_sharing,
        *table.exact_groups.values(),
        *table.interface_restriction.values(),
        *table.restriction_fallback.values(),
        *(symbol for symbols in table.packet_info.values() for symbol in symbols),
        *table.ttl_control.values(),
    }
    if table.timestamps is not None:
        symbols |= {table.timestamps.option, table.timestamps.control}
    assert symbols <= set(table.constants)


LEVELS: list[tuple[str, Family, str]] = [
    ("SO_RCVBUF", "ipv4", "SOL_SOCKET"),
    ("SO_RCVBUF", "ipv6", "SOL_SOCKET"),
    ("IP_MULTICAST_TTL", "ipv4", "IPPROTO_IP"),
    ("IPV6_MULTICAST_HOPS", "ipv4", "IPPROTO_IPV6"),
    ("MCAST_JOIN_GROUP", "ipv4", "IPPROTO_IP"),
    ("MCAST_JOIN_GROUP", "ipv6", "IPPROTO_IPV6"),
]


@EVERY_TABLE
@pytest.mark.parametrize(("symbol", "family", "expected"), LEVELS)
def test_level_follows_from_the_symbol(
    target: str, symbol: str, family: Family, expected: str
) -> None:
    level = TABLES[target].level(symbol, family)
    assert level == HEADERS[target]["constants"][expected]


# Which platform this is ------------------------------------------------------------------------


def test_platform_named_gives_the_table_of_that_name() -> None:
    for name in NAMES:
        assert platform_named(name) is PLATFORMS[name]
        assert platform_named(name).name == name


def test_platform_named_none_is_the_current_one() -> None:
    assert platform_named(None) is current_platform()


@pytest.mark.parametrize(
    ("running_on", "expected"),
    [("linux", "linux"), ("darwin", "darwin"), ("win32", "windows"), ("freebsd14", "freebsd")],
)
def test_current_platform_follows_sys_platform(
    running_on: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", running_on)
    assert current_platform().name == expected


def test_current_platform_refuses_an_unknown_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "amiga")
    with pytest.raises(RuntimeError, match=r"no tables for amiga.*darwin, freebsd, linux, windows"):
        current_platform()


# On the running kernel -------------------------------------------------------------------------

# Options, by family, with a value that is not the one a new socket has. (SO_BINDTODEVICE and the
# joins change what the socket can do; the lab's tests see their effect.)
SETTABLE: list[tuple[Family, str, int]] = [
    ("ipv4", "SO_REUSEADDR", 1),
    ("ipv4", "SO_TIMESTAMPNS", 1),
    ("ipv4", "IP_TOS", 0xB8),
    ("ipv4", "IP_RECVTTL", 1),
    ("ipv4", "IP_TTL", 17),
    ("ipv4", "IP_MULTICAST_TTL", 17),
    ("ipv4", "IP_MULTICAST_LOOP", 0),
    ("ipv4", "IP_MULTICAST_ALL", 0),
    ("ipv6", "IPV6_MULTICAST_IF", 1),
    ("ipv6", "IPV6_MULTICAST_HOPS", 17),
    ("ipv6", "IPV6_MULTICAST_LOOP", 0),
    ("ipv6", "IPV6_MULTICAST_ALL", 0),
    ("ipv6", "IPV6_V6ONLY", 1),
    ("ipv6", "IPV6_RECVPKTINFO", 1),
    ("ipv6", "IPV6_RECVHOPLIMIT", 1),
    ("ipv6", "IPV6_TCLASS", 0xB8),
]

if sys.platform == "linux":

    def test_fast_path_has_the_structures_of_the_header() -> None:
        from trio_mcast._host import _linux_buffers, _routes
        from trio_mcast._platform import _control

        sizes, offsets = HEADERS["linux"]["sizeof"], HEADERS["linux"]["offsets"]
        members = ["name", "namelen", "iov", "iovlen", "control", "controllen", "flags"]
        places = [offsets[f"msghdr.msg_{member}"] for member in members]
        # Every member in turn, and nothing else, is what changes in the bytes.
        headers = [[int(n == slot) for n in range(8)] for slot in range(8)]
        packed = [_linux_buffers.MMSGHDR.pack(*header) for header in headers]
        assert [raw.index(1) for raw in packed] == [*places, offsets["mmsghdr.msg_len"]]
        assert _linux_buffers.MMSGHDR.size == sizes["mmsghdr"]
        assert _linux_buffers.IOVEC.size == sizes["iovec"]
        # The kernel writes these three; they are read and compared in words.
        for place, raw in (
            (_linux_buffers.NAME_LENGTH, packed[1]),
            (_linux_buffers.LENGTH, packed[7]),
        ):
            assert memoryview(raw + raw).cast("I")[place].tolist() == [1, 1]
        lengths = memoryview(packed[5] * 2).cast("Q")[_linux_buffers.CONTROL_LENGTH]
        assert lengths.tolist() == [1, 1]
        assert sizes["sockaddr_in6"] == _linux_buffers.NAME_BYTES
        assert _control._CMSGHDR.size == sizes["cmsghdr"]
        layouts = (_routes._HEADER, _routes._ROUTE, _routes._ATTRIBUTE)
        names = ["nlmsghdr", "rtmsg", "rtattr"]
        assert [item.size for item in layouts] == [sizes[name] for name in names]

    def _udp_socket(family: Family) -> socket.socket:
        """An unbound socket: it can neither send nor receive anything by itself."""
        return socket.socket(LINUX.sockaddr.number(family), socket.SOCK_DGRAM)

    @pytest.mark.parametrize(("family", "symbol", "value"), SETTABLE)
    def test_option_reads_back_as_set(family: Family, symbol: str, value: int) -> None:
        option = layout.option(current_platform(), symbol, value, "test")
        with _udp_socket(family) as sock:
            assert sock.getsockopt(option.level, option.number) != value
            sock.setsockopt(option.level, option.number, value)
            assert sock.getsockopt(option.level, option.number) == value

    @pytest.mark.parametrize("symbol", ["SO_RCVBUF", "SO_SNDBUF"])
    def test_buffer_size_reads_back_doubled(symbol: str) -> None:
        option = layout.option(current_platform(), symbol, 65_536, "test")
        assert current_platform().doubles_buffers
        with _udp_socket("ipv4") as sock:
            assert sock.getsockopt(option.level, option.number) != 2 * 65_536
            sock.setsockopt(option.level, option.number, option.value)
            assert sock.getsockopt(option.level, option.number) == 2 * 65_536

    def test_meminfo_has_nine_numbers() -> None:
        numbers = current_platform().constants
        with _udp_socket("ipv4") as sock:
            raw = sock.getsockopt(numbers["SOL_SOCKET"], numbers["SO_MEMINFO"], 256)
        assert len(raw) == 9 * 4

    def test_multicast_interface_reads_the_index_from_the_request() -> None:
        # It does not read back (Linux answers with an address), but a wrong index is refused.
        with _udp_socket("ipv4") as sock:
            right = layout.multicast_interface(current_platform(), "ipv4", 1)
            sock.setsockopt(right.level, right.number, right.value)
            wrong = layout.multicast_interface(current_platform(), "ipv4", 2**31 - 1)
            with pytest.raises(OSError) as caught:  # noqa: PT011  # errno is looked at below
                sock.setsockopt(wrong.level, wrong.number, wrong.value)
        assert caught.value.errno == errno.EADDRNOTAVAIL
