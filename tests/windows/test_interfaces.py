"""Interfaces and routes on Windows."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

import pytest

from trio_mcast import default_interface, find_interfaces, list_interfaces

from .conftest import Peer


def test_loopback_interface_is_listed_as_one() -> None:
    (loopback,) = (item for item in list_interfaces() if item.is_loopback)
    assert loopback.is_up
    assert IPv4Address("127.0.0.1") in loopback.addresses("ipv4")
    assert IPv6Address("::1") in loopback.addresses("ipv6")
    assert str(loopback.ipv4_addresses[0].network) == "127.0.0.0/8"


def test_every_interface_is_found_by_name_index_and_description() -> None:
    found = list_interfaces()
    assert [item.index for item in found] == sorted({item.index for item in found})
    for item in found:
        assert item.name
        assert item.index > 0
        for selector in (item.name, item.index, item):
            assert find_interfaces(selector) == [item]
        assert find_interfaces(item.description)[0].description == item.description


def test_interface_to_the_peer_has_all_facts(peer: Peer) -> None:
    interface = peer.interface
    assert interface.is_up
    assert interface.is_multicast
    assert not interface.is_loopback
    assert 1_280 <= interface.mtu <= 65_535
    assert re.fullmatch("([0-9a-f]{2}:){5}[0-9a-f]{2}", interface.link_address or "")
    assert any(IPv6Address(peer.ipv6) in item.network for item in interface.ipv6_addresses)
    assert interface in find_interfaces(None)


@pytest.mark.parametrize("group", ["239.1.2.3", "224.0.0.251"])
def test_default_interface_is_one_that_is_up(group: str, peer: Peer) -> None:
    found = default_interface(group)
    assert found is not None
    assert found in list_interfaces()
    assert found.is_up


def test_group_of_link_scope_has_no_default_interface_but_its_zones(peer: Peer) -> None:
    assert default_interface("ff02::1") is None
    assert default_interface(f"ff02::1%{peer.interface.name}") == peer.interface
    assert default_interface(f"ff02::1%{peer.interface.index}") == peer.interface
