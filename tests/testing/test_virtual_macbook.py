"""A MacBook's many interfaces: macOS joins no group where the family is not set up."""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from trio.testing import MockClock

from tests.support.macbook import MACBOOK
from tests.support.virtual_hosts import drain
from trio_mcast import (
    InterfaceNotFoundError,
    McastReceiver,
    McastReceiverSpec,
    SocketSetupError,
    diagnose,
    open_mcast_receiver,
    open_mcast_sender,
)
from trio_mcast._cli.interfaces import take_snapshot
from trio_mcast.testing import VirtualHost, VirtualNetwork

pytestmark = pytest.mark.once

FOUR, SIX, LINK_LOCAL = "239.1.2.3", "ff05::1234", "ff02::1234"
WITH_IPV6 = {
    each.name for each in MACBOOK if each.ipv6_addresses and each.is_up and not each.is_loopback
}


@asynccontextmanager
async def macbook() -> AsyncIterator[tuple[VirtualHost, VirtualHost]]:
    """Open a network with a host beside a MacBook's en0, and the MacBook."""
    async with VirtualNetwork() as network:
        peer, mac = network.host("peer"), network.host("mac", platform="darwin")
        for interface in MACBOOK:
            if interface.is_loopback or not interface.is_up:
                continue
            switch = network.switch(f"beside-{interface.name}")
            addresses = map(str, (*interface.ipv4_addresses, *interface.ipv6_addresses))
            mac.plug(interface.name, switch, *addresses)
            if interface.name == "en0":
                peer.plug("eth0", switch, "192.168.1.9/24", "fe80::9/64", "2001:db8::9/64")
        yield peer, mac


@pytest.mark.parametrize(
    ("group", "names"), [(FOUR, {"en0"}), (SIX, WITH_IPV6), (LINK_LOCAL, WITH_IPV6)]
)
def test_plan_has_only_interfaces_with_an_address_of_the_family(
    group: str, names: set[str]
) -> None:
    plan = McastReceiverSpec(group, 5000).plan(MACBOOK, "darwin")
    assert {socket_spec.interface.name for socket_spec in plan} == names
    for platform in ("linux", "freebsd", "windows"):  # Where no address is needed.
        assert len(McastReceiverSpec(group, 5000).plan(MACBOOK, platform)) == 15


def test_named_interface_and_zone_are_planned_whatever_they_have() -> None:
    named = McastReceiverSpec(FOUR, 5000, interfaces=["en0", "en1"]).plan(MACBOOK, "darwin")
    assert [socket_spec.interface.name for socket_spec in named] == ["en0", "en1"]
    zoned = McastReceiverSpec(f"{LINK_LOCAL}%en1", 5000).plan(MACBOOK, "darwin")
    assert [socket_spec.interface.name for socket_spec in zoned] == ["en1"]


def test_machine_without_any_such_interface_is_told() -> None:
    bare = [each for each in MACBOOK if not each.ipv4_addresses]
    with pytest.raises(InterfaceNotFoundError, match=r"group 239\.1\.2\.3.*en1, en2"):
        McastReceiverSpec(FOUR, 5000).plan(bare, "darwin")
    plan = McastReceiverSpec([FOUR, SIX], 5000).plan(bare, "darwin")
    assert {socket_spec.group for socket_spec in plan} == {SIX}


@pytest.mark.parametrize(
    ("group", "error"),
    [(FOUR, errno.EAFNOSUPPORT), (SIX, errno.EAFNOSUPPORT), (LINK_LOCAL, errno.EINVAL)],
)
async def test_join_on_a_named_interface_without_the_family_is_refused(
    group: str, error: int, autojump_clock: MockClock
) -> None:
    async with macbook() as (_, mac):
        with mac, pytest.raises(SocketSetupError, match="family is not set up") as caught:
            async with open_mcast_receiver(group, 5000, interfaces="en1"):
                pass
        assert caught.value.errno == error


async def test_receiver_opens_quietly_and_follows_addresses(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def names(receiver: McastReceiver) -> set[str]:
        assert "failed" not in {membership.state for membership in receiver.memberships}
        joined = [each for each in receiver.memberships if each.state == "joined"]
        return {membership.interface.name for membership in joined}

    caplog.set_level(logging.WARNING, "trio_mcast")
    async with macbook() as (_, mac):
        with mac:
            async with open_mcast_receiver(FOUR, 5000) as receiver:
                assert names(receiver) == {"en0"}
                mac.interface("en1").add_address("10.0.0.1/24")
                await drain(receiver)
                assert names(receiver) == {"en0", "en1"}
                mac.interface("en1").remove_address("10.0.0.1")
                await drain(receiver)
                assert names(receiver) == {"en0"}
    assert not caplog.records


async def test_datagrams_come_on_the_one_interface(autojump_clock: MockClock) -> None:
    async with macbook() as (peer, mac):
        with mac:
            async with open_mcast_receiver([FOUR, SIX], 5000) as receiver:
                with peer:
                    async with open_mcast_sender([FOUR, SIX], 5000, interfaces="eth0") as sender:
                        await sender.send(b"hello")
                datagrams = await drain(receiver)
                assert {datagram.interface.name for datagram in datagrams} == {"en0"}
                assert {datagram.group for datagram in datagrams} == {FOUR, SIX}


@pytest.mark.parametrize(("group", "names"), [(FOUR, {"en0"}), (SIX, WITH_IPV6)])
async def test_doctor_asks_about_the_interfaces_that_a_receiver_joins(
    group: str, names: set[str], autojump_clock: MockClock
) -> None:
    async with macbook() as (_, mac):
        with mac:
            diagnosis = await diagnose(group, 5000)
    heard = {
        each.interface
        for each in diagnosis.evidence.heard or ()
        if each.phase == "joined" and each.widening is None
    }
    chosen = {each.name for each in diagnosis.evidence.links or () if each.is_chosen}
    assert heard == chosen == names
    assert diagnosis.errors == ()


async def test_list_of_interfaces_tells_which_are_joined_by_default() -> None:
    async with macbook() as (_, mac):
        with mac:
            snapshot = take_snapshot()
    defaults = {row.interface.name for row in snapshot.rows if row.fitness.is_default}
    assert defaults == WITH_IPV6
