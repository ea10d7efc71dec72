"""Tests of chosen_sources.py: pytest test_chosen_sources.py"""

import sys

import pytest
import trio

from chosen_sources import main
from trio_mcast import open_mcast_sender
from trio_mcast.testing import VirtualNetwork, network_test


@network_test
async def test_network_keeps_other_sources_away(
    network: VirtualNetwork,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lan = network.switch("lan", snooping=True, delay=0.001)
    viewer = network.host("viewer")
    viewer.plug("eth0", lan, "10.0.0.1/24")
    cameras = [network.host(f"camera{number}") for number in (2, 3, 4)]
    for number, camera in enumerate(cameras, start=2):
        camera.plug("eth0", lan, f"10.0.0.{number}/24")
    monkeypatch.setattr(sys, "argv", ["", "10.0.0.2", "10.0.0.4"])
    async with trio.open_nursery() as nursery:
        with viewer:
            nursery.start_soon(main)
        await trio.sleep(1)
        for camera in cameras:
            with camera:
                async with open_mcast_sender(
                    "232.1.2.3", 12345, interfaces="eth0"
                ) as sender:
                    await sender.send(camera.name.encode())
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert capsys.readouterr().out.splitlines() == [
        "from 10.0.0.2 b'camera2'",
        "from 10.0.0.4 b'camera4'",
    ]
    # The switch has dropped the other's, not the viewer.
    (dropped,) = network.trace.dropped(source="10.0.0.3")
    assert (dropped.where, dropped.data) == ("lan", b"camera3")
