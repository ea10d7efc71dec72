"""The planner for senders: where datagrams come from, and which interface is meant by default.

The golden plans of senders are in ``test_plan.py``.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any

import attrs
import pytest

from tests.support.interfaces import BARE, ETH0, ETH1, LO, MACHINE
from trio_mcast import (
    AmbiguousInterfaceError,
    Interface,
    InterfaceAddress,
    InterfaceNotFoundError,
    McastSenderSpec,
)
from trio_mcast._plan.route import Route
from trio_mcast._plan.sender import Absence, SenderPlan, plan_sender, replan_sender
from trio_mcast._plan.socket_spec import SocketSpec
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._platform.model import PlatformName
from trio_mcast._values.addresses import IPAddress
from trio_mcast._values.steps import at_once

pytestmark = pytest.mark.once

FOUR, SIX, PORT = "239.1.2.3", "ff15::1:2:3", 5000


def routed_to(interface: Interface | None) -> Callable[[IPAddress], Route | None]:
    return lambda address: None if interface is None else Route(interface)


def sender_plan(
    groups: Any,
    machine: Sequence[Interface] = MACHINE,
    route: Interface | None = None,
    **wanted: Any,
) -> SenderPlan:
    request = McastSenderSpec(groups, 5000, **wanted)._request
    return plan_sender(request, machine, PLATFORMS["linux"], routed_to(route))


# The groups, what else was asked for, and where the socket is bound: what datagrams come from.
SOURCE_ADDRESSES: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
    (FOUR, {"interfaces": "eth0"}, ("10.0.0.1", 0)),
    (FOUR, {"interfaces": "10.0.9.1"}, ("10.0.9.1", 0)),
    (FOUR, {"interfaces": "eth0", "source_address": "10.0.9.1"}, ("10.0.9.1", 0)),
    (FOUR, {"source_address": "10.1.0.1"}, ("10.1.0.1", 0)),
    (FOUR, {"interfaces": "lo"}, ("127.0.0.1", 0)),
    # Link-local groups are sent from link-local addresses, wider ones from wider ones.
    ("ff01::1", {"interfaces": "eth0"}, ("fe80::1", 0, 0, 7)),
    ("ff02::1", {"interfaces": "eth0"}, ("fe80::1", 0, 0, 7)),
    ("ff05::1", {"interfaces": "eth0"}, ("2001:db8::1", 0, 0, 0)),
    ("ff0e::1", {"interfaces": "eth0"}, ("2001:db8::1", 0, 0, 0)),
    # With nothing of the right scope, something of the family is better than the system's choice.
    ("ff05::1", {"interfaces": "eth1"}, ("fe80::1", 0, 0, 8)),
    ("ff02::1", {"interfaces": "lo"}, ("::1", 0, 0, 0)),
    # Named, any address of the interface will do.
    ("ff02::1", {"interfaces": "2001:db8::1"}, ("2001:db8::1", 0, 0, 0)),
    ("ff05::1", {"interfaces": "fe80::1%eth0"}, ("fe80::1", 0, 0, 7)),
    ("ff05::1", {"source_address": "fe80::1%eth1"}, ("fe80::1", 0, 0, 8)),
    ("ff02::1%eth1", {"source_address": "fe80::1"}, ("fe80::1", 0, 0, 8)),
    (FOUR, {"interfaces": "eth0", "source_port": 4000}, ("10.0.0.1", 4000)),
]


@pytest.mark.parametrize(("group", "wanted", "bind"), SOURCE_ADDRESSES)
def test_sender_is_bound_to_the_address_it_sends_from(
    group: str, wanted: dict[str, Any], bind: tuple[Any, ...]
) -> None:
    (socket,) = sender_plan(group, **wanted).sockets
    assert socket.bind == bind


BAD_SOURCE_ADDRESSES: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (FOUR, {"interfaces": "eth1", "source_address": "10.0.0.1"}, ValueError,
     "source_address 10.0.0.1 is not an address of interface eth1 (its addresses: 10.1.0.1)"),
    (FOUR, {"interfaces": "bare0", "source_address": "10.0.0.1"}, ValueError,
     "(its addresses: none of this family)"),
    (FOUR, {"source_address": "2001:db8::1"}, ValueError,
     "source_address 2001:db8::1 is IPv6, but no group is IPv6"),
    (FOUR, {"source_address": "10.9.9.9"}, InterfaceNotFoundError,
     "no interface has the address 10.9.9.9"),
    (SIX, {"source_address": "fe80::1"}, AmbiguousInterfaceError,
     "the address fe80::1 is on 2 interfaces: eth0, eth1"),
]  # fmt: skip


@pytest.mark.parametrize(("group", "wanted", "kind", "says"), BAD_SOURCE_ADDRESSES)
def test_sender_refuses_a_source_address_that_is_not_there(
    group: str, wanted: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind) as caught:
        sender_plan(group, **wanted)
    assert says in str(caught.value)


def test_sender_without_interfaces_takes_the_one_of_the_route() -> None:
    assert [item.interface for item in sender_plan(FOUR, route=ETH1).sockets] == [ETH1]
    assert [item.interface for item in sender_plan(FOUR, route=LO).sockets] == [LO]


def test_sender_without_interfaces_asks_the_route_for_each_group() -> None:
    ways = {FOUR: ETH0, "239.9.9.9": ETH1, SIX: ETH1}
    request = McastSenderSpec(list(ways), 5000)._request
    plan = plan_sender(
        request, MACHINE, PLATFORMS["linux"], lambda address: Route(ways[str(address)])
    )
    sockets = [(item.interface.name, item.family) for item in plan.sockets]
    assert sockets == [("eth0", "ipv4"), ("eth1", "ipv4"), ("eth1", "ipv6")]
    assert [(str(group), number) for group, number in plan.numbered_groups] == [
        (FOUR, 0),
        ("239.9.9.9", 1),
        (SIX, 2),
    ]


def test_sender_with_a_zone_or_an_address_asks_no_route() -> None:
    (socket,) = sender_plan("ff02::1%eth1", route=ETH0).sockets
    assert socket.interface == ETH1
    (socket,) = sender_plan(FOUR, source_address="10.1.0.1", route=ETH0).sockets
    assert socket.interface == ETH1


def test_sender_without_interfaces_and_route_takes_the_only_candidate() -> None:
    (socket,) = sender_plan(FOUR, machine=[LO, ETH1]).sockets
    assert socket.interface == ETH1


def test_sender_without_interfaces_and_route_lists_several_candidates() -> None:
    with pytest.raises(AmbiguousInterfaceError) as caught:
        sender_plan(FOUR)
    assert str(caught.value) == (
        "the system has no route to group 239.1.2.3, and 3 interfaces could be meant: "
        "eth0 (10.0.0.1/24, 10.0.9.1/24, 2001:db8::1/64, fe80::1/64), "
        "eth1 (10.1.0.1/24, fe80::1/64), bare0; name one in interfaces="
    )


def test_sender_without_interfaces_route_and_candidates_says_so() -> None:
    with pytest.raises(InterfaceNotFoundError, match="no interface is up, capable of multicast"):
        sender_plan(FOUR, machine=[LO])


@pytest.mark.parametrize("name", PLATFORMS)
def test_ttl_zero_is_refused_where_it_would_not_be_kept(name: PlatformName) -> None:
    spec = McastSenderSpec([FOUR, SIX], 5000, interfaces=["lo", "eth0"], ttl=0)
    if name == "linux":
        with pytest.raises(ValueError, match=r"ttl=0 .* on interface eth0: linux lets those out"):
            spec.plan(MACHINE, name)
    else:
        assert len(spec.plan(MACHINE, name)) == 4
    loopback = McastSenderSpec([FOUR, SIX], 5000, interfaces="lo", ttl=0)
    assert len(loopback.plan(MACHINE, name)) == 2


def test_sender_with_ttl_zero_does_not_follow_the_route_off_the_machine() -> None:
    request = McastSenderSpec(FOUR, 5000, ttl=0)._request
    linux = PLATFORMS["linux"]
    ((want, number),) = (plan := plan_sender(request, MACHINE, linux, routed_to(LO))).wants
    wants = [(want, plan.sockets[number], True)]
    (absence,) = at_once(replan_sender(wants, request, MACHINE, linux, routed_to(ETH0)))
    assert isinstance(absence, Absence)
    assert "ttl=0" in absence.reason


def test_sender_has_one_socket_for_the_groups_of_an_interface_and_address() -> None:
    groups = [FOUR, "239.9.9.9", "ff02::1", "ff05::1", "ff05::2"]
    plan = sender_plan(groups, interfaces="eth0")
    assert [item.bind[0] for item in plan.sockets] == ["10.0.0.1", "fe80::1", "2001:db8::1"]
    assert [(str(group), number) for group, number in plan.numbered_groups] == [
        (FOUR, 0),
        ("239.9.9.9", 0),
        ("ff02::1", 1),
        ("ff05::1", 2),
        ("ff05::2", 2),
    ]


SAME_TARGET: list[dict[str, Any]] = [
    {"groups": ["ff02::1", "ff02::1%eth0"], "interfaces": "eth0"},
    {"groups": ["ff02::1", "ff02::1%eth0"], "route": ETH0},
    {"groups": ["ff02::1%eth0", "ff02::1"], "source_address": "fe80::1%eth0"},
    {"groups": [FOUR, FOUR], "interfaces": ["eth0", 7, "10.0.0.1"]},
]


@pytest.mark.parametrize("wanted", SAME_TARGET)
def test_sender_sends_once_however_often_a_group_is_named(wanted: dict[str, Any]) -> None:
    plan = sender_plan(**wanted)
    assert len(plan.sockets) == len(plan.numbered_groups) == 1


@pytest.mark.parametrize(
    ("name", "asked", "planned"),
    [
        ("linux", None, None),
        ("linux", 10_000, 10_000),
        ("windows", None, None),
        # Where the buffer's size limits a datagram's, it holds the largest one, whatever is asked.
        ("darwin", None, 73_728),
        ("darwin", 10_000, 73_728),
        ("darwin", 1_000_000, 1_000_000),
        ("freebsd", None, 73_728),
        ("freebsd", 73_729, 73_729),
    ],
)
def test_send_buffer_holds_the_largest_datagram(
    name: PlatformName, asked: int | None, planned: int | None
) -> None:
    spec = McastSenderSpec(FOUR, 5000, interfaces="eth0", send_buffer_size=asked)
    (socket,) = spec.plan(MACHINE, name)
    sizes = [item.value for item in socket.options if item.symbol == "SO_SNDBUF"]
    assert sizes == ([] if planned is None else [planned])
    assert planned is None or planned == asked or planned > 65_535


# When the interfaces have changed --------------------------------------------------------------


def replanned(
    groups: Any,
    after: Sequence[Interface],
    *,
    before: Sequence[Interface] = MACHINE,
    routes: tuple[Interface | None, Interface | None] = (None, None),
    is_open: bool = True,
    **wanted: Any,
) -> Sequence[SocketSpec | Absence]:
    """What becomes of a plan for some interfaces when there are others."""
    request = McastSenderSpec(groups, 5000, **wanted)._request
    platform = PLATFORMS["linux"]
    plan = plan_sender(request, before, platform, routed_to(routes[0]))
    wants = [(want, plan.sockets[number], is_open) for want, number in plan.wants]
    return at_once(replan_sender(wants, request, after, platform, routed_to(routes[1])))


def where(planned: Sequence[SocketSpec | Absence]) -> list[tuple[str, object]]:
    """Where sockets are to be, and why others cannot be."""
    return [
        (item.interface.name, item.bind[0])
        if isinstance(item, SocketSpec)
        # Windows has names of its own for those of sockets.
        else (errno.errorcode[item.errno].removeprefix("WSA"), item.reason)
        for item in planned
    ]


def with_addresses(interface: Interface, *addresses: str, **changes: Any) -> Interface:
    return attrs.evolve(
        interface,
        ipv4_addresses=tuple(IPv4Interface(item) for item in addresses if ":" not in item),
        ipv6_addresses=tuple(IPv6Interface(item) for item in addresses if ":" in item),
        **changes,
    )


ETH0_DOWN = with_addresses(ETH0, "10.0.0.1/24", is_up=False)
THERE = "there are: lo (127.0.0.1/8, ::1/128)"
# The group, what else was asked for, eth0 as it is then (if it is), and what is planned then.
CHANGES: list[tuple[str, dict[str, Any], Interface | None, tuple[str, object]]] = [
    (FOUR, {"interfaces": "eth0"}, ETH0, ("eth0", "10.0.0.1")),
    (FOUR, {"interfaces": "eth0"}, attrs.evolve(ETH0, index=99), ("eth0", "10.0.0.1")),
    (FOUR, {"interfaces": 7}, attrs.evolve(ETH0, index=99), ("eth0", "10.0.0.1")),
    (FOUR, {"interfaces": "eth0"}, None, ("ENODEV", f"no interface is called 'eth0'; {THERE}")),
    # An address is kept as long as it is there.
    (FOUR, {"interfaces": "eth0"}, with_addresses(ETH0, "10.0.9.1/24", "10.0.0.1/24"),
     ("eth0", "10.0.0.1")),
    (FOUR, {"interfaces": "eth0"}, with_addresses(ETH0, "10.0.9.1/24"), ("eth0", "10.0.9.1")),
    (FOUR, {"interfaces": "eth0"}, with_addresses(ETH0, "fe80::1/64"),
     ("EADDRNOTAVAIL", "interface eth0 has no IPv4 address now")),
    (SIX, {"interfaces": "eth0"}, with_addresses(ETH0, "fd00::1/64", "2001:db8::1/64"),
     ("eth0", "2001:db8::1")),
    (SIX, {"interfaces": "eth0"}, with_addresses(ETH0, "fe80::1/64"), ("eth0", "fe80::1")),
    # One that was asked for is not replaced by another.
    (FOUR, {"interfaces": "10.0.0.1"}, with_addresses(ETH0, "10.0.9.1/24"),
     ("EADDRNOTAVAIL", "no interface has the address 10.0.0.1; there are: "
      "lo (127.0.0.1/8, ::1/128), eth0 (10.0.9.1/24)")),
    (FOUR, {"interfaces": "eth0", "source_address": "10.0.0.1"},
     with_addresses(ETH0, "10.0.9.1/24"),
     ("EADDRNOTAVAIL", "source_address 10.0.0.1 is not an address of interface eth0 "
      "(its addresses: 10.0.9.1)")),
    ("ff02::1", {"interfaces": "fe80::1%eth0"}, with_addresses(ETH0, "fe80::2/64"),
     ("EADDRNOTAVAIL", "interface eth0 does not have the address fe80::1 now")),
    ("ff02::1", {"interfaces": "fe80::1%eth0"}, None,
     ("ENODEV", f"no interface is called 'eth0'; {THERE}")),
    # While an interface is down, it is as it was.
    (FOUR, {"interfaces": "eth0"}, ETH0_DOWN, ("eth0", "10.0.0.1")),
    (SIX, {"interfaces": "eth0"}, ETH0_DOWN, ("eth0", "2001:db8::1")),
    ("ff02::1", {"interfaces": "eth0"}, ETH0_DOWN, ("eth0", "fe80::1")),
    ("ff02::1", {"interfaces": "fe80::1%eth0"}, ETH0_DOWN, ("eth0", "fe80::1")),
    (SIX, {"interfaces": "eth0"}, attrs.evolve(ETH0_DOWN, index=99),
     ("EADDRNOTAVAIL", "interface eth0 has no IPv6 address now")),
    # A zone names an interface too.
    ("ff02::1%7", {}, attrs.evolve(ETH0, index=99), ("eth0", "fe80::1")),
    ("ff02::1%7", {}, None, ("ENODEV", f"no interface is called 'eth0'; {THERE}")),
]  # fmt: skip


@pytest.mark.parametrize(("group", "wanted", "after", "expected"), CHANGES)
def test_sender_is_planned_anew(
    group: str,
    wanted: dict[str, Any],
    after: Interface | None,
    expected: tuple[str, object],
) -> None:
    machine = [LO] if after is None else [LO, after]
    assert where(replanned(group, machine, before=[LO, ETH0], **wanted)) == [expected]


def test_address_that_fits_better_is_taken_when_it_comes() -> None:
    # Bound to fe80::1, for want of a wider one.
    after = with_addresses(ETH1, "fe80::1/64", "fd00::1/64")
    assert where(replanned(SIX, [after], interfaces="eth1", before=[ETH1])) == [("eth1", "fd00::1")]


def test_interface_that_never_had_an_address_is_sent_on_when_it_has_one() -> None:
    wanted: Any = {"interfaces": ["eth0", "bare0"]}
    plan = sender_plan([FOUR, SIX], **wanted)
    assert [socket.interface for socket in plan.sockets] == [ETH0, ETH0]
    lacks = "interface bare0 has no IPv{} address now"
    assert [(str(want.group), absence.reason) for want, _, absence in plan.absent] == [
        (FOUR, lacks.format(4)),
        (SIX, lacks.format(6)),
    ]
    request = McastSenderSpec([FOUR, SIX], 5000, **wanted)._request
    wants = [(want, stand_in, False) for want, stand_in, _ in plan.absent]
    after = with_addresses(BARE, "10.5.0.1/24")
    planned = at_once(
        replan_sender(wants, request, [ETH0, after], PLATFORMS["linux"], routed_to(None))
    )
    assert where(planned) == [
        ("bare0", "10.5.0.1"),
        ("EADDRNOTAVAIL", "interface bare0 has no IPv6 address now"),
    ]


@pytest.mark.parametrize("name", PLATFORMS)
@pytest.mark.parametrize("options", [{}, {"source_port": PORT}, {"receive_replies": True}])
def test_no_socket_of_a_sender_is_bound_to_no_address(
    name: PlatformName, options: dict[str, Any]
) -> None:
    spec = McastSenderSpec([FOUR, SIX], PORT, interfaces=["eth1", "bare0", "lo"], **options)
    sockets = spec.plan(MACHINE, name)
    assert [socket.interface.name for socket in sockets] == ["eth1", "lo"] * 2
    assert not {socket.bind[0] for socket in sockets} & {"0.0.0.0", "::"}


HOST_ONLY = attrs.evolve(
    with_addresses(BARE, "10.9.9.9/32", "fd00::9/64"),
    address_details=(
        InterfaceAddress(IPv4Interface("10.9.9.9/32"), "host", "preferred"),
        InterfaceAddress(IPv6Interface("fd00::9/64"), "global", "failed"),
    ),
)
NOTHING_TO_SEND_FROM: list[tuple[Any, list[str], Sequence[Interface], list[str]]] = [
    (FOUR, ["bare0"], MACHINE, ["interface bare0 has no IPv4 address now"]),
    ([FOUR, SIX], ["bare0"], MACHINE,
     ["interface bare0 has no IPv4 address now", "interface bare0 has no IPv6 address now"]),
    (SIX, ["eth0", "lo"], [with_addresses(ETH0, "10.0.0.1/24"), with_addresses(LO, "127.0.0.1/8")],
     ["interface eth0 has no IPv6 address now", "interface lo has no IPv6 address now"]),
    (FOUR, ["bare0"], [HOST_ONLY],
     ["no IPv4 address now to send from (10.9.9.9 is for use inside this machine)"]),
    (SIX, ["bare0"], [HOST_ONLY],
     ["no IPv6 address now to send from (fd00::9 has failed, as another host has it)"]),
]  # fmt: skip


@pytest.mark.parametrize(("groups", "named", "machine", "says"), NOTHING_TO_SEND_FROM)
def test_sender_that_can_send_nothing_yet_has_no_socket_and_says_why(
    groups: Any, named: list[str], machine: Sequence[Interface], says: list[str]
) -> None:
    plan = sender_plan(groups, machine, interfaces=named)
    assert plan.sockets == ()
    absences = [absence for _, _, absence in plan.absent]
    assert {absence.errno for absence in absences} == {errno.EADDRNOTAVAIL}
    for part, absence in zip(says, absences, strict=True):
        assert part in absence.reason
