"""What interfaces there are, against what the ip command says of the same machine."""

from __future__ import annotations

import errno
import json
import socket
import struct
import sys
from ipaddress import IPv4Address, ip_interface
from typing import Any

import pytest

from tests.lab import Host, Lab
from tests.lab.fixtures import TwoLans
from tests.lab.machine import on
from trio_mcast import (
    Interface,
    InterfaceNotFoundError,
    default_interface,
    find_interfaces,
    list_interfaces,
)

if sys.platform != "linux":
    pytest.skip("what Linux says of its interfaces", allow_module_level=True)

from trio_mcast._host.linux import interfaces, netlink


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


def test_interface_renamed_while_they_are_read_is_whole(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = lab.host("a")
    host.plug("old0", lab.switch("lan"), "10.0.0.1/24", link_local=False)
    questions: list[int] = []
    dump = netlink.dump

    def rename_after_links(query: socket.socket, question: int) -> tuple[list[bytes], bool]:
        answer = dump(query, question)
        if not questions:
            host.run("ip", "link", "set", "old0", "name", "new0")
        questions.append(question)
        return answer

    monkeypatch.setattr(interfaces, "dump", rename_after_links)
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
    dump = netlink.dump

    def change_after_links(query: socket.socket, question: int) -> tuple[list[bytes], bool]:
        messages, whole = dump(query, question)
        questions.append(question)
        if len(questions) == 1:
            host.run("ip", "link", "add", "late0", "type", "bridge")
            whole = False  # The kernel says so where the list takes more than one message.
        return messages, whole

    monkeypatch.setattr(interfaces, "dump", change_after_links)
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
