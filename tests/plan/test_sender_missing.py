"""The planner for senders that wait for what is missing."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import attrs
import pytest

from tests.support.interfaces import BARE, ETH0, ETH1, LO, MACHINE
from trio_mcast import (
    AmbiguousInterfaceError,
    Interface,
    InterfaceNotFoundError,
    McastSenderSpec,
    SocketSpec,
)
from trio_mcast._plan.route import Route
from trio_mcast._plan.sender import plan_sender, replan_sender
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._values.steps import at_once

pytestmark = pytest.mark.once

FOUR, SIX, PORT = "239.1.2.3", "ff15::1:2:3", 5000
LINUX = PLATFORMS["linux"]

WITH_TWO = attrs.evolve(BARE, ipv4_addresses=(IPv4Interface("10.7.0.1/24"),))
# The groups, what else was asked for, the machine before and after, the name and the error of what
# is missing before, and what datagrams come from after.
Machine = Sequence[Interface]
MISSING: list[tuple[Any, dict[str, Any], Machine, Machine, str, int, str]] = [
    (FOUR, {"interfaces": "eth0"}, [LO], [LO, ETH0], "eth0", errno.ENODEV, "10.0.0.1"),
    (FOUR, {"interfaces": ETH0}, [LO], [LO, ETH0], "eth0", errno.ENODEV, "10.0.0.1"),
    (FOUR, {"interfaces": 7}, [LO], [LO, ETH0], "7", errno.ENODEV, "10.0.0.1"),
    (FOUR, {"interfaces": "10.0.9.1"}, [LO], [LO, ETH0], "10.0.9.1", errno.EADDRNOTAVAIL,
     "10.0.9.1"),
    (FOUR, {"interfaces": IPv4Address("10.0.9.1")}, [LO], [LO, ETH0], "10.0.9.1",
     errno.EADDRNOTAVAIL, "10.0.9.1"),
    (SIX, {"interfaces": "fe80::1%eth0"}, [LO], [LO, ETH0, ETH1], "fe80::1%eth0", errno.ENODEV,
     "fe80::1"),
    ("ff02::5%eth0", {}, [LO], [LO, ETH0, ETH1], "eth0", errno.ENODEV, "fe80::1"),
    ("ff02::5%7", {}, [LO], [LO, ETH0, ETH1], "7", errno.ENODEV, "fe80::1"),
    ("ff02::5%eth0", {"interfaces": ["eth0", "eth1"]}, [LO, ETH1], [LO, ETH0, ETH1], "eth0",
     errno.ENODEV, "fe80::1"),
    # No route, and no candidate or several.
    (FOUR, {}, [LO], [LO, ETH0], "", errno.ENODEV, "10.0.0.1"),
    (FOUR, {}, [LO, ETH0, WITH_TWO], [LO, ETH0], "", errno.ENETUNREACH, "10.0.0.1"),
    (FOUR, {"source_address": "10.0.9.1"}, [LO], [LO, ETH0], "10.0.9.1", errno.EADDRNOTAVAIL,
     "10.0.9.1"),
    # The address, of the family or the one that was named.
    (FOUR, {"interfaces": "bare0"}, MACHINE, [WITH_TWO], "bare0", errno.EADDRNOTAVAIL, "10.7.0.1"),
    (FOUR, {"interfaces": "bare0", "source_address": "10.7.0.1"}, MACHINE, [WITH_TWO], "bare0",
     errno.EADDRNOTAVAIL, "10.7.0.1"),
    # An address that moves is on two for a moment.
    (FOUR, {"interfaces": "10.7.0.1"}, [WITH_TWO, attrs.evolve(WITH_TWO, name="x", index=3)],
     [WITH_TWO], "10.7.0.1", errno.ENETUNREACH, "10.7.0.1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("groups", "wanted", "before", "after", "name", "number", "source"), MISSING
)
def test_what_is_missing_is_waited_for(
    groups: Any,
    wanted: dict[str, Any],
    before: Sequence[Interface],
    after: Sequence[Interface],
    name: str,
    number: int,
    source: str,
) -> None:
    spec = McastSenderSpec(groups, PORT, allow_missing=True, **wanted)
    plan = plan_sender(spec._request, before, LINUX)
    ((want, stand_in, absence),) = plan.absent
    assert (stand_in.interface.name, absence.errno) == (name, number)
    assert len(spec.plan(before, "linux")) == len(plan.sockets) == len(plan.wants)
    again = [(want, stand_in, False)]
    (still,) = at_once(replan_sender(again, spec._request, before, LINUX, lambda group: None))
    assert still == absence
    (now,) = at_once(replan_sender(again, spec._request, after, LINUX, lambda group: None))
    assert isinstance(now, SocketSpec)
    assert now.bind[0] == source


def lacks_only_an_address(wanted: dict[str, Any], before: Sequence[Interface]) -> bool:
    """Tell whether the interface is there: then its address is waited for in any case."""
    return "source_address" not in wanted and wanted.get("interfaces") in [
        interface.name for interface in before
    ]


@pytest.mark.parametrize(
    ("groups", "wanted", "before"),
    [row[:3] for row in MISSING if not lacks_only_an_address(row[1], row[2])],
)
def test_it_is_an_error_otherwise(
    groups: Any, wanted: dict[str, Any], before: Sequence[Interface]
) -> None:
    spec = McastSenderSpec(groups, PORT, **wanted)
    kinds = (InterfaceNotFoundError, AmbiguousInterfaceError, OSError, ValueError)
    with pytest.raises(kinds):
        spec.plan(before, "linux")


def test_route_that_comes_is_taken() -> None:
    spec = McastSenderSpec(FOUR, PORT, allow_missing=True)
    ((want, stand_in, _),) = plan_sender(spec._request, MACHINE, LINUX).absent
    again = [(want, stand_in, False)]
    (now,) = at_once(replan_sender(again, spec._request, MACHINE, LINUX, lambda group: Route(ETH1)))
    assert isinstance(now, SocketSpec)
    assert now.interface == ETH1


@pytest.mark.parametrize(
    ("groups", "wanted"),
    [
        (FOUR, {"interfaces": "fe80::1%eth0"}),
        (FOUR, {"interfaces": "fd00::99"}),
        ([FOUR, SIX], {"interfaces": "fd00::99"}),
        (FOUR, {"interfaces": ["eth0", "fd00::99"]}),
        (FOUR, {"interfaces": "eth0", "ttl": 0}),
        ("ff02::5%eth0", {"interfaces": "eth1"}),
    ],
)
def test_what_can_never_be_is_an_error_all_the_same(groups: Any, wanted: dict[str, Any]) -> None:
    spec = McastSenderSpec(groups, PORT, allow_missing=True, **wanted)
    with pytest.raises(ValueError, match=r"IPv|ttl=0|leaves out|sent to"):
        spec.plan(MACHINE, "linux")
