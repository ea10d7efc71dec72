"""Captures of what passes a switch, and cables that are taken out at the other end."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from trio_mcast import open_mcast_receiver, open_mcast_sender
from trio_mcast.testing import (
    VirtualHost,
    VirtualNetwork,
    VirtualSwitch,
    network_test,
    read_capture,
)

pytestmark = pytest.mark.once

GROUPS, PORT = ["239.1.2.3", "ff15::1"], 5000


def two_hosts(
    network: VirtualNetwork, platform: str = "linux"
) -> tuple[VirtualSwitch, VirtualHost, VirtualHost]:
    lan = network.switch("lan", snooping=True)
    a, b = network.host("a"), network.host("b", platform=platform)  # type: ignore[arg-type]
    a.plug("eth0", lan, "10.0.0.1/24", "fd00::1/64")
    b.plug("eth0", lan, "10.0.0.2/24", "fd00::2/64")
    return lan, a, b


@network_test
async def test_capture_can_be_played_again(network: VirtualNetwork, tmp_path: Path) -> None:
    path = tmp_path / "lan.pcapng"
    lan, a, b = two_hosts(network)
    with a, lan.capture(path) as capture:
        async with open_mcast_sender(
            GROUPS, PORT, interfaces="eth0", ttl=7, traffic_class=8
        ) as sender:
            await sender.send(b"first")
            await trio.sleep(1.5)
            await sender.send(b"second")
    assert capture.written == 4
    assert repr(capture) == f"<SwitchCapture of lan to {str(path)!r}>"
    times = [frame.time_ns for frame in read_capture(path)]
    assert times == [946_684_800_000_000_000] * 2 + [946_684_801_500_000_000] * 2
    with b:
        opening = open_mcast_receiver(GROUPS, PORT, receive_ttl=True, receive_traffic_class=True)
        async with opening as receiver:
            replay = await network.replay(path, on=lan)
            await trio.testing.wait_all_tasks_blocked()
            datagrams = [receiver.receive_nowait() for _ in range(4)]
    assert (replay.played, replay.skipped) == (4, {})
    assert {(datagram.ttl, datagram.traffic_class) for datagram in datagrams} == {(7, 8)}
    assert [datagram.data for datagram in datagrams] == [b"first"] * 2 + [b"second"] * 2
    assert {datagram.source.host for datagram in datagrams} == {"10.0.0.1", "fd00::1"}


@network_test
async def test_capture_that_cannot_be_written_is_an_error(
    network: VirtualNetwork, tmp_path: Path
) -> None:
    lan, _, _ = two_hosts(network)
    with pytest.raises(FileNotFoundError):
        lan.capture(tmp_path / "nowhere" / "lan.pcapng")
    with lan.capture(tmp_path / "lan.pcapng") as capture:
        capture.close()


@pytest.mark.parametrize("platform", ["linux", "darwin", "windows"])
@network_test
async def test_carrier_comes_and_goes(network: VirtualNetwork, platform: str) -> None:
    lan, a, b = two_hosts(network, platform)
    interface = b.interface("eth0")
    with b:
        async with open_mcast_receiver(GROUPS, PORT, interfaces="eth0") as receiver:
            with a:
                async with open_mcast_sender(GROUPS, PORT, interfaces="eth0") as sender:
                    await trio.sleep(2)
                    assert [lan.members(group) for group in GROUPS] == [["b/eth0"]] * 2
                    interface.lose_carrier()
                    interface.lose_carrier()
                    assert b.list_interfaces()[1].is_up == (platform != "windows")
                    assert [lan.members(group) for group in GROUPS] == [[], []]
                    await sender.send(b"lost")
                    await trio.sleep(1)
                    assert not receiver.statistics().received
                    interface.restore_carrier()
                    await trio.sleep(2)
                    members = [lan.members(group) for group in GROUPS]
                    assert members == (
                        [[], ["b/eth0"]] if platform == "linux" else [["b/eth0"]] * 2
                    )
                    await trio.sleep(135)  # The next query, and its answer.
                    await sender.send(b"heard")
                    for _ in GROUPS:
                        assert (await receiver.receive()).data == b"heard"
    with pytest.raises(ValueError, match="is a loopback interface, which has no cable"):
        a.interface("lo").lose_carrier()
