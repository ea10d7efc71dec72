"""Tests of two_feeds.py: pytest test_two_feeds.py"""

import pytest
import trio

from trio_mcast import open_mcast_sender
from trio_mcast.testing import VirtualNetwork, network_test
from two_feeds import main

FEEDS = {"eth0": "239.1.2.3", "eth1": "239.1.2.4"}
COUNT = 300


@network_test(seeds=2)
async def test_only_what_both_feeds_lose_is_missing(
    network: VirtualNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange, trader = network.host("exchange"), network.host("trader")
    for number, name in enumerate(FEEDS):
        lan = network.switch(f"lan{number}", loss=0.1, delay=number / 1000)
        exchange.plug(name, lan, f"10.0.{number}.1/24")
        trader.plug(name, lan, f"10.0.{number}.2/24")
    async with trio.open_nursery() as nursery:
        with trader:
            feeds = [f"{group}%{name}" for name, group in FEEDS.items()]
            nursery.start_soon(main, feeds)
        await trio.sleep(1)
        with exchange:
            async with (
                open_mcast_sender(FEEDS["eth0"], 12345, interfaces="eth0") as a,
                open_mcast_sender(FEEDS["eth1"], 12345, interfaces="eth1") as b,
            ):
                for number in range(COUNT):
                    data = number.to_bytes(4, "big") + b"%d" % number
                    await a.send(data)
                    await b.send(data)
                    await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    # Each feed has lost some, and together they have lost few.
    lost = {
        (event.where, event.data)
        for event in network.trace.lost()
        if event.data is not None
    }
    of_each = [{d for where, d in lost if where == f"lan{n}"} for n in (0, 1)]
    assert min(map(len, of_each)) > 10
    both = {data[4:].decode() for data in of_each[0] & of_each[1]}
    printed = [
        line for line in capsys.readouterr().out.split("\n") if line.isdigit()
    ]
    assert printed == sorted(printed, key=int)
    assert set(map(str, range(COUNT - 20))) - set(printed) <= both
