"""Groups are joined and left while a receiver runs, on real kernels."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import partial

import pytest
import trio
import trio.testing

from tests.lab import Lab, Subscription
from tests.lab.fixtures import TwoLans
from tests.lab.machine import on
from tests.support.changing_lan import ChangingLan, states, until_memberships
from tests.support.leftovers import nothing_left_over, open_socket_names
from tests.support.traffic import (
    FAMILIES,
    PORT,
    Family,
    delivered,
    group_of,
    places,
    receive,
    receiver_on,
    sender_on,
)
from tests.support.waiting import wait_for
from trio_mcast import open_mcast_receiver

pytestmark = pytest.mark.once


@pytest.fixture
def net(net: ChangingLan) -> ChangingLan:
    """The network of the fixture of that name, with the host plugged in."""
    net.plug()
    return net


# Joining -----------------------------------------------------------------------------------------


async def test_what_is_sent_after_a_join_is_received_and_before_it_not(net: ChangingLan) -> None:
    more = net.second_group
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT) as receiver:
            net.sender.sendto(b"before", (more, PORT))
            assert await net.heard(receiver) == ["eth0"]
            with trio.testing.assert_checkpoints():
                await receiver.join(more)
            assert states(receiver) == [
                (net.group, "eth0", "joined"),
                (more, "eth0", "joined"),
            ]
            assert await net.heard(receiver, more) == ["eth0"]
            with trio.testing.assert_checkpoints():
                await receiver.leave(more)
            net.sender.sendto(b"after", (more, PORT))
            assert await net.heard(receiver) == ["eth0"]
            assert states(receiver) == [(net.group, "eth0", "joined")]


@FAMILIES
async def test_the_switch_sees_each_join_and_leave(two_lans: TwoLans, family: Family) -> None:
    one, more = group_of(family, 1), group_of(family, 2)

    def are_of_a(wanted: set[str], subscriptions: Iterable[Subscription]) -> bool:
        found = {item.group for item in subscriptions if item.host == "a"}
        return found & {one, more} == wanted

    async def seen(*expected: tuple[str, str]) -> None:
        for lan, interface in ((two_lans.lan1, "eth0"), (two_lans.lan2, "eth1")):
            wanted = {group for group, name in expected if name == interface}
            await lan.wait_for_async(partial(are_of_a, wanted))

    with on(two_lans.a):
        async with open_mcast_receiver(one, PORT, interfaces="eth0") as receiver:
            await seen((one, "eth0"))
            await receiver.join([one, more], interfaces="eth1")
            await seen((one, "eth0"), (one, "eth1"), (more, "eth1"))
            await receiver.leave(one, interfaces="eth1")
            await seen((one, "eth0"), (more, "eth1"))
            async with receiver.joined(more):
                await seen((one, "eth0"), (more, "eth0"), (more, "eth1"))
            await seen((one, "eth0"), (more, "eth1"))
        await seen()


@FAMILIES
async def test_sources_of_a_join_are_its_own(two_lans: TwoLans, family: Family) -> None:
    one, more = group_of(family, 1), group_of(family, 2)
    wanted = {"ipv4": "10.0.1.2", "ipv6": "fd00:1::2"}[family]
    async with receiver_on(two_lans, two_lans.a, one, interfaces="eth0") as receiver:
        await receiver.join(more, sources=wanted)
        await two_lans.lan1.wait_for_async(
            lambda seen: any(
                (item.group, item.filter_mode, item.sources)
                == (more, "include", frozenset([wanted]))
                for item in seen
            )
        )
        assert [item.sources for item in receiver.memberships] == [(), (wanted,)]
        async with sender_on(two_lans.b, [one, more], interfaces="eth0") as sender:
            await sender.send(b"x")
            assert places(await delivered(receiver, sender)) == [
                (one, "eth0", b"x"),
                (more, "eth0", b"x"),
            ]


async def test_several_tasks_join_and_leave_at_once(net: ChangingLan) -> None:
    groups = [group_of(net.family, number) for number in range(10, 30)]
    chance = random.Random(0)
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT) as receiver:

            async def come_and_go(group: str) -> None:
                for _ in range(3):
                    for _ in range(chance.randrange(5)):
                        await trio.lowlevel.checkpoint()
                    await receiver.join(group)
                    assert (group, "eth0", "joined") in states(receiver)
                    async with receiver.joined(group, interfaces="lo"):
                        assert (group, "lo", "joined") in states(receiver)
                    await receiver.leave(group)
                await receiver.join(group)

            async with trio.open_nursery() as nursery:
                for group in groups:
                    nursery.start_soon(come_and_go, group)
            assert {group for group, _, _ in states(receiver)} == {net.group, *groups}
            for group in groups:
                assert await net.heard(receiver, group) == ["eth0"]
            assert len(receiver._memberships.requests) == 1 + len(groups)


# Leaving -----------------------------------------------------------------------------------------


async def test_what_waits_in_the_kernel_is_delivered_after_leaving(net: ChangingLan) -> None:
    more = net.second_group
    with on(net.a):
        async with open_mcast_receiver([net.group, more], PORT) as receiver:
            # Without a checkpoint: the task has read none of it.
            for number in range(20):
                net.sender.sendto(b"%d" % number, (more, PORT))
            assert receiver.statistics().received == 0
            await receiver.leave(more)
            found = [(await receive(receiver)).data for _ in range(20)]
            assert found == [b"%d" % number for number in range(20)]
            assert await net.heard(receiver) == ["eth0"]
            statistics = receiver.statistics()
            assert statistics.received == statistics.delivered == 22


async def test_what_waits_in_the_queue_is_delivered_after_leaving(net: ChangingLan) -> None:
    with on(net.a):
        async with open_mcast_receiver(net.group, PORT) as receiver:
            for number in range(20):
                net.sender.sendto(b"%d" % number, (net.group, PORT))
            await wait_for(lambda: receiver.statistics().waiting == 20, "a filled queue")
            await receiver.leave(net.group)
            assert receiver.memberships == ()
            found = [(await receive(receiver)).data for _ in range(20)]
            assert found == [b"%d" % number for number in range(20)]


async def test_what_finds_no_room_on_leaving_is_counted(net: ChangingLan) -> None:
    with on(net.a):
        async with open_mcast_receiver(net.group, PORT, max_buffered=5) as receiver:
            for number in range(20):
                net.sender.sendto(b"%d" % number, (net.group, PORT))
            await receiver.leave(net.group)
            statistics = receiver.statistics()
            assert (statistics.received, statistics.waiting) == (20, 5)
            assert statistics.dropped_by_policy == 15
            (membership,) = statistics.memberships
            assert (membership.group, membership.dropped_by_policy) == (net.group, 15)
            assert [(await receive(receiver)).data for _ in range(5)] == [
                b"%d" % number for number in range(5)
            ]


async def test_what_comes_while_groups_are_left_is_delivered_or_counted(net: ChangingLan) -> None:
    groups = [group_of(net.family, number) for number in range(1, 41)]
    with on(net.a):
        async with open_mcast_receiver(groups, PORT, max_buffered=100) as receiver:
            sent = 0

            async def send() -> None:
                nonlocal sent
                for number in range(200):
                    net.sender.sendto(b"%d" % number, (groups[number % 40], PORT))
                    sent += 1
                    await trio.lowlevel.checkpoint()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                for group in groups[1:]:
                    await receiver.leave(group)
            statistics = receiver.statistics()
            while statistics.waiting:
                await receive(receiver)
                statistics = receiver.statistics()
            assert statistics.received == statistics.delivered + statistics.dropped_by_policy
            assert 0 < statistics.received <= sent


async def test_leaving_on_one_interface_lasts_when_that_is_made_again(net: ChangingLan) -> None:
    net.plug(number=11, name="eth1")
    with on(net.a):
        async with (
            open_mcast_receiver(net.group, PORT) as anywhere,
            open_mcast_receiver(net.group, PORT, interfaces=["eth0", "eth1"]) as by_name,
            open_mcast_receiver(
                net.group, PORT, interfaces=[net.address(1), net.address(11)]
            ) as by_address,
        ):
            for receiver in (anywhere, by_name, by_address):
                await receiver.leave(net.group, interfaces="eth1")
                assert states(receiver) == [(net.group, "eth0", "joined")]
            net.a.unplug("eth0")
            net.a.unplug("eth1")
            await until_memberships(anywhere)
            await until_memberships(by_name, "eth0 waiting")
            await until_memberships(by_address, f"{net.address(1)} waiting")
            net.plug()
            net.plug(number=11, name="eth1")
            for receiver in (anywhere, by_name, by_address):
                await until_memberships(receiver, "eth0 joined")
            assert await net.heard_by(anywhere, by_name, by_address) == [["eth0"]] * 3
            # It can be joined again, which then lasts like any other.
            await anywhere.join(net.group, interfaces="eth1")
            net.a.unplug("eth1")
            await until_memberships(anywhere, "eth0 joined", "eth1 waiting")
            net.plug(number=11, name="eth1")
            await until_memberships(anywhere, "eth0 joined", "eth1 joined")


async def test_what_is_waited_for_can_be_left(net: ChangingLan) -> None:
    with on(net.a):
        async with open_mcast_receiver(
            net.group, PORT, interfaces=["eth0", "eth7", net.address(12)], allow_missing=True
        ) as receiver:
            await receiver.leave(net.group, interfaces=["eth7", net.address(12)])
            assert states(receiver) == [(net.group, "eth0", "joined")]
            net.plug(number=11, name="eth7")
            net.plug(number=12, name="eth8")
            net.plug(number=13, name="eth9")
            async with open_mcast_receiver(net.group, PORT) as other:
                assert len(other.memberships) == 4
            await receiver.join(net.second_group, interfaces="eth9")  # Looks at the interfaces.
            assert states(receiver) == [
                (net.group, "eth0", "joined"),
                (net.second_group, "eth9", "joined"),
            ]
            assert await net.heard(receiver) == ["eth0"]


async def test_group_that_is_left_everywhere_is_not_joined_on_interfaces_that_come_later(
    net: ChangingLan,
) -> None:
    more = net.second_group
    with on(net.a):
        async with open_mcast_receiver([net.group, more], PORT) as receiver:
            await receiver.leave(net.group)
            net.plug(number=11, name="eth1")
            await until_memberships(receiver, "eth0 joined", "eth1 joined")
            assert {group for group, _, _ in states(receiver)} == {more}
            await receiver.join(net.group)
            assert [name for group, name, _ in states(receiver) if group == net.group] == [
                "eth0",
                "eth1",
            ]


async def test_group_that_was_left_interface_by_interface_can_be_joined_anew(
    net: ChangingLan,
) -> None:
    with on(net.a):
        async with open_mcast_receiver(
            net.group, PORT, excluded_sources=net.address(2)
        ) as receiver:
            for _ in range(3):
                await receiver.leave(net.group, interfaces="eth0")
                assert receiver.memberships == ()
                await receiver.join(net.group)
            assert len(receiver._memberships.requests) == 1
            # What comes later is up to the new one.
            net.plug(number=11, name="eth1")
            await until_memberships(receiver, "eth0 joined", "eth1 joined")
            assert [item.excluded_sources for item in receiver.memberships] == [(), ()]
            assert await net.heard(receiver) == ["eth0", "eth1"]


async def test_zone_narrows_what_is_left(lab: Lab) -> None:
    net = ChangingLan(lab, "ipv6")
    net.plug()
    net.plug(number=11, name="eth1")
    other = "ff05::9"
    with on(net.a):
        async with open_mcast_receiver([net.group, other], PORT) as receiver:
            await receiver.leave([f"{net.group}%eth1", other])
            assert states(receiver) == [(net.group, "eth0", "joined")]
            await receiver.leave(f"{net.group}%{net.a.index('eth0')}")
            assert receiver.memberships == ()
            net.plug(number=12, name="eth2")
            await until_memberships(receiver, "eth2 joined")
            assert states(receiver) == [(net.group, "eth2", "joined")]
    net.close()


async def test_joining_and_leaving_again_and_again_adds_up_to_nothing(net: ChangingLan) -> None:
    more = net.second_group
    with on(net.a):
        async with open_mcast_receiver(net.group, PORT) as receiver:
            sockets = open_socket_names()
            for _ in range(20):
                await receiver.join(more)
                await receiver.leave(more)
                await receiver.join(more, interfaces=["eth0", "lo"])
                await receiver.leave(more, interfaces="lo")
                await receiver.leave(more, interfaces="eth0")
                async with receiver.joined(more, interfaces=net.address(1)):
                    pass
            assert open_socket_names() == sockets
            (request,) = receiver._memberships.requests
            assert not request.left
