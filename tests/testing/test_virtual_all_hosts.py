"""The group 224.0.0.1, for which macOS looks at no membership."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

from tests.support.interfaces import MACHINE
from tests.support.virtual_hosts import drain
from trio_mcast import McastReceiverSpec, open_mcast_receiver, open_mcast_sender
from trio_mcast._platform.model import PlatformName
from trio_mcast.testing import VirtualNetwork

pytestmark = pytest.mark.once

GROUP, PORT = "224.0.0.1", 5000


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd"])
@pytest.mark.parametrize(
    ("options", "expected", "rejected"),
    [
        ({}, ["en0"], {"other_interface": 1}),
        ({"interfaces": "en0"}, ["en0"], {}),
        ({"interfaces": "en1"}, [], {"other_interface": 1}),
        ({"sources": "10.0.1.9"}, ["en0"], {"other_interface": 1}),
        ({"interfaces": "en0", "sources": "10.0.1.77"}, [], {"other_source": 1}),
        ({"interfaces": "en0", "excluded_sources": "10.0.1.9"}, [], {"excluded_source": 1}),
    ],
)
async def test_it_is_received_from_the_interface_and_sources_that_are_wanted(
    platform: PlatformName,
    options: dict[str, Any],
    expected: list[str],
    rejected: dict[str, int],
    autojump_clock: MockClock,
) -> None:
    async with VirtualNetwork() as network:
        one, two = network.switch("one"), network.switch("two")
        host, peer = network.host("host", platform=platform), network.host("peer")
        host.plug("en0", one, "10.0.1.1/24")
        host.plug("en1", two, "10.0.2.1/24")
        peer.plug("eth0", one, "10.0.1.9/24")
        with host:
            async with open_mcast_receiver(GROUP, PORT, **options) as receiver:
                with peer:
                    async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
                        await sender.send(b"x")
                told = [datagram.interface.name for datagram in await drain(receiver)]
                assert told == expected
                if platform == "darwin":
                    assert receiver.statistics().rejected_by_reason == rejected


def test_macos_is_asked_for_the_interface_of_this_group_only() -> None:
    for group, asks in ((GROUP, True), ("224.0.0.2", False), ("239.1.2.3", False)):
        spec = McastReceiverSpec(group, PORT, interfaces="eth0")
        for platform in ("darwin", "linux", "freebsd"):
            (socket_spec,) = spec.plan(MACHINE, platform)
            symbols = {option.symbol for option in socket_spec.options}
            expected = asks and platform == "darwin"
            assert bool(symbols & {"IP_RECVPKTINFO", "IP_PKTINFO", "IP_RECVIF"}) is expected
