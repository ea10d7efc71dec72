"""What interfaces there are, against what the ip command says of the same machine."""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import ip_interface

import ifaddr
import pytest

from trio_mcast import (
    Interface,
    InterfaceNotFoundError,
    default_interface,
    find_interfaces,
    list_interfaces,
)

from .lab import Host, Lab
from .lab.fixtures import TwoLans
from .lab.machine import on


def interfaces_by_ip_command(host: Host) -> list[Interface]:
    found = []
    for item in json.loads(host.run("ip", "-json", "addr").stdout):
        addresses = [
            ip_interface(f"{entry['local']}/{entry['prefixlen']}") for entry in item["addr_info"]
        ]
        has_link_address = item["link_type"] == "ether"
        found.append(
            Interface(
                name=item["ifname"],
                index=item["ifindex"],
                description=item["ifname"],
                ipv4_addresses=tuple(entry for entry in addresses if entry.version == 4),
                ipv6_addresses=tuple(entry for entry in addresses if entry.version == 6),
                link_address=item["address"] if has_link_address else None,
                mtu=item["mtu"],
                is_up="UP" in item["flags"],
                is_loopback="LOOPBACK" in item["flags"],
                is_multicast="MULTICAST" in item["flags"],
            )
        )
    return found


def test_list_interfaces_tells_what_the_ip_command_tells(lab: Lab) -> None:
    host, lan = lab.host("a"), lab.switch("lan")
    host.plug("eth0", lan, "10.0.0.1/24", "10.0.0.2/24", "fd00::1/64", mtu=1400)
    host.plug("bare", lan, link_local=False)
    host.plug("off", lan, "10.0.1.1/24")
    host.down("off")
    host.run("ip", "link", "set", "off", "multicast", "off")
    host.run("ip", "tuntap", "add", "tun0", "mode", "tun")
    with on(host):
        listed = list_interfaces()
    assert listed == interfaces_by_ip_command(host)
    by_name = {item.name: item for item in listed}
    assert set(by_name) == {"lo", "eth0", "bare", "off", "tun0"}
    assert (by_name["bare"].ipv4_addresses, by_name["bare"].ipv6_addresses) == ((), ())
    assert by_name["bare"].link_address is not None
    assert by_name["tun0"].link_address is None
    assert not by_name["off"].is_up
    assert not by_name["off"].is_multicast
    assert by_name["eth0"].mtu == 1400


def test_address_with_a_label_belongs_to_its_interface(lab: Lab) -> None:
    host = lab.host("a")
    host.plug("eth0", lab.switch("lan"), "10.0.0.1/24", link_local=False)
    host.run("ip", "address", "add", "10.0.0.2/24", "dev", "eth0", "label", "eth0:1")
    with on(host):
        assert list_interfaces() == interfaces_by_ip_command(host)
        assert [item.name for item in find_interfaces(["10.0.0.2", "eth0"])] == ["eth0"]


def test_interface_renamed_while_they_are_read_is_not_missing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = lab.host("a")
    host.run("ip", "link", "add", "old0", "type", "bridge")
    names = ["old0", "new0"]
    read_adapters = ifaddr.get_adapters

    def rename_after_reading(*, include_unconfigured: bool) -> Iterable[ifaddr.Adapter]:
        adapters = read_adapters(include_unconfigured)
        if len(names) > 1:
            host.run("ip", "link", "set", names.pop(0), "name", names[0])
        return adapters

    monkeypatch.setattr(ifaddr, "get_adapters", rename_after_reading)
    with on(host):
        assert [item.name for item in list_interfaces()] == ["lo", "new0"]


def test_find_interfaces_takes_what_opening_takes(two_lans: TwoLans) -> None:
    with on(two_lans.a):
        listed = {item.name: item for item in list_interfaces()}
        eth0, eth1, loopback = listed["eth0"], listed["eth1"], listed["lo"]
        assert find_interfaces(None) == [eth0, eth1]
        assert find_interfaces("lo") == [loopback]
        assert find_interfaces(eth1.index) == [eth1]
        assert find_interfaces("10.0.2.1") == [eth1]
        assert find_interfaces(["eth1", "fd00:1::1", eth1]) == [eth1, eth0]
        with pytest.raises(InterfaceNotFoundError, match=r"'eth9'.*eth0.*eth1"):
            find_interfaces("eth9")


@pytest.mark.parametrize(
    ("routes", "group", "expected"),
    [
        ([], "239.0.0.0", None),
        ([], "ff02::1", None),
        (["239.0.0.0/8 dev eth1"], "239.0.0.0", "eth1"),
        (["239.0.0.0/8 dev eth1"], "224.1.1.1", None),
        (["default dev eth0", "239.1.0.0/16 dev eth1"], "239.1.2.3", "eth1"),
        (["default dev eth0", "239.1.0.0/16 dev eth1"], "239.2.2.3", "eth0"),
        (["default via 10.0.2.2"], "239.0.0.0", "eth1"),
        ([], "ff02::1%eth1", "eth1"),
    ],
)
def test_default_interface_follows_the_routes(
    routes: list[str], group: str, expected: str | None, two_lans: TwoLans
) -> None:
    for route in routes:
        two_lans.a.run("ip", "route", "add", *route.split())
    with on(two_lans.a):
        found = default_interface(group)
    assert (found and found.name) == expected


def test_default_interface_for_ipv6_follows_the_routes(two_lans: TwoLans) -> None:
    run = two_lans.a.run
    run("ip", "-6", "route", "add", "multicast", "ff05::/16", "dev", "eth1", "table", "local")
    with on(two_lans.a):
        found = default_interface("ff05::1234")
    assert found is not None
    assert found.name == "eth1"


def test_default_interface_of_a_machine_without_any_is_none(lab: Lab) -> None:
    with on(lab.host("a")):
        assert default_interface() is None
        with pytest.raises(ValueError, match=r"'10\.0\.0\.1' is not a multicast group"):
            default_interface("10.0.0.1")
