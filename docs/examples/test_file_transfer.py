"""Tests of file_transfer.py: pytest test_file_transfer.py"""

import random

import trio

from file_transfer import BLOCK, fetch, send
from trio_mcast.testing import VirtualNetwork, network_test


@network_test(seeds=3)
async def test_all_get_the_file_over_a_bad_network(
    network: VirtualNetwork,
) -> None:
    lan = network.switch(
        "lan", loss=0.2, duplicate=0.05, reorder=0.1, delay=0.001
    )
    data = random.Random(1).randbytes(50 * BLOCK + 7)
    copies: list[bytes] = []

    async def fetch_copy() -> None:
        copies.append(await fetch("eth0"))

    async with trio.open_nursery() as nursery:
        for number in range(2, 5):
            host = network.host(f"reader{number}")
            host.plug("eth0", lan, f"10.0.0.{number}/24")
            with host:
                nursery.start_soon(fetch_copy)
        server = network.host("server")
        server.plug("eth0", lan, "10.0.0.1/24")
        await trio.sleep(1)
        with server, trio.fail_after(60):
            await send(data, "eth0")
    assert copies == [data] * 3
    # Far fewer datagrams than one transfer to each would have taken.
    assert network.trace.totals(server).sent < 150
