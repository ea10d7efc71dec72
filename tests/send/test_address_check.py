"""Senders that are opened while the system still checks whether somebody else has the address."""

from __future__ import annotations

import errno

import pytest
import trio
import trio.testing

from tests.lab.fixtures import TwoHosts
from tests.support.traffic import TIMEOUT_SECONDS, sender_on
from tests.support.virtual_hosts import GROUP4, GROUP6, PORT, sending
from tests.support.waiting import until
from trio_mcast import Interface, SocketSetupError, open_mcast_sender
from trio_mcast._values.interface import AddressState
from trio_mcast.testing import VirtualHost, VirtualInterface, VirtualNetwork

pytestmark = pytest.mark.once

NEW, LINK_LOCAL = "fd00::9", "fe80::9"


def host_with_new_address(
    network: VirtualNetwork, *addresses: str
) -> tuple[VirtualHost, VirtualInterface]:
    host = network.host("a")
    eth0 = host.plug("eth0", network.switch("lan"), *addresses)
    for address in (NEW, LINK_LOCAL):
        eth0.add_address(f"{address}/64", state="tentative")
    return host, eth0


async def finish_check(eth0: VirtualInterface, state: AddressState, seconds: float) -> None:
    await trio.sleep(seconds)
    for address in (NEW, LINK_LOCAL):
        eth0.change_address(address, state)


@pytest.mark.parametrize(("group", "source"), [(GROUP6, NEW), ("ff02::1:3", LINK_LOCAL)])
async def test_sender_can_send_once_it_is_entered(
    group: str, source: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with VirtualNetwork() as network, trio.open_nursery() as nursery:
        host, eth0 = host_with_new_address(network)
        nursery.start_soon(finish_check, eth0, "preferred", 1.9)
        start = trio.current_time()
        async with sending(host, group, interfaces="eth0") as sender:
            assert trio.current_time() - start == pytest.approx(1.95, abs=0.1)
            await sender.send(b"x")
            assert sender.local_endpoints[0].host.partition("%")[0] == source


async def test_check_of_ipv6_keeps_ipv4_waiting_for_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with VirtualNetwork() as network, trio.open_nursery() as nursery:
        host, eth0 = host_with_new_address(network, "10.0.0.1/24")
        nursery.start_soon(finish_check, eth0, "preferred", 1.5)
        start = trio.current_time()
        async with sending(host, [GROUP6, GROUP4], interfaces="eth0") as sender:
            assert trio.current_time() - start < 0.01
            await sender.send(b"x")
            counts = sender.statistics().interfaces["eth0"]
            assert (counts.sent, counts.failed) == (1, 1)
            assert counts.last_error is not None
            assert counts.last_error.errno == errno.EADDRNOTAVAIL
            await trio.sleep(2.5)
            await sender.send(b"y")
            assert sender.statistics().interfaces["eth0"].sent == 3


async def test_address_that_fails_its_check_is_not_used(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with VirtualNetwork() as network, trio.open_nursery() as nursery:
        host, eth0 = host_with_new_address(network)
        nursery.start_soon(finish_check, eth0, "failed", 1)
        async with sending(host, GROUP6, interfaces="eth0") as sender:
            with pytest.raises(SocketSetupError, match="fd00::9 has failed") as caught:
                await sender.send(b"x")
            assert caught.value.interface == "eth0"
        # There may be another of the family.
        eth0.add_address("fd00::8/64")
        async with sending(host, GROUP6, interfaces="eth0") as sender:
            assert [endpoint.host for endpoint in sender.local_endpoints] == ["fd00::8"]


@pytest.mark.parametrize("is_up", [True, False])
async def test_check_that_does_not_end_refuses_no_opening(
    is_up: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with VirtualNetwork() as network:
        host, eth0 = host_with_new_address(network)
        if not is_up:
            eth0.take_down()  # Then the check has not even begun, and there is nothing to wait for.
        start = trio.current_time()
        async with sending(host, "ff02::1:3", interfaces="eth0") as sender:
            assert trio.current_time() - start == pytest.approx(3 if is_up else 0, abs=0.2)
            with pytest.raises(SocketSetupError) as caught:
                await sender.send(b"x")
            assert caught.value.errno == errno.EADDRNOTAVAIL
            if not is_up:
                eth0.take_up()
            eth0.change_address(LINK_LOCAL, "preferred")
            await trio.sleep(6)
            await sender.send(b"y")


async def test_opening_that_waits_can_be_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    async with VirtualNetwork() as network:
        host, _ = host_with_new_address(network)
        with host, trio.move_on_after(1) as scope:
            async with open_mcast_sender(GROUP6, PORT, interfaces="eth0"):
                pytest.fail("it was opened")
        assert scope.cancelled_caught


@pytest.mark.parametrize("others", [["eth1"], []])
async def test_address_that_goes_between_listing_and_binding_is_as_good_as_none(
    others: list[str], autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with VirtualNetwork() as network:
        host = network.host("a")
        eth0 = host.plug("eth0", network.switch("lan"), "10.0.0.1/24")
        host.plug("eth1", network.switch("lan1"), "10.0.1.1/24")
        before, list_now = [host.list_interfaces()], host.list_interfaces
        eth0.remove_address("10.0.0.1/24")

        def list_interfaces(_: VirtualHost) -> list[Interface]:
            return before.pop() if before else list_now()

        monkeypatch.setattr(VirtualHost, "list_interfaces", list_interfaces)
        async with sending(host, GROUP4, interfaces=["eth0", *others]) as sender:
            assert len(sender.local_endpoints) == len(others)
            if others:
                await sender.send(b"x")
                assert [endpoint.host for endpoint in sender.local_endpoints] == ["10.0.1.1"]
            else:
                with pytest.raises(SocketSetupError, match="eth0 has no IPv4 address now"):
                    await sender.send(b"x")
            eth0.add_address("10.0.0.7/24")
            await trio.sleep(1)
            assert len(sender.local_endpoints) == 1 + len(others)


async def test_linux_is_waited_for(two_hosts: TwoHosts) -> None:
    # Some 1.5 seconds: there is no quicker check than the kernel's.
    a = two_hosts.a
    a.namespace.set_parameters(
        {"ipv6/conf/eth0/accept_dad": "1", "ipv6/conf/eth0/dad_transmits": "1"}
    )
    for address in ("fd00:1::9/64", "10.0.1.1/24"):
        a.run("ip", "address", "add" if ":" in address else "delete", address, "dev", "eth0")
    a.run("ip", "address", "delete", "fd00:1::1/64", "dev", "eth0")
    with trio.fail_after(TIMEOUT_SECONDS):
        async with sender_on(a, [GROUP4, GROUP6], interfaces="eth0") as sender:
            await sender.send(b"x")
            assert [endpoint.host for endpoint in sender.local_endpoints] == ["fd00:1::9"]
            a.run("ip", "address", "add", "10.0.1.1/24", "dev", "eth0")
            await until(lambda: len(sender.local_endpoints), 2)
