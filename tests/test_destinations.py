"""Which socket of a sender leads where, when some of them are not open."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.machine import ETH0, ETH1, MACHINE
from trio_mcast import Endpoint, McastSenderSpec
from trio_mcast._destinations import Destination, Way, Ways, checked_payloads
from trio_mcast._platform import PLATFORMS

FOUR, SIX = "239.1.2.3", "ff15::1:2:3"


def ways(groups: Sequence[str], interfaces: Sequence[str], *gone: int) -> Ways:
    spec = McastSenderSpec(groups, 5000, interfaces=interfaces)
    plan = spec.plan_targets(MACHINE, PLATFORMS["linux"])
    return Ways(plan.sockets, plan.targets, 5000, frozenset(gone))


def test_everywhere_is_every_group_on_every_interface() -> None:
    assert ways([FOUR, SIX], ["eth0", "eth1"]).everywhere() == (
        (0, (FOUR, 5000)),
        (1, (FOUR, 5000)),
        (2, (SIX, 5000, 0, ETH0.index)),
        (3, (SIX, 5000, 0, ETH1.index)),
    )


# Where to, which sockets are gone, and the ways; sockets 0 and 2 are of eth0, 1 and 3 of eth1.
LEADING: list[tuple[Destination, list[int], list[Way]]] = [
    (FOUR, [], [(0, (FOUR, 5000)), (1, (FOUR, 5000))]),
    ("239.9.9.9", [], [(0, ("239.9.9.9", 5000)), (1, ("239.9.9.9", 5000))]),
    (("239.9.9.9", 7), [], [(0, ("239.9.9.9", 7)), (1, ("239.9.9.9", 7))]),
    # What is not open is not passed over: that nothing goes out there is to be noticed.
    (FOUR, [0], [(0, (FOUR, 5000)), (1, (FOUR, 5000))]),
    ("239.9.9.9", [0, 1], [(0, ("239.9.9.9", 5000)), (1, ("239.9.9.9", 5000))]),
    ("ff02::7%eth1", [3], [(3, ("ff02::7", 5000, 0, 8))]),
    # A peer is reached over its network; otherwise any way will do.
    (("10.0.0.7", 7), [], [(0, ("10.0.0.7", 7))]),
    (("10.1.0.7", 7), [], [(1, ("10.1.0.7", 7))]),
    (("192.0.2.7", 7), [], [(0, ("192.0.2.7", 7))]),
    (("10.0.0.7", 7), [0], [(1, ("10.0.0.7", 7))]),
    (("10.0.0.7", 7), [0, 1], [(0, ("10.0.0.7", 7))]),
    (("192.0.2.7", 7), [0], [(1, ("192.0.2.7", 7))]),
    # Not where a zone says which.
    (Endpoint("fe80::7%eth0", 7), [2], [(2, ("fe80::7", 7, 0, 7))]),
    (Endpoint("2001:db8::7", 7), [], [(2, ("2001:db8::7", 7, 0, 0))]),
]


@pytest.mark.parametrize(("to", "gone", "expected"), LEADING)
def test_destination_is_reached_through(
    to: Destination, gone: list[int], expected: list[Way]
) -> None:
    found = ways([FOUR, SIX], ["eth0", "eth1"], *gone).leading_to(to)
    assert list(found) == expected


def test_open_socket_of_an_interface_is_preferred() -> None:
    # Two sockets on one interface: for a link-local group and for a wider one.
    both = ["ff02::1", "ff05::1"]
    assert ways(both, ["eth0"]).leading_to("ff05::9") == ((0, ("ff05::9", 5000, 0, 7)),)
    assert ways(both, ["eth0"], 0).leading_to("ff05::9") == ((1, ("ff05::9", 5000, 0, 7)),)
    assert ways(both, ["eth0"], 0, 1).leading_to("ff05::9")[0][1] == ("ff05::9", 5000, 0, 7)


def test_batch_may_be_empty_and_of_any_buffers() -> None:
    assert checked_payloads([]) == []
    assert checked_payloads([b"1", bytearray(b"2")]) == [b"1", b"2"]
