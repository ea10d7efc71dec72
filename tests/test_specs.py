"""The specs: what is refused at the call, and what is kept."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from typing import Any

import attrs
import pytest

from tests.support.interfaces import ETH0, ETH1, MACHINE
from trio_mcast import McastReceiverSpec, McastSenderSpec, open_mcast_receiver, open_mcast_sender
from trio_mcast._plan.receiver import plan_request
from trio_mcast._platform.current import current_platform

GROUP = "239.1.2.3"
Opener = Callable[..., AbstractAsyncContextManager[Any]]
OVERFLOWS = ("wait", "drop_oldest", "drop_newest")
SENDER_OVERFLOWS = ("wait", "drop")
OPENERS: list[Opener] = [open_mcast_receiver, open_mcast_sender]


def call(opener: Opener, wanted: dict[str, Any]) -> None:
    """Call an opener and enter nothing."""
    arguments = {"groups": GROUP, "port": 5000, **wanted}
    opener(arguments.pop("groups"), arguments.pop("port"), **arguments)


# What is wrong, the kind of error, and what its message says.
Bad = tuple[dict[str, Any], type[Exception], str]

BAD_FOR_BOTH: list[Bad] = [
    ({"groups": "10.0.0.1"}, ValueError, "'10.0.0.1' is not a multicast group"),
    ({"groups": ["239.1.2.3", "10.0.0.1"]}, ValueError, "'10.0.0.1' is not a multicast group"),
    ({"groups": "mcast.example"}, ValueError, "group 'mcast.example' is not an IPv4 or IPv6"),
    ({"groups": b"239.1.2.3"}, TypeError, "groups must be text, not bytes: b'239.1.2.3'"),
    ({"groups": [b"239.1.2.3"]}, TypeError, "not bytes: b'239.1.2.3'"),
    ({"groups": None}, TypeError, "not NoneType: None"),
    ({"groups": 5}, TypeError, "not int: 5"),
    ({"port": 0}, ValueError, "port must be from 1 to 65535, not 0"),
    ({"port": 70_000}, ValueError, "port must be from 1 to 65535, not 70000"),
    ({"port": "5000"}, TypeError, "port must be an int, not str: '5000'"),
    ({"port": True}, TypeError, "port must be an int, not bool: True"),
    ({"port": b"x"}, TypeError, "port must be an int, not bytes: b'x'"),
    ({"interfaces": []}, ValueError, "interfaces is empty"),
    ({"interfaces": b"eth0"}, TypeError, "not bytes: b'eth0'"),
    ({"interfaces": 1.5}, TypeError, "not float: 1.5"),
    ({"loopback": "no"}, TypeError, "loopback must be True or False, not str: 'no'"),
    ({"loopback": 0}, TypeError, "loopback must be True or False, not int: 0"),
    ({"loopback": None}, TypeError, "loopback must be True or False, not NoneType: None"),
    ({"no_such_argument": 1}, TypeError, "no_such_argument"),
]
BAD_FOR_RECEIVERS: list[Bad] = [
    ({"sources": "239.1.2.3"}, ValueError, "sources: '239.1.2.3' is not the address of a sender"),
    ({"sources": []}, ValueError, "sources is empty"),
    ({"sources": b"10.0.0.1"}, TypeError, "sources must be text, not bytes: b'10.0.0.1'"),
    ({"excluded_sources": "0.0.0.0"}, ValueError, "excluded_sources: '0.0.0.0' is not the address"),
    ({"sources": "2001:db8::1"}, ValueError, "sources: 2001:db8::1 is IPv6, but no group is IPv6"),
    (
        {"excluded_sources": "2001:db8::1"},
        ValueError,
        "excluded_sources: 2001:db8::1 is IPv6, but no group is IPv6",
    ),
    (
        {"groups": ["239.1.2.3", "ff05::1"], "sources": "10.0.0.1"},
        ValueError,
        "sources has no IPv6 address, so group ff05::1 could receive nothing",
    ),
    (
        {"sources": "10.0.0.1", "excluded_sources": "10.0.0.2"},
        ValueError,
        "sources and excluded_sources contradict each other",
    ),
    (
        {"groups": (), "sources": "10.0.0.1"},
        ValueError,
        "sources: 10.0.0.1 is IPv4, but no group is IPv4",
    ),
    ({"port": []}, ValueError, "port is empty: name at least one"),
    ({"port": [5000, 0]}, ValueError, "port must be from 1 to 65535, not 0"),
    ({"port": [5000, "5001"]}, TypeError, "port must be an int, not str: '5001'"),
    ({"port": None}, TypeError, "port must be an int or an iterable of ints, not NoneType: None"),
    ({"port": 5000.0}, TypeError, "port must be an int or an iterable of ints, not float: 5000.0"),
    ({"accept_unicast": 1}, TypeError, "accept_unicast must be True or False, not int: 1"),
    ({"receive_ttl": 1}, TypeError, "receive_ttl must be True or False, not int: 1"),
    ({"receive_traffic_class": 0}, TypeError, "receive_traffic_class must be True or False, not"),
    ({"receive_timestamp": "yes"}, TypeError, "receive_timestamp must be True or False, not str"),
    ({"max_buffered": 0}, ValueError, "max_buffered must be from 1 to 2147483647, not 0"),
    ({"max_buffered": -5}, ValueError, "max_buffered must be from 1 to 2147483647, not -5"),
    ({"max_buffered": float("inf")}, TypeError, "max_buffered must be an int, not float: inf"),
    (
        {"overflow": "drop"},
        ValueError,
        "overflow must be one of 'wait', 'drop_oldest', 'drop_newest', 'latest', not 'drop'",
    ),
    ({"overflow": None}, TypeError, "overflow must be text, not NoneType: None"),
    ({"receive_buffer_size": 0}, ValueError, "receive_buffer_size must be from 1 to 1073741823"),
    ({"receive_buffer_size": 2**31}, ValueError, "not 2147483648"),
    ({"receive_buffer_size": "1M"}, TypeError, "receive_buffer_size must be an int, not str: '1M'"),
]
BAD_FOR_SENDERS: list[Bad] = [
    ({"groups": []}, ValueError, "groups is empty: name at least one"),
    ({"port": [5000, 5001]}, TypeError, "port must be an int, not list: [5000, 5001]"),
    ({"ttl": 256}, ValueError, "ttl must be from 0 to 255, not 256"),
    ({"ttl": -1}, ValueError, "ttl must be from 0 to 255, not -1"),
    ({"ttl": None}, TypeError, "ttl must be an int, not NoneType: None"),
    ({"unicast_ttl": 0}, ValueError, "unicast_ttl must be from 1 to 255, not 0"),
    ({"unicast_ttl": 256}, ValueError, "unicast_ttl must be from 1 to 255, not 256"),
    ({"unicast_ttl": "far"}, TypeError, "unicast_ttl must be an int, not str: 'far'"),
    ({"overflow": "drop_oldest"}, ValueError, "overflow must be one of 'wait', 'drop', not 'drop_"),
    ({"overflow": True}, TypeError, "overflow must be text, not bool: True"),
    ({"traffic_class": 256}, ValueError, "traffic_class must be from 0 to 255, not 256"),
    ({"traffic_class": -1}, ValueError, "traffic_class must be from 0 to 255, not -1"),
    ({"traffic_class": "EF"}, TypeError, "traffic_class must be an int, not str: 'EF'"),
    ({"source_address": "239.1.2.3"}, ValueError, "source_address '239.1.2.3' is not an address"),
    ({"source_address": "0.0.0.0"}, ValueError, "source_address '0.0.0.0' is not an address"),
    ({"source_address": "here"}, ValueError, "source_address 'here' is not an IPv4 or IPv6"),
    ({"source_address": b"10.0.0.1"}, TypeError, "not bytes: b'10.0.0.1'"),
    (
        {"source_address": "2001:db8::1"},
        ValueError,
        "source_address 2001:db8::1 is IPv6, but no group is IPv6: give an address of",
    ),
    ({"source_address": IPv4Interface("10.0.0.1/24")}, TypeError, "10.0.0.1/24"),
    ({"source_port": -1}, ValueError, "source_port must be from 0 to 65535, not -1"),
    ({"source_port": 65_536}, ValueError, "source_port must be from 0 to 65535, not 65536"),
    ({"source_port": None}, TypeError, "source_port must be an int, not NoneType: None"),
    (
        {"receive_ttl": True},
        ValueError,
        "receive_ttl is about replies: it needs receive_replies=Tr",
    ),
    ({"receive_timestamp": True}, ValueError, "receive_timestamp is about replies"),
    ({"receive_traffic_class": True}, ValueError, "receive_traffic_class is about replies"),
    ({"receive_replies": 1}, TypeError, "receive_replies must be True or False, not int: 1"),
    ({"send_buffer_size": 0}, ValueError, "send_buffer_size must be from 1 to 1073741823, not 0"),
]
BAD = [
    *((opener, *case) for opener in OPENERS for case in BAD_FOR_BOTH),
    *((open_mcast_receiver, *case) for case in BAD_FOR_RECEIVERS),
    *((open_mcast_sender, *case) for case in BAD_FOR_SENDERS),
]


@pytest.mark.parametrize(("opener", "wanted", "kind", "says"), BAD)
def test_opener_refuses_at_the_call(
    opener: Opener, wanted: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind) as caught:
        call(opener, wanted)
    assert type(caught.value) is kind  # A McastError would speak about the world.
    assert says in str(caught.value)


GOOD: list[tuple[Opener, dict[str, Any]]] = [
    *((opener, {"port": port}) for opener in OPENERS for port in (1, 65_535)),
    *((opener, {"interfaces": "no such interface yet"}) for opener in OPENERS),
    (open_mcast_sender, {"ttl": 0}),
    (open_mcast_sender, {"ttl": 255}),
    (open_mcast_sender, {"unicast_ttl": 255}),
    *((open_mcast_sender, {"overflow": policy}) for policy in SENDER_OVERFLOWS),
    (open_mcast_sender, {"traffic_class": 255}),
    (open_mcast_sender, {"source_port": 65_535}),
    (open_mcast_receiver, {"max_buffered": 1}),
    *((open_mcast_receiver, {"overflow": policy}) for policy in OVERFLOWS),
    (open_mcast_receiver, {"receive_buffer_size": 2**30 - 1}),
    (open_mcast_receiver, {"groups": iter(["239.1.2.3", "ff05::1"])}),
    (
        open_mcast_receiver,
        {"groups": ["239.1.2.3", "ff05::1"], "sources": ["10.0.0.1", "fe80::1"]},
    ),
    # Excluding needs no source of each family.
    (open_mcast_receiver, {"groups": ["239.1.2.3", "ff05::1"], "excluded_sources": "10.0.0.1"}),
]


@pytest.mark.parametrize(("opener", "wanted"), GOOD)
def test_opener_takes_what_lies_within_the_bounds(opener: Opener, wanted: dict[str, Any]) -> None:
    call(opener, wanted)


# What is kept ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "kept"),
    [(5000, 5000), ([5000], 5000), ((5001, 5000, 5001), (5001, 5000)), (range(1, 4), (1, 2, 3))],
)
def test_receiver_spec_keeps_ports_without_duplicates(port: Any, kept: object) -> None:
    spec = McastReceiverSpec("239.1.2.3", port)
    assert spec.port == kept
    assert attrs.evolve(spec) == spec


def test_receiver_spec_may_have_no_group() -> None:
    assert McastReceiverSpec([], 5000).groups == ()
    assert McastReceiverSpec(iter(()), 5000, accept_unicast=True, sources="::1").groups == ()


def test_receiver_spec_keeps_addresses_as_text_without_duplicates() -> None:
    spec = McastReceiverSpec(
        [IPv4Address("239.1.2.3"), "FF05:0::1", "ff02::1%eth0", "239.1.2.3"],
        5000,
        interfaces=["eth0", 7, "eth0"],
        sources=[IPv4Address("10.0.0.1"), "2001:DB8::1", "10.0.0.1"],
    )
    assert spec.groups == ("239.1.2.3", "ff05::1", "ff02::1%eth0")
    assert spec.interfaces == ("eth0", 7)
    assert spec.sources == ("10.0.0.1", "2001:db8::1")
    assert spec.excluded_sources is None


def test_sender_spec_keeps_addresses_as_text() -> None:
    spec = McastSenderSpec("239.1.2.3", 5000, source_address=IPv4Address("10.0.0.1"))
    assert spec.groups == ("239.1.2.3",)
    assert spec.source_address == "10.0.0.1"
    spec = McastSenderSpec("ff02::1", 5000, source_address=IPv6Address("fe80::1%eth0"))
    assert spec.source_address == "fe80::1%eth0"


def test_receiver_spec_has_the_defaults_of_the_opener() -> None:
    spec = McastReceiverSpec(GROUP, 5000)
    assert attrs.asdict(spec) == {
        "groups": (GROUP,),
        "port": 5000,
        "interfaces": None,
        "sources": None,
        "excluded_sources": None,
        "accept_unicast": False,
        "loopback": True,
        "follow_interfaces": True,
        "allow_missing": False,
        "receive_ttl": False,
        "receive_timestamp": False,
        "receive_traffic_class": False,
        "max_buffered": 1024,
        "overflow": "wait",
        "receive_buffer_size": None,
    }


def test_sender_spec_has_the_defaults_of_the_opener() -> None:
    spec = McastSenderSpec(GROUP, 5000)
    assert attrs.asdict(spec) == {
        "groups": (GROUP,),
        "port": 5000,
        "interfaces": None,
        "allow_missing": False,
        "ttl": 1,
        "unicast_ttl": None,
        "loopback": True,
        "traffic_class": None,
        "source_address": None,
        "source_port": 0,
        "receive_replies": False,
        "receive_ttl": False,
        "receive_timestamp": False,
        "receive_traffic_class": False,
        "overflow": "wait",
        "send_buffer_size": None,
    }


def both(groups: Any, interfaces: Any) -> list[McastReceiverSpec | McastSenderSpec]:
    return [
        McastReceiverSpec(groups, 5000, interfaces=interfaces),
        McastSenderSpec(groups, 5000, interfaces=interfaces),
    ]


def test_specs_of_the_same_are_equal_and_hash_alike() -> None:
    one = both([IPv6Address("ff05::1")], ETH0)
    other = both("FF05::1", [ETH0])
    assert one == other
    assert [hash(item) for item in one] == [hash(item) for item in other]
    assert one != both("ff05::1", ETH1)


def test_specs_are_frozen() -> None:
    for spec in both(GROUP, None):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            spec.port = 6000  # type: ignore[misc]  # that is the point


def test_specs_can_be_changed_into_others_with_the_same_checks() -> None:
    spec = McastReceiverSpec(GROUP, 5000, sources="10.0.0.1")
    assert attrs.evolve(spec, port=6000).port == 6000
    with pytest.raises(ValueError, match="not 70000"):
        attrs.evolve(spec, port=70_000)
    with pytest.raises(ValueError, match="contradict each other"):
        attrs.evolve(spec, excluded_sources=("10.0.0.2",))


@pytest.mark.parametrize("make", [McastReceiverSpec, McastSenderSpec])
def test_specs_take_two_arguments_by_position_only(make: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match="positional argument"):
        make(GROUP, 5000, "eth0")


# Plans -----------------------------------------------------------------------------------------


def test_plan_of_an_unknown_platform_lists_those_there_are() -> None:
    for spec in both(GROUP, "eth0"):
        with pytest.raises(ValueError, match="linux, darwin, freebsd, windows, not 'amiga'"):
            spec.plan(MACHINE, platform="amiga")  # type: ignore[arg-type]  # that is the point


@pytest.mark.skipif(
    not sys.platform.startswith(("linux", "darwin", "win32", "freebsd")),
    reason="this system has no tables",
)
def test_plan_without_a_platform_is_for_this_one() -> None:
    for spec in both(GROUP, "eth0"):
        sockets = spec.plan(MACHINE)
        assert sockets
        numbers = current_platform().constants
        for option in sockets[0].options:
            assert option.number == numbers[option.symbol]


def test_plan_is_a_value() -> None:
    for spec in both([GROUP, "ff05::1"], "eth0"):
        assert spec.plan(MACHINE, "darwin") == spec.plan(MACHINE, platform="darwin")
        assert len({*spec.plan(MACHINE, "linux"), *spec.plan(MACHINE, "linux")}) == 2


def test_membership_plans_say_what_was_wanted() -> None:
    sources = [f"10.0.1.{i}" for i in range(12)]
    spec = McastReceiverSpec(GROUP, 5000, interfaces=["eth1", "eth0"], sources=sources)
    plans = list(plan_request(spec._request, (), MACHINE, current_platform(), strict=True))
    assert [(plan.group, plan.interface) for plan in plans] == [(GROUP, ETH1), (GROUP, ETH0)]
    for plan in plans:
        assert plan.sources == tuple(sources)
        assert plan.excluded_sources == ()
        assert plan.sockets
    everything = tuple(socket for plan in plans for socket in plan.sockets)
    assert spec.plan(MACHINE) == everything
