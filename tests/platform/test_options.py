"""The encoders: the very bytes of each option, on four platforms, for both families."""

from __future__ import annotations

import sys
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

import attrs
import pytest

from tests.support.platforms import EVERY_PLATFORM
from trio_mcast._platform import options as layout
from trio_mcast._platform import restrictions
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._platform.linux import LINUX, LINUX_32, linux_on
from trio_mcast._platform.model import Platform, PlatformName
from trio_mcast._platform.options import SocketOption
from trio_mcast._values.addresses import Family, IPAddress

pytestmark = pytest.mark.once

INDEX = 0x01020304
GROUPS: dict[Family, IPAddress] = {
    "ipv4": IPv4Address("239.1.2.3"),
    "ipv6": IPv6Address("ff35::1:2:3"),
}
SOURCES: dict[Family, IPAddress] = {
    "ipv4": IPv4Address("10.0.0.9"),
    "ipv6": IPv6Address("2001:db8::9"),
}
LOCALS: dict[Family, IPAddress] = {
    "ipv4": IPv4Address("10.0.0.1"),
    "ipv6": IPv6Address("2001:db8::1"),
}
FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")

EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)


def native(number: int) -> bytes:
    return number.to_bytes(4, sys.byteorder)


# group_req and group_source_req ----------------------------------------------------------------


class Expected(NamedTuple):
    """Written out from the headers: where things are, and how a sockaddr begins."""

    group_offset: int
    source_offset: int
    req_size: int
    source_req_size: int
    ipv4_head: bytes
    ipv6_head: bytes


def family_head(number: int) -> bytes:
    """Linux and Windows: a family of two bytes."""
    return number.to_bytes(2, sys.byteorder)


EXPECTED: dict[PlatformName, Expected] = {
    "linux": Expected(8, 136, 136, 264, family_head(2), family_head(10)),
    # macOS and FreeBSD: the length in one byte (16 or 28), the family in the next.
    "darwin": Expected(4, 132, 132, 260, b"\x10\x02", b"\x1c\x1e"),
    "freebsd": Expected(8, 136, 136, 264, b"\x10\x02", b"\x1c\x1c"),
    "windows": Expected(8, 136, 136, 264, family_head(2), family_head(23)),
}


def cut_out(raw: bytearray, offset: int, size: int) -> bytes:
    """Take a field out and leave zeros, so that what no test has looked at shows."""
    field = bytes(raw[offset : offset + size])
    raw[offset : offset + size] = bytes(size)
    return field


def check_sockaddr(raw: bytearray, offset: int, expected: Expected, address: IPAddress) -> None:
    is_ipv4 = address.version == 4
    head = expected.ipv4_head if is_ipv4 else expected.ipv6_head
    assert cut_out(raw, offset, 2) == head
    # Port (and for IPv6 flow information and scope) stay zero.
    if is_ipv4:
        assert cut_out(raw, offset + 4, 4) == address.packed
    else:
        assert cut_out(raw, offset + 8, 16) == address.packed


@EVERY_PLATFORM
@EVERY_FAMILY
def test_group_req_has_its_fields_and_zeros_elsewhere(name: PlatformName, family: Family) -> None:
    expected, group = EXPECTED[name], GROUPS[family]
    raw = bytearray(layout.group_req(PLATFORMS[name], INDEX, group))
    assert len(raw) == expected.req_size
    assert cut_out(raw, 0, 4) == native(INDEX)
    check_sockaddr(raw, expected.group_offset, expected, group)
    assert not any(raw)


@EVERY_PLATFORM
@EVERY_FAMILY
def test_group_source_req_has_its_fields_and_zeros_elsewhere(
    name: PlatformName, family: Family
) -> None:
    expected, group, source = EXPECTED[name], GROUPS[family], SOURCES[family]
    raw = bytearray(layout.group_source_req(PLATFORMS[name], INDEX, group, source))
    assert len(raw) == expected.source_req_size
    assert cut_out(raw, 0, 4) == native(INDEX)
    check_sockaddr(raw, expected.group_offset, expected, group)
    check_sockaddr(raw, expected.source_offset, expected, source)
    assert not any(raw)


@EVERY_FAMILY
def test_group_requests_on_32_bit_linux_are_packed_to_four(family: Family) -> None:
    expected = EXPECTED["linux"]._replace(
        group_offset=4, source_offset=132, req_size=132, source_req_size=260
    )
    group, source = GROUPS[family], SOURCES[family]
    raw = bytearray(layout.group_req(LINUX_32, INDEX, group))
    assert len(raw) == expected.req_size
    assert cut_out(raw, 0, 4) == native(INDEX)
    check_sockaddr(raw, 4, expected, group)
    assert not any(raw)
    raw = bytearray(layout.group_source_req(LINUX_32, INDEX, group, source))
    assert len(raw) == expected.source_req_size
    assert cut_out(raw, 0, 4) == native(INDEX)
    check_sockaddr(raw, 4, expected, group)
    check_sockaddr(raw, 132, expected, source)
    assert not any(raw)


LITTLE_ENDIAN = pytest.mark.skipif(
    sys.byteorder != "little", reason="the hex here is that of a little-endian machine"
)

# The beginning of a group_req for index 0x01020304, up to the end of the group's sockaddr.
GROUP_REQ_HEX: list[tuple[PlatformName, Family, str]] = [
    ("linux", "ipv4", "04030201 00000000 0200 0000 ef010203 0000000000000000"),
    ("darwin", "ipv4", "04030201 1002 0000 ef010203 0000000000000000"),
    ("freebsd", "ipv4", "04030201 00000000 1002 0000 ef010203 0000000000000000"),
    ("windows", "ipv4", "04030201 00000000 0200 0000 ef010203 0000000000000000"),
    (
        "linux",
        "ipv6",
        "04030201 00000000 0a00 0000 00000000 ff350000000000000000000100020003 00000000",
    ),
    ("darwin", "ipv6", "04030201 1c1e 0000 00000000 ff350000000000000000000100020003 00000000"),
    (
        "freebsd",
        "ipv6",
        "04030201 00000000 1c1c 0000 00000000 ff350000000000000000000100020003 00000000",
    ),
    (
        "windows",
        "ipv6",
        "04030201 00000000 1700 0000 00000000 ff350000000000000000000100020003 00000000",
    ),
]


@LITTLE_ENDIAN
@pytest.mark.parametrize(("name", "family", "expected"), GROUP_REQ_HEX)
def test_group_req_is_exactly_this_hex(name: PlatformName, family: Family, expected: str) -> None:
    size = EXPECTED[name].req_size
    raw = layout.group_req(PLATFORMS[name], INDEX, GROUPS[family])
    assert raw == bytes.fromhex(expected).ljust(size, b"\0")


# Joins -----------------------------------------------------------------------------------------


class Join(NamedTuple):
    """What the three options of a membership are called on a platform."""

    name: PlatformName
    join: int
    join_source: int
    block_source: int
    after_bind: bool


JOINS = [
    Join("linux", 42, 46, 43, False),
    Join("darwin", 80, 82, 84, False),
    Join("freebsd", 80, 82, 84, False),
    Join("windows", 41, 45, 43, True),
]
EVERY_JOIN = pytest.mark.parametrize("row", JOINS, ids=lambda row: row.name)
LEVELS: dict[Family, int] = {"ipv4": 0, "ipv6": 41}


@EVERY_JOIN
@EVERY_FAMILY
def test_membership_options_have_their_numbers_and_the_level_of_the_family(
    row: Join, family: Family
) -> None:
    platform = PLATFORMS[row.name]
    group, source, local = GROUPS[family], SOURCES[family], LOCALS[family]
    made = [
        layout.join_group(platform, INDEX, group, local),
        layout.join_source(platform, INDEX, group, source, local),
        layout.block_source(platform, INDEX, group, source, local),
    ]
    assert [(item.symbol, item.number) for item in made] == [
        ("MCAST_JOIN_GROUP", row.join),
        ("MCAST_JOIN_SOURCE_GROUP", row.join_source),
        ("MCAST_BLOCK_SOURCE", row.block_source),
    ]
    with_source = layout.group_source_req(platform, INDEX, group, source)
    assert [item.value for item in made] == [
        layout.group_req(platform, INDEX, group),
        with_source,
        with_source,
    ]
    for item in made:
        assert item.level == LEVELS[family]
        assert item.after_bind is row.after_bind
        assert str(group) in item.purpose
    for item in made[1:]:
        assert str(source) in item.purpose


@EVERY_JOIN
@EVERY_FAMILY
def test_joins_have_a_fallback_on_windows_only(row: Join, family: Family) -> None:
    platform = PLATFORMS[row.name]
    option = layout.join_group(platform, INDEX, GROUPS[family], LOCALS[family])
    assert (option.fallback is not None) is (row.name == "windows")


@pytest.mark.parametrize("local", [None, LOCALS["ipv4"]])
@pytest.mark.parametrize("linux", [LINUX, LINUX_32, linux_on("mips", 4)], ids=["64", "32", "mips"])
def test_linux_fallbacks_go_by_index(linux: Platform, local: IPAddress | None) -> None:
    # Where MCAST_JOIN_GROUP is not to be had.
    linux = attrs.evolve(linux, join_fallback=True)
    fallback = layout.join_group(linux, INDEX, GROUPS["ipv4"], local).fallback
    assert fallback is not None
    # struct ip_mreqn: group, address, index.
    expected = bytes.fromhex("ef010203 00000000") + native(INDEX)
    assert (fallback.symbol, fallback.level, fallback.number) == ("IP_ADD_MEMBERSHIP", 0, 35)
    assert (fallback.value, fallback.after_bind, fallback.required) == (expected, False, True)
    leave = layout.leave_group(linux, fallback)
    assert (leave.symbol, leave.number, leave.value) == ("IP_DROP_MEMBERSHIP", 36, expected)
    fallback = layout.join_group(linux, INDEX, GROUPS["ipv6"], local).fallback
    assert fallback is not None
    assert (fallback.symbol, fallback.level, fallback.number) == ("IPV6_JOIN_GROUP", 41, 20)
    assert fallback.value == GROUPS["ipv6"].packed + native(INDEX)


def fallback_of(option: SocketOption) -> tuple[str, int, int, int | bytes]:
    fallback = option.fallback
    assert fallback is not None
    assert fallback.after_bind
    assert fallback.fallback is None
    return fallback.symbol, fallback.level, fallback.number, fallback.value


def test_windows_fallbacks_go_by_address_for_ipv4() -> None:
    windows, local = PLATFORMS["windows"], LOCALS["ipv4"]
    group, source = GROUPS["ipv4"], SOURCES["ipv4"]
    # Group, then interface.
    join = layout.join_group(windows, INDEX, group, local)
    expected = bytes.fromhex("ef010203 0a000001")
    assert fallback_of(join) == ("IP_ADD_MEMBERSHIP", 0, 12, expected)
    # Group, source, interface.
    expected = bytes.fromhex("ef010203 0a000009 0a000001")
    join = layout.join_source(windows, INDEX, group, source, local)
    assert fallback_of(join) == ("IP_ADD_SOURCE_MEMBERSHIP", 0, 15, expected)
    block = layout.block_source(windows, INDEX, group, source, local)
    assert fallback_of(block) == ("IP_BLOCK_SOURCE", 0, 17, expected)


@pytest.mark.parametrize("local", [None, LOCALS["ipv6"]])
def test_windows_fallback_goes_by_index_for_ipv6(local: IPAddress | None) -> None:
    group = GROUPS["ipv6"]
    join = layout.join_group(PLATFORMS["windows"], INDEX, group, local)
    expected = bytes.fromhex("ff350000000000000000000100020003") + native(INDEX)
    assert fallback_of(join) == ("IPV6_JOIN_GROUP", 41, 12, expected)


def test_windows_has_no_fallback_for_ipv6_sources() -> None:
    windows, group, source = PLATFORMS["windows"], GROUPS["ipv6"], SOURCES["ipv6"]
    for encode in (layout.join_source, layout.block_source):
        assert encode(windows, INDEX, group, source, LOCALS["ipv6"]).fallback is None


def test_windows_has_no_fallback_for_ipv4_without_an_address() -> None:
    windows, group, source = PLATFORMS["windows"], GROUPS["ipv4"], SOURCES["ipv4"]
    assert layout.join_group(windows, INDEX, group, None).fallback is None
    for encode in (layout.join_source, layout.block_source):
        assert encode(windows, INDEX, group, source, None).fallback is None


# Sending ---------------------------------------------------------------------------------------

MREQN = bytes(8) + native(INDEX)  # struct ip_mreqn: no group, no address, the index at 8
MULTICAST_IF: list[tuple[PlatformName, Family, str, int, int, int | bytes]] = [
    ("linux", "ipv4", "IP_MULTICAST_IF", 0, 32, MREQN),
    ("darwin", "ipv4", "IP_MULTICAST_IF", 0, 9, MREQN),
    ("freebsd", "ipv4", "IP_MULTICAST_IF", 0, 9, MREQN),
    ("windows", "ipv4", "IP_MULTICAST_IF", 0, 9, b"\x01\x02\x03\x04"),
    ("linux", "ipv6", "IPV6_MULTICAST_IF", 41, 17, INDEX),
    ("darwin", "ipv6", "IPV6_MULTICAST_IF", 41, 9, INDEX),
    ("freebsd", "ipv6", "IPV6_MULTICAST_IF", 41, 9, INDEX),
    ("windows", "ipv6", "IPV6_MULTICAST_IF", 41, 9, INDEX),
]


@pytest.mark.parametrize(
    ("name", "family", "symbol", "level", "number", "value"),
    MULTICAST_IF,
    ids=[f"{row[0]}-{row[1]}" for row in MULTICAST_IF],
)
def test_multicast_interface_is_written_as_the_platform_reads_it(
    name: PlatformName, family: Family, symbol: str, level: int, number: int, value: int | bytes
) -> None:
    option = layout.multicast_interface(PLATFORMS[name], family, INDEX)
    assert (option.symbol, option.level, option.number) == (symbol, level, number)
    assert option.value == value
    assert not option.after_bind


# By platform: (symbol, number) for IPv4 and for IPv6; their levels follow from the family.
FAMILY_OPTIONS: list[tuple[str, PlatformName, tuple[str, int], tuple[str, int]]] = [
    ("ttl", "linux", ("IP_MULTICAST_TTL", 33), ("IPV6_MULTICAST_HOPS", 18)),
    ("ttl", "darwin", ("IP_MULTICAST_TTL", 10), ("IPV6_MULTICAST_HOPS", 10)),
    ("ttl", "freebsd", ("IP_MULTICAST_TTL", 10), ("IPV6_MULTICAST_HOPS", 10)),
    ("ttl", "windows", ("IP_MULTICAST_TTL", 10), ("IPV6_MULTICAST_HOPS", 10)),
    ("unicast_ttl", "linux", ("IP_TTL", 2), ("IPV6_UNICAST_HOPS", 16)),
    ("unicast_ttl", "darwin", ("IP_TTL", 4), ("IPV6_UNICAST_HOPS", 4)),
    ("unicast_ttl", "freebsd", ("IP_TTL", 4), ("IPV6_UNICAST_HOPS", 4)),
    ("unicast_ttl", "windows", ("IP_TTL", 4), ("IPV6_UNICAST_HOPS", 4)),
    ("loopback", "linux", ("IP_MULTICAST_LOOP", 34), ("IPV6_MULTICAST_LOOP", 19)),
    ("loopback", "darwin", ("IP_MULTICAST_LOOP", 11), ("IPV6_MULTICAST_LOOP", 11)),
    ("loopback", "freebsd", ("IP_MULTICAST_LOOP", 11), ("IPV6_MULTICAST_LOOP", 11)),
    ("loopback", "windows", ("IP_MULTICAST_LOOP", 11), ("IPV6_MULTICAST_LOOP", 11)),
    ("traffic_class", "linux", ("IP_TOS", 1), ("IPV6_TCLASS", 67)),
    ("traffic_class", "darwin", ("IP_TOS", 3), ("IPV6_TCLASS", 36)),
    ("traffic_class", "freebsd", ("IP_TOS", 3), ("IPV6_TCLASS", 61)),
    ("traffic_class", "windows", ("IP_TOS", 3), ("IPV6_TCLASS", 39)),
    ("receive_traffic_class", "linux", ("IP_RECVTOS", 13), ("IPV6_RECVTCLASS", 66)),
    ("receive_traffic_class", "darwin", ("IP_RECVTOS", 27), ("IPV6_RECVTCLASS", 35)),
    ("receive_traffic_class", "freebsd", ("IP_RECVTOS", 68), ("IPV6_RECVTCLASS", 57)),
    ("receive_traffic_class", "windows", ("IP_RECVTOS", 40), ("IPV6_RECVTCLASS", 40)),
]


@pytest.mark.parametrize(
    ("what", "name", "ipv4", "ipv6"),
    FAMILY_OPTIONS,
    ids=[f"{row[0]}-{row[1]}" for row in FAMILY_OPTIONS],
)
def test_family_option_has_the_name_of_its_family(
    what: str, name: PlatformName, ipv4: tuple[str, int], ipv6: tuple[str, int]
) -> None:
    for family in FAMILIES:
        option = layout.family_option(PLATFORMS[name], what, family, 7, "test")
        assert (option.symbol, option.number) == (ipv4 if family == "ipv4" else ipv6)
        assert (option.level, option.value) == (LEVELS[family], 7)


# Receiving -------------------------------------------------------------------------------------

RECEIVE_TTL: list[tuple[PlatformName, tuple[str, int], tuple[str, int]]] = [
    ("linux", ("IP_RECVTTL", 12), ("IPV6_RECVHOPLIMIT", 51)),
    ("darwin", ("IP_RECVTTL", 24), ("IPV6_RECVHOPLIMIT", 37)),
    ("freebsd", ("IP_RECVTTL", 65), ("IPV6_RECVHOPLIMIT", 37)),
    ("windows", ("IP_RECVTTL", 21), ("IPV6_HOPLIMIT", 21)),
]


@pytest.mark.parametrize(("name", "ipv4", "ipv6"), RECEIVE_TTL)
def test_receive_ttl_is_asked_for_by_the_name_of_the_platform(
    name: PlatformName, ipv4: tuple[str, int], ipv6: tuple[str, int]
) -> None:
    four = layout.receive_ttl(PLATFORMS[name], "ipv4")
    six = layout.receive_ttl(PLATFORMS[name], "ipv6")
    assert [(item.symbol, item.number) for item in (four, six)] == [ipv4, ipv6]
    assert [(item.level, item.value) for item in (four, six)] == [(0, 1), (41, 1)]


TIMESTAMPS: list[tuple[PlatformName, tuple[str, int, int]]] = [
    ("linux", ("SO_TIMESTAMPNS", 1, 35)),
    ("darwin", ("SO_TIMESTAMP", 65535, 1024)),
    ("freebsd", ("SO_TIMESTAMP", 65535, 1024)),
]


@pytest.mark.parametrize(("name", "expected"), TIMESTAMPS)
def test_receive_timestamp_is_asked_for_by_the_name_of_the_platform(
    name: PlatformName, expected: tuple[str, int, int]
) -> None:
    option = layout.receive_timestamp(PLATFORMS[name])
    assert (option.symbol, option.level, option.number) == expected
    assert option.value == 1


def test_receive_timestamp_is_an_error_on_windows() -> None:
    with pytest.raises(ValueError, match="receive_timestamp is not to be had on windows"):
        layout.receive_timestamp(PLATFORMS["windows"])


def test_interface_restriction_goes_by_name_on_linux() -> None:
    option = restrictions.interface_restriction(PLATFORMS["linux"], "ipv6", "eth0", 7)
    assert option is not None
    assert (option.symbol, option.level, option.number) == ("SO_BINDTODEVICE", 1, 25)
    assert option.value == b"eth0\0"
    # Where it is refused, each datagram's interface is asked for (IPV6_RECVPKTINFO).
    fallback = option.fallback
    assert fallback is not None
    assert (fallback.symbol, fallback.level, fallback.number) == ("IPV6_RECVPKTINFO", 41, 49)
    assert fallback.value == 1
    assert not fallback.after_bind


def test_interface_restriction_goes_by_index_on_macos() -> None:
    option = restrictions.interface_restriction(PLATFORMS["darwin"], "ipv6", "en0", 7)
    assert option is not None
    assert (option.symbol, option.level, option.number) == ("IPV6_BOUND_IF", 41, 125)
    assert (option.value, option.fallback) == (7, None)
    # awdl0 gives nothing to a socket that is not bound to it.
    option = restrictions.interface_restriction(PLATFORMS["darwin"], "ipv4", "awdl0", 13)
    assert option is not None
    assert (option.symbol, option.level, option.number) == ("IP_BOUND_IF", 0, 25)
    assert (option.value, option.fallback) == (13, None)


NO_RESTRICTION: list[tuple[PlatformName, Family]] = [
    ("linux", "ipv4"),
    ("freebsd", "ipv4"),
    ("freebsd", "ipv6"),
    ("windows", "ipv4"),
    ("windows", "ipv6"),
]


@pytest.mark.parametrize(("name", "family"), NO_RESTRICTION)
def test_interface_restriction_is_none_where_the_membership_suffices(
    name: PlatformName, family: Family
) -> None:
    assert restrictions.interface_restriction(PLATFORMS[name], family, "eth0", 7) is None


# `option` itself -------------------------------------------------------------------------------


def test_option_refuses_a_symbol_that_the_platform_lacks() -> None:
    with pytest.raises(ValueError, match="darwin has no socket option IP_MULTICAST_ALL"):
        layout.option(PLATFORMS["darwin"], "IP_MULTICAST_ALL", 0, "test")


def test_option_is_frozen() -> None:
    option = layout.option(PLATFORMS["linux"], "SO_RCVBUF", 1, "test")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        option.value = 2  # type: ignore[misc]  # that is the point
    assert option == layout.option(PLATFORMS["linux"], "SO_RCVBUF", 1, "test")
