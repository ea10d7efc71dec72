"""Senders that are opened before the network is there."""

from __future__ import annotations

import errno
import logging
from typing import Any

import pytest
import trio
import trio.testing

from tests.lab import Lab
from tests.support.senders import listening, send_until_it_works, until_on
from tests.support.traffic import sender_on
from tests.support.virtual_hosts import GROUP4, GROUP6, sending
from trio_mcast import InterfaceNotFoundError, SocketSetupError
from trio_mcast.testing import VirtualNetwork

pytestmark = pytest.mark.once


@pytest.mark.parametrize("interfaces", ["eth0", 2, "10.0.0.1", None])
async def test_virtual_interface_is_sent_on_as_soon_as_it_comes(
    interfaces: Any, autojump_clock: trio.testing.MockClock
) -> None:
    async with VirtualNetwork() as network:
        host, lan = network.host("a"), network.switch("lan")
        with pytest.raises(InterfaceNotFoundError):
            async with sending(host, GROUP4, interfaces=interfaces):
                pass
        async with sending(host, GROUP4, interfaces=interfaces, allow_missing=True) as sender:
            assert (sender.interfaces, sender.local_endpoints) == ((), ())
            with pytest.raises(SocketSetupError, match="goes on there when that has") as caught:
                await sender.send(b"lost")
            name = None if interfaces is None else str(interfaces)
            assert (caught.value.interface, caught.value.group) == (name, GROUP4)
            with pytest.raises(SocketSetupError):
                await sender.send(b"lost", to=("10.0.0.9", 7))
            with pytest.raises(SocketSetupError):
                await sender.send_batch([b"lost"], to="239.9.9.9")
            statistics = sender.statistics()
            assert (statistics.sent, statistics.failed) == (0, 3)
            assert statistics.interfaces[name or ""].failed == 3
            host.plug("eth0", lan, "10.0.0.1/24")
            await trio.sleep(1)
            await sender.send(b"x")
            assert [interface.name for interface in sender.interfaces] == ["eth0"]
            assert sender.statistics().interfaces["eth0"].sent == 1


async def test_one_interface_that_is_missing_keeps_no_other_waiting(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trio_mcast")
    async with VirtualNetwork() as network:
        host, lan = network.host("a"), network.switch("lan")
        host.plug("eth0", lan, "10.0.0.1/24", "fd00::1/64")
        groups, names = [GROUP4, GROUP6], ["eth0", "eth1"]
        async with sending(host, groups, interfaces=names, allow_missing=True) as sender:
            for _ in range(2):
                await sender.send(b"x")
            counts = sender.statistics().interfaces
            assert [(counts[name].sent, counts[name].failed) for name in names] == [(4, 0), (0, 4)]
            assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
            host.plug("eth1", lan, "10.0.0.2/24", "fd00::2/64")
            await trio.sleep(1)
            await sender.send(b"y")
            assert sender.statistics().interfaces["eth1"].sent == 2
            assert [record.levelname for record in caplog.records[2:]] == ["INFO"] * 2


@pytest.mark.parametrize("named", [True, False])
async def test_program_is_started_before_the_network(named: bool, lab: Lab) -> None:
    a, b, lan = lab.host("a"), lab.host("b"), lab.switch("lan")
    b.plug("eth0", lan, "10.0.1.2/24", "fd00:1::2/64")
    with await listening(b, lan, GROUP4) as program:
        interfaces = "eth0" if named else None
        async with sender_on(
            a, [GROUP4], interfaces=interfaces, allow_missing=True, source_port=6_000
        ) as sender:
            with pytest.raises(SocketSetupError) as caught:
                await sender.send(b"lost")
            assert caught.value.errno == errno.ENODEV
            # The link, the address, the route: each comes by itself.
            a.plug("eth0", lan, link_local=False)
            a.address("eth0", add=["10.0.1.1/24"])
            a.run("ip", "route", "add", "239.0.0.0/8", "dev", "eth0")
            await until_on(sender, "eth0")
            await send_until_it_works(sender, b"x")
            assert program.recvfrom(100) == (b"x", ("10.0.1.1", 6_000))
