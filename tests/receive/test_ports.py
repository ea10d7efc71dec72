"""Interfaces that are ports of a bridge: no default, and waited for where they are named."""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tests.lab import Host, Lab
from tests.lab.machine import on
from tests.support.traffic import PORT
from tests.support.waiting import until
from trio_mcast import (
    AmbiguousInterfaceError,
    Interface,
    McastReceiver,
    McastReceiverSpec,
    find_interfaces,
    open_mcast_receiver,
    open_mcast_sender,
)
from trio_mcast.testing import VirtualNetwork

pytestmark = pytest.mark.once

GROUPS = ("239.1.2.3", "ff05::1:3")


@pytest.fixture
def bridged(lab: Lab) -> Host:
    """A host whose eth0 is a port of br0; b is on the other side."""
    lan = lab.switch("lan", flood=True)
    a, b = lab.host("a"), lab.host("b")
    a.plug("eth0", lan)
    b.plug("eth0", lan, "10.0.1.2/24", "fd00:1::2/64")
    for command in (
        "link add br0 type bridge mcast_snooping 0",
        "link set eth0 master br0",
        "link set br0 up",
        "address add 10.0.1.1/24 dev br0",
        "address add fd00:1::1/64 dev br0",
    ):
        a.run("ip", *command.split())
    return a


@asynccontextmanager
async def receiver_at(host: Host, **options: object) -> AsyncIterator[McastReceiver]:
    with on(host):
        async with open_mcast_receiver(GROUPS, PORT, **options) as receiver:  # type: ignore[arg-type]
            yield receiver


def states(receiver: McastReceiver) -> set[tuple[str, str]]:
    return {(each.interface.name, each.state) for each in receiver.memberships}


async def test_default_is_the_bridge_and_not_its_port(bridged: Host) -> None:
    with on(bridged):
        assert [each.name for each in find_interfaces(None)] == ["br0"]
    async with receiver_at(bridged) as receiver:
        assert states(receiver) == {("br0", "joined")}
    with on(bridged):
        async with open_mcast_sender("239.1.2.3", PORT) as sender:
            assert [each.name for each in sender.interfaces] == ["br0"]


async def test_named_port_waits_and_says_what_to_name(
    bridged: Host, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "trio_mcast"):
        async with receiver_at(bridged, interfaces="eth0", accept_unicast=True) as receiver:
            assert states(receiver) == {("eth0", "waiting")}
            error = receiver.memberships[0].error
            assert error is not None
            assert (error.errno, error.group, error.interface) == (errno.EBUSY, GROUPS[0], "eth0")
            assert "is a port of br0" in str(error)
            assert "name 'br0' instead" in str(error)
            assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
            bridged.run("ip", "link", "set", "eth0", "nomaster")
            await until(lambda: states(receiver), {("eth0", "joined")})
            assert all(each.error is None for each in receiver.memberships)


async def test_interface_that_becomes_a_port_while_open_is_followed(bridged: Host) -> None:
    bridged.run("ip", "link", "set", "eth0", "nomaster")
    async with receiver_at(bridged) as default, receiver_at(bridged, interfaces="eth0") as named:
        assert states(default) == {("eth0", "joined"), ("br0", "joined")}
        bridged.run("ip", "link", "set", "eth0", "master", "br0")
        await until(lambda: states(named), {("eth0", "waiting")})
        await until(lambda: states(default), {("eth0", "waiting"), ("br0", "joined")})
        # What is sent out there on this machine does not come either.
        with on(bridged):
            async with open_mcast_sender(GROUPS[1], PORT, interfaces="eth0") as sender:
                await sender.send(b"hello")
        with trio.move_on_after(0.2):
            await named.receive()
            pytest.fail("a membership that waits has delivered")
        bridged.run("ip", "link", "set", "eth0", "nomaster")
        await until(lambda: states(named), {("eth0", "joined")})
        await until(lambda: states(default), {("eth0", "joined"), ("br0", "joined")})


async def test_virtual_port_waits_and_follows(autojump_clock: trio.testing.MockClock) -> None:
    async with VirtualNetwork() as network:
        lan = network.switch("lan")
        a, b = network.host("a"), network.host("b")
        eth0 = a.plug("eth0", lan, "10.0.0.1/24", master="br0")
        a.plug("br0", lan, "10.0.0.2/24")
        b.plug("eth0", lan, "10.0.0.9/24")
        with a:
            assert [each.name for each in find_interfaces(None)] == ["br0"]
            async with open_mcast_receiver(GROUPS[0], PORT, interfaces="eth0") as receiver:
                assert states(receiver) == {("eth0", "waiting")}
                eth0.set_master(None)
                await trio.sleep(1)
                assert states(receiver) == {("eth0", "joined")}
                with b:
                    async with open_mcast_sender(GROUPS[0], PORT, interfaces="eth0") as sender:
                        await sender.send(b"hello")
                        assert (await receiver.receive()).data == b"hello"
                        eth0.set_master("br0")
                        await sender.send(b"lost")
                        await trio.sleep(1)
                assert states(receiver) == {("eth0", "waiting")}
                with pytest.raises(trio.WouldBlock):
                    receiver.receive_nowait()


async def test_sender_leaves_a_port_for_the_bridge(autojump_clock: trio.testing.MockClock) -> None:
    async with VirtualNetwork() as network:
        lan = network.switch("lan")
        a = network.host("a")
        eth0 = a.plug("eth0", lan, "10.0.0.1/24")
        with a:
            async with open_mcast_sender(GROUPS[0], PORT) as sender:
                assert [each.name for each in sender.interfaces] == ["eth0"]
                a.plug("br0", lan, "10.0.0.2/24")
                eth0.set_master("br0")
                await trio.sleep(1)
                assert [each.name for each in sender.interfaces] == ["br0"]
                a.plug("br1", lan, "10.0.0.3/24")
            with pytest.raises(AmbiguousInterfaceError, match="2 interfaces could be meant: br0"):
                async with open_mcast_sender(GROUPS[0], PORT):
                    pass


@pytest.mark.parametrize(
    ("master", "advice"),
    [("bond0", "name 'bond0' instead"), ("ovs-system", "the internal port of its Open vSwitch")],
)
async def test_advice_names_the_interface_that_receives(master: str, advice: str) -> None:
    async with VirtualNetwork() as network:
        a = network.host("a")
        a.plug("eth0", network.switch("lan"), "10.0.0.1/24", master=master)
        with a:
            async with open_mcast_receiver(GROUPS[0], PORT, interfaces="eth0") as receiver:
                assert advice in str(receiver.memberships[0].error)


def test_plan_for_a_port_has_no_sockets() -> None:
    spec = McastReceiverSpec(GROUPS, PORT, interfaces="eth0", accept_unicast=True)
    assert spec.plan([Interface("eth0", 2, master="br0")], "linux") == ()
