"""Sending on one of a sender's interfaces: ``send(..., interface=...)``."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import attrs
import pytest
import trio

from tests.lab.fixtures import TwoLans
from tests.support.interfaces import ETH0, ETH1, MACHINE
from tests.support.senders import lan_of, listening, plug_again, until_on
from tests.support.traffic import BOTH, PORT, delivered, receiver_on, sender_on
from tests.support.virtual_hosts import (
    GROUP4,
    GROUP6,
    PLATFORMS,
    add_second_lan,
    drain,
    receiving,
    sending,
    two_on_lan,
)
from trio_mcast import (
    Datagram,
    Endpoint,
    Interface,
    McastReceiver,
    McastSender,
    McastSenderSpec,
    SocketSetupError,
)
from trio_mcast._plan.sender import plan_sender
from trio_mcast._platform.current import PLATFORMS as PLATFORM_TABLES
from trio_mcast._send.destinations import Destination
from trio_mcast._send.target_table import TargetTable, Unreachable

pytestmark = pytest.mark.once

MIXED = [GROUP4, GROUP6]
ALSO_CALLED = attrs.evolve(ETH1, alternative_names=("enp2s0",))


def table(*gone: int, machine: Sequence[Interface] = MACHINE) -> TargetTable:
    """The sockets of a sender: 0 and 2 are of eth0, 1 and 3 of eth1."""
    request = McastSenderSpec(MIXED, PORT, interfaces=["eth0", "eth1"])._request
    plan = plan_sender(request, machine, PLATFORM_TABLES["linux"])
    return TargetTable(plan.sockets, plan.numbered_groups, PORT, frozenset(gone))


SELECTORS: list[Any] = [
    "eth1",
    "enp2s0",
    8,
    "10.1.0.1",
    IPv4Address("10.1.0.1"),
    IPv6Address("fe80::1%eth1"),
    ETH1,
    attrs.evolve(ETH1, index=99, ipv4_addresses=()),
]


@pytest.mark.parametrize("selector", SELECTORS, ids=str)
def test_interface_is_named_as_anywhere(selector: Any) -> None:
    on_eth1 = table(machine=[ETH0, ALSO_CALLED]).on_interface(selector)
    assert [number for number, _ in on_eth1.everywhere()] == [1, 3]


LEADING: list[tuple[Destination, str, list[int]]] = [
    (GROUP4, "eth1", [1]),
    (GROUP6, "eth0", [2]),
    ("239.9.9.9", "eth1", [1]),
    (("ff05::9", 7), "eth1", [3]),
    ("ff02::9%eth1", "eth1", [3]),
    ("ff02::9%8", "eth1", [3]),
    ("239.9.9.9%eth1", "eth1", [1]),
    # A peer that is near another interface is sent to from this one's address all the same.
    (("10.0.0.7", 7), "eth1", [1]),
    (Endpoint("10.0.0.7", 7), "eth1", [1]),
    (("fe80::7", 7), "eth1", [3]),
]


@pytest.mark.parametrize(("to", "interface", "numbers"), LEADING)
def test_destination_is_reached_on_that_interface_only(
    to: Destination, interface: str, numbers: list[int]
) -> None:
    targets = table().on_interface(interface).targets_for(to)
    assert not isinstance(targets, Unreachable)
    assert [number for number, _ in targets] == numbers


def test_group_of_one_interface_is_sent_to_on_another_that_is_named() -> None:
    request = McastSenderSpec([f"{GROUP4}%eth0", "239.7.7.7%eth1"], PORT)._request
    plan = plan_sender(request, MACHINE, PLATFORM_TABLES["linux"])
    both = TargetTable(plan.sockets, plan.numbered_groups, PORT)
    places = []
    for table in (both, both.on_interface("eth1")):
        for to in (GROUP4, f"{GROUP4}%eth1"):
            targets = table.targets_for(to)
            assert not isinstance(targets, Unreachable)
            places.append([plan.sockets[number].interface.name for number, _ in targets])
    assert places == [["eth0"], ["eth1"], ["eth1"], ["eth1"]]


@pytest.mark.parametrize("selector", ["eth9", 77, "10.9.9.9", "fe80::1", ""])
def test_interface_that_the_sender_does_not_have_is_an_error_that_lists_them(selector: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^interface=.+ is not an interface of this sender, which has eth0, eth1$"
    ):
        table().on_interface(selector)


@pytest.mark.parametrize(
    "to",
    [
        f"{GROUP4}%eth0",
        (f"{GROUP4}%7", 7),
        "ff02::9%eth0",
        ("ff02::9%7", 7),
        ("fe80::7%eth0", 7),
        Endpoint("fe80::7%gone", 7),
    ],
)
def test_zone_of_another_interface_is_an_error_that_lists_them(to: Destination) -> None:
    with pytest.raises(ValueError, match=r"not the zone of interface='eth1'.*has eth0, eth1$"):
        table().on_interface("eth1").targets_for(to)


@pytest.mark.parametrize("selector", [True, 1.5, b"eth0", ["eth0"], ("eth0",)])
def test_interface_of_another_type_is_an_error(selector: Any) -> None:
    with pytest.raises(TypeError, match="interface must be a name, an index, an address"):
        table().on_interface(selector)


def test_family_that_the_interface_lacks_is_an_error() -> None:
    request = McastSenderSpec([f"{GROUP6}%eth0", GROUP4], PORT, interfaces=["eth0", "eth1"])
    plan = plan_sender(request._request, MACHINE, PLATFORM_TABLES["linux"])
    on_eth1 = TargetTable(plan.sockets, plan.numbered_groups, PORT).on_interface("eth1")
    with pytest.raises(ValueError, match="none of this sender's groups on interface eth1 is IPv6"):
        on_eth1.targets_for("ff05::9")
    peer = on_eth1.targets_for(Endpoint("2001:db8::9", 7))
    assert isinstance(peer, Unreachable)
    assert plan.sockets[peer.number].interface == ETH1


def test_interface_that_was_made_again_is_meant_as_it_is_now() -> None:
    again = attrs.evolve(ETH1, index=12, ipv6_addresses=())
    before = table(3)
    sockets = list(before.sockets)
    sockets[1] = attrs.evolve(sockets[1], interface=again)
    mixed = attrs.evolve(before, sockets=tuple(sockets))
    for selector in (ETH1, again, "eth1", 12):
        assert [number for number, _ in mixed.on_interface(selector).everywhere()] == [1, 3]


# --- Sending ------------------------------------------------------------------------------------

CASES: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({}, [(GROUP4, "eth1"), (GROUP6, "eth1")]),
    ({"to": GROUP4}, [(GROUP4, "eth1")]),
    ({"to": "239.1.2.9"}, [("239.1.2.9", "eth1")]),
    ({"to": (GROUP6, PORT)}, [(GROUP6, "eth1")]),
]


async def send(sender: McastSender, how: str, data: bytes, **where: Any) -> None:
    if how == "batch":
        await sender.send_batch([data], **where)
    else:
        await sender.send(data, **where)


def places(datagrams: Sequence[Datagram]) -> list[tuple[str | None, str]]:
    return [(datagram.group, datagram.interface.name) for datagram in datagrams]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("how", ["one", "batch"])
async def test_datagram_goes_out_on_that_interface_only(
    platform: str, how: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with two_on_lan(platform) as lan:
        add_second_lan(lan)
        groups = [*MIXED, "239.1.2.9"]
        async with (
            receiving(lan.a, groups) as receiver,
            sending(lan.b, MIXED, interfaces=["eth0", "eth1"]) as sender,
        ):
            for where, expected in CASES:
                for selector in ("eth1", "10.0.1.2", sender.interfaces[1]):
                    await send(sender, how, b"hello", interface=selector, **where)
                    assert places(await drain(receiver)) == expected
            assert sender.statistics().interfaces["eth0"].sent == 0


@pytest.mark.parametrize("how", ["one", "batch"])
async def test_real_datagram_goes_out_on_that_interface_only(two_lans: TwoLans, how: str) -> None:
    async with (
        receiver_on(two_lans, two_lans.b, [*MIXED, "239.1.2.9"]) as receiver,
        sender_on(two_lans.a, MIXED, interfaces=BOTH) as sender,
        sender_on(two_lans.a, [*MIXED, "239.1.2.9"], interfaces=BOTH) as marking,
    ):
        for where, expected in CASES:
            await send(sender, how, b"hello", interface="eth1", **where)
            assert places(await delivered(receiver, marking)) == expected
        # A peer of LAN 1 hears it from the address of the other interface.
        await send(sender, how, b"peer", to=("10.0.1.2", 9), interface="eth1")
        assert sender.statistics().interfaces["eth1"].sent == 6


async def one_on(receiver: McastReceiver) -> Datagram:
    with trio.fail_after(5):
        return await receiver.receive()


@pytest.mark.parametrize("how", ["one", "batch"])
async def test_interface_that_has_gone_refuses_and_is_meant_by_its_name_when_made_again(
    two_lans: TwoLans, how: str
) -> None:
    a, b, lan = two_lans.a, two_lans.b, lan_of(two_lans, "eth1")
    with await listening(b, lan, GROUP4, "eth1") as program:
        async with sender_on(a, GROUP4, interfaces=BOTH) as sender:
            before = sender.interfaces[1]
            a.unplug("eth1")
            await until_on(sender, "eth0")
            for selector in ("eth1", before):
                with pytest.raises(SocketSetupError, match="on interface eth1") as caught:
                    await send(sender, how, b"lost", interface=selector)
                assert caught.value.errno == errno.ENODEV
            plug_again(a, lan, 2, "eth1")
            await until_on(sender, "eth0", "eth1")
            assert sender.interfaces[1].index != before.index
            await send(sender, how, b"back", interface=before)
            assert program.recv(100) == b"back"
            with pytest.raises(ValueError, match="which has eth0, eth1"):
                await send(sender, how, b"", interface="eth2")
