"""Ports that several users want, on virtual hosts: macOS and FreeBSD tell users apart."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from tests.support.interfaces import MACHINE
from tests.support.virtual_hosts import GROUP4, GROUP6, drain, open_plain, two_on_lan
from trio_mcast import (
    McastSenderSpec,
    SocketSetupError,
    open_mcast_channel,
    open_mcast_receiver,
    open_mcast_sender,
)
from trio_mcast._host.protocols import McastSocket, Rejection
from trio_mcast._platform.model import PlatformName
from trio_mcast.testing import VirtualHost

pytestmark = pytest.mark.once

MDNS = 5353
BSD = pytest.mark.parametrize("platform", ["darwin", "freebsd"])
GROUPS = pytest.mark.parametrize("group", [GROUP4, GROUP6])
ADDRESS = {GROUP4: "10.0.0.2", GROUP6: "fd00::2"}
WILDCARD = {GROUP4: "0.0.0.0", GROUP6: "::"}


def responder(host: VirtualHost, group: str, user: str = "_mdnsresponder") -> McastSocket:
    """Open what mDNSResponder has: a shared socket on the wildcard address."""
    with host.user(user):
        return open_plain(host, WILDCARD[group], port=MDNS)


def bind_beside(host: VirtualHost, address: str, group: str, user: str) -> int | None:
    """Bind as a user beside the responder, and return the error."""
    responder(host, group)
    with host.user(user):
        try:
            open_plain(host, address, port=MDNS)
        except SocketSetupError as error:
            return error.errno
    return None


@BSD
@GROUPS
async def test_address_is_shared_with_programs_of_the_same_user_only(
    platform: PlatformName, group: str
) -> None:
    for address, user, expected in (
        (ADDRESS[group], "user", True),
        (ADDRESS[group], "_mdnsresponder", False),
        (ADDRESS[group], "root", False),
        (WILDCARD[group], "user", False),
        (group, "user", False),
    ):
        async with two_on_lan(platform) as lan:
            error = bind_beside(lan.b, address, group, user)
            assert error == (errno.EADDRINUSE if expected else None)


@pytest.mark.parametrize("platform", ["linux", "windows"])
async def test_other_systems_do_not_look_at_users(platform: PlatformName) -> None:
    async with two_on_lan(platform) as lan:
        assert bind_beside(lan.b, ADDRESS[GROUP4], GROUP4, "user") is None


# The library beside another user's program -------------------------------------------------------


@BSD
@GROUPS
async def test_sender_and_receiver_work_beside_it(platform: PlatformName, group: str) -> None:
    async with two_on_lan(platform) as lan:
        responder(lan.b, group)
        with lan.a:
            async with open_mcast_receiver(group, MDNS) as receiver:
                with lan.b:
                    async with (
                        open_mcast_receiver(group, MDNS, interfaces="eth0") as own,
                        open_mcast_sender(
                            group, MDNS, interfaces="eth0", source_port=MDNS
                        ) as sender,
                    ):
                        await sender.send(b"hello")
                        for heard in (await drain(receiver), await drain(own)):
                            assert [datagram.data for datagram in heard] == [b"hello"]
                            assert heard[0].source == (ADDRESS[group], MDNS)
                        assert {each.host for each in sender.local_endpoints} == {ADDRESS[group]}


@BSD
@GROUPS
async def test_channel_works_beside_it(platform: PlatformName, group: str) -> None:
    async with two_on_lan(platform) as lan:
        responder(lan.b, group)
        with lan.a:
            async with open_mcast_channel(group, MDNS, interfaces="eth0") as there:
                with lan.b:
                    async with open_mcast_channel(group, MDNS, interfaces="eth0") as here:
                        await here.send(b"hello")
                        assert [datagram.data for datagram in await drain(there)] == [b"hello"]
                        await there.send(b"you")
                        assert [datagram.data for datagram in await drain(here)] == [b"you"]


@BSD
async def test_replies_to_other_addresses_are_rejected(platform: PlatformName) -> None:
    async with two_on_lan(platform) as lan:
        lan.b.interface("eth0").add_address("10.0.0.22/24")
        responder(lan.b, GROUP4)
        with lan.b:
            async with open_mcast_sender(
                GROUP4, MDNS, interfaces="eth0", source_port=MDNS, receive_replies=True
            ) as sender:
                with lan.a:
                    async with open_mcast_sender(GROUP4, MDNS, interfaces="eth0") as other:
                        await other.send(b"yes", to=("10.0.0.2", MDNS))
                        await other.send(b"no", to=("10.0.0.22", MDNS))
                assert [datagram.data for datagram in await drain(sender.replies)] == [b"yes"]
                (sock,) = sender._outlets.open_sockets
                assert sock.rejected == {Rejection.UNICAST: 1}


@BSD
async def test_unicast_at_the_port_says_why_it_cannot_be_had(platform: PlatformName) -> None:
    async with two_on_lan(platform) as lan:
        responder(lan.b, GROUP4)
        with lan.b, pytest.raises(SocketSetupError, match="runs as another user"):
            async with open_mcast_receiver(GROUP4, MDNS, interfaces="eth0", accept_unicast=True):
                pass


@pytest.mark.parametrize("options", [{}, {"receive_replies": True}])
def test_wildcard_is_planned_only_where_it_helps(options: dict[str, Any]) -> None:
    for platform in ("linux", "darwin", "freebsd", "windows"):
        for source_port in (0, MDNS):
            spec = McastSenderSpec(
                GROUP4, MDNS, interfaces="eth0", source_port=source_port, **options
            )
            (socket_spec,) = spec.plan(MACHINE, platform)
            helps = bool(source_port) and platform in ("darwin", "freebsd")
            assert socket_spec.bind_if_taken == (("0.0.0.0", MDNS) if helps else None)
