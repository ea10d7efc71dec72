"""Tests of presence.py. They need pytest and pytest-trio: pytest test_presence.py"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import attrs
import pytest
import trio
from presence import Presence
from trio.testing import MockClock

from trio_mcast.testing import VirtualHost, VirtualNetwork, VirtualSwitch


@attrs.frozen
class Neighbours:
    network: VirtualNetwork
    lan: VirtualSwitch
    hosts: list[VirtualHost]
    programs: list[Presence]


@asynccontextmanager
async def neighbours(
    *names: str,
    loss: float = 0.0,
    platform: Literal["linux", "darwin", "freebsd", "windows"] = "linux",
) -> AsyncIterator[Neighbours]:
    """The program, running on one host for each name."""
    async with VirtualNetwork(seed=1) as network, trio.open_nursery() as nursery:
        lan = network.switch("lan", loss=loss, delay=0.002, jitter=0.001)
        hosts, programs = [], []
        for number, name in enumerate(names, start=1):
            host = network.host(name, platform=platform)
            host.plug("eth0", lan, f"10.0.0.{number}/24")
            program = Presence(name)
            with host:
                nursery.start_soon(program.run, "eth0")
            hosts.append(host)
            programs.append(program)
        yield Neighbours(network, lan, hosts, programs)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd", "windows"])
async def test_programs_know_each_other(
    platform: Literal["linux", "darwin", "freebsd", "windows"], autojump_clock: MockClock
) -> None:
    async with neighbours("anna", "bert", "cleo", platform=platform) as found:
        await trio.sleep(2)
        assert [item.others() for item in found.programs] == [
            {"bert", "cleo"},
            {"anna", "cleo"},
            {"anna", "bert"},
        ]


async def test_some_loss_is_not_noticed(autojump_clock: MockClock) -> None:
    async with neighbours("anna", "bert", loss=0.2) as found:
        await trio.sleep(5)
        for _ in range(60):
            await trio.sleep(1)
            assert found.programs[0].others() == {"bert"}


async def test_who_is_cut_off_is_missed_until_he_is_back(autojump_clock: MockClock) -> None:
    async with neighbours("anna", "bert") as found:
        anna, bert = found.programs
        found.lan.partition(["anna"], ["bert"])
        await trio.sleep(5)
        assert anna.others() == bert.others() == set()
        found.lan.heal()
        await trio.sleep(2)
        assert (anna.others(), bert.others()) == ({"bert"}, {"anna"})
