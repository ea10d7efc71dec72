"""Tests of telemetry.py: pytest test_telemetry.py"""

import trio

from telemetry import Collector, send
from trio_mcast.testing import VirtualNetwork, network_test


@network_test(seeds=3)
async def test_what_a_narrow_cable_drops_is_told(
    network: VirtualNetwork,
) -> None:
    lan = network.switch("lan", snooping=True, jitter=0.01, loss=0.01)
    control_room = network.host("control_room")
    eth0 = control_room.plug("eth0", lan, "10.0.0.1/24")
    # All sensors send at nearly the same time: not all find room.
    eth0.incoming.rate, eth0.incoming.queue = 300_000, 1_000
    collector = Collector()
    async with trio.open_nursery() as nursery:
        with control_room:
            nursery.start_soon(collector.run, "eth0")
        await trio.sleep(1)
        for number in range(2, 22):
            sensor = network.host(f"sensor{number}")
            sensor.plug("eth0", lan, f"10.0.0.{number}/24")
            with sensor:
                nursery.start_soon(send, sensor.name, "eth0")
        await trio.sleep(60.5)
        nursery.cancel_scope.cancel()
    heard = network.trace.totals(control_room).delivered
    lost = network.trace.select("lost", at="lan")
    full = network.trace.dropped(at=control_room)
    assert full
    # Nobody can tell what is missing before the first and after the last.
    missed = sum(collector.missed.values())
    gone = sum(e.interface == "control_room/eth0" for e in lost) + len(full)
    assert heard + gone == 20 * 61
    assert 0 <= gone - missed < 0.2 * gone
