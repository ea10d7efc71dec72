"""Whether an interface is fit for multicast, and why not."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface
from typing import Any

import attrs
import pytest

from trio_mcast import Interface, InterfaceAddress
from trio_mcast._diagnosis.fitness import judge_interface

pytestmark = pytest.mark.once

IPV4, IPV6 = IPv4Interface("10.0.0.1/24"), IPv6Interface("fd00::1/64")
ETH0 = Interface("eth0", 2, ipv4_addresses=(IPV4,), ipv6_addresses=(IPV6,), mtu=1500)
FAILED = (InterfaceAddress(IPV4), InterfaceAddress(IPV6, state="failed"))


@pytest.mark.parametrize(
    ("changes", "text", "is_default"),
    [
        ({}, "fit", True),
        ({"is_up": False}, "not fit, switched off", False),
        ({"master": "br0"}, "not fit, port of br0", False),
        ({"is_loopback": True}, "not fit, loopback", False),
        ({"is_multicast": False}, "not fit, not marked as capable of multicast", False),
        ({"ipv6_addresses": ()}, "fit, no IPv6 address", True),
        ({"ipv4_addresses": ()}, "fit, no IPv4 address", True),
        ({"address_details": FAILED}, "fit, no IPv6 address", True),
        ({"mtu": 1000}, "fit, mtu too small for IPv6", True),
        (
            {"ipv4_addresses": (), "ipv6_addresses": ()},
            "not fit, no IPv4 address, no IPv6 address",
            True,
        ),
        ({"is_up": False, "ipv6_addresses": ()}, "not fit, switched off", False),
    ],
)
def test_fitness_tells_why_not(changes: dict[str, Any], text: str, is_default: bool) -> None:
    fitness = judge_interface(attrs.evolve(ETH0, **changes))
    assert (str(fitness), fitness.is_default) == (text, is_default)
    assert fitness.is_fit is text.startswith("fit")


def test_fitness_takes_in_what_only_the_system_knows() -> None:
    assert str(judge_interface(ETH0, is_running=True)) == "fit"
    assert str(judge_interface(ETH0, is_running=False)) == "not fit, no carrier"
    assert str(judge_interface(ETH0, switched_off=["ipv6"])) == "fit, IPv6 switched off"
    off = attrs.evolve(ETH0, is_up=False)
    assert str(judge_interface(off, is_running=False)) == "not fit, switched off"
