"""Tests of ptp_offset.py: pytest test_ptp_offset.py"""

import re

import pytest
import trio

from ptp_offset import (
    DELAY_REQUEST,
    DELAY_RESPONSE,
    EVENTS,
    FOLLOW_UP,
    GENERAL,
    GROUP,
    MESSAGE,
    SYNC,
    main,
)
from trio_mcast import McastChannel, open_mcast_channel
from trio_mcast.testing import VirtualNetwork, network_test


async def answer(channel: McastChannel) -> None:
    async for datagram in channel:
        kind, *_, port, number, _, _ = MESSAGE.unpack_from(datagram.data)
        if kind == DELAY_REQUEST and datagram.timestamp_ns is not None:
            seconds, ns = divmod(datagram.timestamp_ns, 10**9)
            data = MESSAGE.pack(
                DELAY_RESPONSE, 2, 54, 0, b"master", number, seconds, ns
            )
            await channel.send(data + port, to=(GROUP, GENERAL))


async def be_master() -> None:
    async with (
        open_mcast_channel(
            GROUP,
            [EVENTS, GENERAL],
            interfaces="eth0",
            receive_timestamp=True,
            loopback=False,
        ) as channel,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer, channel)
        for number in range(100):
            sync = MESSAGE.pack(SYNC, 2, 44, 0, b"master", number, 0, 0)
            left = await channel.send_timestamped(sync, to=(GROUP, EVENTS))
            seconds, ns = divmod(left, 10**9)
            follow_up = MESSAGE.pack(
                FOLLOW_UP, 2, 44, 0, b"master", number, seconds, ns
            )
            await channel.send(follow_up, to=(GROUP, GENERAL))
            await trio.sleep(1)


@network_test
async def test_offset_is_that_of_the_clock(
    network: VirtualNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    lan = network.switch("lan", delay=0.0005)
    master, slave = network.host("master"), network.host("slave")
    master.plug("eth0", lan, "10.0.0.1/24")
    slave.plug("eth0", lan, "10.0.0.2/24")
    slave.clock.step(0.25)
    async with trio.open_nursery() as nursery:
        with slave:
            nursery.start_soon(main, "eth0")
        with master:
            nursery.start_soon(be_master)
        await trio.sleep(2.5)
        slave.clock.drift = 20e-6  # From now on it gains 20 us a second.
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    offsets = [
        float(offset)
        for offset in re.findall(
            r"offset ([+-][\d.]+) us", capsys.readouterr().out
        )
    ]
    assert offsets[0] == pytest.approx(250_000, abs=0.2)
    assert offsets[-1] - offsets[-2] == pytest.approx(20, abs=0.3)
