"""Looks at many interfaces and addresses: what is known already is not made again."""

from __future__ import annotations

import os
import struct
import sys
from typing import Any

import pytest

from tests.lab import Host, Lab
from tests.lab.machine import LabMachine
from tests.support.watched_host import ip
from trio_mcast import Interface

if sys.platform != "linux":
    pytest.skip("what Linux says of its interfaces", allow_module_level=True)

from trio_mcast._host.linux import interfaces, netlink

pytestmark = pytest.mark.once


@pytest.fixture
def host(lab: Lab) -> Host:
    host = lab.host("a")
    many = [f"address add 10.1.{number // 250}.{number % 250 + 1}/32" for number in range(300)]
    ip(host, "link add x0 type bridge", *[f"{command} dev x0" for command in many])
    return host


def by_name(machine: LabMachine) -> dict[str, Interface]:
    return {interface.name: interface for interface in machine.list_interfaces()}


def test_interface_that_has_not_changed_is_the_same_object(host: Host) -> None:
    machine = LabMachine(host)
    ip(host, "link set lo up", "link add x1 type bridge")
    before = by_name(machine)
    ip(host, "link set x1 mtu 1400", "address add 10.9.9.9/32 dev x0")
    after = by_name(machine)
    assert after["lo"] is before["lo"]
    assert after["x1"].mtu == 1400
    # Of an interface that has changed, all addresses but the new one are the same objects.
    old = {id(detail) for detail in before["x0"].address_details}
    new = [detail for detail in after["x0"].address_details if id(detail) not in old]
    assert [str(detail.address) for detail in new] == ["10.9.9.9/32"]


def test_change_of_what_is_known_is_seen(host: Host) -> None:
    machine = LabMachine(host)
    ip(host, "address add 10.9.9.9/32 dev x0", "link add x1 type bridge")
    before = by_name(machine)
    ip(host, "address change 10.9.9.9/32 dev x0 valid_lft 100 preferred_lft 0")
    after = by_name(machine)
    (detail,) = set(after["x0"].address_details) - set(before["x0"].address_details)
    assert (str(detail.address), detail.state) == ("10.9.9.9/32", "deprecated")


def test_port_of_a_master_that_is_renamed_has_the_new_name(host: Host, lab: Lab) -> None:
    machine = LabMachine(host)
    host.plug("eth0", lab.switch("lan"))
    ip(host, "link set eth0 master x0")
    assert by_name(machine)["eth0"].master == "x0"
    ip(host, "link set x0 name x9")
    assert by_name(machine)["eth0"].master == "x9"


def test_nothing_is_kept_that_the_last_look_has_not_met(host: Host) -> None:
    looking = interfaces.LinuxInterfaces()
    with host.inside():
        list(looking.look())
        ip(host, "link delete x0")
        list(looking.look())
    look = looking._last
    assert (len(look._links), len(look._addresses), len(look._interfaces)) == (1, 2, 1)
    assert look._before is None


def test_counts_of_ipv6_are_not_asked_for(host: Host) -> None:
    def length(*content: bytes) -> int:
        parts = netlink.dump_parts(query, netlink.RTM_GETLINK, *content)
        return sum(len(message) for messages, _whole in parts for message in messages)

    with host.inside(), netlink.open_netlink() as query:
        assert 0 < length(netlink.SHORT_LINKS) < length()


@pytest.mark.parametrize("local", [b"", struct.pack("=HH4s", 8, 2, b"\x0a\1\1\2")])
def test_address_of_a_peer_is_not_taken_for_this_ones(local: bytes) -> None:
    link = struct.pack("=BxHiII", 0, 1, 4, 0x1003, 0) + struct.pack("=HH8s", 9, 3, b"eth0")
    address = struct.pack("=BBBBI", 2, 24, 0x80, 0, 4) + struct.pack("=HH4s", 8, 1, b"\x0a\1\1\1")
    (eth0,) = interfaces.interfaces_in([link], [address + local])
    assert [str(each) for each in eth0.ipv4_addresses] == [f"10.1.1.{2 if local else 1}/24"]


def test_look_is_made_in_short_steps(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    real_read = interfaces._read_address

    def read_address(message: bytes) -> Any:
        read.append(message)
        return real_read(message)

    monkeypatch.setattr(interfaces, "_read_address", read_address)
    steps = []
    with host.inside():
        for _listed in interfaces.LinuxInterfaces().look():
            steps.append(len(read))
            read.clear()
    assert sum(steps) >= 300
    assert max(steps) <= interfaces.AT_ONCE


def test_look_that_is_given_up_leaves_nothing_open(host: Host) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with host.inside():
        steps = LabMachine(host).look()
        next(steps)
        steps.close()
    assert sorted(os.listdir("/proc/self/fd")) == before
