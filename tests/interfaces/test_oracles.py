"""Other libraries that know a machine's interfaces and routes say the same of them."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from typing import Any

import pytest

from tests.lab import Host, Lab, lab_problem
from tests.lab.machine import on
from tests.support.needs import needs_module, require
from tests.support.watched_host import ip
from trio_mcast import Interface, default_interface, list_interfaces

GROUPS = ("224.0.0.251", "239.1.2.3", "232.1.1.1", "ff05::1:3", "ff3e::8000:1")

IFF_UP, IFF_LOOPBACK, IFF_MULTICAST = 0x1, 0x8, 0x1000  # linux/if.h


@pytest.fixture(params=["this machine", "a machine with much"])
def machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let interfaces and routes be asked of this machine, of which one only looks, and another."""
    if request.param == "this machine":
        yield
        return
    require(lab_problem())
    with ExitStack() as stack:
        host = stack.enter_context(Lab()).host("a")
        _furnish(host)
        stack.enter_context(on(host))
        stack.enter_context(host.inside())
        yield


def _furnish(host: Host) -> None:
    ip(
        host,
        "link add x0 type veth peer name x1",
        "link set x0 mtu 1400 up",
        "link set x1 up",
        "link add y0 type veth peer name y1",
        "link set y0 up",
        "link set y1 up",
        "link add br0 type bridge",
        "link add x2 type veth peer name x3",
        "link set x2 master br0",
        "link set x3 multicast off",
        "link property add dev x3 altname the-other-end",
        "address add 10.0.0.1/24 dev x0",
        "address add 10.0.0.2/24 dev x0 label x0:1",
        "address add 10.0.0.3/24 dev x0 label vip",
        "address add 10.1.0.1/30 dev y0",
        "address add 10.2.0.5 peer 10.2.0.6/32 dev x3",
        "address add fd00:1::1/64 dev x0 nodad",
        "address add fd00:1::2/64 dev x0 nodad preferred_lft 0",
        "address add fd00:7::1/48 dev y0 nodad",
        "link set br0 up",
        "route add 239.0.0.0/8 dev x0",
        "route add 232.1.0.0/16 dev y0",
        "route add default via 10.1.0.2",
        "route add multicast ff05::/16 dev y0 table local metric 10",
    )


def _addresses(interface: Interface) -> list[str]:
    """Return the addresses with the length of their networks, without zones."""
    addresses = (*interface.ipv4_addresses, *interface.ipv6_addresses)
    return [re.sub("%[^/]*", "", str(address)) for address in addresses]


@needs_module("psutil")
def test_psutil_says_the_same_of_interfaces(machine: None) -> None:
    import psutil

    facts, entries = psutil.net_if_stats(), psutil.net_if_addrs()
    # To psutil, addresses with a label are of an interface of that name.
    labelled = [
        text for name in entries.keys() - facts.keys() for text in _of_psutil(entries[name])
    ]
    for interface in list_interfaces():
        fact = facts.pop(interface.name)
        is_up = "up" in fact.flags.split(",") if fact.flags else fact.isup
        assert (interface.mtu, interface.is_up) == (fact.mtu, is_up)
        assert sorted(set(_addresses(interface)).difference(labelled)) == sorted(
            _of_psutil(entries.get(interface.name, ()))
        )
    # Windows does not list what is disabled, and we do not either.
    assert sys.platform == "win32" or not facts


@needs_module("psutil")
def test_psutil_says_the_same_of_flags_and_hardware_addresses(machine: None) -> None:
    import psutil

    for interface in list_interfaces():
        flags = psutil.net_if_stats()[interface.name].flags.split(",")
        if flags != [""]:  # It has none on Windows.
            assert ("multicast" in flags, "loopback" in flags) == (
                interface.is_multicast,
                interface.is_loopback,
            )
        entries = psutil.net_if_addrs().get(interface.name, ())
        hardware = [e.address.lower() for e in entries if e.family == psutil.AF_LINK]
        if interface.is_loopback:  # Linux has one of zeros for it.
            hardware = []
        assert [address for address in [interface.link_address] if address] == hardware


def _of_psutil(entries: Iterable[Any]) -> Iterator[str]:
    for entry in entries:
        if entry.family in (socket.AF_INET, socket.AF_INET6):
            length = bin(int(ip_address(entry.netmask))).count("1")
            yield f"{entry.address.partition('%')[0]}/{length}"


@pytest.mark.skipif(sys.platform != "linux", reason="pyroute2 asks netlink, which Linux has")
@needs_module("pyroute2")
def test_pyroute2_says_the_same_of_interfaces(machine: None) -> None:
    from pyroute2 import IPRoute

    with IPRoute() as netlink:
        links = {link["index"]: link for link in netlink.get_links()}
        entries = list(netlink.get_addr())
    found = {interface.index: interface for interface in list_interfaces()}
    assert found.keys() == links.keys()
    for index, interface in found.items():
        attributes, flags = dict(links[index]["attrs"]), links[index]["flags"]
        assert interface.name == attributes["IFLA_IFNAME"]
        assert interface.mtu == attributes["IFLA_MTU"]
        assert interface.is_up == bool(flags & IFF_UP)
        assert interface.is_loopback == bool(flags & IFF_LOOPBACK)
        assert interface.is_multicast == bool(flags & IFF_MULTICAST)
        master = links.get(attributes.get("IFLA_MASTER"))
        assert interface.master == (master and dict(master["attrs"])["IFLA_IFNAME"])
        own = [entry for entry in entries if entry["index"] == index]
        assert _addresses(interface) == list(map(_of_netlink, own))


def _of_netlink(entry: Any) -> str:
    attributes = dict(entry["attrs"])
    address = attributes.get("IFA_LOCAL", attributes["IFA_ADDRESS"])
    return f"{address}/{entry['prefixlen']}"


@pytest.mark.skipif(sys.platform != "linux", reason="pyroute2 asks netlink, which Linux has")
@needs_module("pyroute2")
@pytest.mark.parametrize("group", GROUPS)
def test_pyroute2_says_the_same_of_routes(group: str, machine: None) -> None:
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    expected = None
    # A group that the machine has no route for, or none but a refusal.
    with suppress(NetlinkError), IPRoute() as netlink:
        (route,) = netlink.route("get", dst=group)
        expected = dict(route["attrs"])["RTA_OIF"]
    default = default_interface(group)
    assert (default and default.index) == expected
