"""Tests of sacn_levels.py: pytest test_sacn_levels.py"""

import pytest
import trio

from sacn_levels import ENDED, HEADER, PORT, ROOT, main
from trio_mcast import open_mcast_sender
from trio_mcast.testing import VirtualNetwork, network_test


def packet(universe: int, levels: bytes, options: int = 0) -> bytes:
    header = HEADER.pack(4, 2, b"console", 100, options, universe, 0)
    return ROOT + header[len(ROOT) :] + levels


@network_test
async def test_latest_levels_of_each_universe_are_shown(
    network: VirtualNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    lan = network.switch("lan", snooping=True, delay=0.001)
    console, dimmer = network.host("console"), network.host("dimmer")
    console.plug("eth0", lan, "10.0.0.1/24")
    dimmer.plug("eth0", lan, "10.0.0.2/24")
    async with trio.open_nursery() as nursery:
        with dimmer:
            nursery.start_soon(main, 1, 2, ["eth0"])
        with console:
            async with open_mcast_sender(
                ["239.255.0.1", "239.255.0.2", "239.255.0.3"],
                PORT,
                interfaces="eth0",
            ) as sender:
                await trio.sleep(0.05)
                for step in range(40):  # For a second, 40 a second.
                    for universe in (1, 2, 3):
                        levels = bytes([step, universe, 0, 0])
                        await sender.send(
                            packet(universe, levels),
                            to=f"239.255.0.{universe}",
                        )
                    await trio.sleep(1 / 40)
                await trio.sleep(1)
                await sender.send(packet(1, b"", ENDED), to="239.255.0.1")
                await trio.sleep(1)
        nursery.cancel_scope.cancel()
    shown = capsys.readouterr().out
    for universe in (1, 2):
        source = "from 'console', priority 100"
        assert f"universe {universe}: [39, {universe}, 0, 0] {source}" in shown
    assert "universe 3" not in shown
    assert "universe 1: 'console' has ended" in shown
    # Five looks a second, not forty.
    assert shown.count("universe 2: [") <= 7
