"""The rules of Linux that were measured beside a real one: order of addresses, buffers, filters."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from trio_mcast import open_mcast_receiver, open_mcast_sender
from trio_mcast._values.addresses import Family
from trio_mcast.testing import VirtualHost, VirtualNetwork, network_test
from trio_mcast.testing._charges import buffer_charge

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 5000


def addresses_of(host: VirtualHost) -> list[str]:
    return [str(address) for address in host.interface("eth0").networks]


@network_test
async def test_addresses_are_listed_in_the_kernels_order(network: VirtualNetwork) -> None:
    lan = network.switch("lan")
    a = network.host("a")
    eth0 = a.plug("eth0", lan, "10.0.0.2/24")
    eth0.add_address("169.254.1.1/16", scope="link")
    eth0.add_address("10.9.9.9/32", scope="host")
    eth0.add_address("10.0.0.3/24")
    eth0.add_address("10.7.7.7/24")
    assert addresses_of(a) == [
        "10.9.9.9/32",
        "169.254.1.1/16",
        "10.0.0.2/24",
        "10.7.7.7/24",
        "10.0.0.3/24",
    ]
    eth0.remove_address("10.0.0.2/24")
    assert addresses_of(a)[2:] == ["10.7.7.7/24", "10.0.0.3/24"]
    b = network.host("b")
    eth0 = b.plug("eth0", lan, "fd00::1/64", "fe80::1/64", "fd00::2/64")
    eth0.add_address("fe80::2/64")
    assert addresses_of(b) == ["fd00::2/64", "fd00::1/64", "fe80::2/64", "fe80::1/64"]
    c = network.host("c", platform="darwin")
    c.plug("eth0", lan, "fd00::3/64", "fe80::3/64", "fd00::4/64")
    assert addresses_of(c) == ["fd00::3/64", "fe80::3/64", "fd00::4/64"]


@pytest.mark.parametrize(
    ("family", "size", "charge"),
    [
        ("ipv4", 0, 832),
        ("ipv4", 197, 832),
        ("ipv4", 198, 1_280),
        ("ipv4", 645, 1_280),
        ("ipv4", 646, 2_304),
        ("ipv4", 1_473, 2_304),
        ("ipv4", 1_684, 2_304),
        ("ipv4", 1_685, 3_584),
        ("ipv4", 2_126, 4_608),
        ("ipv4", 2_953, 5_440),
        ("ipv4", 5_086, 9_216),
        ("ipv4", 56_250, 88_384),
        ("ipv6", 184, 832),
        ("ipv6", 185, 1_280),
        ("ipv6", 632, 1_280),
        ("ipv6", 633, 2_304),
        ("ipv6", 1_656, 2_304),
        ("ipv6", 1_657, 3_584),
        ("ipv6", 2_081, 4_608),
        ("ipv6", 20_358, 33_088),
    ],
)
def test_charge_is_what_linux_takes(family: Family, size: int, charge: int) -> None:
    assert buffer_charge("linux", family, size) == charge


@network_test
async def test_small_mtu_takes_ipv6_off_at_plugging_in(network: VirtualNetwork) -> None:
    a = network.host("a")
    eth0 = a.plug(
        "eth0", network.switch("lan"), "10.0.0.1/24", "fd00::1/64", "fe80::1/64", mtu=1279
    )
    assert addresses_of(a) == ["10.0.0.1/24"]
    assert not eth0.value.ipv6_addresses


@pytest.mark.parametrize(("rmem_max", "granted"), [(None, 212_992), (4 << 20, 1 << 20)])
@network_test
async def test_receive_buffer_is_bounded_by_rmem_max(
    network: VirtualNetwork, rmem_max: int | None, granted: int
) -> None:
    a = network.host("a", rmem_max=rmem_max)
    a.plug("eth0", network.switch("lan"), "10.0.0.1/24")
    with a:
        async with open_mcast_receiver(GROUP, PORT, receive_buffer_size=1 << 20) as receiver:
            assert receiver.statistics().receive_buffer_granted == granted


@pytest.mark.parametrize(
    ("rp_filter", "heard"),
    [(0, [b"here", b"there", b"nowhere"]), (1, [b"here"]), (2, [b"here", b"there"])],
)
@network_test
async def test_rp_filter_drops_what_comes_from_elsewhere(
    network: VirtualNetwork, rp_filter: int, heard: list[bytes]
) -> None:
    lan = network.switch("lan")
    a, b = network.host("a"), network.host("b", rp_filter=rp_filter)  # type: ignore[arg-type]
    a.plug("eth0", lan, "10.0.1.1/24", "10.0.2.1/24", "10.0.3.1/24")
    b.plug("eth0", lan, "10.0.1.2/24")
    b.plug("eth1", network.switch("other"), "10.0.2.2/24")
    with b:
        async with open_mcast_receiver(GROUP, PORT, interfaces="eth0") as receiver:
            with a:
                for address, data in (("1.1", b"here"), ("2.1", b"there"), ("3.1", b"nowhere")):
                    async with open_mcast_sender(
                        GROUP, PORT, interfaces="eth0", source_address=f"10.0.{address}"
                    ) as sender:
                        await sender.send(data)
            await trio.testing.wait_all_tasks_blocked()
            assert [receiver.receive_nowait().data for _ in heard] == heard
            assert not receiver.statistics().waiting
    assert len(network.trace.dropped(at=b, to=GROUP)) == 3 - len(heard)


@network_test
async def test_large_datagram_is_lost_with_any_of_its_fragments(network: VirtualNetwork) -> None:
    lan = network.switch("lan", loss=0.05)
    a, b = network.host("a"), network.host("b")
    a.plug("eth0", lan, "10.0.0.1/24")
    b.plug("eth0", lan, "10.0.0.2/24")
    with a:
        async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
            for _ in range(300):
                await sender.send(bytes(1_400))
            small = len(network.trace.lost())
            for _ in range(300):
                await sender.send(bytes(60_000))  # 41 fragments: 88 % are lost.
    assert small < 30
    assert 240 < len(network.trace.lost()) - small < 290


@network_test
async def test_reserved_scope_comes_to_nobody(network: VirtualNetwork) -> None:
    a = network.host("a")
    a.plug("eth0", network.switch("lan"), "fe80::1/64")
    with a:
        async with open_mcast_receiver("ff00::9", PORT, interfaces="eth0") as receiver:
            async with open_mcast_sender("ff00::9", PORT, interfaces="eth0") as sender:
                await sender.send(b"reserved")
            await trio.testing.wait_all_tasks_blocked()
            assert not receiver.statistics().received


@network_test
async def test_options_of_linux_are_checked(network: VirtualNetwork) -> None:
    with pytest.raises(ValueError, match="darwin has neither rmem_max nor rp_filter"):
        network.host("a", platform="darwin", rp_filter=1)
    with pytest.raises(ValueError, match="rp_filter must be 0, 1 or 2, not 3"):
        network.host("a", rp_filter=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rmem_max must be at least 1 byte, not 0"):
        network.host("a", rmem_max=0)
    with pytest.raises(TypeError, match="rmem_max must be an int, not float"):
        network.host("a", rmem_max=1e6)  # type: ignore[arg-type]
    network.host("a")
