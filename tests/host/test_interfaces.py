"""What interfaces there are, against what the ip command says of the same machine."""

from __future__ import annotations

import errno
import json
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, ip_interface
from typing import Any

import pytest

from tests.lab import Host, Lab
from tests.lab._polling import wait_until
from tests.lab.fixtures import TwoLans
from tests.lab.machine import on
from trio_mcast import (
    Interface,
    InterfaceAddress,
    InterfaceNotFoundError,
    default_interface,
    find_interfaces,
    list_interfaces,
)

if sys.platform != "linux":
    pytest.skip("what Linux says of its interfaces", allow_module_level=True)

from trio_mcast._host.linux import interfaces, netlink


def state_by_ip_command(entry: Mapping[str, Any]) -> Any:
    for key, state in (("dadfailed", "failed"), ("deprecated", "deprecated")):
        if entry.get(key):
            return state
    return "tentative" if entry.get("tentative") else "preferred"


def interfaces_by_ip_command(host: Host) -> list[Interface]:
    found = []
    for item in json.loads(host.run("ip", "-json", "addr").stdout):
        addresses = [
            ip_interface(f"{entry['local']}/{entry['prefixlen']}") for entry in item["addr_info"]
        ]
        details: list[Any] = [
            InterfaceAddress(
                address,
                entry["scope"] if entry["scope"] != "site" else "link",
                state_by_ip_command(entry),
                entry.get("temporary", False),
            )
            for address, entry in zip(addresses, item["addr_info"], strict=True)
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
                address_details=tuple(details),
                master=item.get("master"),
                alternative_names=tuple(item.get("altnames", ())),
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


# What the `ip` command gives eth0, and the scope, the state and `temporary` of its address then.
DETAILS = [
    ("add 10.0.0.5/24", "global", "preferred", False),
    ("add 169.254.7.7/16 scope link", "link", "preferred", False),
    ("add 169.254.7.7/16", "global", "preferred", False),
    ("add 10.9.9.9/32 scope host", "host", "preferred", False),
    ("add 10.9.9.9/32 scope site", "link", "preferred", False),
    ("add 10.0.0.5/24 valid_lft 100 preferred_lft 0", "global", "deprecated", False),
    ("add 2001:db8::5/64 nodad", "global", "preferred", False),
    ("add 2001:db8::5/64 nodad valid_lft 100 preferred_lft 0", "global", "deprecated", False),
    ("add fe80::5/64 nodad", "link", "preferred", False),
]


@pytest.mark.parametrize(("command", "scope", "state", "temporary"), DETAILS)
def test_address_has_a_scope_and_a_state(
    command: str, scope: str, state: str, temporary: bool, lab: Lab
) -> None:
    host = lab.host("a")
    host.plug("eth0", lab.switch("lan"), link_local=False)
    host.run("ip", "address", *command.split(), "dev", "eth0")
    with on(host):
        assert list_interfaces() == interfaces_by_ip_command(host)
        (detail,) = find_interfaces("eth0")[0].address_details
    assert str(detail.address) == command.split()[1]
    assert (detail.scope, detail.state, detail.temporary) == (scope, state, temporary)


def until_detail(host: Host, satisfied: Callable[[InterfaceAddress], bool]) -> InterfaceAddress:
    def look() -> list[InterfaceAddress]:
        with on(host):
            return list(filter(satisfied, find_interfaces("eth0")[0].address_details))

    (detail,) = wait_until(look, bool, "such an address")
    with on(host):
        assert list_interfaces() == interfaces_by_ip_command(host)
    return detail


def test_address_is_tentative_until_nobody_else_has_it(lab: Lab) -> None:
    host = lab.host("a")
    host.plug("eth0", lab.switch("lan"), link_local=False)
    host.namespace.set_parameters(
        {"ipv6/conf/eth0/accept_dad": "1", "ipv6/conf/eth0/dad_transmits": "1"}
    )
    host.run("ip", "address", "add", "2001:db8::5/64", "dev", "eth0")
    with on(host):
        assert [each.state for each in find_interfaces("eth0")[0].address_details] == ["tentative"]
    until_detail(host, lambda detail: detail.state == "preferred")


def test_address_that_another_host_has_is_failed(lab: Lab) -> None:
    host, other, lan = lab.host("a"), lab.host("b"), lab.switch("lan")
    host.plug("eth0", lan, link_local=False)
    other.plug("eth0", lan, "2001:db8::5/64")
    host.namespace.set_parameters(
        {"ipv6/conf/eth0/accept_dad": "1", "ipv6/conf/eth0/dad_transmits": "1"}
    )
    host.run("ip", "address", "add", "2001:db8::5/64", "dev", "eth0")
    until_detail(host, lambda detail: detail.state == "failed")


def test_address_made_for_privacy_is_temporary(lab: Lab) -> None:
    host = lab.host("a")
    host.plug("eth0", lab.switch("lan"), link_local=False)
    host.namespace.set_parameters({"ipv6/conf/eth0/use_tempaddr": "2"})
    host.run(
        *["ip", "address", "add", "2001:db8::5/64", "dev", "eth0", "mngtmpaddr", "nodad"],
        *["valid_lft", "10000", "preferred_lft", "9000"],
    )
    detail = until_detail(host, lambda each: each.temporary and each.state == "preferred")
    assert detail.address.network == ip_interface("2001:db8::/64").network


def test_interface_has_a_master(lab: Lab) -> None:
    host = lab.host("a")
    host.plug("eth0", lab.switch("lan"))
    host.run(*["ip", "link", "add", "br0", "type", "bridge"])
    with on(host):
        assert find_interfaces("eth0")[0].master is None
    host.run(*["ip", "link", "set", "eth0", "master", "br0"])
    with on(host):
        assert list_interfaces() == interfaces_by_ip_command(host)
        assert find_interfaces("eth0")[0].master == "br0"
        assert find_interfaces("br0")[0].master is None


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def link(index: int, name: bytes, *, master: int = 0, kind: bytes = b"") -> bytes:
    attributes = attribute(3, name + b"\0")
    if master:
        attributes += attribute(10, struct.pack("=I", master))
    if kind:
        attributes += attribute(18, attribute(4, kind + b"\0"))
    return struct.pack("=BxHiII", 0, 1, index, 0x1003, 0) + attributes


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (b"bridge", "one0"),
        (b"bond", "one0"),
        (b"team", "one0"),
        (b"openvswitch", "one0"),
        (b"", "one0"),  # The virtual function below a netvsc: its master has no kind.
        (b"vrf", None),
    ],
)
def test_master_is_what_takes_the_packets(kind: bytes, expected: str | None) -> None:
    links = [link(4, b"eth0", master=7, kind=kind), link(7, b"one0")]
    port, master = interfaces.interfaces_in(links, [])
    assert (port.name, port.master) == ("eth0", expected)
    assert (master.name, master.master) == ("one0", None)


def test_optimistic_address_can_be_used_and_is_not_the_best() -> None:
    address = struct.pack("=BBBBI", socket.AF_INET6, 64, 0x44, 0, 4)
    address += attribute(1, bytes(15) + b"9")
    (eth0,) = interfaces.interfaces_in([link(4, b"eth0")], [address])
    assert [detail.state for detail in eth0.address_details] == ["deprecated"]


def test_alternative_names_mean_the_interface(lab: Lab) -> None:
    host = lab.host("a")
    host.plug("eth0", lab.switch("lan"), "10.0.0.1/24", "fd00::1/64")
    for name in ("enp0s31f6", "a-name-that-is-longer-than-15-bytes"):
        host.run("ip", "link", "property", "add", "dev", "eth0", "altname", name)
    with on(host):
        assert list_interfaces() == interfaces_by_ip_command(host)
        (eth0,) = find_interfaces("eth0")
        assert eth0.alternative_names == ("enp0s31f6", "a-name-that-is-longer-than-15-bytes")
        for name in eth0.alternative_names:
            assert find_interfaces(name) == [eth0]
            assert find_interfaces(f"fd00::1%{name}") == [eth0]
            assert default_interface(f"ff02::1%{name}") == eth0


def test_interface_renamed_while_they_are_read_is_whole(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = lab.host("a")
    host.plug("old0", lab.switch("lan"), "10.0.0.1/24", link_local=False)
    questions: list[int] = []
    dump_parts = netlink.dump_parts

    def rename_after_links(
        query: socket.socket, question: int, *content: bytes
    ) -> Iterator[tuple[list[bytes], bool]]:
        yield from dump_parts(query, question, *content)
        if not questions:
            host.run("ip", "link", "set", "old0", "name", "new0")
        questions.append(question)

    monkeypatch.setattr(interfaces, "dump_parts", rename_after_links)
    with on(host):
        listed = {item.name: item.addresses("ipv4") for item in list_interfaces()}
    assert len(questions) == 2
    # As it was when the interfaces were read, with the addresses that were read after that.
    assert listed["old0"] == (IPv4Address("10.0.0.1"),)


def test_interfaces_are_read_again_if_they_changed_meanwhile(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = lab.host("a")
    questions: list[int] = []
    dump_parts = netlink.dump_parts

    def change_after_links(
        query: socket.socket, question: int, *content: bytes
    ) -> Iterator[tuple[list[bytes], bool]]:
        questions.append(question)
        for messages, whole in dump_parts(query, question, *content):
            # The kernel says that something changed where the list takes more than one message.
            yield messages, whole and len(questions) > 1
        if len(questions) == 1:
            host.run("ip", "link", "add", "late0", "type", "bridge")

    monkeypatch.setattr(interfaces, "dump_parts", change_after_links)
    with on(host):
        assert [item.name for item in list_interfaces()] == ["lo", "late0"]


class Answering:
    """What stands for a netlink socket: it gives handmade answers."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = [*answers]

    def send(self, data: bytes) -> int:
        return len(data)

    def recv(self, size: int) -> bytes:
        return self._answers.pop(0)


def message(kind: int, content: bytes, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(content), kind, flags, 1, 0) + content


DONE = message(3, bytes(4))


def test_dump_tells_the_messages_and_whether_they_fit_together() -> None:
    first, other, second = message(16, b"abcd"), message(99, b"1234"), message(20, b"efgh")
    answers: Any = Answering(first + other, second, DONE)
    assert netlink.dump(answers, 18) == ([b"abcd", b"efgh"], True)
    changed: Any = Answering(message(16, b"abcd", flags=0x10) + DONE)
    assert netlink.dump(changed, 18) == ([b"abcd"], False)


@pytest.mark.parametrize("kind", [2, 3])
def test_dump_that_is_refused_is_an_error(kind: int) -> None:
    refused: Any = Answering(message(16, b"abcd"), message(kind, struct.pack("=i", -errno.EPERM)))
    with pytest.raises(PermissionError):
        netlink.dump(refused, 18)


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
