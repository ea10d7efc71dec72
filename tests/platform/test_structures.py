"""The structures of the four platforms, against what the systems' own headers say."""

from __future__ import annotations

import ctypes
import struct
import sys
from typing import Any

import attrs
import pytest

from tests.support.headers import EVERY_TABLE, HEADERS, LINUX_32_TARGETS, TABLES
from tests.support.platforms import EVERY_PLATFORM
from trio_mcast._host.windows import api as _windows_api
from trio_mcast._platform import bsd
from trio_mcast._platform import options as layout
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._platform.linux import LINUX, LINUX_32
from trio_mcast._platform.model import PlatformName, Timestamps
from trio_mcast._values.addresses import (
    SOCKADDR_IN6_BYTES,
    SOCKADDR_IN_BYTES,
    encode_sockaddr,
    parse_address,
)

pytestmark = pytest.mark.once


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
    assert platform.takes_mreqn == ("ip_mreqn" in sizes)
    value = layout.multicast_interface(platform, "ipv4", 7).value
    assert isinstance(value, bytes)
    if platform.takes_mreqn:
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
    assert headers["constants"]["SIOCGIFMTU"] == bsd.SIOCGIFMTU
    assert len(bsd.mtu_request("en0")) == headers["sizeof"]["ifreq"]
    # The sum of which the number is made: IOC_INOUT, size, letter, number.
    assert 0xC0000000 + (headers["sizeof"]["ifreq"] << 16) + (0x69 << 8) + 51 == bsd.SIOCGIFMTU


@BSDS
def test_link_address_has_its_members_where_the_header_has_them(name: str) -> None:
    offsets = HEADERS[name]["offsets"]
    raw = bytearray(HEADERS[name]["sizeof"]["sockaddr_dl"])
    struct.pack_into("=H", raw, offsets["sockaddr_dl.sdl_index"], 0x1122)
    raw[offsets["sockaddr_dl.sdl_nlen"]] = 3
    raw[offsets["sockaddr_dl.sdl_alen"]] = 6
    start = offsets["sockaddr_dl.sdl_data"]
    raw[start : start + 9] = b"en0" + bytes(range(1, 7))
    found = bsd.decode_sockaddr_dl(bytes(raw))
    assert (found.index, found.name, found.text) == (0x1122, b"en0", "01:02:03:04:05:06")
    # Two assumptions of the code that reads the list of addresses.
    assert (offsets["sockaddr_dl.sdl_len"], offsets["sockaddr_dl.sdl_family"]) == (0, 1)


def test_announcement_has_its_members_where_the_header_has_them() -> None:
    numbers, offsets = HEADERS["freebsd"]["constants"], HEADERS["freebsd"]["offsets"]
    raw = bytearray(HEADERS["freebsd"]["sizeof"]["if_announcemsghdr"])
    assert len(raw) == bsd.MESSAGE_BYTES
    raw[offsets["if_announcemsghdr.ifan_type"]] = numbers["RTM_IFANNOUNCE"]
    struct.pack_into("=H", raw, offsets["if_announcemsghdr.ifan_index"], 0x1122)
    struct.pack_into("=H", raw, offsets["if_announcemsghdr.ifan_what"], numbers["IFAN_DEPARTURE"])
    assert bsd.removed_interfaces(bytes(raw), announces=True) == frozenset({0x1122})


STAMPS = [(target, stamp) for target, table in TABLES.items() for stamp in table.timestamps]


@pytest.mark.parametrize(
    ("target", "stamp"), STAMPS, ids=[f"{target}-{stamp.option}" for target, stamp in STAMPS]
)
def test_timestamps_have_the_layout_of_the_header(target: str, stamp: Timestamps) -> None:
    # A timespec is laid out as a timeval is, with nanoseconds instead of microseconds.
    assert stamp.fraction_ns == (1 if "NS" in stamp.option else 1_000)
    if stamp.option.endswith("_NEW"):
        assert stamp.layout == "=qq"  # struct __kernel_timespec, on every architecture.
        return
    sizes, offsets = HEADERS[target]["sizeof"], HEADERS[target]["offsets"]
    # The last member may be shorter than the padded structure (macOS: a 32-bit tv_usec).
    assert offsets["timeval.tv_usec"] < struct.calcsize(stamp.layout) <= sizes["timeval"]
    assert struct.calcsize(stamp.layout[:2]) == offsets["timeval.tv_usec"]


@pytest.mark.parametrize("target", LINUX_32_TARGETS)
def test_linux_32_differs_in_the_layout_only(target: str) -> None:
    as_64 = attrs.evolve(LINUX_32, group_request=LINUX.group_request, timestamps=LINUX.timestamps)
    assert attrs.astuple(as_64, recurse=False) == attrs.astuple(LINUX, recurse=False)
    assert HEADERS[target]["sizeof"]["group_req"] == LINUX_32.group_request.group_req_size == 132
