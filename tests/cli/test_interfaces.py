"""``trio-mcast interfaces``, as people run it: fitness, defaults, changes as they come."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Interface, IPv6Interface

import attrs
import pytest

from tests.lab import Host, Lab
from tests.lab.fixtures import TwoLans
from trio_mcast import Interface, InterfaceAddress
from trio_mcast._cli.interfaces import take_snapshot
from trio_mcast._cli.interfaces_view import (
    Default,
    InterfaceRow,
    Snapshot,
    describe_address,
    describe_changes,
    describe_default,
)
from trio_mcast._diagnosis.fitness import judge_interface
from trio_mcast.testing import VirtualNetwork

from .test_demo import COLOUR, COMMAND, environment

pytestmark = pytest.mark.once

INTERFACES = (*COMMAND, "interfaces")
LIVE = ("env", "--default-signal=INT", *INTERFACES, "--live")
IPV4, IPV6 = IPv4Interface("10.0.0.1/24"), IPv6Interface("fe80::1%eth0/64")
ETH0 = Interface("eth0", 2, ipv4_addresses=(IPV4,), mtu=1500)


@pytest.mark.parametrize(
    ("detail", "text"),
    [
        (InterfaceAddress(IPV4, state="preferred"), "10.0.0.1/24"),
        (InterfaceAddress(IPV6, scope="link"), "fe80::1/64 (link)"),
        (
            InterfaceAddress(IPV6, scope="link", state="tentative", temporary=True),
            "fe80::1/64 (link, tentative, temporary)",
        ),
    ],
)
def test_address_tells_what_is_special_about_it(detail: InterfaceAddress, text: str) -> None:
    assert describe_address(detail) == text


def row(interface: Interface) -> InterfaceRow:
    return InterfaceRow(interface, judge_interface(interface))


def test_each_change_has_a_line() -> None:
    without = Default("239.0.0.0", True, (), None, "no interface is fit")
    other = Interface("eth1", 3)
    before = Snapshot((row(ETH0), row(other)), (without,))
    more = IPv4Interface("10.0.0.9/24")
    changed = attrs.evolve(ETH0, ipv4_addresses=(more,), mtu=1400, master="br0")
    after = Snapshot((row(changed), row(attrs.evolve(other, name="lan", index=4))), (without,))
    assert list(describe_changes(before, before)) == []
    assert list(describe_changes(before, after)) == [
        "eth1 removed",
        "eth0: for multicast was fit, no IPv6 address, is not fit, port of br0",
        "eth0: mtu was 1500, is 1400",
        "eth0: address 10.0.0.1/24 removed",
        "eth0: address 10.0.0.9/24 added",
        "lan added: not fit, no IPv4 address, no IPv6 address; no address",
    ]
    found = Default("239.0.0.0", True, ("eth0",), "eth0")
    assert list(describe_changes(before, attrs.evolve(before, defaults=(found,)))) == [
        "IPv4 groups: a receiver joins on eth0; a sender sends on eth0"
    ]
    assert describe_default(without) == (
        "IPv4 groups: a receiver joins on no interface; a sender cannot send: no interface is fit"
    )


async def test_snapshot_is_of_the_host_where_it_is_taken() -> None:
    async with VirtualNetwork() as network:
        host, lan = network.host("a"), network.switch("lan")
        host.plug("eth0", lan, "10.0.0.1/24")
        with host:
            snapshot = take_snapshot()
    assert [str(it.interface) for it in snapshot.rows] == ["lo", "eth0"]
    assert str(snapshot.rows[1].fitness) == "fit, no IPv6 address"
    assert [(it.receiver, it.sender) for it in snapshot.defaults] == [
        (("eth0",), "eth0"),
        (("eth0",), None),
    ]


def test_what_stands_against_each_interface_is_told(two_lans: TwoLans) -> None:
    host = two_lans.a
    for command in (
        "link add br0 type bridge",
        "link add p0 type veth peer name p1",
        "link set p0 up master br0",
        "link set eth1 multicast off",
        "link property add dev eth0 altname enp0s31f6",
        "route add 239.0.0.0/8 dev eth0",
    ):
        host.run("ip", *command.split())
    result = host.run(*INTERFACES, "--json", env=environment())
    answer = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    by_name = {one["name"]: one for one in answer["interfaces"]}
    assert {name: one["reasons"] for name, one in by_name.items()} == {
        "lo": ["loopback"],
        "eth0": [],
        "eth1": ["not marked as capable of multicast"],
        "br0": ["switched off"],
        "p0": ["port of br0", "no carrier"],
        "p1": ["switched off"],
    }
    assert [name for name, one in by_name.items() if one["fit"]] == ["eth0"]
    # The second opinion.
    links = {it["ifname"]: it for it in json.loads(host.run("ip", "-j", "address").stdout)}
    for name, link in links.items():
        one = by_name[name]
        assert (one["index"], one["mtu"]) == (link["ifindex"], link["mtu"])
        assert one["link_address"] == (None if name == "lo" else link["address"])
        listed = {f"{it['local']}/{it['prefixlen']}" for it in link["addr_info"]}
        assert {it["address"] for it in one["addresses"]} == listed
    assert by_name["eth0"]["other_names"] == ["enp0s31f6"]
    assert [(it["group"], it["receiver"], it["sender"]) for it in answer["defaults"]] == [
        ("239.0.0.0", ["eth0"], "eth0"),
        ("ff15::1", ["eth0"], "eth0"),
    ]


@pytest.mark.parametrize("columns", ["80", "200"])
def test_table_is_plain_and_fits(columns: str, two_lans: TwoLans) -> None:
    arguments = ("239.1.2.3", "ff02::1%eth1")
    result = two_lans.a.run(*INTERFACES, *arguments, env=environment(COLUMNS=columns))
    assert not set(result.stdout) & {chr(code) for code in range(32) if code != 10}
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert max(map(len, lines)) <= int(columns)
    assert any(line.startswith("eth1 ") and "10.0.2.1/24" in line for line in lines)
    text = " ".join(" ".join(lines).split())
    assert (
        "239.1.2.3: a receiver joins on eth0, eth1; a sender cannot send: this machine has no "
        "route to it, and more than one interface is fit" in text
    )
    assert "ff02::1%eth1: a receiver joins on eth1; a sender sends on eth1" in text


def test_wrong_group_is_a_sentence(lab: Lab) -> None:
    result = lab.host("a").run(*INTERFACES, "10.0.0.1", check=False, env=environment())
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "'10.0.0.1' is not a multicast group" in result.stderr


def test_live_in_a_pipe_tells_each_change_in_a_line(two_lans: TwoLans) -> None:
    host, port = two_lans.a, two_lans.b
    path = port.namespace.path
    host.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", path)
    host.run("ip", "link", "set", "v0", "up")
    port.run("ip", "link", "set", "v1", "up")
    with host.popen(*LIVE, env=environment()) as process:
        assert process.stdout is not None
        line = ""
        while not line.startswith("IPv6 groups"):
            line = process.stdout.readline()
            assert line
        host.run("ip", "address", "add", "10.0.1.77/24", "dev", "eth0")
        assert process.stdout.readline() == "eth0: address 10.0.1.77/24 added\n"
        # Nothing about the interface itself is another: the other end has gone.
        port.run("ip", "link", "set", "v1", "down")
        line = process.stdout.readline()
        assert line.startswith("v0: for multicast was ")
        assert line.endswith(", no carrier, no IPv4 address, no IPv6 address\n")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0


def test_live_json_is_one_object_a_change(two_lans: TwoLans) -> None:
    host = two_lans.a
    with host.popen(*LIVE, "--json", env=environment()) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        host.run("ip", "link", "set", "eth0", "mtu", "1400")
        second = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    assert first["changes"] == []
    assert second["changes"] == ["eth0: mtu was 1500, is 1400"]
    assert [it["mtu"] for it in second["interfaces"] if it["name"] == "eth0"] == [1400]


@contextmanager
def live_on_terminal(host: Host, **variables: str) -> Iterator[Iterator[str]]:
    """Run it on a terminal of 80 x 24 until the block ends; give what it writes, in pieces."""
    if sys.platform == "win32":
        pytest.skip("Windows has no pseudo-terminals")
    terminal, its_side = os.openpty()

    def pieces() -> Iterator[str]:
        with suppress(OSError):  # EIO: nobody has the other side open any more.
            while True:
                yield os.read(terminal, 65536).decode(errors="replace")

    env = environment(**{"TERM": "xterm", "COLUMNS": "80", "LINES": "24", **variables})
    try:
        with host.popen(*LIVE, stdout=its_side, stderr=its_side, env=env) as process:
            os.close(its_side)
            yield pieces()
            process.send_signal(signal.SIGINT)
            assert process.wait() == 0
    finally:
        os.close(terminal)


@pytest.mark.parametrize(
    ("variables", "redraws", "colours"),
    [({}, True, True), ({"NO_COLOR": "1"}, True, False), ({"TERM": "dumb"}, False, False)],
    ids=["terminal", "no-colour", "dumb"],
)
def test_live_on_a_terminal_is_redrawn_in_place(
    variables: dict[str, str], redraws: bool, colours: bool, lab: Lab
) -> None:
    host = lab.host("a")
    output = ""
    with live_on_terminal(host, **variables) as pieces:
        while "IPv6 groups" not in output:
            output += next(pieces)
        host.run("ip", "address", "add", "127.0.0.77/8", "dev", "lo")
        while "127.0.0.77" not in output:
            output += next(pieces)
    assert ("\x1b[1A" in output) is redraws
    assert bool(COLOUR.search(output)) is colours
