"""The routes that a test gives to a virtual host."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import trio.testing

from tests.support.virtual_hosts import GROUP4, GROUP6, PORT, add_second_lan, sending, two_on_lan
from trio_mcast import SocketSetupError, default_interface
from trio_mcast.testing import VirtualHost

pytestmark = pytest.mark.once

GROUPS = {GROUP4: "239.0.0.0/8", GROUP6: "ff05::/16"}
EACH_GROUP = pytest.mark.parametrize("group", GROUPS)


def default_on(host: VirtualHost, group: str) -> str | None:
    with host:
        interface = default_interface(group)
    return None if interface is None else interface.name


@EACH_GROUP
async def test_sender_follows_a_route_of_the_test(group: str) -> None:
    async with two_on_lan() as lan:
        add_second_lan(lan)
        lan.a.routes.add(GROUPS[group], "eth0")
        async with sending(lan.a, group) as sender:
            assert default_on(lan.a, group) == "eth0"
            lan.a.routes.add(GROUPS[group], "eth1")
            await trio.testing.wait_all_tasks_blocked()
            assert [interface.name for interface in sender.interfaces] == ["eth1"]
            assert default_on(lan.a, group) == "eth1"
            # A narrower one counts for more.
            lan.a.routes.add(f"{group}/{128 if ':' in group else 32}", "eth0")
            assert default_on(lan.a, group) == "eth0"


@EACH_GROUP
async def test_route_goes_with_its_interface(group: str) -> None:
    async with two_on_lan() as lan:
        add_second_lan(lan)
        lan.a.routes.add(GROUPS[group], "eth1")
        lan.a.interface("eth1").take_down()
        assert default_on(lan.a, group) != "eth1"
        lan.a.interface("eth1").take_up()
        assert default_on(lan.a, group) == "eth1"
        lan.a.interface("eth1").unplug()
        assert default_on(lan.a, group) != "eth1"
        with pytest.raises(ValueError, match="no route"):
            lan.a.routes.remove(GROUPS[group])


@EACH_GROUP
@pytest.mark.parametrize(
    ("platform", "number"),
    [
        ("linux", errno.EACCES),
        ("freebsd", errno.EHOSTUNREACH),
        ("darwin", errno.EHOSTUNREACH),
    ],
)
async def test_route_that_refuses_is_met_by_a_program(
    platform: str, number: int, group: str
) -> None:
    async with two_on_lan(platform) as lan:
        refused: dict[str, Any] = {"match": "refuses it"}
        lan.b.routes.add(GROUPS[group])
        assert default_on(lan.b, group) is None
        with pytest.raises(SocketSetupError, **refused) as caught:
            async with sending(lan.b, group):
                pytest.fail("opened")
        assert (caught.value.errno, caught.value.group) == (number, group)
        lan.b.routes.remove(GROUPS[group])
        async with sending(lan.b, group) as sender:
            await sender.send(b"one")
            lan.b.routes.add(GROUPS[group])
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(SocketSetupError, **refused):
                await sender.send(b"refused")
            lan.b.routes.remove(GROUPS[group])
            await trio.testing.wait_all_tasks_blocked()
            await sender.send(b"two")
        assert lan.events("sent") == ["one", "two"]


async def test_route_that_refuses_a_peer_is_met_by_unicast() -> None:
    async with two_on_lan() as lan, sending(lan.a) as sender:
        lan.a.routes.add("10.0.0.2/32")
        with pytest.raises(SocketSetupError) as caught:
            await sender.send(b"x", to=("10.0.0.2", PORT))
        assert caught.value.errno == errno.EACCES
        lan.a.routes.remove("10.0.0.2/32")
        await sender.send(b"y", to=("10.0.0.2", PORT))


async def test_route_is_checked() -> None:
    async with two_on_lan("windows") as lan:
        with pytest.raises(ValueError, match="Windows has no routes that refuse"):
            lan.b.routes.add("239.0.0.0/8")
        with pytest.raises(ValueError, match="no interface 'eth7'"):
            lan.a.routes.add("239.0.0.0/8", "eth7")
        with pytest.raises(ValueError, match="has host bits set"):
            lan.a.routes.add("239.0.0.1/8", "eth0")
