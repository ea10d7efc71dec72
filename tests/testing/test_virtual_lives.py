"""Addresses whose time runs out, and interfaces that get another name: virtual, and in the lab.

In each world, what a receiver and a sender make of it is written down, each state once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from tests.contract.using import PORT, all_of, receiving, sending
from tests.contract.worlds import LabWorld, VirtualWorld, World, lab_world
from tests.lab.fixtures import require_lab
from trio_mcast import Endpoint, McastReceiver, McastSender, list_interfaces
from trio_mcast.testing import VirtualNetwork, network_test

from ..support.virtual_hosts import receiving as receiving_on
from ..support.virtual_hosts import two_on_lan

pytestmark = pytest.mark.once

GROUP = "239.1.2.3"
GROUP6 = "ff05::1234"


def seen(world: World, receiver: McastReceiver, sender: McastSender) -> tuple[object, ...]:
    """Return what programs on host a see of the interface that is eth0 at first."""
    interfaces = [each for each in world.machine("a").list_interfaces() if each.name != "lo"]
    details = [
        (each.name, str(detail.address), detail.state)
        for each in interfaces
        if each.name != "eth1"
        for detail in each.address_details
        if detail.address.version == 4
    ]
    memberships = [(each.interface.name, each.state) for each in receiver.memberships]
    return details, memberships, [each.host for each in sender.local_endpoints]


async def watched(
    world: World, act: Callable[[World], None], last: Callable[[tuple[object, ...]], bool]
) -> list[tuple[object, ...]]:
    """Do something, and return each state that follows until the last, once."""
    states: list[tuple[object, ...]] = []
    async with (
        receiving(world, "a", GROUP, interfaces="eth0", allow_missing=True) as receiver,
        sending(world, "a", GROUP, "eth0", allow_missing=True) as sender,
    ):
        act(world)
        with trio.fail_after(10):
            while not states or not last(states[-1]):
                state = seen(world, receiver, sender)
                # The library sees a change some time after the system has it.
                await trio.sleep(0.15)
                if state == seen(world, receiver, sender) and state not in states[-1:]:
                    states.append(state)
    return states


def let_expire(world: World) -> None:
    # A second address, so that the first one has an heir.
    world.address("a", "eth0", add=["10.0.1.77/24"])
    if isinstance(world, LabWorld):
        change = "address change 10.0.1.1/24 dev eth0 valid_lft 3 preferred_lft 1"
        world._hosts["a"]._ip(change)
    else:
        assert isinstance(world, VirtualWorld)
        eth0 = world._hosts["a"].interface("eth0")
        eth0.renew_address("10.0.1.1", valid_seconds=3, preferred_seconds=1)


async def duplicates(world: World) -> tuple[list[str | None], list[str], list[str]]:
    """Give b an address of a, and return the states that it has, each once; and who is heard."""
    if isinstance(world, LabWorld):
        b = world._hosts["b"]
        b.namespace.set_parameters({"ipv6/conf/eth0/accept_dad": "1"})
        b._ip("address add fd00:1::1/64 dev eth0")
    else:
        assert isinstance(world, VirtualWorld)
        eth0 = world._hosts["b"].interface("eth0")
        eth0.add_address("fd00:1::1/64", check_seconds=0.5)
    states: list[str | None] = []
    with trio.fail_after(10):
        while states[-1:] != ["failed"]:
            (here,) = (each for each in world.machine("b").list_interfaces() if each.index == 2)
            by_address = {str(each.address): each.state for each in here.address_details}
            if by_address["fd00:1::1/64"] not in states:
                states.append(by_address["fd00:1::1/64"])
            await trio.sleep(0.01)
    async with (
        receiving(world, "a", GROUP6, interfaces="eth0", accept_unicast=True) as owner,
        receiving(world, "b", GROUP6, interfaces="eth0", accept_unicast=True) as other,
        sending(world, "c", GROUP6) as sender,
        sending(world, "b", GROUP6) as from_b,
    ):
        await sender.send(b"x", to=Endpoint("fd00:1::1", PORT))
        await from_b.send(b"from b")
        heard = [(str(d.source.host), d.data) for d in await all_of(world, owner)]
        heard_too = [(str(d.source.host), d.data) for d in await all_of(world, other)]
    return states, sorted(map(str, heard)), sorted(map(str, heard_too))


async def test_duplicate_address_fails_as_on_a_real_host() -> None:
    require_lab()
    async with VirtualNetwork() as network:
        virtual = await duplicates(VirtualWorld(network, "linux"))
    with lab_world() as lab:
        # The kernel waits for some time, and for another one if it has been asked before.
        real = await duplicates(lab)
    assert real[1:] == virtual[1:]
    assert virtual[0] == ["tentative", "failed"]
    assert real[0][-1] == "failed"


async def test_address_that_is_free_by_the_end_of_the_check_can_be_used(
    autojump_clock: MockClock,
) -> None:
    async with two_on_lan() as lan:
        a, b = lan.a.interface("eth0"), lan.b.interface("eth0")
        for address in ("fd00::1/64", "fe80::1/64"):
            b.add_address(address, check_seconds=2)
        await trio.sleep(1)
        a.remove_address("fd00::1")
        await trio.sleep(2)
        by_address = {str(each.address): each.state for each in b.value.address_details}
        assert by_address["fd00::1/64"] == "preferred"
        assert by_address["fe80::1/64"] == "failed"
        # What has failed is nobody's: another one can have it.
        a.remove_address("fe80::1")
        a.add_address("fe80::1/64")
        with pytest.raises(ValueError, match="fd00::1 is on b/eth0 already"):
            a.add_address("fd00::1/64")


def rename(world: World) -> None:
    if isinstance(world, LabWorld):
        world._hosts["a"]._ip("link set eth0 name lan0")
    else:
        assert isinstance(world, VirtualWorld)
        world._hosts["a"].rename("eth0", "lan0")


CASES = [
    # The kernel counts lifetimes in whole seconds: hence some seconds.
    (let_expire, lambda state: state[0] == [("eth0", "10.0.1.77/24", "preferred")]),
    (rename, lambda state: ("eth0", "joined") not in state[1]),
]


@pytest.mark.parametrize(("act", "last"), CASES, ids=["expire", "rename"])
async def test_virtual_host_lives_as_a_real_one(
    act: Callable[[World], None], last: Callable[[tuple[object, ...]], bool]
) -> None:
    require_lab()
    async with VirtualNetwork() as network:
        virtual = await watched(VirtualWorld(network, "linux"), act, last)
    with lab_world() as lab:
        assert await watched(lab, act, last) == virtual
    assert len(virtual) >= 1


async def test_lifetimes_end_on_time(autojump_clock: MockClock) -> None:
    async with two_on_lan() as lan:
        eth0 = lan.b.interface("eth0")
        eth0.add_address("10.0.0.9/24", valid_seconds=20, preferred_seconds=10)
        eth0.add_address("fd00::9/64", valid_seconds=30)
        eth0.add_address("fd00::8/64", preferred_seconds=0)
        states = []
        for _ in range(4):
            by_address = {str(each.address): each.state for each in eth0.value.address_details}
            states.append([by_address.get(a) for a in ("10.0.0.9/24", "fd00::9/64", "fd00::8/64")])
            await trio.sleep(10.1)
        assert states == [
            ["preferred", "preferred", "deprecated"],
            ["deprecated", "preferred", "deprecated"],
            [None, "preferred", "deprecated"],
            [None, None, "deprecated"],
        ]


async def test_renewed_address_lives_on(autojump_clock: MockClock) -> None:
    async with two_on_lan() as lan:
        eth0 = lan.b.interface("eth0")
        eth0.add_address("10.0.0.9/24", valid_seconds=10, preferred_seconds=5)
        await trio.sleep(7)
        assert [each.state for each in eth0.value.address_details][1] == "deprecated"
        eth0.renew_address("10.0.0.9/24", valid_seconds=10)
        assert [each.state for each in eth0.value.address_details][1] == "preferred"
        await trio.sleep(9)
        assert "10.0.0.9/24" in map(str, eth0.networks)
        await trio.sleep(2)
        assert "10.0.0.9/24" not in map(str, eth0.networks)
        # One of the same name that is added later has no end.
        eth0.add_address("10.0.0.9/24", valid_seconds=5)
        eth0.remove_address("10.0.0.9")
        eth0.add_address("10.0.0.9/24")
        await trio.sleep(6)
        assert "10.0.0.9/24" in map(str, eth0.networks)


async def test_receiver_of_an_address_waits_when_its_time_is_over(
    autojump_clock: MockClock,
) -> None:
    async with two_on_lan() as lan:
        lan.b.interface("eth0").add_address("10.0.9.9/24", valid_seconds=60)
        async with receiving_on(lan.b, interfaces="10.0.9.9", allow_missing=True) as receiver:
            assert [each.state for each in receiver.memberships] == ["joined"]
            await trio.sleep(61)
            assert [each.state for each in receiver.memberships] == ["waiting"]
            lan.b.interface("eth0").add_address("10.0.9.9/24", valid_seconds=60)
            await trio.sleep(1)
            assert [each.state for each in receiver.memberships] == ["joined"]


@network_test
async def test_impossible_lives_are_refused(network: VirtualNetwork) -> None:
    lan, a, b = network.switch("lan"), network.host("a"), network.host("b", platform="freebsd")
    eth0, other = a.plug("eth0", lan, "10.0.0.1/24"), b.plug("eth0", lan, "10.0.0.2/24")
    attempts: list[Callable[..., None]] = [
        partial(eth0.add_address, "10.0.0.9/24"),
        partial(eth0.renew_address, "10.0.0.1/24"),
    ]
    for add in attempts:
        with pytest.raises(ValueError, match="preferred_seconds=6 is more than valid_seconds=5"):
            add(valid_seconds=5, preferred_seconds=6)
        with pytest.raises(ValueError, match="valid_seconds must be more than 0"):
            add(valid_seconds=0)
        with pytest.raises(TypeError, match="preferred_seconds must be a number"):
            add(preferred_seconds="1")
    with pytest.raises(ValueError, match="does not have the address"):
        eth0.renew_address("10.0.0.9", valid_seconds=5)
    with pytest.raises(ValueError, match="only Linux"):
        other.add_address("10.0.0.9/24", valid_seconds=5)
    with pytest.raises(ValueError, match="only Linux"):
        other.renew_address("10.0.0.2", valid_seconds=5)


@network_test
async def test_renamed_interface_is_the_same_one(network: VirtualNetwork) -> None:
    lan, a, b = network.switch("lan"), network.host("a"), network.host("b")
    a.plug("eth0", lan, "10.0.0.1/24")
    eth0 = b.plug("eth0", lan, "10.0.0.2/24", gateway="10.0.0.254")
    b.routes.add("239.0.0.0/8", "eth0")
    async with receiving_on(b, interfaces=eth0.index) as by_index, receiving_on(b) as by_default:
        b.rename("eth0", "lan0")
        await trio.sleep(1)
        assert b.interface("lan0") is eth0
        assert str(eth0) == "b/lan0"
        with b:
            assert [(each.name, each.index) for each in list_interfaces()][1] == ("lan0", 2)
        assert b.find_route(eth0.networks[0].ip, b.list_interfaces())
        for receiver in (by_index, by_default):
            (membership,) = (m for m in receiver.memberships if m.interface.index == eth0.index)
            assert (membership.interface.name, membership.state) == ("lan0", "joined")
    with pytest.raises(ValueError, match="has an interface 'lo' already"):
        b.rename("lan0", "lo")
    with pytest.raises(ValueError, match="has no interface 'eth0'"):
        b.rename("eth0", "eth1")
    with pytest.raises(ValueError, match="must not be empty"):
        b.rename("lan0", "")
