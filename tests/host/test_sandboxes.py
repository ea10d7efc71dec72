"""Where a sandbox refuses netlink or a part of it, interfaces are listed and followed as well."""

from __future__ import annotations

import errno
import json
import logging
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from tests.lab import Host, Lab
from tests.lab.machine import LabMachine, on
from tests.support import sandboxed
from tests.support.watched_host import ip
from trio_mcast import Interface, SocketSetupError, list_interfaces

if sys.platform != "linux" or platform.machine() != "x86_64":
    pytest.skip("numbers of system calls of Linux on x86_64", allow_module_level=True)

from trio_mcast._host.linux import interfaces, netlink, without_netlink

pytestmark = pytest.mark.once

# The numbers of system calls, an argument of each and its value.
NETLINK = (41, 0, socket.AF_NETLINK)  # socket
BIND = (49, 2, 12)  # bind to a struct sockaddr_nl, by its length
LINKS = (44, 2, 40)  # sendto of a netlink request for all links, by its length
HARDWARE_ADDRESS = (16, 1, 0x8927)  # ioctl SIOCGIFHWADDR

SANDBOXES: dict[str, list[tuple[int, int, int, int]]] = {
    "no AF_NETLINK, as of systemd": [(*NETLINK, errno.EAFNOSUPPORT)],
    "no AF_NETLINK": [(*NETLINK, errno.EACCES)],
    "no bind": [(*BIND, errno.EPERM)],
    "no bind, as of gVisor": [(*BIND, errno.EACCES)],
    # SELinux refuses all three to apps.
    "as of Android": [
        (*BIND, errno.EACCES),
        (*LINKS, errno.EACCES),
        (*HARDWARE_ADDRESS, errno.EACCES),
    ],
    "no hardware address": [(*NETLINK, errno.EPERM), (*HARDWARE_ADDRESS, errno.EPERM)],
}


@pytest.fixture
def host(lab: Lab) -> Host:
    host = lab.host("a")
    ip(
        host,
        "link add x0 type bridge",
        "link set x0 up",
        "address add 10.0.0.1/24 dev x0",
        "address add 10.0.0.2/24 dev x0 label x0:1",
        "address add 10.0.0.3/24 dev x0 label vip",
        "address add 10.6.0.3/20 dev x0 label vip6",
        "address add 10.8.0.3/32 dev x0 label x0vip",
        "address add fd00::1/64 dev x0 nodad",
        "address add 10.0.0.5 peer 10.0.0.6/32 dev x0",
        "link set x0 mtu 1400",
        "link add bare0 type bridge",
        "link add first0 type bridge",
        "link set first0 up",
        "address add 10.5.0.1/22 dev first0 label service",
        "address add 10.9.0.1/32 dev first0 label first0.9",
        "route add 239.0.0.0/8 dev x0",
    )
    return host


def what_is_told(interface: Interface, *, hardware: bool) -> Interface:
    """Return an interface as it is told without netlink."""
    details = (
        attrs.evolve(detail, state=None) if detail.address.version == 4 else detail
        for detail in interface.address_details
    )
    link_address = interface.link_address if hardware else None
    return attrs.evolve(interface, address_details=tuple(details), link_address=link_address)


@pytest.mark.parametrize("name", SANDBOXES)
def test_interfaces_are_listed_and_followed_in_a_sandbox(name: str, host: Host) -> None:
    rules = SANDBOXES[name]
    with on(host):
        expected = list_interfaces()
    if any(rule[:3] in (NETLINK, LINKS) for rule in rules):
        hardware = not any(rule[:3] == HARDWARE_ADDRESS for rule in rules)
        expected = [what_is_told(interface, hardware=hardware) for interface in expected]
    command = [sys.executable, sandboxed.__file__, json.dumps(rules)]
    with host.popen(*command, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        first = program.stdout.readline()
        if first != "open\n":
            pytest.fail(program.stderr.read())
        ip(host, "link add y0 type bridge", "address add 10.0.1.1/24 dev y0", "link set y0 up")
        output, log = program.communicate(timeout=30)
    seen = json.loads(output)
    assert seen["interfaces"] == list(map(repr, expected))
    assert seen["default"] == "x0"
    assert seen["received"] == ["hello", "x0"]
    assert seen["memberships"] == [[name, "joined"] for name in ("x0", "first0", "y0")]
    warnings = [line for line in log.splitlines() if "AF_NETLINK" in line]
    assert len(warnings) == 1
    assert all(line.startswith("trio_mcast ") for line in warnings)


LIST_MASTERS = """
import json
import sys
from tests.support import sandboxed
from trio_mcast import list_interfaces

sandboxed.refuse(json.loads(sys.argv[1]))
print(json.dumps({each.name: each.master for each in list_interfaces()}))
"""


@pytest.mark.parametrize("shows", [True, False], ids=["own /sys", "another network's /sys"])
def test_ports_are_told_in_a_sandbox_by_the_sys_of_their_network(shows: bool, host: Host) -> None:
    ip(
        host,
        "link add port0 type veth peer name free0",
        "link set port0 master x0",
    )
    rules = json.dumps([(*NETLINK, errno.EAFNOSUPPORT)])
    command = [sys.executable, "-c", LIST_MASTERS, rules]
    if shows:
        mount = 'mount -t sysfs none /sys && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", mount, "sh", *command]
    with host.popen(*command) as program:
        output, _ = program.communicate(timeout=30)
    masters = json.loads(output)
    assert masters.pop("port0") == ("x0" if shows else None)
    assert {"x0", "free0"} <= set(masters)
    assert set(masters.values()) == {None}


@pytest.fixture
def not_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(without_netlink, "_warned", [])


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE])
def test_list_that_is_refused_is_made_by_ioctl_and_other_errors_are_told(
    number: int,
    host: Host,
    not_warned: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with on(host):
        expected = [what_is_told(each, hardware=True) for each in list_interfaces()]

    def dump_parts(_query: socket.socket, question: int, *_content: bytes) -> Iterator[Any]:
        if question == netlink.RTM_GETLINK:  # What Android refuses to apps.
            raise OSError(number, "refused")
        yield [], True

    monkeypatch.setattr(interfaces, "dump_parts", dump_parts)
    machine = LabMachine(host)
    with host.inside(), caplog.at_level(logging.WARNING, "trio_mcast"):
        if number == errno.EMFILE:
            with pytest.raises(SocketSetupError):
                machine.list_interfaces()
            assert caplog.messages == []
            return
        assert machine.list_interfaces() == expected
        assert machine.list_interfaces()[0] is machine.list_interfaces()[0]
    (message,) = caplog.messages
    assert "AF_NETLINK" in message
