"""While interfaces are followed on a machine that has very many, other tasks have their turns."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from ipaddress import IPv4Interface

import attrs
import pytest
import trio
from trio.abc import Instrument
from trio.testing import wait_all_tasks_blocked

from trio_mcast import (
    Interface,
    InterfaceAddress,
    open_mcast_receiver,
    open_mcast_sender,
    watch_interfaces,
)
from trio_mcast._host.current import host_variable
from trio_mcast._host.protocols import LookSteps
from trio_mcast.testing import VirtualHost, VirtualNetwork, VirtualSwitch

pytestmark = pytest.mark.once

GROUPS = ["239.1.2.3", "239.1.2.4"]
ADDRESSES = [IPv4Interface((0x0A400000 + number, 32)) for number in range(3_000)]
DETAILS = [InterfaceAddress(address, "global", "preferred") for address in ADDRESSES]


class Crowded:
    """A virtual host that has one more interface, with thousands of addresses."""

    def __init__(self, host: VirtualHost, name: str, index: int) -> None:
        self.host = host
        self.name = name
        self.index = index
        self.addresses = len(ADDRESSES) - 1

    def __getattr__(self, name: str) -> object:
        return getattr(self.host, name)

    def _with_more(self, interfaces: list[Interface]) -> list[Interface]:
        addresses, details = ADDRESSES[: self.addresses], DETAILS[: self.addresses]
        crowded = Interface(
            self.name,
            self.index,
            ipv4_addresses=tuple(addresses),
            address_details=tuple(details),
        )
        more = attrs.evolve(crowded, is_up=self.name != "ipvs0")
        return [each for each in interfaces if each.name != self.name] + [more]

    def list_interfaces(self) -> list[Interface]:
        return self._with_more(self.host.list_interfaces())

    def look(self) -> LookSteps:
        yield self.list_interfaces()


@pytest.fixture
async def network() -> AsyncIterator[VirtualNetwork]:
    async with VirtualNetwork() as network:
        yield network


class Turns(Instrument):
    """Counts the calls of Python functions in each turn of a task."""

    def __init__(self) -> None:
        self.calls = 0
        self.most = 0

    def count(self, _frame: object, event: str, _argument: object) -> None:
        self.calls += event == "call"

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.calls = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.most = max(self.most, self.calls)


@contextmanager
def counted(turns: Turns) -> Iterator[None]:
    before = sys.getprofile()
    trio.lowlevel.add_instrument(turns)
    sys.setprofile(turns.count)
    try:
        yield
    finally:
        sys.setprofile(before)
        trio.lowlevel.remove_instrument(turns)


async def opened(how: str, stack: AsyncExitStack, crowded: str) -> None:
    if how == "receiver":
        manager = open_mcast_receiver(GROUPS, 5000, interfaces=["eth0", "none"], allow_missing=True)
        await stack.enter_async_context(manager)
    elif how == "receiver without loopback":
        manager = open_mcast_receiver(GROUPS, 5000, interfaces="eth0", loopback=False)
        await stack.enter_async_context(manager)
    elif how == "receiver of unicast to the crowded interface":
        manager = open_mcast_receiver(GROUPS, 5000, interfaces=crowded, accept_unicast=True)
        await stack.enter_async_context(manager)
    elif how == "sender":
        await stack.enter_async_context(open_mcast_sender(GROUPS, 5000, interfaces="eth0"))
    elif how == "sender to the crowded interface":
        await stack.enter_async_context(open_mcast_sender(GROUPS, 5000, interfaces=crowded))


HOWS = [
    "receiver",
    "receiver without loopback",
    "sender",
    "sender to the crowded interface",
    "receiver of unicast to the crowded interface",
    "watch",
]


@pytest.mark.parametrize("how", HOWS)
async def test_address_more_among_thousands_keeps_nobody_waiting(
    how: str, network: VirtualNetwork
) -> None:
    host, lan = network.host("a"), network.switch("lan")
    host.plug("eth0", lan, "10.0.0.1/24")
    host.plug("eth1", lan, "10.64.0.0/9")
    name, index = "ipvs0", 77
    if "to the crowded interface" in how:
        name, index = "eth1", host.interface("eth1").index
    machine = Crowded(host, name, index)
    host_variable.set(machine)  # type: ignore[arg-type]  # It passes everything else on.
    turns = Turns()
    async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
        await opened(how, stack, name)
        if how == "watch":
            changes = await stack.enter_async_context(watch_interfaces())
            nursery.start_soon(changes.receive)
        await wait_all_tasks_blocked()
        with counted(turns):
            machine.addresses += 1
            notify(host, lan)
            for _ in range(3 * len(ADDRESSES)):
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    # A look costs 3,000 calls and more if it asks each address for anything at one go. Only where
    # unicast is accepted, all addresses are compared with those of other interfaces at one go.
    most = 12 * len(ADDRESSES) if how.startswith("receiver of unicast") else len(ADDRESSES) // 2
    assert 0 < turns.most < most


def notify(host: VirtualHost, lan: VirtualSwitch) -> None:
    host.plug("eth2", lan, "10.9.9.9/24")
