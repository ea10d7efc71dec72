"""``trio-mcast plan``, as people run it: for any platform, and nothing is opened."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence

import attrs
import pytest

from tests.lab.fixtures import TwoLans
from tests.support.examples import DOCS
from trio_mcast import Interface, McastReceiverSpec
from trio_mcast._cli.plan_view import bytes_text, describe_socket, socket_as_json

from .test_demo import COMMAND, environment, run_here

pytestmark = pytest.mark.once

PLAN = (*COMMAND, "plan")
ON_LO = ("--interface", "lo")
ETH0 = Interface("eth0", 7)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"", ""),
        (b"\x01\x02", "01 02"),
        (bytes(8), "00 00 00 00 00 00 00 00"),
        (bytes(9), "00*9"),
        (b"\x01" + bytes(120) + b"\x02", "01 00*120 02"),
        (bytes(9) + b"\xff" + bytes(10), "00*9 ff 00*10"),
    ],
)
def test_long_run_of_zeros_is_told_by_its_length(value: bytes, text: str) -> None:
    assert bytes_text(value) == text


def test_steps_stand_in_the_order_in_which_they_are_carried_out() -> None:
    spec = McastReceiverSpec("ff15::1", 5000, interfaces="eth0", excluded_sources="fd00::9")
    (socket_spec,) = spec.plan([ETH0], "linux")
    lines = list(describe_socket(socket_spec, 1, 2))
    assert lines[0] == "Socket 1 of 2: IPv6, receives ff15::1, on eth0"
    assert all(len(line) <= 80 for line in lines)
    steps = [line[5:] for line in lines if re.match(r" *\d+  ", line)]
    assert steps.index("set MCAST_JOIN_GROUP") < steps.index("bind to [ff15::1%7]:5000")
    assert steps[-4:] == [
        "bind to [ff15::1%7]:5000",
        "if the port is in use, first set SO_REUSEPORT = 1",
        "if the port was in use, set SO_REUSEPORT = 0",
        "if it was not, set SO_REUSEPORT = 1",
    ]
    device = lines.index("  4  set SO_BINDTODEVICE")
    assert lines[device + 2 : device + 4] == [
        "     level 1, option 25, 5 bytes: 65 74 68 30 00",
        "     if refused, set IPV6_RECVPKTINFO = 1",
    ]


def test_page_shows_what_the_command_prints() -> None:
    eth0 = attrs.evolve(ETH0, index=2)
    spec = McastReceiverSpec("232.1.2.3", 12345, interfaces="eth0", sources="10.0.0.7")
    (socket_spec,) = spec.plan([eth0], "freebsd")
    shown = textwrap.indent("\n".join(describe_socket(socket_spec, 1, 1)), "    ")
    assert f"{shown}\n\n" in (DOCS / "howto" / "plan.rst").read_text()


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd", "windows"])
def test_json_has_the_bytes_of_each_option(platform: str) -> None:
    spec = McastReceiverSpec("232.1.2.3", 5000, interfaces="eth0", sources="10.0.0.7")
    (socket_spec,) = spec.plan([ETH0], platform)  # type: ignore[arg-type]
    plain = json.loads(json.dumps(socket_as_json(socket_spec)))
    options = {step["option"]: step for step in plain["steps"] if step["step"] == "set"}
    assert len(options) == len({option.symbol for option in socket_spec.options})
    (join,) = (it for it in socket_spec.options if it.symbol == "MCAST_JOIN_SOURCE_GROUP")
    assert bytes.fromhex(options["MCAST_JOIN_SOURCE_GROUP"]["bytes"]) == join.value
    assert [step["step"] for step in plain["steps"]].count("bind") == 1
    assert (plain["group"], plain["sources"]) == ("232.1.2.3", ["10.0.0.7"])


@pytest.mark.parametrize(
    ("arguments", "first", "has"),
    [
        (("239.1.2.3:5000", *ON_LO), "IPv4, receives 239.1.2.3, on lo", "bind to 239.1.2.3:5000"),
        (
            ("10.0.0.7@232.1.2.3:5000", *ON_LO, "--platform", "win32"),
            "IPv4, receives 232.1.2.3 from 10.0.0.7, on lo",
            "bind to 127.0.0.1:5000",
        ),
        (
            ("[ff15::1%lo]:5000", "--platform", "macOS"),
            "IPv6, receives ff15::1, on lo",
            "IPV6_BOUND_IF",
        ),
        (("239.1.2.3:5000", *ON_LO, "--sender"), "IPv4, sends, on lo", "IP_MULTICAST_IF"),
        (
            ("239.1.2.3:5000", *ON_LO, "--exclude", "10.0.0.9"),
            "IPv4, receives 239.1.2.3, on lo",
            "MCAST_BLOCK_SOURCE",
        ),
    ],
)
def test_plan_is_printed(arguments: Sequence[str], first: str, has: str) -> None:
    result = run_here("plan", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Socket 1 of 1: {first}\n")
    assert has in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (("239.1.2.3",), 2, "GROUP:PORT"),
        (("239.1.2.3:5000", "--platform", "amiga"), 2, "amiga"),
        (("10.0.0.7@232.1.2.3:5000", "--sender"), 2, "a sender has no sources"),
        (("239.1.2.3:5000", "--interface", "nosuch7"), 1, "nosuch7"),
    ],
)
def test_wrong_plan_is_a_sentence(arguments: Sequence[str], status: int, complaint: str) -> None:
    result = run_here("plan", *arguments)
    assert (result.returncode, result.stdout) == (status, "")
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1


def test_plan_of_a_receiver_has_a_socket_for_each_group_interface_and_port(
    two_lans: TwoLans,
) -> None:
    arguments = ("239.1.2.3:5000", "239.1.2.3:5001", "[ff15::1%eth1]:5000", "--json")
    result = two_lans.a.run(*PLAN, *arguments, env=environment())
    sockets = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted((one["interface"], one["group"]) for one in sockets) == [
        ("eth0", "239.1.2.3"),
        ("eth0", "239.1.2.3"),
        ("eth1", "239.1.2.3"),
        ("eth1", "239.1.2.3"),
        ("eth1", "ff15::1"),
    ]
    assert {one["platform"] for one in sockets} == {"linux"}


def test_plan_of_a_sender_follows_the_routes_as_the_opening_does(two_lans: TwoLans) -> None:
    arguments = ("239.1.2.3:5000", "--sender", "--json")
    refused = two_lans.a.run(*PLAN, *arguments, check=False, env=environment())
    assert refused.returncode == 1
    assert "no route" in refused.stderr
    two_lans.a.run("ip", "route", "add", "239.0.0.0/8", "dev", "eth1")
    result = two_lans.a.run(*PLAN, *arguments, env=environment())
    assert json.loads(result.stdout)["interface"] == "eth1"
