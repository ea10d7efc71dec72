"""Receivers follow the interfaces of their machine, on real kernels."""

from __future__ import annotations

import errno
import logging

import pytest
import trio

from tests.lab import Host, Lab
from tests.lab.machine import on
from tests.support.changing_lan import ChangingLan, exclusive_program, states, until_memberships
from tests.support.leftovers import (
    nothing_left_over,
    open_descriptors,
    open_socket_names,
    settled_tasks,
    tasks_now,
)
from tests.support.traffic import PORT, await_payload, plain_socket, receive, with_prefix
from tests.support.waiting import wait_for
from tests.support.watched_host import ip
from trio_mcast import InterfaceNotFoundError, open_mcast_receiver

pytestmark = pytest.mark.once

# Coming, going, coming back ----------------------------------------------------------------------


@pytest.mark.parametrize("by", ["name", "index", "address"])
async def test_interface_that_is_named_before_it_exists_is_joined_when_it_comes(
    net: ChangingLan, by: str
) -> None:
    # The first interface of a namespace besides lo gets the index 2.
    selectors: dict[str, str | int] = {"name": "eth0", "index": 2, "address": net.address(1)}
    selector = selectors[by]
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(
            net.group, PORT, interfaces=selector, allow_missing=True
        ) as receiver:
            assert states(receiver) == [(net.group, str(selector), "waiting")]
            assert list(receiver.interfaces) == []
            without = await settled_tasks()
            net.plug()
            await until_memberships(receiver, "eth0 joined")
            assert await net.heard(receiver) == ["eth0"]
            assert [item.name for item in receiver.interfaces] == ["eth0"]
            assert await settled_tasks() == without + 1
            net.a.unplug("eth0")
            await until_memberships(receiver, f"{selector} waiting")
            assert await settled_tasks() == without


async def test_zone_that_is_named_before_it_exists_is_joined_when_it_comes(
    net6: ChangingLan,
) -> None:
    with on(net6.a), nothing_left_over():
        async with open_mcast_receiver(
            [f"{net6.group}%eth0", "ff05::9%3"], PORT, allow_missing=True
        ) as receiver:
            await until_memberships(receiver, "eth0 waiting", "3 waiting")
            net6.plug()
            await until_memberships(receiver, "eth0 joined", "3 waiting")
            assert await net6.heard(receiver) == ["eth0"]
            net6.a.plug("other0", net6.lan)
            await until_memberships(receiver, "eth0 joined", "other0 joined")
            assert await net6.heard(receiver, "ff05::9") == ["other0"]
            net6.a.unplug("other0")
            await until_memberships(receiver, "eth0 joined", "3 waiting")


async def test_what_is_missing_is_an_error_unless_it_may_be_missing(lab: Lab) -> None:
    with on(lab.host("a")), nothing_left_over():
        with pytest.raises(InterfaceNotFoundError, match="eth7"):
            await open_mcast_receiver("239.1.2.3", PORT, interfaces="eth7").__aenter__()
        with pytest.raises(InterfaceNotFoundError, match="no interface is up"):
            await open_mcast_receiver("239.1.2.3", PORT).__aenter__()
        async with open_mcast_receiver("239.1.2.3", PORT, allow_missing=True) as receiver:
            assert receiver.memberships == ()


async def test_what_can_never_be_joined_is_not_waited_for(net: ChangingLan) -> None:
    net.plug()
    v6 = "2001:db8::1"
    with on(net.a), nothing_left_over():
        opening = open_mcast_receiver("239.1.2.3", PORT, interfaces=v6, allow_missing=True)
        with pytest.raises(ValueError, match=f"group 239.1.2.3 cannot be received .*{v6}"):
            await opening.__aenter__()
        async with open_mcast_receiver("239.1.2.3", PORT, allow_missing=True) as receiver:
            with pytest.raises(ValueError, match=r"group ff02::5%eth0 cannot be received .*eth7"):
                await receiver.join("ff02::5%eth0", interfaces="eth7")
            assert [item.group for item in receiver.memberships] == ["239.1.2.3"]


async def test_by_default_interfaces_are_joined_as_they_come_and_go(net: ChangingLan) -> None:
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT, allow_missing=True) as receiver:
            without = await settled_tasks()
            net.plug()
            (first,) = await until_memberships(receiver, "eth0 joined")
            assert await net.heard(receiver) == ["eth0"]
            net.plug(number=11, name="eth1")
            await until_memberships(receiver, "eth0 joined", "eth1 joined")
            assert await net.heard(receiver) == ["eth0", "eth1"]
            net.a.unplug("eth0")
            await until_memberships(receiver, "eth1 joined")
            assert [item.name for item in receiver.interfaces] == ["eth1"]
            assert await net.heard(receiver) == ["eth1"]
            assert await settled_tasks() == without + 1
            net.plug()
            (_, again) = await until_memberships(receiver, "eth1 joined", "eth0 joined")
            assert again.interface.index != first.interface.index
            assert await net.heard(receiver) == ["eth0", "eth1"]
            assert await settled_tasks() == without + 2


async def test_interface_that_is_made_again_before_anybody_looks_is_joined_again(
    net: ChangingLan,
) -> None:
    net.plug()
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT, interfaces="eth0") as receiver:
            (before,) = receiver.memberships
            for _ in range(3):  # No other task runs in between.
                net.a.unplug("eth0")
                net.plug()
            await wait_for(
                lambda: receiver.memberships[0].interface.index == net.a.index("eth0"),
                "the new interface",
            )
            assert before.interface.index != receiver.memberships[0].interface.index
            await until_memberships(receiver, "eth0 joined")
            assert await net.heard(receiver) == ["eth0"]


@pytest.mark.parametrize("interfaces", ["eth0", None])
async def test_interface_that_is_down_is_waited_for_with_its_socket_open(
    net: ChangingLan, interfaces: str | None
) -> None:
    net.plug()
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT, interfaces=interfaces) as receiver:
            sockets = open_socket_names()
            for _ in range(2):
                net.a.down("eth0")
                await until_memberships(receiver, "eth0 waiting")
                assert receiver.interfaces == ()
                net.a.up("eth0")
                await until_memberships(receiver, "eth0 joined")
                assert await net.heard(receiver) == ["eth0"]
            assert open_socket_names() == sockets


async def test_interface_that_is_down_when_it_is_named_is_waited_for(net: ChangingLan) -> None:
    net.plug()
    net.a.down("eth0")
    with on(net.a):
        async with open_mcast_receiver(net.group, PORT, interfaces="eth0") as receiver:
            await until_memberships(receiver, "eth0 waiting")
            net.a.up("eth0")
            await until_memberships(receiver, "eth0 joined")
            assert await net.heard(receiver) == ["eth0"]


async def test_rename_ends_a_membership_by_name_and_begins_one_by_default(net: ChangingLan) -> None:
    net.plug()
    with on(net.a), nothing_left_over():
        async with (
            open_mcast_receiver(net.group, PORT) as anywhere,
            open_mcast_receiver(net.group, PORT, interfaces="eth0") as by_name,
            open_mcast_receiver(net.group, PORT, interfaces=net.a.index("eth0")) as by_index,
            open_mcast_receiver(net.group, PORT, interfaces="wan0", allow_missing=True) as by_new,
        ):
            ip(net.a, "link set eth0 down", "link set eth0 name wan0", "link set wan0 up")
            await until_memberships(anywhere, "wan0 joined")
            await until_memberships(by_name, "eth0 waiting")
            await until_memberships(by_index, "wan0 joined")
            await until_memberships(by_new, "wan0 joined")
            assert await net.heard_by(anywhere, by_index, by_new) == [["wan0"]] * 3
            ip(net.a, "link set wan0 down", "link set wan0 name eth0", "link set eth0 up")
            await until_memberships(anywhere, "eth0 joined")
            await until_memberships(by_name, "eth0 joined")
            await until_memberships(by_index, "eth0 joined")
            await until_memberships(by_new, "wan0 waiting")
            with pytest.raises(trio.WouldBlock):  # It was not there for the others, either.
                by_name.receive_nowait()
            assert await net.heard_by(anywhere, by_name, by_index) == [["eth0"]] * 3


async def test_interfaces_that_swap_their_names_are_both_joined(net: ChangingLan) -> None:
    net.plug()
    net.plug(number=11, name="eth1")
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT) as receiver:
            before = {item.interface.index: item.interface.name for item in receiver.memberships}
            ip(
                net.a,
                "link set eth0 down",
                "link set eth1 down",
                "link set eth0 name other0",
                "link set eth1 name eth0",
                "link set other0 name eth1",
                "link set eth0 up",
                "link set eth1 up",
            )
            await wait_for(
                lambda: all(
                    before[i.interface.index] != i.interface.name for i in receiver.memberships
                ),
                "the new names",
            )
            await until_memberships(receiver, "eth0 joined", "eth1 joined")
            assert await net.heard(receiver) == ["eth0", "eth1"]


async def test_interface_that_was_in_another_namespace_and_is_back_is_joined_again(
    net: ChangingLan,
) -> None:
    net.plug()
    elsewhere = net.lab.host("elsewhere")
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT, interfaces="eth0") as receiver:
            index, sockets = net.a.index("eth0"), open_socket_names()
            # No other task runs in between, and it comes back with its index.
            ip(net.a, f"link set eth0 netns {elsewhere.namespace.path}")
            ip(elsewhere, f"link set eth0 netns {net.a.namespace.path}")
            (address,) = with_prefix([net.address(1)])
            ip(net.a, "link set eth0 up", f"address add {address} dev eth0")
            assert net.a.index("eth0") == index
            await wait_for(lambda: not sockets <= open_socket_names(), "another socket")
            await until_memberships(receiver, "eth0 joined")
            assert await net.heard(receiver) == ["eth0"]


async def test_interface_that_is_elsewhere_for_a_while_is_joined_when_it_is_back(
    net: ChangingLan,
) -> None:
    net.plug()
    elsewhere = net.lab.host("elsewhere")
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT) as receiver:
            (was,) = receiver.memberships
            ip(net.a, f"link set eth0 netns {elsewhere.namespace.path}")
            await until_memberships(receiver)
            ip(elsewhere, f"link set eth0 netns {net.a.namespace.path}")
            (address,) = with_prefix([net.address(1)])
            commands = [f"address add {address} broadcast + dev eth0"] if "." in address else []
            ip(net.a, "link set eth0 up", *commands)
            (now,) = await until_memberships(receiver, "eth0 joined")
            assert now.interface.index == was.interface.index
            assert await net.heard(receiver) == ["eth0"]


# Logging -----------------------------------------------------------------------------------------


async def test_each_change_is_logged_once(
    net4: ChangingLan, caplog: pytest.LogCaptureFixture
) -> None:
    net4.plug()
    group = f"group {net4.group} on interface"
    with on(net4.a), caplog.at_level(logging.INFO, "trio_mcast"):
        async with open_mcast_receiver(net4.group, PORT) as receiver:
            net4.a.down("eth0")
            await until_memberships(receiver, "eth0 waiting")
            net4.a.up("eth0")
            await until_memberships(receiver, "eth0 joined")
            net4.a.address("eth0", add=["10.0.1.77/24"])
            net4.a.unplug("eth0")
            await until_memberships(receiver)
            with exclusive_program(net4.a, net4.group, "lo"):
                net4.plug()
                (failed,) = await until_memberships(receiver, "eth0 failed")
                # It is tried again and again meanwhile, and that is not told each time.
                await wait_for(
                    lambda: next(iter(receiver._memberships.live.values())).backoff.attempts >= 3,
                    "three attempts",
                )
            await until_memberships(receiver, "eth0 joined")
    assert [(item.levelname, item.message) for item in caplog.records] == [
        ("INFO", f"{group} eth0 is waiting"),
        ("INFO", f"{group} eth0 is joined"),
        ("INFO", f"{group} eth0 is left"),
        ("WARNING", str(failed.error)),
        ("INFO", f"{group} eth0 is joined"),
    ]


# Not following -----------------------------------------------------------------------------------


async def test_without_following_memberships_stay_as_they_were_opened(net: ChangingLan) -> None:
    net.plug()
    with on(net.a), nothing_left_over():
        async with (
            open_mcast_receiver(net.group, PORT) as follower,
            open_mcast_receiver(net.group, PORT, follow_interfaces=False) as receiver,
        ):
            before, sockets = receiver.memberships, open_socket_names()
            net.plug(number=11, name="eth1")
            await until_memberships(follower, "eth0 joined", "eth1 joined")
            assert await net.heard(receiver) == ["eth0"]
            net.a.unplug("eth0")
            await until_memberships(follower, "eth1 joined")
            net.plug()
            await until_memberships(follower, "eth1 joined", "eth0 joined")
            net.sender.sendto(b"lost", (net.group, PORT))
            while (await receive(follower)).data != b"lost":
                pass
            with pytest.raises(trio.WouldBlock):
                receiver.receive_nowait()
            assert receiver.memberships == before
            assert sockets - open_socket_names() != set()  # Those of the other one.


async def test_without_following_there_is_no_watcher(lab: Lab) -> None:
    host = lab.host("a")
    with on(host):
        async with open_mcast_receiver("239.1.2.3", PORT, interfaces="lo"):
            following = len(open_descriptors())
        async with open_mcast_receiver("239.1.2.3", PORT, interfaces="lo", follow_interfaces=False):
            assert len(open_descriptors()) == following - 1


@pytest.mark.parametrize("follows", [False, True])
async def test_receiver_has_a_task_for_each_interface_and_one_that_follows(
    lab: Lab, follows: bool
) -> None:
    with on(lab.host("a")):
        before = tasks_now()
        async with open_mcast_receiver(
            ["239.1.2.3", "ff35::1"], PORT, interfaces="lo", follow_interfaces=follows
        ):
            assert await settled_tasks() == before + 2


# Backpressure, unicast ---------------------------------------------------------------------------


async def test_interface_that_goes_while_the_queue_is_full_loses_its_task(net: ChangingLan) -> None:
    net.plug()
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT, max_buffered=3) as receiver:
            with_it = await settled_tasks()
            for number in range(6):
                net.sender.sendto(b"%d" % number, (net.group, PORT))
            await wait_for(lambda: receiver.statistics().waiting == 3, "a full queue")
            net.a.unplug("eth0")
            await until_memberships(receiver)
            assert await settled_tasks() == with_it - 1
            statistics = receiver.statistics()
            assert (statistics.received, statistics.dropped_by_policy) == (6, 3)
            assert [(await receive(receiver)).data for _ in range(3)] == [b"0", b"1", b"2"]
            net.plug()
            await until_memberships(receiver, "eth0 joined")
            assert await net.heard(receiver) == ["eth0"]


async def test_unicast_to_one_address_goes_on_while_others_come_and_go(net: ChangingLan) -> None:
    net.plug()
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(
            net.group, PORT, interfaces="eth0", accept_unicast=True
        ) as receiver:
            sockets = open_socket_names()
            (new,) = with_prefix([net.address(21)])
            net.a.address("eth0", add=[new])
            await wait_for(lambda: len(open_socket_names()) == len(sockets) + 1, "one more socket")
            assert open_socket_names() > sockets
            for number in (1, 21):
                net.sender.sendto(b"%d" % number, (net.address(number), PORT))
                datagram = await receive(receiver)
                assert (datagram.group, datagram.data) == (None, b"%d" % number)
            net.a.address("eth0", remove=[new])
            await wait_for(lambda: open_socket_names() == sockets, "one socket less")
            net.sender.sendto(b"still", (net.address(1), PORT))
            assert (await receive(receiver)).data == b"still"


async def test_unicast_goes_on_while_it_is_refused_at_another_address(net: ChangingLan) -> None:
    net.plug()
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(
            net.group, PORT, interfaces="eth0", accept_unicast=True
        ) as receiver:
            (new,) = with_prefix([net.address(21)])
            net.a.address("eth0", add=[new])
            # No other task runs before.
            with exclusive_program(net.a, net.address(21), "eth0"):
                _, failed = await until_memberships(receiver, "eth0 joined", "eth0 failed")
                assert failed.group is None
                assert failed.error is not None
                assert failed.error.errno == errno.EADDRINUSE
                net.sender.sendto(b"old", (net.address(1), PORT))
                assert (await receive(receiver)).data == b"old"
            await until_memberships(receiver, "eth0 joined", "eth0 joined")
            net.sender.sendto(b"new", (net.address(21), PORT))
            assert (await receive(receiver)).data == b"new"


async def test_another_program_keeps_its_port_while_memberships_come_and_go(
    net: ChangingLan,
) -> None:
    net.plug()
    host: Host = net.a
    with on(host), plain_socket(host, net.family, port=PORT) as program:
        async with open_mcast_receiver(net.group, PORT) as receiver:
            for _ in range(3):
                host.unplug("eth0")
                await until_memberships(receiver)
                net.plug()
                await until_memberships(receiver, "eth0 joined")
                ip(net.b, "neigh flush dev eth0")  # The new interface has another link address.
                net.sender.sendto(b"unicast", (net.address(1), PORT))
                await_payload(program, b"unicast")
