"""An mtu that is too small for a family, on the virtual network as on a real Linux."""

from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.changing_lan import states
from tests.support.virtual_hosts import GROUP4, GROUP6, drain, receiving, send_from, two_on_lan
from trio_mcast import SocketSetupError, list_interfaces

pytestmark = pytest.mark.once


async def test_mtu_that_dips_and_returns_ends_memberships_that_a_receiver_joins_again() -> None:
    async with two_on_lan() as lan, receiving(lan.b, [GROUP4, GROUP6]) as receiver:
        eth0 = lan.b.interface("eth0")
        eth0.set_mtu(1000)
        send_from(lan.a, GROUP6, b"lost")
        eth0.set_mtu(1500)
        send_from(lan.a, GROUP6, b"lost too")
        send_from(lan.a, GROUP4, b"four")
        await wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await trio.sleep_forever()
        assert [state for _, _, state in states(receiver)] == ["joined", "joined"]
        send_from(lan.a, GROUP6, b"six")
        assert [datagram.data for datagram in await drain(receiver)] == [b"four", b"six"]


async def test_what_ends_without_a_message_is_joined_again_at_the_next_look() -> None:
    async with two_on_lan() as lan, receiving(lan.b, [GROUP4, GROUP6]) as receiver:
        eth0 = lan.b.interface("eth0")
        lan.b._sockets.end(eth0.index, "ipv6")
        send_from(lan.a, GROUP6, b"lost")
        lan.b.interface_changed(lan.b.interface("lo"))  # The interfaces are as before.
        await wait_all_tasks_blocked()
        send_from(lan.a, GROUP6, b"six")
        assert [datagram.data for datagram in await drain(receiver)] == [b"six"]


async def test_while_the_mtu_is_too_small_a_family_is_refused() -> None:
    async with two_on_lan() as lan:
        lan.b.interface("eth0").set_mtu(1000)
        with lan.b:
            (eth0,) = (each for each in list_interfaces() if each.name == "eth0")
            assert (eth0.mtu, len(eth0.ipv4_addresses)) == (1000, 1)
            assert all(address.is_link_local for address in eth0.ipv6_addresses)
        with pytest.raises(SocketSetupError, match=r"mtu of less than 1,280") as caught:
            async with receiving(lan.b, GROUP6, interfaces="eth0"):
                raise AssertionError
        assert caught.value.errno == errno.EINVAL
        async with receiving(lan.b, GROUP4, interfaces="eth0") as receiver:
            send_from(lan.a, GROUP4, b"four")
            assert [datagram.data for datagram in await drain(receiver)] == [b"four"]


async def test_while_the_mtu_is_too_small_there_is_no_new_address() -> None:
    """Linux has "Invalid argument"; for IPv4, ENOBUFS (rtm_to_ifaddr in net/ipv4/devinet.c)."""
    async with two_on_lan() as lan:
        eth0 = lan.b.interface("eth0")
        eth0.set_mtu(1279)
        eth0.add_address("10.0.0.9/24")
        with pytest.raises(ValueError, match=r"takes no address fd00::9: its mtu of 1279 is too"):
            eth0.add_address("fd00::9/64")
        eth0.set_mtu(67)
        with pytest.raises(ValueError, match="its mtu of 67 is too small for IPv4"):
            eth0.add_address("10.0.0.9/24")
        eth0.set_mtu(1280)
        eth0.add_address("fd00::9/64")
        eth0.add_address("10.0.0.9/24")
        assert [str(each.ip) for each in eth0.networks] == ["10.0.0.9", "fd00::9", "fe80::2"]


async def test_other_systems_keep_a_family_whatever_the_mtu() -> None:
    async with two_on_lan("freebsd") as lan, receiving(lan.b, GROUP6) as receiver:
        lan.b.interface("eth0").set_mtu(1000)
        await wait_all_tasks_blocked()
        send_from(lan.a, GROUP6, b"six")
        assert [datagram.data for datagram in await drain(receiver)] == [b"six"]
