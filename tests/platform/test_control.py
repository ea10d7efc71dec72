"""Ancillary data: what control messages tell, on each platform, whatever the bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trio_mcast._host.portable_socket import CONTROL_BYTES
from trio_mcast._platform import options as layout
from trio_mcast._platform.control import NOTHING, Arrival, ControlDecoder, split_control
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._platform.model import PlatformName
from trio_mcast._values.addresses import Family

pytestmark = pytest.mark.once

Message = tuple[int, int, bytes]

EVERYTHING = frozenset(
    {
        "IP_RECVTTL",
        "IP_RECVTOS",
        "IPV6_RECVTCLASS",
        "IPV6_HOPLIMIT",
        "IPV6_RECVHOPLIMIT",
        "SO_TIMESTAMP",
        "SO_TIMESTAMPNS",
        "IPV6_PKTINFO",
        "IPV6_RECVPKTINFO",
        "IP_PKTINFO",
        "IP_RECVPKTINFO",
        "IP_RECVDSTADDR",
        "IP_RECVIF",
        "UDP_GRO",
    }
)
FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")
SECONDS = 1_700_000_000

numbers = st.integers(-(2**31), 2**31 - 1)
messages = st.lists(st.tuples(numbers, numbers, st.binary(max_size=70)), max_size=6)


def decoder(
    platform: PlatformName, family: Family, applied: frozenset[str] = EVERYTHING
) -> ControlDecoder:
    known = PLATFORMS[platform].constants
    return ControlDecoder(
        PLATFORMS[platform], family, frozenset(item for item in applied if item in known)
    )


def control_message(level: int, kind: int, value: bytes) -> bytes:
    """As CMSG_LEN and CMSG_SPACE have it: a header, the value, and padding to a whole word."""
    header = struct.pack("@Nii", struct.calcsize("@Nii") + len(value), level, kind)
    return header + value + bytes(-len(value) % struct.calcsize("@N"))


# Cutting up the buffer -------------------------------------------------------------------------


@given(messages)
def test_split_control_gives_back_the_messages_that_were_built(built: list[Message]) -> None:
    assert list(split_control(b"".join(control_message(*item) for item in built))) == built


@given(messages, st.data())
def test_split_control_of_a_cut_buffer_gives_the_messages_before_the_cut(
    built: list[Message], data: st.DataObject
) -> None:
    raw = b"".join(control_message(*item) for item in built)
    cut = data.draw(st.integers(0, len(raw)))
    found = list(split_control(raw[:cut]))
    assert len(found) <= len(built)
    for number, (got, wanted) in enumerate(zip(found, built, strict=False)):
        is_last = number == len(found) - 1
        assert got == wanted or (is_last and got[:2] == wanted[:2] and wanted[2].startswith(got[2]))


def _header(length: int) -> bytes:
    return struct.pack("@Nii", length, 0, 2)


@given(st.binary(max_size=300))
@example(_header(0) + bytes(16))
@example(_header(15) + bytes(16))
@example(_header(2 ** (8 * struct.calcsize("@N")) - 1) + bytes(16))
def test_split_control_gives_messages_or_nothing_whatever_the_bytes(raw: bytes) -> None:
    found = list(split_control(raw))
    assert sum(len(_header(0)) + len(value) for _, _, value in found) <= len(raw)


# Making sense of the messages ------------------------------------------------------------------

# What a socket of each platform and family hands over for a ttl of 64: (level, type, value).
INT_64 = struct.pack("=i", 64)
TTLS: list[tuple[PlatformName, Family, Message]] = [
    ("linux", "ipv4", (0, 2, INT_64)),
    ("linux", "ipv6", (41, 52, INT_64)),
    ("darwin", "ipv4", (0, 24, b"\x40")),
    ("darwin", "ipv6", (41, 47, INT_64)),
    ("freebsd", "ipv4", (0, 65, b"\x40")),
    ("freebsd", "ipv6", (41, 47, INT_64)),
    ("windows", "ipv4", (0, 4, INT_64)),
    ("windows", "ipv6", (41, 21, INT_64)),
]


@pytest.mark.parametrize(("platform", "family", "message"), TTLS)
def test_ttl_is_decoded(platform: PlatformName, family: Family, message: Message) -> None:
    asked = layout.receive_ttl(PLATFORMS[platform], family).symbol
    assert decoder(platform, family, frozenset({asked})).decode([message]) == Arrival(ttl=64)


EXPEDITED = 46 << 2 | 1  # And ECT(1).
EXPEDITED_INT = struct.pack("=i", EXPEDITED)
# FreeBSD has the one byte under the name of the request (ip_savecontrol), as macOS has the ttl.
TRAFFIC_CLASSES: list[tuple[PlatformName, Family, Message]] = [
    ("linux", "ipv4", (0, 1, bytes([EXPEDITED]))),
    ("linux", "ipv4", (0, 1, EXPEDITED_INT)),
    ("linux", "ipv6", (41, 67, EXPEDITED_INT)),
    ("darwin", "ipv4", (0, 27, bytes([EXPEDITED]))),
    ("darwin", "ipv6", (41, 36, EXPEDITED_INT)),
    ("freebsd", "ipv4", (0, 68, bytes([EXPEDITED]))),
    ("freebsd", "ipv6", (41, 61, EXPEDITED_INT)),
    ("windows", "ipv4", (0, 3, EXPEDITED_INT)),
    ("windows", "ipv6", (41, 39, EXPEDITED_INT)),
]


@pytest.mark.parametrize(("platform", "family", "message"), TRAFFIC_CLASSES)
def test_traffic_class_is_decoded(platform: PlatformName, family: Family, message: Message) -> None:
    what = "receive_traffic_class"
    asked = layout.family_option(PLATFORMS[platform], what, family, 1, "test").symbol
    arrival = decoder(platform, family, frozenset({asked})).decode([message])
    assert arrival == Arrival(traffic_class=EXPEDITED)
    assert decoder(platform, family, frozenset()).decode([message]) == NOTHING


def test_a_ttl_of_one_byte_goes_up_to_255() -> None:
    assert decoder("darwin", "ipv4").decode([(0, 24, b"\xff")]) == Arrival(ttl=255)


# The same moment: struct timespec on Linux, struct timeval on the others.
TIMESTAMPS: list[tuple[PlatformName, Message, int]] = [
    ("linux", (1, 35, struct.pack("=qq", SECONDS, 123_456_789)), 123_456_789),
    ("darwin", (65_535, 2, struct.pack("=qi4x", SECONDS, 123_456)), 123_456_000),
    ("freebsd", (65_535, 2, struct.pack("=qq", SECONDS, 123_456)), 123_456_000),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("platform", "message", "fraction_ns"), TIMESTAMPS)
def test_timestamp_is_decoded_to_nanoseconds(
    platform: PlatformName, message: Message, fraction_ns: int, family: Family
) -> None:
    arrival = decoder(platform, family).decode([message])
    assert arrival == Arrival(timestamp_ns=SECONDS * 10**9 + fraction_ns)


def sockaddr_dl(index: int) -> bytes:
    """As FreeBSD fills it for Ethernet: length, AF_LINK, index, type, name, address."""
    start = struct.pack("=BBHBBBB", 54, 18, index, 6, 3, 6, 0)
    return (start + b"em0" + bytes(range(6))).ljust(54, b"\0")


def test_freebsd_tells_interface_and_destination_apart() -> None:
    asked = frozenset(PLATFORMS["freebsd"].packet_info["ipv4"])
    control = decoder("freebsd", "ipv4", asked)
    link, destination = (0, 20, sockaddr_dl(7)), (0, 7, b"\x0a\0\0\x01")
    assert control.decode([link]) == Arrival(interface_index=7)
    assert control.decode([destination]) == Arrival(destination=b"\x0a\0\0\x01")
    assert control.decode([destination, link]) == control.decode([link, destination])
    assert control.decode([link, destination]) == Arrival(
        interface_index=7, destination=b"\x0a\0\0\x01"
    )
    # What the kernel gives where it does not know the interface (ip_savecontrol).
    assert control.decode([(0, 20, struct.pack("=BBHBBBB", 8, 18, 0, 0, 0, 0, 0))]) == NOTHING
    for size in range(8):
        assert control.decode([(0, 20, sockaddr_dl(7)[:size])]) == NOTHING
    assert not decoder("freebsd", "ipv4", frozenset()).expects_anything


def test_everything_that_can_be_asked_for_fits_the_room_for_it() -> None:
    # By platform: the sizes of the values; each has a header, and both are padded.
    longest = {
        # Segment size, ttl, traffic class, timestamp, packet information.
        "linux": [4, 4, 4, 16, 20],
        "darwin": [4, 4, 16, 20],
        "freebsd": [4, 4, 16, 4, 54],  # IP_RECVDSTADDR and IP_RECVIF instead of the last
    }
    header = {"linux": 16, "darwin": 12, "freebsd": 16}
    for platform, values in longest.items():
        whole = 4 if platform == "darwin" else 8
        room = sum(header[platform] + -(-size // whole) * whole for size in values)
        assert room <= CONTROL_BYTES, platform


def test_everything_at_once_is_decoded() -> None:
    built = [
        (1, 35, struct.pack("=qq", 1, 2)),
        (41, 50, bytes(16) + struct.pack("=I", 7)),
        (41, 52, INT_64),
        (41, 67, EXPEDITED_INT),
        (17, 104, struct.pack("=i", 1_400)),
    ]
    raw = b"".join(control_message(*item) for item in built)
    arrival = decoder("linux", "ipv6").decode(split_control(raw))
    assert arrival == Arrival(64, 1_000_000_002, 7, 1_400, bytes(16), EXPEDITED)


def test_what_was_not_asked_for_is_passed_over() -> None:
    everything = [(0, 2, INT_64), (1, 35, bytes(16)), (17, 104, INT_64), (99, 99, b"")]
    nothing_asked = decoder("linux", "ipv4", frozenset())
    assert nothing_asked.decode(everything) == NOTHING
    assert not nothing_asked.expects_anything
    units_only = decoder("linux", "ipv4", frozenset({"UDP_GRO"}))
    assert units_only.decode(everything) == Arrival(segment_size=64)
    assert units_only.expects_anything


# Sent to 239.1.2.3 or ff15::1 and arrived on interface 7: in_pktinfo, in6_pktinfo of each platform.
GROUP_4, GROUP_6 = bytes([239, 1, 2, 3]), b"\xff\x15" + bytes(13) + b"\x01"
INDEX_7 = struct.pack("=I", 7)
PACKET_INFOS: list[tuple[PlatformName, Family, Message]] = [
    ("linux", "ipv4", (0, 8, INDEX_7 + b"\x0a\0\0\x01" + GROUP_4)),
    ("linux", "ipv6", (41, 50, GROUP_6 + INDEX_7)),
    ("darwin", "ipv4", (0, 26, INDEX_7 + b"\x0a\0\0\x01" + GROUP_4)),
    ("darwin", "ipv6", (41, 46, GROUP_6 + INDEX_7)),
    ("freebsd", "ipv6", (41, 46, GROUP_6 + INDEX_7)),
    ("windows", "ipv4", (0, 19, GROUP_4 + INDEX_7)),
    ("windows", "ipv6", (41, 19, GROUP_6 + INDEX_7)),
]


@pytest.mark.parametrize(("platform", "family", "message"), PACKET_INFOS)
def test_packet_info_tells_interface_and_destination(
    platform: PlatformName, family: Family, message: Message
) -> None:
    arrival = decoder(platform, family).decode([message])
    destination = GROUP_4 if family == "ipv4" else GROUP_6
    assert arrival == Arrival(interface_index=7, destination=destination)


@pytest.mark.parametrize(("platform", "family", "message"), PACKET_INFOS)
def test_packet_info_that_was_cut_short_tells_nothing(
    platform: PlatformName, family: Family, message: Message
) -> None:
    level, kind, value = message
    for size in range(len(value)):
        assert decoder(platform, family).decode([(level, kind, value[:size])]) == NOTHING


@pytest.mark.skipif(struct.calcsize("P") != 8, reason="the layout of 64-bit Windows")
def test_split_control_cuts_up_what_windows_gives_with_a_group_and_a_ttl() -> None:
    # WSACMSGHDR is laid out as cmsghdr is on 64-bit Linux (test_platform), and each is padded to 8.
    raw = struct.pack("=Qii", 24, 0, 19) + GROUP_4 + INDEX_7 + struct.pack("=Qiii4x", 20, 0, 4, 64)
    assert list(split_control(raw)) == [(0, 19, GROUP_4 + INDEX_7), (0, 4, INT_64)]


@pytest.mark.parametrize("size", range(16))
def test_a_value_that_was_cut_short_tells_nothing(size: int) -> None:
    whole = [
        (1, 35, struct.pack("=qq", 1, 2)),
        (41, 50, bytes(16) + struct.pack("=I", 7)),
        (41, 52, INT_64),
    ]
    control = decoder("linux", "ipv6")
    cut = [(level, kind, value[:size]) for level, kind, value in whole]
    # A ttl needs four bytes (or one, as other platforms have it).
    expected = {1: 64, **dict.fromkeys(range(4, 16), 64)}.get(size)
    assert control.decode(cut) == Arrival(ttl=expected)


@pytest.mark.parametrize("size", [0, -1])
def test_a_segment_size_that_cuts_nothing_tells_nothing(size: int) -> None:
    message = (17, 104, struct.pack("=i", size))
    assert decoder("linux", "ipv4").decode([message]) == NOTHING


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("platform", PLATFORMS)
@given(data=st.data())
def test_decode_gives_values_or_nothing_whatever_the_bytes(
    platform: PlatformName, family: Family, data: st.DataObject
) -> None:
    control = decoder(platform, family)
    known = st.sampled_from(sorted(control._fields)).flatmap(
        lambda kind: st.tuples(st.just(kind[0]), st.just(kind[1]), st.binary(max_size=24))
    )
    other = st.tuples(numbers, numbers, st.binary(max_size=24))
    arrival = control.decode(data.draw(st.lists(known | other, max_size=6)))
    destination = arrival.destination
    numbers_told = arrival._replace(destination=None)
    assert all(item is None or isinstance(item, int) for item in numbers_told)
    assert destination is None or len(destination) == (4 if family == "ipv4" else 16)
    if platform != "freebsd":  # Elsewhere one message tells both.
        assert (destination is None) == (arrival.interface_index is None)
    assert arrival.segment_size is None or arrival.segment_size > 0


@pytest.mark.parametrize("number", ["IP_TTL", "IP_RECVTTL"])
def test_ttl_of_windows_is_taken_under_either_number(number: str) -> None:
    numbers = PLATFORMS["windows"].constants
    message = (numbers["IPPROTO_IP"], numbers[number], struct.pack("=i", 7))
    assert decoder("windows", "ipv4", frozenset({"IP_RECVTTL"})).decode([message]).ttl == 7
