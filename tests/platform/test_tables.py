"""The tables of the four platforms, against what the systems' own headers say."""

from __future__ import annotations

import ast
import errno
import json
import re
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trio_mcast
from tests.support.headers import DATA, EVERY_TABLE, HEADERS, LINUX_32_TARGETS, TABLES
from tests.support.platforms import EVERY_PLATFORM, NAMES
from trio_mcast import McastError
from trio_mcast._host import system
from trio_mcast._host.linux.messages import MESSAGES
from trio_mcast._platform import options as layout
from trio_mcast._platform.current import PLATFORMS, current_platform, platform_named
from trio_mcast._platform.linux import LINUX, linux_on
from trio_mcast._platform.model import PlatformName
from trio_mcast._values.addresses import Family

pytestmark = pytest.mark.once

PACKAGE = Path(trio_mcast.__file__).parent

FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")


# Numbers ---------------------------------------------------------------------------------------

CONSTANTS = [(target, symbol) for target, table in TABLES.items() for symbol in table.constants]


@pytest.mark.parametrize(("target", "symbol"), CONSTANTS)
def test_constant_is_what_the_header_says(target: str, symbol: str) -> None:
    # A symbol that the headers do not have is an error too: no row goes unchecked.
    assert symbol in HEADERS[target]["constants"]
    assert TABLES[target].constants[symbol] == HEADERS[target]["constants"][symbol]


@EVERY_PLATFORM
def test_supplement_repeats_nothing_of_the_table(name: PlatformName) -> None:
    table = json.loads((DATA / "platform-abi.json").read_text(encoding="utf-8"))[name]
    more = json.loads((DATA / "platform-abi-more.json").read_text(encoding="utf-8"))[name]
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
    r"_?((?:(?:AF|ARPHRD|ERROR|GAA|IF|IFA|IFAN|IFF|IFLA|IP|IPV6|MCAST|MIB|MSG|NLM|NLMSG|RTA|RTM|RTMGRP|SCM|SIO|SO|SOL|UDP)_|SIOCGIF|WSAE)[A-Z0-9_]+)(?<!_BYTES)"
)


def _numbers_outside_the_tables() -> Iterator[tuple[str, str, int]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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


def test_constants_outside_the_tables_are_what_the_header_says() -> None:
    found = set()
    for path, symbol, number in _numbers_outside_the_tables():
        systems = ["linux"]
        if "windows" in path:
            systems = ["windows"]
        elif "bsd" in path:  # What only FreeBSD has is used for it alone.
            systems = [
                name for name in ("darwin", "freebsd") if symbol in HEADERS[name]["constants"]
            ]
        assert systems, (path, symbol)
        numbers = {HEADERS[system]["constants"][symbol] for system in systems}
        assert numbers == {number}, (path, symbol)
        found.add(symbol)
    assert {"IFF_UP", "IFF_LOOPBACK", "IFF_MULTICAST", "RTM_GETROUTE", "RTA_OIF"} <= found
    assert {"AF_LINK", "AF_ROUTE", "RTM_IFANNOUNCE", "IFAN_DEPARTURE"} <= found
    assert {"SIO_UDP_CONNRESET", "WSAECONNRESET", "IF_TYPE_SOFTWARE_LOOPBACK"} <= found


# What the tables refer to ----------------------------------------------------------------------


@EVERY_TABLE
def test_every_symbol_a_table_refers_to_is_in_it(target: str) -> None:
    table = TABLES[target]
    symbols = {
        *table.port_sharing,
        *table.other_port_sharing,
        *table.exact_groups.values(),
        *table.interface_restriction.values(),
        *table.restriction_fallback.values(),
        *(symbol for symbols in table.packet_info.values() for symbol in symbols),
        *table.ttl_control.values(),
    }
    symbols |= {symbol for stamp in table.timestamps for symbol in (stamp.option, stamp.kind)}
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
    [
        ("linux", "linux"),
        ("android", "linux"),
        ("darwin", "darwin"),
        ("win32", "windows"),
        ("freebsd14", "freebsd"),
    ],
)
def test_current_platform_follows_sys_platform(
    running_on: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", running_on)
    assert current_platform().name == expected


def test_current_platform_refuses_an_unknown_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "amiga")
    with pytest.raises(McastError, match=r"no tables for amiga.*darwin, freebsd, linux, windows"):
        current_platform()


# On the running kernel -------------------------------------------------------------------------

# Options, by family, with a value that is not the one a new socket has. (SO_BINDTODEVICE and the
# joins change what the socket can do; the lab's tests see their effect.)
SETTABLE: list[tuple[Family, str, int]] = [
    ("ipv4", "SO_REUSEADDR", 1),
    ("ipv4", "SO_REUSEPORT", 1),
    ("ipv4", "SO_TIMESTAMPNS", 1),
    ("ipv4", "IP_TOS", 0xB8),
    ("ipv4", "IP_RECVTTL", 1),
    ("ipv4", "IP_RECVTOS", 1),
    ("ipv4", "IP_TTL", 17),
    ("ipv4", "IP_MULTICAST_TTL", 17),
    ("ipv4", "IP_MULTICAST_LOOP", 0),
    ("ipv4", "IP_MULTICAST_ALL", 0),
    ("ipv6", "IPV6_MULTICAST_IF", 1),
    ("ipv6", "IPV6_UNICAST_HOPS", 17),
    ("ipv6", "IPV6_MULTICAST_HOPS", 17),
    ("ipv6", "IPV6_MULTICAST_LOOP", 0),
    ("ipv6", "IPV6_MULTICAST_ALL", 0),
    ("ipv6", "IPV6_V6ONLY", 1),
    ("ipv6", "IPV6_RECVPKTINFO", 1),
    ("ipv6", "IPV6_RECVHOPLIMIT", 1),
    ("ipv6", "IPV6_TCLASS", 0xB8),
    ("ipv6", "IPV6_RECVTCLASS", 1),
]


@pytest.mark.parametrize(
    ("target", "pointer_bytes"), [("linux", 8), *((target, 4) for target in LINUX_32_TARGETS)]
)
def test_messages_have_the_layout_of_the_header(target: str, pointer_bytes: int) -> None:
    layouts, sizes = MESSAGES[pointer_bytes], HEADERS[target]["sizeof"]
    offsets = HEADERS[target]["offsets"]
    members = ["name", "namelen", "iov", "iovlen", "control", "controllen", "flags"]
    places = [offsets[f"msghdr.msg_{member}"] for member in members]
    # Every member in turn, and nothing else, is what changes in the bytes.
    headers = [[int(n == slot) for n in range(8)] for slot in range(8)]
    packed = [layouts.mmsghdr.pack(*header) for header in headers]
    if sys.byteorder == "little":
        assert [raw.index(1) for raw in packed] == [*places, offsets["mmsghdr.msg_len"]]
    assert layouts.mmsghdr.size == sizes["mmsghdr"]
    assert layouts.iovec.size == sizes["iovec"]
    assert struct.calcsize(f"={layouts.word}") == pointer_bytes == offsets["iovec.iov_len"]
    # The kernel writes these three; they are read and compared in words.
    assert memoryview(packed[1] * 2).cast("I")[layouts.name_length].tolist() == [1, 1]
    assert memoryview(packed[5] * 2).cast(layouts.word)[layouts.control_length].tolist() == [1, 1]
    assert memoryview(packed[7] * 2).cast("I")[layouts.length].tolist() == [1, 1]


# Architectures of Linux ------------------------------------------------------------------------

ARCHITECTURE_HEADERS: dict[str, dict[str, int]] = json.loads(
    (DATA / "linux-architectures.json").read_text(encoding="utf-8")
)["constants"]
MACHINES = {
    "mips": ("mips", 4),
    "mipsel": ("mips", 4),
    "mips64el": ("mips64", 8),
    "sparc64": ("sparc64", 8),
    "hppa": ("parisc64", 4),
    "alpha": ("alpha", 8),
}


@pytest.mark.parametrize("architecture", ARCHITECTURE_HEADERS)
def test_numbers_of_sockets_are_those_of_the_architecture(architecture: str) -> None:
    header = ARCHITECTURE_HEADERS[architecture]
    table = linux_on(*MACHINES[architecture])
    socket_level = {
        symbol: number
        for symbol, number in table.constants.items()
        if symbol.startswith(("SO_", "SOL_"))
    }
    assert socket_level == {symbol: header[symbol] for symbol in socket_level}
    # Everything else is the same everywhere, but for the alignment.
    others = dict.fromkeys(set(LINUX.constants) - set(socket_level))
    assert {symbol: table.constants[symbol] for symbol in others} == {
        symbol: LINUX.constants[symbol] for symbol in others
    }
    assert table.group_request.group_offset == MACHINES[architecture][1]


def test_option_of_mips_has_the_level_and_number_of_mips() -> None:
    share = layout.option(linux_on("mips", 4), "SO_REUSEADDR", 1, "test")
    assert (share.level, share.number) == (0xFFFF, 4)
    room = layout.receive_buffer(linux_on("mips64", 8), 65_536)
    assert (room.level, room.number) == (0xFFFF, 33)
    assert room.fallback is not None
    assert (room.fallback.level, room.fallback.number) == (0xFFFF, 0x1002)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "armv7l", "s390x", "riscv64", "ppc64le"])
def test_other_architectures_have_the_numbers_of_all(machine: str) -> None:
    assert linux_on(machine, 8) == LINUX


def test_unknown_architecture_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "machine", lambda: "vax")
    monkeypatch.setattr(socket, "SO_RCVBUF", 0x4242)
    with pytest.raises(McastError, match=r"no tables for .* on vax, where SO_RCVBUF is 16962"):
        system.SystemHost().list_interfaces()


def test_architecture_of_this_process_is_known() -> None:
    assert system.SystemHost().platform == current_platform()


if sys.platform == "linux":

    @pytest.mark.parametrize(
        ("machine", "pointer_bytes", "expected"),
        [
            ("x86_64", 8, 425),
            ("armv7l", 4, 425),
            ("sparc64", 8, 425),
            ("alpha", 8, 535),
            ("mips", 4, 4425),
            ("mips64", 4, 4425),
            ("mips64", 8, 5425),
        ],
    )
    def test_system_call_has_the_number_of_the_architecture(
        machine: str, pointer_bytes: int, expected: int
    ) -> None:
        from trio_mcast._host.linux import libc

        assert libc.system_call(425, machine, pointer_bytes) == expected

    def test_structures_of_the_fast_path_and_of_netlink_are_those_of_the_header() -> None:
        from trio_mcast._host.linux import buffers, netlink
        from trio_mcast._platform import control

        sizes = HEADERS["linux"]["sizeof"]
        assert sizes["sockaddr_in6"] == buffers.NAME_BYTES
        assert buffers.MMSGHDR is MESSAGES[struct.calcsize("P")].mmsghdr
        here = HEADERS["linux" if struct.calcsize("P") == 8 else LINUX_32_TARGETS[0]]
        assert control._CMSGHDR.size == here["sizeof"]["cmsghdr"]
        layouts = [netlink.HEADER, netlink.ROUTE, netlink.ATTRIBUTE, netlink.LINK, netlink.ADDRESS]
        names = ["nlmsghdr", "rtmsg", "rtattr", "ifinfomsg", "ifaddrmsg"]
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
