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
@pytest.mark.parametrize("platform", ["linux", "darwin"])
async def test_route_goes_with_its_interface(platform: str, group: str) -> None:
    async with two_on_lan(platform) as lan:
        add_second_lan(lan)
        host, interface = lan.b, lan.b.interface("eth1")
        host.routes.add(GROUPS[group], "eth1")
        interface.take_down()
        assert default_on(host, group) != "eth1"
        interface.take_up()
        if platform == "darwin":
            assert default_on(host, group) == "eth1"
            interface.unplug()
        assert default_on(host, group) != "eth1"
        with pytest.raises(ValueError, match="no route"):
            host.routes.remove(GROUPS[group])


@EACH_GROUP
async def test_route_stays_without_a_carrier(group: str) -> None:
    async with two_on_lan() as lan:
        add_second_lan(lan)
        lan.a.routes.add(GROUPS[group], "eth1")
        lan.a.interface("eth1").lose_carrier()
        lan.a.interface("eth1").restore_carrier()
        assert default_on(lan.a, group) == "eth1"


@EACH_GROUP
async def test_ipv4_route_goes_with_the_last_address_of_its_interface(group: str) -> None:
    async with two_on_lan() as lan:
        add_second_lan(lan)
        interface = lan.a.interface("eth1")
        lan.a.routes.add(GROUPS[group], "eth1")
        interface.add_address("10.0.1.9/24")
        interface.remove_address("10.0.1.1")
        assert default_on(lan.a, group) == "eth1"
        interface.remove_address("10.0.1.9")
        interface.add_address("10.0.1.1/24")
        assert (default_on(lan.a, group) == "eth1") is (group == GROUP6)


async def test_ipv4_route_to_an_interface_without_addresses_stays() -> None:
    async with two_on_lan() as lan:
        lan.a.plug("eth1", lan.network.switch("lan1"))
        lan.a.routes.add(GROUPS[GROUP4], "eth1")
        lan.a.interface("eth1").set_mtu(1400)
        assert default_on(lan.a, GROUP4) == "eth1"


@EACH_GROUP
async def test_ipv4_route_goes_with_the_source_that_it_names(group: str) -> None:
    async with two_on_lan() as lan:
        add_second_lan(lan)
        source = {GROUP4: "10.0.0.9", GROUP6: "fd00::9"}[group]
        with_prefix = f"{source}/{24 if group == GROUP4 else 64}"
        lan.a.interface("eth0").add_address(with_prefix)
        lan.a.routes.add(GROUPS[group], "eth1", source=source)
        lan.a.interface("eth0").remove_address(source)
        lan.a.interface("eth0").add_address(with_prefix)
        assert (default_on(lan.a, group) == "eth1") is (group == GROUP6)
        if group == GROUP6:
            async with sending(lan.a, group) as sender:
                (endpoint,) = sender.local_endpoints
                assert endpoint.host != source, "the route names none any more"


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
