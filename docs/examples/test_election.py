"""Tests of election.py: pytest test_election.py"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from election import Election
from trio_mcast.testing import (
    VirtualHost,
    VirtualNetwork,
    VirtualSwitch,
    network_test,
)


class Machine:
    """A host, on which the program can be started again."""

    def __init__(self, host: VirtualHost, nursery: trio.Nursery) -> None:
        self.host, self.nursery = host, nursery
        self.start()

    def start(self) -> None:
        self.election = Election(self.host.name)
        self.running = trio.CancelScope()
        with self.host:
            self.nursery.start_soon(self._run)

    async def _run(self) -> None:
        with self.running:
            await self.election.run("eth0")

    def crash(self) -> None:
        self.host.crash()
        self.running.cancel()


@asynccontextmanager
async def machines(
    network: VirtualNetwork, lan: VirtualSwitch, *names: str
) -> AsyncIterator[list[Machine]]:
    async with trio.open_nursery() as nursery:
        started: list[Machine] = []
        for number, name in enumerate(names, start=1):
            host = network.host(name)
            host.plug("eth0", lan, f"10.0.0.{number}/24")
            started.append(Machine(host, nursery))
        await trio.sleep(4)
        yield started
        nursery.cancel_scope.cancel()


def leaders(machines: list[Machine]) -> list[str]:
    return [machine.election.leader() for machine in machines]


@network_test(seeds=5)
async def test_next_one_leads_when_the_leader_crashes(
    network: VirtualNetwork,
) -> None:
    lan = network.switch("lan", loss=0.02, delay=0.002, jitter=0.001)
    async with machines(network, lan, "anna", "bert", "cleo") as all_three:
        anna, *others = all_three
        assert leaders(all_three) == ["anna"] * 3
        anna.crash()
        await trio.sleep(5)
        assert leaders(others) == ["bert"] * 2
        anna.host.restart()
        anna.start()
        await trio.sleep(5)
        assert leaders(all_three) == ["anna"] * 3


@network_test
async def test_each_part_of_a_split_network_has_a_leader(
    network: VirtualNetwork,
) -> None:
    lan = network.switch("lan", delay=0.002)
    async with machines(network, lan, "anna", "bert", "cleo") as all_three:
        lan.partition(["anna", "cleo"], "bert")
        await trio.sleep(5)
        assert leaders(all_three) == ["anna", "bert", "anna"]
        lan.heal()
        await trio.sleep(2)
        assert leaders(all_three) == ["anna"] * 3
