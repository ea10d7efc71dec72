"""Options as bytes: what each platform takes, and what it refuses."""

from __future__ import annotations

import errno
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_mcast import SocketOption, SocketSetupError
from trio_mcast._host.protocols import Rejection
from trio_mcast._platform import options as layout
from trio_mcast._platform.current import PLATFORMS as TABLES
from trio_mcast._platform.model import Platform
from trio_mcast.testing import _options as decode

from ..support.virtual_hosts import (
    GROUP4,
    GROUP6,
    PLATFORMS,
    blocking,
    joining,
    open_plain,
    option,
    payloads,
    send_from,
    two_on_lan,
)
from .test_virtual_binding import refusal

pytestmark = pytest.mark.once

ANY = {GROUP4: "0.0.0.0", GROUP6: "::"}
EVERY_PLATFORM = pytest.mark.parametrize("platform", TABLES.values(), ids=TABLES)
BOTH_GROUPS = pytest.mark.parametrize("group", [GROUP4, GROUP6])


def sources(count: int, group: str) -> list[str]:
    head = "10.9.0." if group == GROUP4 else "fd00::9:"
    return [f"{head}{number}" for number in range(1, count + 1)]


# --- The bytes ----------------------------------------------------------------------------------


@EVERY_PLATFORM
@given(index=st.integers(0, 2**32 - 1), low=st.integers(0, 2**16 - 1), wide=st.booleans())
def test_requests_are_decoded_as_they_were_encoded(
    platform: Platform, index: int, low: int, wide: bool
) -> None:
    group = ip_address(f"ff05::{low:x}") if wide else IPv4Address(0xEF000000 + low)
    source = ip_address(f"fd00::{low:x}") if wide else IPv4Address(0x0A000000 + low)
    request = layout.group_req(platform, index, group)
    assert decode.group_request(platform, "ipv6" if wide else "ipv4", request) == (index, group)
    both = layout.group_source_req(platform, index, group, source)
    found = decode.group_source_request(platform, "ipv6" if wide else "ipv4", both)
    assert found == (index, group, source)


DECODERS: list[Callable[[Platform, bytes], object]] = [
    lambda platform, raw: decode.group_request(platform, "ipv4", raw),
    lambda platform, raw: decode.group_request(platform, "ipv6", raw),
    lambda platform, raw: decode.group_source_request(platform, "ipv4", raw),
    lambda platform, raw: decode.group_source_request(platform, "ipv6", raw),
    lambda platform, raw: decode.multicast_interface(platform, raw),
    lambda platform, raw: decode.older_request(platform, "ipv4", raw, with_source=False),
    lambda platform, raw: decode.older_request(platform, "ipv4", raw, with_source=True),
    lambda platform, raw: decode.older_request(platform, "ipv6", raw, with_source=False),
    lambda platform, raw: decode.as_int(raw),
    lambda platform, raw: decode.device_name(raw),
]


@EVERY_PLATFORM
@pytest.mark.parametrize("number", range(len(DECODERS)))
@given(raw=st.binary(max_size=300))
def test_any_bytes_mean_something_or_are_refused(
    platform: Platform, number: int, raw: bytes
) -> None:
    try:
        DECODERS[number](platform, raw)
    except OSError as error:
        found = error.errno
    else:
        return
    assert found in (errno.EINVAL, errno.EADDRNOTAVAIL)


@pytest.mark.parametrize("wrong", ["linux", "freebsd"])
async def test_macos_refuses_requests_that_are_not_packed(wrong: str) -> None:
    async with two_on_lan("darwin") as lan:
        request = layout.group_req(TABLES[wrong], 2, ip_address(GROUP4))  # type: ignore[index]
        item = option(lan.b, "MCAST_JOIN_GROUP", request, "ipv4")
        assert refusal(lan.b, "0.0.0.0", item) == "MCAST_JOIN_GROUP EINVAL"


@pytest.mark.parametrize("platform", ["darwin", "freebsd"])
@BOTH_GROUPS
async def test_bsd_refuses_addresses_without_their_length(platform: str, group: str) -> None:
    async with two_on_lan(platform) as lan:
        (item,) = joining(lan.b, 2, group)
        assert isinstance(item.value, bytes)
        offset = lan.b.platform.group_request.group_offset
        broken = item.value[:offset] + b"\0" + item.value[offset + 1 :]
        assert refusal(lan.b, ANY[group], attrs.evolve(item, value=broken)).endswith("EINVAL")


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_option_of_no_such_number_is_unknown(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        level = lan.b.platform.constants["IPPROTO_IP"]
        unknown = SocketOption("IP_NONSENSE", level, 9_999, 1, False, "as the test says")
        assert refusal(lan.b, "0.0.0.0", unknown) == "IP_NONSENSE ENOPROTOOPT"
        ipv6 = option(lan.b, "IPV6_V6ONLY", 1, "ipv6")
        assert refusal(lan.b, "0.0.0.0", ipv6) == "IPV6_V6ONLY ENOPROTOOPT"


async def test_option_that_is_not_required_may_be_refused() -> None:
    async with two_on_lan() as lan:
        unknown = SocketOption("UDP_NEW", 17, 9_999, 1, False, "faster", required=False)
        open_plain(lan.b, "0.0.0.0", unknown)


async def test_fallback_is_set_where_an_option_is_refused() -> None:
    async with two_on_lan("windows") as lan:
        mreq = ip_address(GROUP4).packed + ip_address("10.0.0.2").packed
        older = option(lan.b, "IP_ADD_MEMBERSHIP", mreq, "ipv4")
        unknown = SocketOption("MCAST_NEW", 0, 9_999, 1, True, "new", fallback=older)
        open_plain(lan.b, "10.0.0.2", unknown)
        assert lan.events("joined") == [GROUP4]


# --- Joining ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "symbol"),
    [
        ("linux", "ENODEV"),
        ("darwin", "EADDRNOTAVAIL"),
        ("freebsd", "EADDRNOTAVAIL"),
        ("windows", "EADDRNOTAVAIL"),
    ],
)
@BOTH_GROUPS
async def test_join_on_an_interface_that_is_not_there_is_refused(
    platform: str, symbol: str, group: str
) -> None:
    async with two_on_lan(platform) as lan:
        found = refusal(lan.b, ANY[group], joining(lan.b, 99, group))
        assert found == f"MCAST_JOIN_GROUP {symbol}"


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("address", ["10.0.0.9", "fd00::9"])
async def test_join_of_an_address_that_is_no_group_is_refused(platform: str, address: str) -> None:
    async with two_on_lan(platform) as lan:
        bind = "0.0.0.0" if "." in address else "::"
        found = refusal(lan.b, bind, joining(lan.b, 2, address))
        assert found == "MCAST_JOIN_GROUP EINVAL"


@pytest.mark.parametrize("platform", PLATFORMS)
@BOTH_GROUPS
async def test_joining_twice_is_refused(platform: str, group: str) -> None:
    async with two_on_lan(platform) as lan:
        join = joining(lan.b, 2, group)
        assert refusal(lan.b, ANY[group], join, join) == "MCAST_JOIN_GROUP EADDRINUSE"


@BOTH_GROUPS
async def test_linux_takes_twenty_memberships_of_ipv4_and_more_of_ipv6(group: str) -> None:
    async with two_on_lan() as lan:
        first = ip_address(group)
        groups = [str(first + number) for number in range(21)]
        joins = [item for each in groups for item in joining(lan.b, 2, each)]
        open_plain(lan.b, ANY[group], joins[:20])
        if group == GROUP4:
            assert refusal(lan.b, ANY[group], joins) == "MCAST_JOIN_GROUP ENOBUFS"
        else:
            open_plain(lan.b, ANY[group], joins)


@pytest.mark.parametrize(
    ("platform", "group", "limit"),
    [
        ("linux", GROUP4, 10),
        ("linux", GROUP6, 64),
        ("darwin", GROUP6, 128),  # IPv4 has other refusals first: test_virtual_report_sizes.py.
        ("freebsd", GROUP4, 128),
        ("freebsd", GROUP6, 128),
    ],
)
async def test_membership_takes_so_many_sources(platform: str, group: str, limit: int) -> None:
    async with two_on_lan(platform) as lan:
        fit, more = sources(limit, group), sources(limit + 1, group)
        open_plain(lan.b, ANY[group], joining(lan.b, 2, group, *fit))
        found = refusal(lan.b, ANY[group], joining(lan.b, 2, group, *more))
        assert found == "MCAST_JOIN_SOURCE_GROUP ENOBUFS"
        join = joining(lan.b, 2, group)
        open_plain(lan.b, ANY[group], join, blocking(lan.b, 2, group, *fit))
        found = refusal(lan.b, ANY[group], join, blocking(lan.b, 2, group, *more))
        assert found == "MCAST_BLOCK_SOURCE ENOBUFS"


@pytest.mark.parametrize(("platform", "symbol"), [("linux", "EINVAL"), ("darwin", "EADDRNOTAVAIL")])
@BOTH_GROUPS
async def test_blocking_needs_a_membership(platform: str, symbol: str, group: str) -> None:
    async with two_on_lan(platform) as lan:
        block = blocking(lan.b, 2, group, *sources(1, group))
        assert refusal(lan.b, ANY[group], block) == f"MCAST_BLOCK_SOURCE {symbol}"


@pytest.mark.parametrize("platform", PLATFORMS)
@BOTH_GROUPS
async def test_one_membership_does_not_include_and_exclude(platform: str, group: str) -> None:
    async with two_on_lan(platform) as lan:
        one, other = sources(2, group)
        include, block = joining(lan.b, 2, group, one), blocking(lan.b, 2, group, other)
        assert refusal(lan.b, ANY[group], include, block) == "MCAST_BLOCK_SOURCE EINVAL"


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_same_source_twice_is_refused(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        include = joining(lan.b, 2, GROUP4, "10.9.0.1")
        found = refusal(lan.b, "0.0.0.0", include, include)
        assert found == "MCAST_JOIN_SOURCE_GROUP EADDRNOTAVAIL"


async def test_revising_blocks_and_refuses() -> None:
    async with two_on_lan() as lan:
        sock = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        block = blocking(lan.b, 2, GROUP4, "10.0.0.1")
        sock.revise(sock.socket_spec, block)
        assert lan.events("joined") == [GROUP4]
        with pytest.raises(SocketSetupError, match="MCAST_BLOCK_SOURCE") as caught:
            sock.revise(sock.socket_spec, block)
        assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_revising_passes_over_what_is_refused_and_not_required() -> None:
    async with two_on_lan("freebsd") as lan:
        sock = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        (block,) = blocking(lan.b, 2, GROUP4, "10.0.0.1")
        sock.revise(sock.socket_spec, [block])
        optional = attrs.evolve(block, required=False)
        revised = attrs.evolve(sock.socket_spec, rejected_sources=frozenset(["10.0.0.1"]))
        sock.revise(revised, [optional])
        assert sock.socket_spec is revised
        send_from(lan.a, GROUP4, b"a")
        assert payloads(sock) == []
        assert sock.rejected == {Rejection.EXCLUDED_SOURCE: 1}


# --- Other options ------------------------------------------------------------------------------


async def test_linux_restricts_a_socket_to_an_interface_that_is_there() -> None:
    async with two_on_lan() as lan:
        there = option(lan.b, "SO_BINDTODEVICE", b"eth0\0", "ipv4")
        gone = option(lan.b, "SO_BINDTODEVICE", b"eth9\0", "ipv4")
        open_plain(lan.b, "0.0.0.0", there)
        assert refusal(lan.b, "0.0.0.0", gone) == "SO_BINDTODEVICE ENODEV"


@pytest.mark.parametrize(
    ("platform", "symbol"), [("linux", "EADDRNOTAVAIL"), ("windows", "EADDRNOTAVAIL")]
)
async def test_sending_through_an_interface_that_is_not_there_is_refused(
    platform: str, symbol: str
) -> None:
    async with two_on_lan(platform) as lan:
        item = layout.multicast_interface(lan.b.platform, "ipv4", 99)
        assert refusal(lan.b, "0.0.0.0", item) == f"IP_MULTICAST_IF {symbol}"


async def test_values_out_of_range_are_refused() -> None:
    async with two_on_lan() as lan:
        for symbol, value in [("IP_MULTICAST_TTL", 256), ("IP_MULTICAST_ALL", 2)]:
            item = option(lan.b, symbol, value, "ipv4")
            assert refusal(lan.b, "0.0.0.0", item) == f"{symbol} EINVAL"
        open_plain(lan.b, "0.0.0.0", option(lan.b, "IP_MULTICAST_TTL", -1, "ipv4"))


@pytest.mark.parametrize(
    ("platform", "asked", "granted"),
    [
        # As read back, halved where it is doubled: as it was measured on Linux 6.18.
        ("linux", None, 106_496),
        ("linux", 1, 1_152),
        ("linux", 100_000, 100_000),
        ("linux", 10**9, 212_992),
        ("darwin", None, 786_896),
        ("darwin", 10**6, 10**6),
        ("freebsd", None, 42_080),
        ("windows", 10**9, 10**9),
    ],
)
async def test_receive_buffer_is_granted_as_the_platform_does(
    platform: str, asked: int | None, granted: int
) -> None:
    async with two_on_lan(platform) as lan:
        options = [] if asked is None else [option(lan.b, "SO_RCVBUF", asked, "ipv4")]
        assert open_plain(lan.b, "0.0.0.0", options).receive_buffer_granted == granted


@pytest.mark.parametrize("platform", ["darwin", "freebsd"])
async def test_bsd_refuses_a_buffer_that_is_too_large_so_that_less_is_asked_for(
    platform: str,
) -> None:
    async with two_on_lan(platform) as lan:
        large = option(lan.b, "SO_RCVBUF", 10**9, "ipv4")
        granted = open_plain(lan.b, "0.0.0.0", [large]).receive_buffer_granted
        # The largest half of a half of it that the system takes, and no more.
        assert granted in {10**9 // 2**halvings for halvings in range(1, 14)}
        twice = attrs.evolve(large, value=2 * granted)
        assert open_plain(lan.b, "0.0.0.0", [twice]).receive_buffer_granted == granted
