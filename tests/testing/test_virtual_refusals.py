"""Mistakes in building a virtual network: each is refused with a sentence, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trio_mcast._values.addresses import IPAddress
from trio_mcast.testing import VirtualHost, VirtualInterface, VirtualNetwork, VirtualSwitch

pytestmark = pytest.mark.once


async def test_virtual_parts_refuse_unknown_attributes(autojump_clock: object) -> None:
    async with VirtualNetwork() as network:
        lan = network.switch("lan")
        host, router = network.host("a"), network.router("r")
        interface = host.plug("eth0", lan, "10.0.0.1/24")
        with pytest.raises(AttributeError, match=r"VirtualSwitch has no attribute 'los'; .*loss"):
            lan.los = 0.5
        for part, name in ((host, "platfrom"), (router, "querier"), (interface, "mut")):
            with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
                setattr(part, name, 1)
        with pytest.raises(AttributeError, match="no attribute 'sed'; what can be set: nothing"):
            network.sed = 1
        fixed: list[tuple[object, str]] = [
            (lan, "name"),
            (lan, "members"),
            (host, "plug"),
            (host.routes, "refusal"),
            (interface, "index"),
        ]
        for fixed_part, name in fixed:
            before = getattr(fixed_part, name)
            with pytest.raises(AttributeError, match=f"'{name}' of a Virtual.* cannot be changed"):
                setattr(fixed_part, name, 1)
            assert getattr(fixed_part, name) == before
        lan.loss = 0.5
        assert lan.loss == 0.5
        assert repr(lan) == "<VirtualSwitch lan loss=0.5>"


@pytest.mark.parametrize(
    ("plug", "kind", "message"),
    [
        (lambda a, lan: a.plug("x", lan, mtu=-1), ValueError, "mtu must be at least 1 byte"),
        (lambda a, lan: a.plug("x", lan, mtu=0), ValueError, "mtu must be at least 1 byte"),
        (lambda a, lan: a.plug("x", lan, mtu=1e3), TypeError, "mtu must be an int, not float"),
        (lambda a, lan: a.plug("x", lan, mtu=True), TypeError, "mtu must be an int, not bool"),
        (lambda a, lan: a.plug("", lan), ValueError, "must not be empty or contain a slash"),
        (lambda a, lan: a.plug("a/b", lan), ValueError, "must not be empty or contain a slash"),
        (lambda a, lan: a.plug(3, lan), TypeError, "name must be a str, not int: 3"),
        (
            lambda a, lan: a.plug("x", lan, "10.0.0.1/24", gateway="10.9.9.9"),
            ValueError,
            r"gateway 10\.9\.9\.9 is in none of the networks of a/x: 10\.0\.0\.0/24",
        ),
        (
            lambda a, lan: a.plug("x", lan, "10.0.0.1/24", gateway="fd00::1"),
            ValueError,
            "gateway fd00::1 is in none of the networks",
        ),
    ],
)
async def test_plug_refuses_and_changes_nothing(
    autojump_clock: object,
    plug: Callable[[VirtualHost, VirtualSwitch], object],
    kind: type[Exception],
    message: str,
) -> None:
    async with VirtualNetwork() as network:
        host, lan = network.host("a"), network.switch("lan")
        with pytest.raises(kind, match=message):
            plug(host, lan)
        assert [interface.name for interface in host.list_interfaces()] == ["lo"]
        assert network.trace == []
        host.plug("x", lan, "10.0.0.1/24", "fd00::2/64", gateway="fe80::1")


async def test_router_plug_and_set_mtu_refuse_alike(autojump_clock: object) -> None:
    async with VirtualNetwork() as network:
        lan, router = network.switch("lan"), network.router("r")
        with pytest.raises(TypeError, match="name must be a str, not int"):
            router.plug(3, lan)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="contain a slash"):
            router.plug("a/b", lan)
        interface = network.host("a").plug("eth0", lan)
        with pytest.raises(ValueError, match="mtu must be at least 1 byte, not -1"):
            interface.set_mtu(-1)
        assert interface.value.mtu == 1500


@pytest.mark.parametrize("name", ["macos", "macOS", "win32"])
async def test_platform_of_another_name_says_the_name(autojump_clock: object, name: str) -> None:
    async with VirtualNetwork() as network:
        with pytest.raises(ValueError, match=f"platform '{name}' is called '(darwin|windows)'"):
            network.host("a", platform=name)  # type: ignore[arg-type]
        network.host("a", platform="darwin")


async def test_partition_takes_hosts_by_themselves(autojump_clock: object) -> None:
    async with VirtualNetwork() as network:
        lan = network.switch("lan")
        a, b, c = network.host("a"), network.host("b"), network.host("c")
        for number, host in enumerate((a, b, c), start=1):
            host.plug("eth0", lan, f"10.0.0.{number}/24")
        lan.partition(a, [b, "c"])
        assert network.trace[-1].reason == "a | b, c"
        with pytest.raises(ValueError, match="nothing called '3' is plugged into lan"):
            lan.partition(3)
        lan.partition("a", b)
        assert network.trace[-1].reason == "a | b"


async def test_networks_and_routes_have_a_repr(autojump_clock: object) -> None:
    network = VirtualNetwork(seed=7)
    assert repr(network) == "<VirtualNetwork seed=7 (empty)>"
    async with network:
        host, lan = network.host("a"), network.switch("lan")
        assert repr(network) == "<VirtualNetwork seed=7 (a, lan)>"
        host.plug("eth0", lan, "10.0.0.1/24")
        assert repr(host.routes) == "<VirtualRoutes none>"
        host.routes.add("239.0.0.0/8", "eth0")
        assert repr(host.routes) == "<VirtualRoutes 239.0.0.0/8>"


async def test_plug_asks_no_other_interface(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    async with VirtualNetwork() as network:
        lan = network.switch("lan")
        network.host("a").plug("eth0", lan, "10.0.0.1/24")
        moved = network.host("b").plug("eth0", lan, "10.0.0.2/24")
        real = VirtualInterface.has

        def has(port: VirtualInterface, address: IPAddress) -> bool:
            asked.append(port)
            return real(port, address)

        monkeypatch.setattr(VirtualInterface, "has", has)
        network.host("c").plug("eth0", lan, "10.0.0.3/24")
        assert not asked  # Or plugging in many would take the square of their number.
        monkeypatch.undo()
        d = network.host("d")
        with pytest.raises(ValueError, match=r"10\.0\.0\.2 is on b/eth0 already"):
            d.plug("eth0", lan, "10.0.0.2/24")
        moved.remove_address("10.0.0.2/24")
        moved.add_address("10.0.0.4/24")
        with pytest.raises(ValueError, match=r"10\.0\.0\.4 is on b/eth0 already"):
            d.plug("eth0", lan, "10.0.0.4/24")
        d.plug("eth0", lan, "10.0.0.2/24")
        moved.unplug()
        d.plug("eth1", lan, "10.0.0.4/24")
