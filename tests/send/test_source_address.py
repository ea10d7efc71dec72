"""The address that a sender sends from, against what a plain socket takes on the same interface."""

from __future__ import annotations

import socket
import struct
import sys
from ipaddress import IPv4Interface, IPv6Interface, ip_address

import attrs
import pytest
import trio
import trio.testing

from tests.lab import Host, Lab
from tests.lab._polling import wait_until
from tests.lab.machine import on
from trio_mcast import Interface, InterfaceAddress, find_interfaces, open_mcast_sender
from trio_mcast._plan.source_address import choose_source
from trio_mcast._values.addresses import parse_group
from trio_mcast._values.interface import AddressState
from trio_mcast.testing import VirtualNetwork

pytestmark = pytest.mark.once

PORT = 5000


def plain_source(host: Host, group: str) -> str:
    """Return where a datagram comes from that a plain socket sends, bound to nothing."""
    index = host.index("eth0")
    if ":" in group:
        family, level, number = socket.AF_INET6, socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF
        value: int | bytes = index
        destination: tuple[object, ...] = (group, PORT, 0, index)
        membership = socket.inet_pton(family, group) + struct.pack("=I", index)
    else:
        family, level, number = socket.AF_INET, socket.IPPROTO_IP, socket.IP_MULTICAST_IF
        value = struct.pack("=4s4si", bytes(4), bytes(4), index)
        destination = (group, PORT)
        membership = socket.inet_aton(group) + bytes(4) + struct.pack("=i", index)
    join = socket.IPV6_JOIN_GROUP if family == socket.AF_INET6 else socket.IP_ADD_MEMBERSHIP
    with host.inside():
        sender = socket.socket(family, socket.SOCK_DGRAM)
        receiver = socket.socket(family, socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.bind(("", PORT))
        receiver.setsockopt(level, join, membership)
        receiver.settimeout(5)
        sender.setsockopt(level, number, value)
        sender.sendto(b"plain", destination)
        return str(receiver.recvfrom(10)[1][0]).partition("%")[0]


async def source_of_sender(host: Host, group: str) -> str:
    with on(host):
        async with open_mcast_sender(group, PORT, interfaces="eth0") as sender:
            return sender.local_endpoints[0].host.partition("%")[0]


if sys.platform != "linux":
    pytest.skip("a plain socket of Linux", allow_module_level=True)

# The group, what the `ip` command adds to eth0 in this order, and the address that is taken.
CASES = {
    "DHCP after link-local": (
        "239.1.2.3",
        ["169.254.7.7/16 scope link", "10.0.0.5/24"],
        "10.0.0.5",
    ),
    "group of the link": (
        "224.0.0.251",
        ["169.254.7.7/16 scope link", "10.0.0.5/24"],
        "169.254.7.7",
    ),
    "link-local of global scope": ("239.1.2.3", ["169.254.7.7/16", "10.0.0.5/24"], "169.254.7.7"),
    "scope host": ("239.1.2.3", ["10.9.9.9/32 scope host", "10.0.0.5/24"], "10.0.0.5"),
    "scope site": ("239.1.2.3", ["10.0.0.5/24", "10.9.9.9/32 scope 200"], "10.0.0.5"),
    "IPv4 deprecated": (
        "239.1.2.3",
        ["10.0.0.5/24 valid_lft 100 preferred_lft 0", "10.0.1.5/24"],
        "10.0.0.5",
    ),
    "deprecated": (
        "ff0e::5",
        ["2001:db8:2::5/64 nodad", "2001:db8:1::5/64 nodad valid_lft 100 preferred_lft 0"],
        "2001:db8:2::5",
    ),
    "all deprecated": (
        "ff0e::5",
        ["2001:db8:1::5/64 nodad valid_lft 100 preferred_lft 0", "fe80::5/64 nodad"],
        "2001:db8:1::5",
    ),
    "deprecated link-local": (
        "ff02::5",
        ["2001:db8:1::5/64 nodad", "fe80::5/64 nodad valid_lft 100 preferred_lft 0"],
        "fe80::5",
    ),
    "unique local": ("ff0e::5", ["2001:db8:1::5/64 nodad", "fd00::5/64 nodad"], "2001:db8:1::5"),
    "6to4": ("ff0e::5", ["2001:db8:1::5/64 nodad", "2002:a00::5/64 nodad"], "2001:db8:1::5"),
    "6bone": ("ff0e::5", ["2001:db8:1::5/64 nodad", "3ffe::5/64 nodad"], "2001:db8:1::5"),
    "site-local": ("ff0e::5", ["2001:db8:1::5/64 nodad", "fec0::5/64 nodad"], "2001:db8:1::5"),
    "site-local and unique local": ("ff0e::5", ["fec0::5/64 nodad", "fd00::5/64 nodad"], "fd00::5"),
    "site-local on the link": ("ff02::5", ["fe80::5/64 nodad", "fec0::5/64 nodad"], "fe80::5"),
    "site-local, no link-local": (
        "ff02::5",
        ["2001:db8:1::5/64 nodad", "fec0::5/64 nodad"],
        "fec0::5",
    ),
    "site-local for a group of the site": (
        "ff05::5",
        ["fec0::5/64 nodad", "2001:db8:1::5/64 nodad", "fd00::5/64 nodad"],
        "fec0::5",
    ),
    "site-local for an administrator's group": (
        "ff14::5",
        ["2001:db8:1::5/64 nodad", "fec0::5/64 nodad", "fe80::5/64 nodad"],
        "fec0::5",
    ),
    "site-local and a group of an organization": (
        "ff08::5",
        ["2001:db8:1::5/64 nodad", "fec0::5/64 nodad"],
        "2001:db8:1::5",
    ),
    "the widest there is": ("ff08::5", ["fe80::5/64 nodad", "fec0::5/64 nodad"], "fec0::5"),
    "ORCHID": ("ff0e::5", ["2001:db8:1::5/64 nodad", "2001:10::5/64 nodad"], "2001:db8:1::5"),
    "IPv4-compatible": ("ff0e::5", ["2001:db8:1::5/64 nodad", "::a00:5/96 nodad"], "2001:db8:1::5"),
    "6to4 and unique local": ("ff0e::5", ["fd00::5/64 nodad", "2002:a00::5/64 nodad"], "fd00::5"),
    "the last of two": (
        "ff05::5",
        ["2001:db8:1::5/64 nodad", "2001:db8:2::5/64 nodad"],
        "2001:db8:2::5",
    ),
    "only link-local": ("ff0e::5", ["fe80::5/64 nodad"], "fe80::5"),
}


@pytest.mark.parametrize(("group", "addresses", "expected"), CASES.values(), ids=CASES)
async def test_sender_takes_what_a_plain_socket_takes(
    group: str, addresses: list[str], expected: str, lab: Lab
) -> None:
    host = lab.host("a")
    host.plug("eth0", lab.switch("lan"), link_local=False)
    for address in addresses:
        host.run("ip", "address", "add", *address.split(), "dev", "eth0")
    assert plain_source(host, group) == expected
    assert await source_of_sender(host, group) == expected


async def test_address_that_another_host_has_is_not_taken(lab: Lab) -> None:
    host, other, lan = lab.host("a"), lab.host("b"), lab.switch("lan")
    host.plug("eth0", lan, "2001:db8:2::5/64", link_local=False)
    other.plug("eth0", lan, "2001:db8:1::5/64")
    host.namespace.set_parameters(
        {"ipv6/conf/eth0/accept_dad": "1", "ipv6/conf/eth0/dad_transmits": "1"}
    )
    host.run("ip", "address", "add", "2001:db8:1::5/64", "dev", "eth0")
    # It is tentative, and then it has failed: neither is taken.
    assert await source_of_sender(host, "ff0e::5") == "2001:db8:2::5"

    def states() -> list[str | None]:
        with on(host):
            return [detail.state for detail in find_interfaces("eth0")[0].address_details]

    wait_until(states, lambda seen: "failed" in seen, "a failed address")
    assert plain_source(host, "ff0e::5") == "2001:db8:2::5"
    assert await source_of_sender(host, "ff0e::5") == "2001:db8:2::5"


@pytest.mark.parametrize("setting", [0, 1, 2])
async def test_temporary_address_is_taken_for_privacy_if_the_system_says_so(
    setting: int, lab: Lab
) -> None:
    host = lab.host("a")
    host.plug("eth0", lab.switch("lan"), link_local=False)
    host.namespace.set_parameters({"ipv6/conf/eth0/use_tempaddr": "2"})
    lifetimes = ["valid_lft", "10000", "preferred_lft", "9000"]
    address = ["2001:db8::5/64", "dev", "eth0", "mngtmpaddr", "nodad"]
    host.run("ip", "address", "add", *address, *lifetimes)
    host.run("ip", "address", "add", "2001:db8::6/64", "dev", "eth0", "nodad")

    def temporary() -> list[str]:
        with on(host):
            return [
                str(detail.address.ip)
                for detail in find_interfaces("eth0")[0].address_details
                if detail.temporary and detail.state == "preferred"
            ]

    (expected,) = wait_until(temporary, bool, "a temporary address")
    host.namespace.set_parameters({"ipv6/conf/eth0/use_tempaddr": str(setting)})
    if setting < 2:
        expected = "2001:db8::6"
    assert plain_source(host, "ff0e::5") == expected
    assert await source_of_sender(host, "ff0e::5") == expected


async def test_multicast_address_of_an_interface_is_not_taken(lab: Lab) -> None:
    host = lab.host("a")
    host.plug("eth0", lab.switch("lan"), "10.0.0.5/24", link_local=False)
    host.run(*["ip", "address", "add", "239.9.9.9/32", "dev", "eth0", "autojoin"])
    host.run(*["ip", "address", "delete", "10.0.0.5/24", "dev", "eth0"])
    host.run(*["ip", "address", "add", "10.0.0.5/24", "dev", "eth0"])
    with on(host):
        addresses = find_interfaces("eth0")[0].addresses("ipv4")
    assert list(map(str, addresses)) == ["239.9.9.9", "10.0.0.5"]
    assert await source_of_sender(host, "239.1.2.3") == "10.0.0.5"


async def test_sender_moves_to_another_address_when_its_own_is_deprecated(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with VirtualNetwork() as network:
        host = network.host("a")
        eth0 = host.plug("eth0", network.switch("lan"), "2001:db8:1::5/64", "2001:db8:2::5/64")
        with host:
            async with open_mcast_sender("ff0e::5", PORT, interfaces="eth0") as sender:
                assert sender.local_endpoints[0].host == "2001:db8:2::5"
                eth0.change_address("2001:db8:2::5", "deprecated")
                await trio.sleep(1)
                await sender.send(b"data")
                assert sender.local_endpoints[0].host == "2001:db8:1::5"
                eth0.change_address("2001:db8:2::5", "preferred")
                await trio.sleep(1)
                await sender.send(b"data")
                assert sender.local_endpoints[0].host == "2001:db8:1::5"


def test_choice_without_details_goes_by_the_address() -> None:
    eth0 = Interface(
        "eth0",
        2,
        ipv4_addresses=(IPv4Interface("169.254.1.1/16"), IPv4Interface("10.0.0.1/24")),
        ipv6_addresses=(IPv6Interface("fe80::1/64"), IPv6Interface("fd00::1/64")),
    )
    chosen = {
        group: str(choose_source(eth0, parse_group(group)))
        for group in ("239.1.2.3", "224.0.0.251", "ff02::1", "ff05::1")
    }
    assert chosen == {
        "239.1.2.3": "10.0.0.1",
        "224.0.0.251": "169.254.1.1",
        "ff02::1": "fe80::1",
        "ff05::1": "fd00::1",
    }


def test_last_address_is_kept_while_it_is_as_good_as_any() -> None:
    addresses = (IPv6Interface("2001:db8::1/64"), IPv6Interface("2001:db8::2/64"))
    eth0 = Interface("eth0", 2, ipv6_addresses=addresses)
    group, last = parse_group("ff05::1"), ip_address("2001:db8::2")
    assert str(choose_source(eth0, group)) == "2001:db8::1"
    assert choose_source(eth0, group, last) == last
    details = (InterfaceAddress(addresses[1], state="deprecated"),)
    worse = attrs.evolve(eth0, address_details=details)
    assert str(choose_source(worse, group, last)) == "2001:db8::1"


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("preferred", "preferred"), "2001:db8::1"),
        (("deprecated", "preferred"), "2001:db8::2"),
        (("tentative", "deprecated"), "2001:db8::2"),
        (("failed", "tentative"), "2001:db8::2"),
        (("failed", "failed"), "fe80::1"),
        (("tentative", "failed"), "2001:db8::1"),
    ],
)
def test_choice_goes_by_state(states: tuple[AddressState, AddressState], expected: str) -> None:
    wide = (IPv6Interface("2001:db8::1/64"), IPv6Interface("2001:db8::2/64"))
    local = IPv6Interface("fe80::1/64")
    details = [
        InterfaceAddress(address, state=state) for address, state in zip(wide, states, strict=True)
    ]
    details.append(InterfaceAddress(local, "link", "preferred"))
    eth0 = Interface("eth0", 2, ipv6_addresses=(*wide, local), address_details=tuple(details))
    assert str(choose_source(eth0, parse_group("ff05::1"))) == expected
