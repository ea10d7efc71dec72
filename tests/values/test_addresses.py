"""Addresses: what is taken and what is refused, and socket addresses as bytes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from trio_mcast import Endpoint
from trio_mcast._platform.current import PLATFORMS, current_platform
from trio_mcast._values.addresses import (
    AddressLike,
    Group,
    IPAddress,
    SockaddrFormat,
    decode_sockaddr,
    encode_sockaddr,
    family_of,
    is_link_scoped,
    listed,
    parse_address,
    parse_group,
    parse_groups,
    parse_port,
    parse_sources,
    without_zone,
)
from trio_mcast._values.numbers import parse_int

# Groups ----------------------------------------------------------------------------------------

GOOD_GROUPS: list[tuple[AddressLike, str, str | None]] = [
    ("224.0.0.1", "224.0.0.1", None),
    ("239.255.255.255", "239.255.255.255", None),
    (IPv4Address("239.1.2.3"), "239.1.2.3", None),
    ("ff02::1", "ff02::1", None),
    ("FF05:0:0:0:0:0:0:FB", "ff05::fb", None),
    (IPv6Address("ff0e::1"), "ff0e::1", None),
    ("ff02::1%eth0", "ff02::1", "eth0"),
    ("ff02::1%3", "ff02::1", "3"),
    (IPv6Address("ff02::1%eth0"), "ff02::1", "eth0"),
    # A zone is taken with any scope: it names the interface.
    ("ff0e::1%eth0", "ff0e::1", "eth0"),
    ("ff02::1%br-lan.100", "ff02::1", "br-lan.100"),
    ("239.1.2.3%eth0", "239.1.2.3", "eth0"),
    ("224.0.0.251%2", "224.0.0.251", "2"),
    ("239.1.2.3%br-lan.100", "239.1.2.3", "br-lan.100"),
]


@pytest.mark.parametrize(("value", "address", "zone"), GOOD_GROUPS)
def test_parse_group_takes(value: AddressLike, address: str, zone: str | None) -> None:
    assert parse_group(value) == Group(ip_address(address), zone)


# The value, the kind of error, and what the message says; it always names the value.
BAD_GROUPS: list[tuple[Any, type[Exception], str]] = [
    (b"239.1.2.3", TypeError, "must be a str, IPv4Address or IPv6Address, not bytes"),
    (None, TypeError, "not NoneType"),
    (0xEF010203, TypeError, "not int"),
    (("239.1.2.3", 5000), TypeError, "not tuple"),
    (IPv4Interface("239.1.2.3/8"), TypeError, "not the interface address 239.1.2.3/8"),
    (IPv6Interface("ff02::1/64"), TypeError, "not the interface address ff02::1/64"),
    ("", ValueError, "not an IPv4 or IPv6 address"),
    ("239.1.2", ValueError, "not an IPv4 or IPv6 address"),
    ("239.1.2.3%", ValueError, "the zone after the % is missing"),
    ("239.1.2%eth0", ValueError, "not an IPv4 or IPv6 address"),
    ("10.0.0.1%eth0", ValueError, "'10.0.0.1%eth0' is not a multicast group"),
    ("239.1.2.300", ValueError, "not an IPv4 or IPv6 address"),
    ("239.1.2.3/24", ValueError, "not an IPv4 or IPv6 address"),
    ("239.1.2.3:5000", ValueError, "not an IPv4 or IPv6 address"),
    ("[ff02::1]", ValueError, "not an IPv4 or IPv6 address"),
    (" 239.1.2.3", ValueError, "not an IPv4 or IPv6 address"),
    ("all-hosts.mcast.net", ValueError, "host names are not looked up"),
    ("ff02::1%", ValueError, "not an IPv4 or IPv6 address"),
    ("10.0.0.1", ValueError, "not a multicast group"),
    ("0.0.0.0", ValueError, "not a multicast group"),
    ("223.255.255.255", ValueError, "not a multicast group"),
    ("240.0.0.0", ValueError, "not a multicast group"),
    ("255.255.255.255", ValueError, "not a multicast group"),
    ("::", ValueError, "not a multicast group"),
    ("fe80::1%eth0", ValueError, "not a multicast group"),
    ("2001:db8::1", ValueError, "not a multicast group"),
    ("::ffff:239.1.2.3", ValueError, "not a multicast group"),
    (IPv4Address("10.0.0.1"), ValueError, "not a multicast group"),
]


def shown(value: object) -> str:
    """How a message names a value."""
    return str(value) if isinstance(value, (IPv4Address, IPv6Address)) else repr(value)


@pytest.mark.parametrize(("value", "kind", "says"), BAD_GROUPS)
def test_parse_group_refuses(value: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind) as caught:
        parse_group(value)
    assert says in str(caught.value)
    assert shown(value) in str(caught.value)
    # The way out is in the message, not in a chain of internal errors.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_parse_group_refuses_mapped_addresses_whatever_python_thinks_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Newer versions of Python go by the IPv4 address in it.
    monkeypatch.setattr(IPv6Address, "is_multicast", True)
    with pytest.raises(ValueError, match="not a multicast group"):
        parse_group("::ffff:239.1.2.3")


def test_parse_groups_takes_one_or_several() -> None:
    one = Group(IPv4Address("239.1.2.3"))
    assert parse_groups("239.1.2.3") == (one,)
    assert parse_groups(IPv4Address("239.1.2.3")) == (one,)
    assert parse_groups(iter(["239.1.2.3"])) == (one,)


def test_parse_groups_keeps_the_order_and_collapses_duplicates() -> None:
    texts = ["239.9.9.9", "ff02::1%eth0", "239.1.2.3", "ff02::1", "239.9.9.9", "ff02:0::1"]
    assert [str(group) for group in parse_groups(texts)] == [
        "239.9.9.9",
        "ff02::1%eth0",
        "239.1.2.3",
        "ff02::1",
    ]


BAD_LISTS: list[tuple[Any, type[Exception], str]] = [
    (b"239.1.2.3", TypeError, "must be text, not bytes: b'239.1.2.3'"),
    (bytearray(b"x"), TypeError, "must be text, not bytearray"),
    (None, TypeError, "must be an address or an iterable of addresses, not NoneType: None"),
    (5, TypeError, "not int: 5"),
    ([], ValueError, "groups is empty"),
    ((), ValueError, "groups is empty"),
    (iter(()), ValueError, "groups is empty"),
]


@pytest.mark.parametrize(("value", "kind", "says"), BAD_LISTS)
def test_listed_refuses(value: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind) as caught:
        listed(value, "groups")
    assert says in str(caught.value)


def test_group_str_is_what_it_is_parsed_from() -> None:
    for text in ("239.1.2.3", "ff02::1", "ff02::1%eth0"):
        assert str(parse_group(text)) == text
        assert parse_group(str(parse_group(text))) == parse_group(text)


LINK_SCOPED = [
    ("239.1.2.3", False),
    ("224.0.0.1", False),
    ("ff01::1", True),
    ("ff02::1", True),
    ("ff12::1", True),
    ("ff32::1", True),
    ("ff03::1", False),
    ("ff05::1", False),
    ("ff08::1", False),
    ("ff0e::1", False),
    ("ff3e::8000:1", False),
]


@pytest.mark.parametrize(("group", "expected"), LINK_SCOPED)
def test_is_link_scoped_looks_at_the_scope_only(group: str, expected: bool) -> None:
    assert is_link_scoped(ip_address(group)) is expected


# Other addresses -------------------------------------------------------------------------------


def test_parse_address_keeps_the_zone() -> None:
    assert str(parse_address("fe80::1%eth0", "address")) == "fe80::1%eth0"
    assert str(without_zone(parse_address("fe80::1%eth0", "address"))) == "fe80::1"
    assert without_zone(IPv4Address("10.0.0.1")) == IPv4Address("10.0.0.1")


def test_parse_address_names_the_argument() -> None:
    with pytest.raises(ValueError, match="source_address 'router' is not an IPv4 or IPv6 address"):
        parse_address("router", "source_address")


def test_parse_sources_keeps_none() -> None:
    assert parse_sources(None, "sources") is None


def test_parse_sources_keeps_the_order_and_collapses_duplicates() -> None:
    given_sources: list[AddressLike] = [
        "10.0.0.9",
        "2001:db8::9",
        IPv4Address("10.0.0.9"),
        "10.0.0.1",
    ]
    parsed = parse_sources(given_sources, "sources")
    assert parsed is not None
    assert [str(item) for item in parsed] == ["10.0.0.9", "2001:db8::9", "10.0.0.1"]


BAD_SOURCES: list[tuple[Any, type[Exception], str]] = [
    ("239.1.2.3", ValueError, "sources: '239.1.2.3' is not the address of a sender"),
    ("ff02::1", ValueError, "sources: 'ff02::1' is not the address of a sender"),
    ("0.0.0.0", ValueError, "sources: '0.0.0.0' is not the address of a sender"),
    ("::", ValueError, "sources: '::' is not the address of a sender"),
    ("255.255.255.255", ValueError, "sources: '255.255.255.255' is not the address"),
    ("fe80::1%eth0", ValueError, "write 'fe80::1' and name the interface in interfaces="),
    ("router.example", ValueError, "sources 'router.example' is not an IPv4 or IPv6 address"),
    ([], ValueError, "sources is empty"),
    (["10.0.0.1", None], TypeError, "sources must be a str, IPv4Address or IPv6Address"),
    (b"10.0.0.1", TypeError, "sources must be text, not bytes: b'10.0.0.1'"),
    (IPv4Interface("10.0.0.1/24"), TypeError, "sources must be an address, not the interface"),
    (10, TypeError, "sources must be an address or an iterable of addresses, not int: 10"),
]


@pytest.mark.parametrize(("value", "kind", "says"), BAD_SOURCES)
def test_parse_sources_refuses(value: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind) as caught:
        parse_sources(value, "sources")
    assert says in str(caught.value)


# Numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "lowest"), [(1, 1), (5000, 1), (65_535, 1), (0, 0)])
def test_parse_port_takes(value: int, lowest: int) -> None:
    assert parse_port(value, "port", lowest=lowest) == value


BAD_PORTS: list[tuple[Any, type[Exception], str]] = [
    (0, ValueError, "port must be from 1 to 65535, not 0"),
    (-1, ValueError, "port must be from 1 to 65535, not -1"),
    (65_536, ValueError, "port must be from 1 to 65535, not 65536"),
    (70_000, ValueError, "not 70000"),
    (True, TypeError, "port must be an int, not bool: True"),
    (5000.0, TypeError, "port must be an int, not float: 5000.0"),
    ("5000", TypeError, "port must be an int, not str: '5000'"),
    (b"5000", TypeError, "not bytes: b'5000'"),
    (None, TypeError, "not NoneType: None"),
]


@pytest.mark.parametrize(("value", "kind", "says"), BAD_PORTS)
def test_parse_port_refuses(value: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind) as caught:
        parse_port(value, "port")
    assert says in str(caught.value)


def test_parse_int_without_an_upper_end_says_so() -> None:
    assert parse_int(10**9, "max_buffered", 1) == 10**9
    with pytest.raises(ValueError, match="max_buffered must be at least 1, not 0"):
        parse_int(0, "max_buffered", 1)


# Endpoints -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.0.0.1", "10.0.0.1:5000"),
        ("2001:db8::1", "[2001:db8::1]:5000"),
        ("fe80::1%eth0", "[fe80::1%eth0]:5000"),
    ],
)
def test_endpoint_str_brackets_ipv6(host: str, expected: str) -> None:
    assert str(Endpoint(host, 5000)) == expected


def test_endpoint_is_the_tuple_that_sendto_takes() -> None:
    assert Endpoint("10.0.0.1", 5000) == ("10.0.0.1", 5000)
    host, port = Endpoint("10.0.0.1", 5000)
    assert (host, port) == ("10.0.0.1", 5000)


# Socket addresses ------------------------------------------------------------------------------

EVERY_FORMAT = pytest.mark.parametrize(
    "layout", [pytest.param(item.sockaddr, id=name) for name, item in PLATFORMS.items()]
)
ports = st.integers(0, 65_535)
scopes = st.integers(0, 2**32 - 1)
LINK_LOCAL = IPv6Network("fe80::/10")


@EVERY_FORMAT
@given(address=st.ip_addresses(v=4) | st.ip_addresses(v=6), port=ports, scope=scopes)
@example(address=IPv6Address("fe80::1"), port=5000, scope=7)
@example(address=IPv6Address("fe80::1"), port=5000, scope=0)
@example(address=IPv6Address("2001:db8::1"), port=5000, scope=7)
@example(address=IPv4Address("169.254.1.1"), port=5000, scope=7)
def test_sockaddr_round_trip(
    layout: SockaddrFormat, address: IPAddress, port: int, scope: int
) -> None:
    # What Python thinks of mapped link-local addresses depends on its version.
    assume(not isinstance(address, IPv6Address) or address.ipv4_mapped is None)
    raw = encode_sockaddr(layout, address, port, scope)
    assert len(raw) == (16 if family_of(address) == "ipv4" else 28)
    endpoint = decode_sockaddr(layout, raw, lambda index: f"if{index}")
    zone = f"%if{scope}" if scope and address in LINK_LOCAL else ""
    assert endpoint == Endpoint(f"{address}{zone}", port)
    # What follows the structure, as in a sockaddr_storage, is ignored.
    assert decode_sockaddr(layout, raw + b"\xff" * 8, lambda index: f"if{index}") == endpoint


@EVERY_FORMAT
@given(data=st.data())
def test_any_bytes_give_an_endpoint_or_a_value_error(
    layout: SockaddrFormat, data: st.DataObject
) -> None:
    raw = data.draw(st.binary(max_size=40))
    # Half of the time with a family that leads further.
    if data.draw(st.booleans()):
        known = ip_address(data.draw(st.sampled_from(["10.0.0.1", "fe80::1"])))
        raw = encode_sockaddr(layout, known)[:2] + raw
    try:
        endpoint = decode_sockaddr(layout, raw)
    except ValueError:
        return
    assert isinstance(endpoint, Endpoint)
    assert 0 <= endpoint.port <= 65_535
    ip_address(endpoint.host)


SHORT: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda raw: b"", "of 0 bytes is too short"),
    (lambda raw: raw[:15], "of 15 bytes is too short"),
    (lambda raw: raw[:27], "an IPv6 socket address of 27 bytes is too short"),
    (lambda raw: b"\x63\x63" + raw[2:], "is neither IPv4 nor IPv6"),
]


@EVERY_FORMAT
@pytest.mark.parametrize(("spoil", "says"), SHORT)
def test_decode_sockaddr_refuses(
    layout: SockaddrFormat, spoil: Callable[[bytes], bytes], says: str
) -> None:
    raw = encode_sockaddr(layout, IPv6Address("fe80::1"), 5000, 7)
    with pytest.raises(ValueError, match=says):
        decode_sockaddr(layout, spoil(raw))


def test_decode_sockaddr_takes_the_index_as_zone_if_not_told_a_name() -> None:
    layout = PLATFORMS["linux"].sockaddr
    raw = encode_sockaddr(layout, IPv6Address("fe80::1"), 5000, 7)
    assert decode_sockaddr(layout, raw).host == "fe80::1%7"


def test_sockaddr_of_this_platform_is_what_the_kernel_takes() -> None:
    # The socket module knows the same numbers of families.
    layout = current_platform().sockaddr
    assert layout.number("ipv4") == socket.AF_INET
    assert layout.number("ipv6") == socket.AF_INET6
