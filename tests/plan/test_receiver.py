"""The planner: golden plans for four platforms, and the rules behind them.

The golden plans are the files in ``data/plans``, one for each platform, made for people to read
against what the systems' documentation says. After a wanted change, write them anew with
``TRIO_MCAST_WRITE_GOLDEN=1 pytest tests/test_plan.py`` and read the difference.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.interfaces import MACHINE
from tests.support.platforms import EVERY_PLATFORM
from trio_mcast import (
    AmbiguousInterfaceError,
    Interface,
    InterfaceNotFoundError,
    McastChannelSpec,
    McastReceiverSpec,
    McastSenderSpec,
    SocketOption,
    SocketSpec,
)
from trio_mcast._platform.model import PlatformName

pytestmark = pytest.mark.once

PLANS = Path(__file__).parents[1] / "data" / "plans"

FOUR, SIX = "239.1.2.3", "ff15::1:2:3"

# Golden plans ----------------------------------------------------------------------------------

RECEIVERS: dict[str, dict[str, Any]] = {
    "any source": {"groups": [FOUR, SIX]},
    "two sources only": {
        "groups": ["232.1.2.3", "ff35::8000:1"],
        "sources": ["10.0.0.8", "10.0.0.9", "2001:db8::8", "2001:db8::9"],
    },
    "all but two sources": {
        "groups": [FOUR, SIX],
        "excluded_sources": ["10.0.0.8", "10.0.0.9", "2001:db8::8", "2001:db8::9"],
    },
    "loopback=False": {"groups": [FOUR, SIX], "loopback": False},
    "receive_ttl, receive_buffer_size": {
        "groups": [FOUR, SIX],
        "receive_ttl": True,
        "receive_buffer_size": 4_194_304,
    },
    "receive_timestamp": {"groups": [FOUR, SIX], "receive_timestamp": True},
    "receive_traffic_class": {"groups": [FOUR, SIX], "receive_traffic_class": True},
    "a link-local group": {"groups": "ff02::1:3"},
    "an interface without addresses": {"groups": [FOUR, SIX], "interfaces": "bare0"},
    "accept_unicast": {"groups": [FOUR, SIX], "accept_unicast": True},
    "two ports, accept_unicast": {
        "groups": [FOUR, SIX],
        "port": [5000, 5001],
        "accept_unicast": True,
    },
    "accept_unicast without a group": {"groups": (), "accept_unicast": True},
    "accept_unicast, two sources only, receive_ttl": {
        "groups": [FOUR, SIX],
        "accept_unicast": True,
        "sources": ["10.0.0.8", "2001:db8::8"],
        "receive_ttl": True,
    },
    "accept_unicast, all but two sources, loopback=False": {
        "groups": [FOUR, SIX],
        "accept_unicast": True,
        "excluded_sources": ["10.0.0.8", "2001:db8::8"],
        "loopback": False,
    },
    "accept_unicast on an interface without addresses": {
        "groups": [FOUR, SIX],
        "accept_unicast": True,
        "interfaces": "bare0",
    },
}
SENDERS: dict[str, dict[str, Any]] = {
    "as it comes": {"groups": [FOUR, SIX]},
    "ttl, loopback=False, traffic_class, send_buffer_size": {
        "groups": [FOUR, SIX],
        "ttl": 5,
        "loopback": False,
        "traffic_class": 0xB8,
        "send_buffer_size": 2_097_152,
    },
    "unicast_ttl": {"groups": [FOUR, SIX], "unicast_ttl": 255},
    "source_port": {"groups": [FOUR, SIX], "source_port": 4000},
    "a link-local group": {"groups": "ff02::1:3"},
    "receive_replies": {"groups": [FOUR, SIX], "receive_replies": True},
    "receive_replies, receive_ttl, receive_traffic_class": {
        "groups": [FOUR, SIX],
        "receive_replies": True,
        "receive_ttl": True,
        "receive_traffic_class": True,
    },
    "receive_replies, receive_timestamp": {
        "groups": [FOUR, SIX],
        "receive_replies": True,
        "receive_timestamp": True,
    },
}


CHANNELS: dict[str, dict[str, Any]] = {
    "as it comes": {"groups": [FOUR, SIX]},
    "accept_unicast, unicast_ttl, two ports": {
        "groups": [FOUR, SIX],
        "port": [5000, 5001],
        "accept_unicast": True,
        "unicast_ttl": 255,
    },
    "a link-local group, ttl, loopback=False, traffic_class": {
        "groups": "ff02::1:3",
        "ttl": 255,
        "loopback": False,
        "traffic_class": 0xB8,
    },
}


def render_value(value: int | bytes) -> str:
    """A value for people: bytes as words in hex, with runs of zero words counted."""
    if isinstance(value, int):
        return str(value)
    if value.endswith(b"\0") and value[:-1].isalnum():
        return repr(value)
    words = [value[i : i + 4].hex() for i in range(0, len(value), 4)]
    parts: list[str] = []
    while words:
        run = next((i for i, word in enumerate(words) if word != "0" * 8), len(words))
        if run > 2:
            parts.append(f"00000000*{run}")
            del words[:run]
        else:
            parts.append(words.pop(0))
    return f"{' '.join(parts)} ({len(value)} bytes)"


def render_option(option: SocketOption, indent: str = "    ") -> list[str]:
    name = f"{indent}{option.symbol}"
    number = f"{option.level}/{option.number}"
    condition = "  (if the port is in use)" if option.if_taken else ""
    lines = [f"{name:36}{number:12}{render_value(option.value)}{condition}"]
    if option.fallback is not None:
        lines += render_option(option.fallback, indent="      or ")
    return lines


def render_socket(socket_spec: SocketSpec) -> list[str]:
    sources = f" from {' '.join(socket_spec.sources)}" if socket_spec.sources else ""
    what = socket_spec.group or "(sending)"
    if socket_spec.accepts_unicast:
        what = f"{socket_spec.group} and unicast" if socket_spec.group else "unicast"
    title = f"{socket_spec.family} {socket_spec.interface.name} {what}{sources}"
    lines = ["", title]
    early = [item for item in socket_spec.options if not item.after_bind]
    late = [item for item in socket_spec.options if item.after_bind]
    # The order of the tuple is the order of setting.
    assert list(socket_spec.options) == early + late
    for option in early:
        lines += render_option(option)
    lines.append(f"{'    bind':36}{'':12}{socket_spec.bind}")
    if socket_spec.bind_if_taken is not None:
        lines.append(f"{'    bind':36}{'':12}{socket_spec.bind_if_taken}  (if the port is in use)")
    for option in late:
        lines += render_option(option)
    if socket_spec.peer is not None:
        lines.append(f"{'    connect':36}{'':12}{socket_spec.peer}")
    if socket_spec.rejected_sources:
        lines.append(f"{'    reject':36}{'':12}{' '.join(sorted(socket_spec.rejected_sources))}")
    if socket_spec.own_addresses:
        lines.append(f"{'    reject own':36}{'':12}{' '.join(sorted(socket_spec.own_addresses))}")
    return lines


def render_platform(name: PlatformName) -> str:
    lines = [
        f"Plans for {name}: each socket's options in order, with level/number and value.",
        "eth0 has index 7 and 10.0.0.1, 10.0.9.1, 2001:db8::1, fe80::1; bare0 index 9 and none.",
    ]
    specs: list[tuple[str, McastReceiverSpec | McastSenderSpec]] = []
    for title, wanted in RECEIVERS.items():
        arguments = {"port": 5000, "interfaces": "eth0", **wanted}
        specs.append((f"receiver, {title}", McastReceiverSpec(**arguments)))
    for title, wanted in SENDERS.items():
        arguments = {"port": 5000, "interfaces": "eth0", **wanted}
        specs.append((f"sender, {title}", McastSenderSpec(**arguments)))
    for title, wanted in CHANNELS.items():
        arguments = {"port": 5000, "interfaces": "eth0", **wanted}
        specs.append((f"channel, {title}", McastChannelSpec(**arguments)))
    for title, spec in specs:
        lines += ["", "", title, "=" * len(title)]
        try:
            sockets = spec.plan(MACHINE, name)
        except ValueError as error:
            lines += ["", f"ValueError: {error}"]
        else:
            for socket in sockets:
                lines += render_socket(socket)
    return "\n".join(lines) + "\n"


@pytest.mark.skipif(sys.byteorder != "little", reason="the golden bytes are little-endian")
@EVERY_PLATFORM
def test_plan_is_the_golden_one(name: PlatformName) -> None:
    path = PLANS / f"{name}.txt"
    rendered = render_platform(name)
    if os.environ.get("TRIO_MCAST_WRITE_GOLDEN") == "1":
        path.write_text(rendered)
    assert rendered.splitlines() == path.read_text().splitlines()


@EVERY_PLATFORM
def test_every_option_says_its_purpose_in_one_line(name: PlatformName) -> None:
    for wanted in (*RECEIVERS.values(), {"groups": [FOUR, SIX]}):
        if wanted.get("receive_timestamp") and name == "windows":
            continue
        spec = McastReceiverSpec(**{"port": 5000, "interfaces": "eth0", **wanted})
        for option in (option for socket in spec.plan(MACHINE, name) for option in socket.options):
            for each in filter(None, (option, option.fallback)):
                assert each.purpose
                assert "\n" not in each.purpose


# Ports, and no group ---------------------------------------------------------------------------


def test_membership_has_a_socket_for_each_port_and_chunk_of_sources() -> None:
    sources = [f"10.0.0.{number}" for number in range(20, 35)]
    spec = McastReceiverSpec(FOUR, [320, 319, 320], interfaces="eth0", sources=sources)
    sockets = spec.plan(MACHINE, "linux")
    assert [(socket.bind[1], len(socket.sources)) for socket in sockets] == [
        (320, 10),
        (319, 10),
        (320, 5),
        (319, 5),
    ]


def test_sockets_share_what_is_alike() -> None:
    # Thousands of plans are kept, and each empty set of its own takes 216 bytes.
    (one,), (other,) = (
        McastReceiverSpec(group, 5000, interfaces="eth0").plan(MACHINE, "linux")
        for group in (FOUR, "239.1.2.4")
    )
    assert one.rejected_sources is other.rejected_sources
    assert one.own_addresses is other.own_addresses
    shared = {id(option) for option in one.options} & {id(option) for option in other.options}
    assert len(shared) == len(one.options) - 1, "all but the join"


def test_without_a_group_there_is_nothing_to_open() -> None:
    assert receiver_plan("linux", (), interfaces="eth0") == ()
    assert McastReceiverSpec((), 5000).plan([], "linux") == ()


@EVERY_PLATFORM
def test_unicast_without_a_group_is_every_address_of_the_interfaces(name: PlatformName) -> None:
    sockets = receiver_plan(name, (), accept_unicast=True)
    assert {(socket.interface.name, socket.bind[0]) for socket in sockets} == {
        (interface.name, str(address))
        for interface in MACHINE
        if not interface.is_loopback
        for address in (*interface.addresses("ipv4"), *interface.addresses("ipv6"))
    }
    assert all(socket.group is None and socket.accepts_unicast for socket in sockets)


def test_unicast_without_a_group_needs_an_interface() -> None:
    spec = McastReceiverSpec((), 5000, accept_unicast=True)
    with pytest.raises(InterfaceNotFoundError, match="no interface is up"):
        spec.plan([], "linux")
    with pytest.raises(InterfaceNotFoundError, match="'eth9'"):
        McastReceiverSpec((), 5000, interfaces="eth9").plan(MACHINE, "linux")


@pytest.mark.parametrize(
    ("wanted", "families"),
    [
        ({"interfaces": "10.0.0.1"}, {"ipv4"}),
        ({"interfaces": "2001:db8::1"}, {"ipv6"}),
        ({"sources": ["10.0.0.8"]}, {"ipv4"}),
        ({"sources": ["2001:db8::8", "10.0.0.8"]}, {"ipv4", "ipv6"}),
        ({"excluded_sources": ["10.0.0.8"]}, {"ipv4", "ipv6"}),
    ],
)
def test_families_of_unicast_without_a_group(wanted: dict[str, Any], families: set[str]) -> None:
    sockets = receiver_plan("linux", (), accept_unicast=True, **wanted)
    assert {socket.family for socket in sockets} == families


# Sources ---------------------------------------------------------------------------------------


def receiver_plan(
    name: PlatformName, groups: Any, machine: Sequence[Interface] = MACHINE, **wanted: Any
) -> tuple[SocketSpec, ...]:
    return McastReceiverSpec(groups, 5000, **wanted).plan(machine, name)


def addresses(start: str, count: int) -> list[str]:
    first = ip_address(start)
    return [str(first + i) for i in range(count)]


LIMITS: list[tuple[PlatformName, str, int, list[int]]] = [
    ("linux", "10.0.1.0", 10, [10]),
    ("linux", "10.0.1.0", 11, [10, 1]),
    ("linux", "10.0.1.0", 25, [10, 10, 5]),
    ("linux", "2001:db8::1", 64, [64]),
    ("linux", "2001:db8::1", 65, [64, 1]),
    ("darwin", "10.0.1.0", 129, [128, 1]),
    ("freebsd", "2001:db8::1", 129, [128, 1]),
    ("windows", "10.0.1.0", 300, [300]),
    ("windows", "2001:db8::1", 300, [300]),
]


@pytest.mark.parametrize(("name", "start", "count", "expected"), LIMITS)
def test_sources_beyond_the_limit_are_spread_over_sockets(
    name: PlatformName, start: str, count: int, expected: list[int]
) -> None:
    sources = addresses(start, count)
    group = "232.1.1.1" if "." in start else "ff35::8000:1"
    sockets = receiver_plan(name, group, interfaces="eth0", sources=sources)
    assert [len(socket.sources) for socket in sockets] == expected
    assert [source for socket in sockets for source in socket.sources] == sources
    for socket in sockets:
        joins = [item for item in socket.options if item.symbol.startswith("MCAST_")]
        assert [item.symbol for item in joins] == ["MCAST_JOIN_SOURCE_GROUP"] * len(socket.sources)
        assert not socket.rejected_sources


# How many excluded sources the system is told of, and how many of these it filters itself.
EXCLUDED: list[tuple[PlatformName, str, int, int, int]] = [
    ("linux", "10.0.1.0", 10, 10, 10),
    ("linux", "10.0.1.0", 13, 10, 10),
    ("linux", "2001:db8::1", 64, 64, 64),
    ("linux", "2001:db8::1", 67, 64, 64),
    ("darwin", "10.0.1.0", 1, 0, 0),
    ("darwin", "10.0.1.0", 131, 0, 0),
    ("darwin", "2001:db8::1", 1, 0, 0),
    ("darwin", "2001:db8::1", 131, 0, 0),
    ("freebsd", "10.0.1.0", 1, 1, 0),
    ("freebsd", "10.0.1.0", 131, 128, 0),
    ("freebsd", "2001:db8::1", 1, 1, 0),
    ("freebsd", "2001:db8::1", 131, 128, 0),
    ("windows", "10.0.1.0", 300, 300, 300),
    ("windows", "2001:db8::1", 300, 300, 300),
]


@pytest.mark.parametrize(("name", "start", "count", "blocked", "filtered"), EXCLUDED)
def test_excluded_sources_that_the_system_does_not_filter_are_rejected_after_reading(
    name: PlatformName, start: str, count: int, blocked: int, filtered: int
) -> None:
    excluded = addresses(start, count)
    group = "239.1.1.1" if "." in start else SIX
    (socket,) = receiver_plan(name, group, interfaces="eth0", excluded_sources=excluded)
    options = [item for item in socket.options if item.symbol.startswith("MCAST_")]
    symbols = ["MCAST_JOIN_GROUP"] + ["MCAST_BLOCK_SOURCE"] * blocked
    assert [item.symbol for item in options] == symbols
    assert socket.rejected_sources == frozenset(excluded[filtered:])
    assert socket.sources == ()
    # Where it filters nothing, a refusal harms nothing.
    assert [item.required for item in options] == [True, *[bool(filtered)] * blocked]


def test_loopback_false_rejects_this_machines_addresses_but_on_loopback() -> None:
    own = {"127.0.0.1", "::1", "10.0.0.1", "10.0.9.1", "10.1.0.1", "2001:db8::1", "fe80::1"}
    eth0, lo = receiver_plan("linux", FOUR, interfaces=["eth0", "lo"], loopback=False)
    assert eth0.own_addresses == own
    assert lo.own_addresses == frozenset()  # The loopback interface always delivers.
    # Its own option does it there.
    eth0, lo = receiver_plan("windows", FOUR, interfaces=["eth0", "lo"], loopback=False)
    assert eth0.own_addresses == lo.own_addresses == frozenset()
    for socket, expected in ((eth0, 0), (lo, 1)):
        values = {item.symbol: item.value for item in socket.options}
        assert values["IP_MULTICAST_LOOP"] == expected


# Pairs of group and interface ------------------------------------------------------------------

PAIRS: list[tuple[Any, Any, list[tuple[str, str]]]] = [
    ([FOUR, "239.0.0.1"], ["eth1", "eth0"], [
        (FOUR, "eth1"), (FOUR, "eth0"), ("239.0.0.1", "eth1"), ("239.0.0.1", "eth0"),
    ]),
    # No interface named: the candidates, which leave the loopback interface out.
    (FOUR, None, [(FOUR, "eth0"), (FOUR, "eth1"), (FOUR, "bare0")]),
    # Duplicates collapse, however they are written.
    ([FOUR, FOUR], ["eth0", 7, "10.0.0.1"], [(FOUR, "eth0")]),
    # A zone narrows its group, and no other.
    ("ff02::1%eth1", None, [("ff02::1", "eth1")]),
    ("ff02::1%8", None, [("ff02::1", "eth1")]),
    ("ff02::1%lo", None, [("ff02::1", "lo")]),
    (["ff02::1%eth1", SIX], ["eth0", "eth1"], [("ff02::1", "eth1"), (SIX, "eth0"), (SIX, "eth1")]),
    # A zone that adds nothing.
    (["ff02::1", "ff02::1%eth0"], ["eth0"], [("ff02::1", "eth0")]),
    (["ff02::1%eth0", "ff02::1%eth1"], None, [("ff02::1", "eth0"), ("ff02::1", "eth1")]),
    # In IPv4 as in IPv6.
    (f"{FOUR}%eth1", None, [(FOUR, "eth1")]),
    (f"{FOUR}%8", None, [(FOUR, "eth1")]),
    ([f"{FOUR}%eth0", f"{FOUR}%eth1"], None, [(FOUR, "eth0"), (FOUR, "eth1")]),
    ([f"{FOUR}%eth1", SIX], ["eth0", "eth1"], [(FOUR, "eth1"), (SIX, "eth0"), (SIX, "eth1")]),
    # An address stands for its interface, and the groups of its family.
    ([FOUR, SIX], ["10.0.0.1", "fe80::1%eth1"], [(FOUR, "eth0"), (SIX, "eth1")]),
    ([FOUR, SIX], ["10.0.0.1", "eth1"], [(FOUR, "eth0"), (FOUR, "eth1"), (SIX, "eth1")]),
]  # fmt: skip


@pytest.mark.parametrize(("groups", "interfaces", "expected"), PAIRS)
def test_pairs_of_group_and_interface(
    groups: Any, interfaces: Any, expected: list[tuple[str, str]]
) -> None:
    sockets = receiver_plan("linux", groups, interfaces=interfaces)
    assert [(socket.group, socket.interface.name) for socket in sockets] == expected


MISMATCHES: list[tuple[Any, Any, type[Exception], str]] = [
    ("ff02::1%eth0", "eth1", ValueError,
     "group ff02::1%eth0 names interface eth0, which interfaces leaves out (eth1)"),
    ("ff02::1%eth9", None, InterfaceNotFoundError, "the zone 'eth9' names no interface"),
    (f"{FOUR}%eth9", None, InterfaceNotFoundError, "the zone 'eth9' names no interface"),
    (f"{FOUR}%eth0", "eth1", ValueError,
     "group 239.1.2.3%eth0 names interface eth0, which interfaces leaves out (eth1)"),
    (FOUR, "2001:db8::1", ValueError,
     "group 239.1.2.3 is IPv4, but interfaces names only addresses that are not (2001:db8::1)"),
    (SIX, ["10.0.0.1", "10.1.0.1"], ValueError,
     "group ff15::1:2:3 is IPv6, but interfaces names only addresses that are not (10.0.0.1, 10"),
    (FOUR, ["eth1", "2001:db8::1"], ValueError,
     "interfaces names the IPv6 address 2001:db8::1, but no group is IPv6: "
     "name the interface instead ('eth0')"),
    (SIX, "fe80::1", AmbiguousInterfaceError, "the address fe80::1 is on 2 interfaces: eth0, eth1"),
    (FOUR, "eth9", InterfaceNotFoundError, "no interface is called 'eth9'; there are: lo"),
]  # fmt: skip


@pytest.mark.parametrize(("groups", "interfaces", "kind", "says"), MISMATCHES)
@pytest.mark.parametrize("make", [McastReceiverSpec, McastSenderSpec])
def test_groups_and_interfaces_that_do_not_go_together(
    make: type[McastReceiverSpec] | type[McastSenderSpec],
    groups: Any,
    interfaces: Any,
    kind: type[Exception],
    says: str,
) -> None:
    spec = make(groups, 5000, interfaces=interfaces)
    with pytest.raises(kind) as caught:
        spec.plan(MACHINE, "linux")
    assert says in str(caught.value)


# Whatever is asked for -------------------------------------------------------------------------

group_lists = st.lists(
    st.sampled_from([f"239.0.0.{i}" for i in range(4)] + [f"ff05::{i}" for i in range(1, 5)]),
    min_size=1,
)
source_lists = st.lists(st.integers(1, 60), max_size=60)
interface_lists = st.none() | st.lists(st.sampled_from([item.name for item in MACHINE]), min_size=1)


@EVERY_PLATFORM
@given(
    groups=group_lists,
    hosts=source_lists,
    interfaces=interface_lists,
    field=st.sampled_from(["sources", "excluded_sources"]),
)
def test_sockets_of_each_pair_share_out_the_sources(
    name: PlatformName,
    groups: list[str],
    hosts: list[int],
    interfaces: list[str] | None,
    field: str,
) -> None:
    is_ipv6 = {":" in group for group in groups}
    sources = [f"10.0.2.{host}" for host in hosts] if False in is_ipv6 else []
    sources += [f"2001:db8::{host:x}" for host in hosts] if True in is_ipv6 else []
    wanted: dict[str, Any] = {field: sources} if sources else {}
    sockets = receiver_plan(name, groups, interfaces=interfaces, **wanted)
    # macOS wants an address of the family where nobody names the interface.
    pairs = {
        (group, item.name)
        for group in groups
        for item in MACHINE
        if (
            item.name in interfaces
            if interfaces
            else not item.is_loopback
            and (name != "darwin" or item.addresses("ipv6" if ":" in group else "ipv4"))
        )
    }
    assert {(socket.group, socket.interface.name) for socket in sockets} == pairs
    for group, each in pairs:
        mine = [item for item in sockets if (item.group, item.interface.name) == (group, each)]
        expected = {item for item in sources if (":" in item) == (":" in group)}
        included = [source for item in mine for source in item.sources]
        if field == "sources":
            assert sorted(included) == sorted(expected)  # Each exactly once.
            continue
        (socket,) = mine
        blocked = [item.symbol for item in socket.options].count("MCAST_BLOCK_SOURCE")
        filtered = 0 if name in ("darwin", "freebsd") else blocked
        assert included == []
        assert filtered + len(socket.rejected_sources) == len(expected)
        assert socket.rejected_sources <= expected
