"""How selectors pick interfaces: by name, index, address, zone and value."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any

import attrs
import pytest

import trio_mcast
from trio_mcast import AmbiguousInterfaceError, Interface, InterfaceNotFoundError
from trio_mcast._plan.selecting import (
    Selection,
    by_zone,
    is_candidate,
    parse_named,
    parse_selectors,
    select_interfaces,
    why_no_candidate,
)
from trio_mcast._values.addresses import IPAddress
from trio_mcast._values.interface import InterfaceSelector, describe_interfaces

pytestmark = pytest.mark.once

LO = Interface(
    "lo",
    1,
    "lo",
    (IPv4Interface("127.0.0.1/8"),),
    (IPv6Interface("::1/128"),),
    is_loopback=True,
    is_multicast=False,
)
ETH0 = Interface(
    "eth0",
    2,
    "Onboard network card",
    (IPv4Interface("10.0.0.1/24"), IPv4Interface("10.0.9.1/24")),
    (IPv6Interface("2001:db8::1/64"), IPv6Interface("fe80::1/64")),
    "02:00:00:00:00:01",
    1500,
)
ETH1 = Interface(
    "eth1",
    3,
    "USB network card",
    (IPv4Interface("10.1.0.1/24"), IPv4Interface("192.168.0.1/24")),
    (IPv6Interface("fe80::1/64"),),
)
# Cabled like eth1, with one of its addresses: legal, and common with bridges in the making.
ETH2 = Interface("eth2", 4, "", (IPv4Interface("192.168.0.1/24"),))
OFF = Interface("off0", 5, is_up=False)
TUNNEL = Interface("tun0", 6, is_multicast=False)
BRIDGED = Interface("veth0", 7, master="br0")
MACHINE = (LO, ETH0, ETH1, ETH2, OFF, TUNNEL)


# One selector ----------------------------------------------------------------------------------

# What is given, the interface meant, and the address by which it was named, if any.
SELECTORS: list[tuple[InterfaceSelector, Interface, str | None]] = [
    ("eth0", ETH0, None),
    ("Onboard network card", ETH0, None),
    (2, ETH0, None),
    (ETH0, ETH0, None),
    ("10.0.0.1", ETH0, "10.0.0.1"),
    ("10.0.9.1", ETH0, "10.0.9.1"),
    (IPv4Address("10.0.0.1"), ETH0, "10.0.0.1"),
    ("2001:db8::1", ETH0, "2001:db8::1"),
    ("2001:DB8:0::1", ETH0, "2001:db8::1"),
    (IPv6Address("2001:db8::1"), ETH0, "2001:db8::1"),
    ("fe80::1%eth1", ETH1, "fe80::1"),
    ("fe80::1%3", ETH1, "fe80::1"),
    (IPv6Address("fe80::1%eth0"), ETH0, "fe80::1"),
    ("127.0.0.1", LO, "127.0.0.1"),
    # Named explicitly, any interface will do, also one that is no candidate.
    ("lo", LO, None),
    ("off0", OFF, None),
    (6, TUNNEL, None),
    # As they stand in Interface.ipv4_addresses and ipv6_addresses.
    (IPv4Interface("10.0.0.1/24"), ETH0, "10.0.0.1"),
    (IPv6Interface("2001:db8::1/64"), ETH0, "2001:db8::1"),
]


@pytest.mark.parametrize(("selector", "interface", "address"), SELECTORS)
def test_selector_means(
    selector: InterfaceSelector, interface: Interface, address: str | None
) -> None:
    parsed = parse_named(selector)
    (selection,) = select_interfaces(parsed, MACHINE)
    assert selection.interface == interface
    assert (None if selection.address is None else str(selection.address)) == address


def test_selector_value_means_the_interface_that_has_its_name_now() -> None:
    # Removed and made again, an interface has another index, and perhaps other addresses.
    before = attrs.evolve(ETH0, index=99, ipv4_addresses=())
    assert select_interfaces([before], MACHINE) == (Selection(ETH0),)


def test_selector_prefers_a_name_to_another_interfaces_description() -> None:
    odd = attrs.evolve(ETH1, description="eth2")
    assert select_interfaces(["eth2"], [odd, ETH2]) == (Selection(ETH2),)


# What is given, and what the message says; it always lists the interfaces there are.
UNKNOWN: list[tuple[InterfaceSelector, str]] = [
    ("eth9", "no interface is called 'eth9'; there are: lo (127.0.0.1/8, ::1/128), eth0"),
    ("", "no interface is called ''"),
    ("ETH0", "no interface is called 'ETH0'"),
    (9, "no interface has index 9; there are: 1 (lo), 2 (eth0), 3 (eth1)"),
    (0, "no interface has index 0"),
    (-1, "no interface has index -1"),
    ("10.9.9.9", "no interface has the address 10.9.9.9; there are: lo"),
    (IPv4Address("10.9.9.9"), "no interface has the address 10.9.9.9"),
    ("2001:db8::9", "no interface has the address 2001:db8::9"),
    ("fe80::1%eth9", "the zone 'eth9' names no interface; there are: lo"),
    ("2001:db8::1%eth1", "no interface has the address 2001:db8::1%eth1"),
    (attrs.evolve(ETH0, name="gone0"), "no interface is called 'gone0'"),
]


@pytest.mark.parametrize(("selector", "says"), UNKNOWN)
def test_selector_that_means_nothing_lists_the_interfaces(
    selector: InterfaceSelector, says: str
) -> None:
    with pytest.raises(InterfaceNotFoundError) as caught:
        select_interfaces([selector], MACHINE)
    message = str(caught.value)
    assert says in message
    for item in MACHINE:
        assert item.name in message


AMBIGUOUS: list[tuple[InterfaceSelector, str]] = [
    ("192.168.0.1", "the address 192.168.0.1 is on 2 interfaces: eth1, eth2; name one of them"),
    (
        "fe80::1",
        "the address fe80::1 is on 2 interfaces: eth0, eth1; name one of them or add a zone, "
        "as in fe80::1%eth0",
    ),
]


@pytest.mark.parametrize(("selector", "message"), AMBIGUOUS)
def test_selector_that_means_two_names_both_and_the_way_out(
    selector: InterfaceSelector, message: str
) -> None:
    with pytest.raises(AmbiguousInterfaceError) as caught:
        select_interfaces([selector], MACHINE)
    assert str(caught.value) == message


# Several ---------------------------------------------------------------------------------------


def test_selectors_keep_their_order() -> None:
    selections = select_interfaces(["eth2", 2, "eth1"], MACHINE)
    assert [item.interface.name for item in selections] == ["eth2", "eth0", "eth1"]


def test_selectors_for_the_same_interface_collapse() -> None:
    assert select_interfaces(["eth0", 2, ETH0, "Onboard network card"], MACHINE) == (
        Selection(ETH0),
    )


def test_selectors_by_name_and_by_address_differ() -> None:
    # The address says more: it also chooses the family, and where a sender sends from.
    address: IPAddress = IPv4Address("10.0.0.1")
    assert select_interfaces(["eth0", "10.0.0.1", address], MACHINE) == (
        Selection(ETH0),
        Selection(ETH0, address),
    )


def test_selection_by_address_serves_the_family_of_the_address() -> None:
    by_name, by_ipv4 = Selection(ETH0), Selection(ETH0, IPv4Address("10.0.0.1"))
    assert by_name.serves("ipv4")
    assert by_name.serves("ipv6")
    assert by_ipv4.serves("ipv4")
    assert not by_ipv4.serves("ipv6")


def test_no_selector_means_the_candidates() -> None:
    assert select_interfaces(None, MACHINE) == (Selection(ETH0), Selection(ETH1), Selection(ETH2))


@pytest.mark.parametrize(
    ("interface", "expected"),
    [
        (ETH0, True),
        (ETH2, True),
        (LO, False),
        (OFF, False),
        (TUNNEL, False),
        (BRIDGED, False),
    ],
    ids=str,
)
def test_is_candidate_wants_up_multicast_not_loopback_and_no_port(
    interface: Interface, expected: bool
) -> None:
    assert is_candidate(interface) is expected
    assert bool(why_no_candidate(interface)) is not expected


def test_every_reason_against_an_interface_is_told() -> None:
    assert why_no_candidate(LO) == ("loopback",)
    assert why_no_candidate(OFF) == ("switched off",)
    assert why_no_candidate(TUNNEL) == ("not marked as capable of multicast",)
    assert why_no_candidate(BRIDGED) == (f"port of {BRIDGED.master}",)


@pytest.mark.parametrize(
    ("machine", "listed"),
    [
        ((LO, OFF, TUNNEL), "lo (127.0.0.1/8, ::1/128), off0, tun0"),
        ((), "none"),
    ],
)
def test_no_candidate_is_an_error_that_lists_the_others(
    machine: tuple[Interface, ...], listed: str
) -> None:
    with pytest.raises(InterfaceNotFoundError) as caught:
        select_interfaces(None, machine)
    assert str(caught.value) == (
        "no interface is up, capable of multicast and not loopback; name the one to use in "
        f"interfaces= (there are: {listed})"
    )


# Parsing ---------------------------------------------------------------------------------------


def test_parse_selectors_keeps_none() -> None:
    assert parse_selectors(None) is None


def test_parse_selectors_takes_one_or_several() -> None:
    assert parse_selectors("eth0") == ("eth0",)
    assert parse_selectors(2) == (2,)
    assert parse_selectors(ETH0) == (ETH0,)
    several: list[InterfaceSelector] = ["eth0", 3]
    assert parse_selectors(iter(several)) == ("eth0", 3)


def test_parse_selectors_keeps_the_order_and_collapses_duplicates() -> None:
    assert parse_selectors(["eth1", "eth0", "eth1", 2, 2]) == ("eth1", "eth0", 2)


BAD_SELECTORS: list[tuple[Any, type[Exception], str]] = [
    (2.0, TypeError, "not float: 2.0"),
    (True, TypeError, "not bool: True"),
    (b"eth0", TypeError, "not bytes: b'eth0'"),
    (bytearray(b"eth0"), TypeError, "not bytearray: bytearray(b'eth0')"),
    (["eth0", None], TypeError, "not NoneType: None"),
    (["eth0", False], TypeError, "not bool: False"),
    ([b"eth0"], TypeError, "not bytes: b'eth0'"),
    ([["eth0"]], TypeError, "not list: ['eth0']"),
    ([], ValueError, "interfaces is empty: name at least one, or leave it out"),
    (iter(()), ValueError, "interfaces is empty"),
]


@pytest.mark.parametrize(("value", "kind", "says"), BAD_SELECTORS)
def test_parse_selectors_refuses(value: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind) as caught:
        parse_selectors(value)
    assert says in str(caught.value)
    assert "interfaces" in str(caught.value)


# Zones -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("zone", "expected"), [("eth0", ETH0), ("2", ETH0), ("lo", LO)])
def test_by_zone_takes_a_name_or_an_index_in_digits(zone: str, expected: Interface) -> None:
    assert by_zone(zone, MACHINE) == expected


@pytest.mark.parametrize("zone", ["eth9", "9", "02", "Onboard network card"])
def test_by_zone_that_names_nothing_lists_the_interfaces(zone: str) -> None:
    with pytest.raises(InterfaceNotFoundError, match=f"the zone '{zone}' names no interface.*eth1"):
        by_zone(zone, MACHINE)


def test_name_of_digits_counts_for_more_than_an_index() -> None:
    two = Interface("2", 7, ipv6_addresses=(IPv6Interface("fe80::7/64"),))
    for machine in ((*MACHINE, two), (two, *MACHINE)):
        assert by_zone("2", machine) == two
        assert select_interfaces(["fe80::7%2"], machine)[0].interface == two
        assert by_zone("7", machine) == two


# The value -------------------------------------------------------------------------------------


def test_addresses_are_without_network_and_in_order() -> None:
    assert ETH0.addresses("ipv4") == (IPv4Address("10.0.0.1"), IPv4Address("10.0.9.1"))
    assert ETH0.addresses("ipv6") == (IPv6Address("2001:db8::1"), IPv6Address("fe80::1"))
    assert OFF.addresses("ipv4") == OFF.addresses("ipv6") == ()
    for address in (*ETH0.addresses("ipv4"), *ETH0.addresses("ipv6")):
        assert type(address) in (IPv4Address, IPv6Address)


def test_addresses_are_without_zone() -> None:
    zoned = Interface("eth0", 2, ipv6_addresses=(IPv6Interface("fe80::1%eth0/64"),))
    assert zoned.addresses("ipv6") == (IPv6Address("fe80::1"),)


def test_interface_is_a_frozen_value() -> None:
    assert hash(ETH0) == hash(attrs.evolve(ETH0))
    assert attrs.evolve(ETH0) == ETH0
    assert attrs.evolve(ETH0, index=9) != ETH0
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        ETH0.index = 9  # type: ignore[misc]  # that is the point


def test_interface_str_is_its_name() -> None:
    assert str(ETH0) == "eth0"


def test_describe_interfaces_gives_names_and_addresses() -> None:
    assert describe_interfaces([ETH2, OFF]) == "eth2 (192.168.0.1/24), off0"
    assert describe_interfaces([]) == "none"


# The public look-up, on this machine: it only looks.


def test_find_interfaces_gives_what_the_selector_means() -> None:
    there = trio_mcast.list_interfaces()
    loopback = next(item for item in there if item.is_loopback)
    selectors = [loopback.name, loopback.index, *loopback.addresses("ipv4")]
    assert trio_mcast.find_interfaces(selectors) == [loopback]
    with pytest.raises(InterfaceNotFoundError, match="no interface is called 'no such interface'"):
        trio_mcast.find_interfaces("no such interface")
    with pytest.raises(TypeError, match="not float"):
        trio_mcast.find_interfaces(1.5)  # type: ignore[arg-type]  # that is the point
