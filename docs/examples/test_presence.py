"""Tests of presence.py. They need pytest: pytest test_presence.py"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import attrs
import pytest
import trio

from presence import Presence
from trio_mcast.testing import VirtualNetwork, VirtualSwitch, network_test


@attrs.frozen
class Neighbours:
    lan: VirtualSwitch
    programs: list[Presence]


@asynccontextmanager
async def neighbours(
    network: VirtualNetwork,
    *names: str,
    loss: float = 0.0,
    platform: Literal["linux", "darwin", "freebsd", "windows"] = "linux",
) -> AsyncIterator[Neighbours]:
    """The program, running on one host for each name."""
    lan = network.switch("lan", loss=loss, delay=0.002, jitter=0.001)
    programs = [Presence(name) for name in names]
    async with trio.open_nursery() as nursery:
        for number, program in enumerate(programs, start=1):
            host = network.host(program.name, platform=platform)
            host.plug("eth0", lan, f"10.0.0.{number}/24")
            with host:
                nursery.start_soon(program.run, "eth0")
        yield Neighbours(lan, programs)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd", "windows"])
@network_test
async def test_programs_know_each_other(
    network: VirtualNetwork,
    platform: Literal["linux", "darwin", "freebsd", "windows"],
) -> None:
    async with neighbours(
        network, "anna", "bert", "cleo", platform=platform
    ) as found:
        await trio.sleep(2)
        assert [program.others() for program in found.programs] == [
            {"bert", "cleo"},
            {"anna", "cleo"},
            {"anna", "bert"},
        ]


@network_test(seeds=20)
async def test_some_loss_is_not_noticed(network: VirtualNetwork) -> None:
    async with neighbours(network, "anna", "bert", loss=0.05) as found:
        await trio.sleep(5)
        for _ in range(60):
            await trio.sleep(1)
            assert found.programs[0].others() == {"bert"}


@network_test
async def test_who_is_cut_off_is_missed_until_he_is_back(
    network: VirtualNetwork,
) -> None:
    async with neighbours(network, "anna", "bert") as found:
        anna, bert = found.programs
        found.lan.partition("anna", "bert")
        await trio.sleep(5)
        assert anna.others() == bert.others() == set()
        found.lan.heal()
        await trio.sleep(2)
        assert (anna.others(), bert.others()) == ({"bert"}, {"anna"})
