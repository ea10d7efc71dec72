"""A receiver on a virtual network against a model, whatever is done to both, and in which order.

The model knows interfaces, groups and blocked sources as plain sets. After each step, what is
joined and what waits, what each datagram reaches and what is counted have to be what it says.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Final, TypeAlias

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from trio_mcast import McastReceiver, open_mcast_receiver
from trio_mcast.testing import VirtualHost, VirtualNetwork

from ..support.virtual_hosts import send_from

pytestmark = pytest.mark.once

PORT: Final = 5_000
GROUPS: Final = ("239.1.2.1", "239.1.2.2", "ff05::1")
NAMES: Final = ("eth0", "eth1", "eth2")
SOURCES: Final = ("10.0.0.101", "10.0.0.102")
# By the clock that jumps: longer than any pause of the library.
SETTLE_SECONDS: Final = 60

Step: TypeAlias = tuple[str, int]
KINDS: Final = (
    *("join", "join", "cancelled_join", "leave", "block", "unblock", "send", "cancel"),
    *("plug", "plug", "unplug", "down", "up", "enslave", "release", "address"),
)
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2)), min_size=8, max_size=25)
_EXAMPLES: Final = int(os.environ.get("TRIO_MCAST_FUZZ_EXAMPLES", "1000")) // 50

# A group and the name of an interface.
Place: TypeAlias = tuple[str, str]


@attrs.define
class Port:
    """An interface as the model knows it."""

    is_up: bool = True
    is_enslaved: bool = False

    @property
    def is_fit(self) -> bool:
        return self.is_up and not self.is_enslaved


@attrs.define
class Model:
    """What should be.

    Attributes:
        named: The names of the interfaces that the receiver was given; none for all that are fit.
        ports: The interfaces that there are.
        groups: The groups that were joined and not left.
        blocked: The sources that are blocked.
        seen: The places that were joined once, where no interface was named.
        delivered: How many datagrams should have come.
    """

    named: tuple[str, ...]
    ports: dict[str, Port]
    groups: set[str]
    blocked: set[str] = attrs.Factory(set)
    seen: set[Place] = attrs.Factory(set)
    delivered: int = 0

    def states(self) -> dict[Place, str]:
        """Return the state of each membership that there should be."""
        if self.named:
            places = {(group, name) for group in self.groups for name in self.named}
        else:
            fit = [name for name, port in self.ports.items() if port.is_fit]
            self.seen |= {(group, name) for group in self.groups for name in fit}
            # What has gone is forgotten, with its memberships.
            self.seen = {
                (group, name)
                for group, name in self.seen
                if group in self.groups and name in self.ports
            }
            places = self.seen
        return {
            (group, name): "joined" if name in self.ports and self.ports[name].is_fit else "waiting"
            for group, name in places
        }

    def reached(self, group: str, source: str) -> Counter[Place]:
        """Return where a datagram should come."""
        if source in self.blocked and ":" not in group:
            return Counter()
        states = self.states()
        return Counter(place for place in states if place[0] == group and states[place] == "joined")


class Machine:
    """The receiver and the model side by side."""

    def __init__(self, network: VirtualNetwork, model: Model) -> None:
        self.model = model
        self.switch = network.switch("lan", snooping=True)
        self.host = network.host("a")
        self.speakers: dict[str, VirtualHost] = {}
        for number, source in enumerate(SOURCES, start=1):
            speaker = self.speakers[source] = network.host(f"b{number}")
            speaker.plug("eth0", self.switch, f"{source}/24", f"fd00::{number + 100}/64")
        self.addresses = 0
        self.sent = 0
        self.receiver: McastReceiver

    def plug(self, name: str) -> None:
        self.host.plug(name, self.switch, *self.new_addresses())

    def new_addresses(self) -> tuple[str, str]:
        self.addresses += 1
        return f"10.0.0.{self.addresses}/24", f"fd00::{self.addresses:x}/64"

    async def do(self, kind: str, number: int) -> None:
        """Do one thing to both, if it can be done."""
        await getattr(self, f"_{kind}")(number)

    # What a program does ----------------------------------------------------------------------

    async def _join(self, number: int) -> None:
        group = GROUPS[number]
        if group not in self.model.groups:
            await self.receiver.join(group)
            self.model.groups.add(group)

    async def _cancelled_join(self, number: int) -> None:
        group = GROUPS[number]
        if group not in self.model.groups:
            with trio.CancelScope() as scope:
                scope.cancel()
                await self.receiver.join(group)
            assert scope.cancelled_caught

    async def _leave(self, number: int) -> None:
        group = GROUPS[number]
        if group in self.model.groups:
            await self.receiver.leave(group)
            self.model.groups.remove(group)

    async def _block(self, number: int) -> None:
        source = SOURCES[number % 2]
        if source not in self.model.blocked and self._ipv4_is_joined():
            await self.receiver.block_source(source)
            self.model.blocked.add(source)

    async def _unblock(self, number: int) -> None:
        source = SOURCES[number % 2]
        if source in self.model.blocked and self._ipv4_is_joined():
            await self.receiver.unblock_source(source)
            self.model.blocked.remove(source)

    def _ipv4_is_joined(self) -> bool:
        return any(":" not in group for group, _ in self.model.states())

    async def _cancel(self, number: int) -> None:
        """Receive, and be cancelled when something has come, or nothing."""
        expected = self._speak(number)
        for deadline in (0, 1e-9):
            with trio.move_on_after(deadline):
                datagram = await self.receiver.receive()
                expected -= Counter([(str(datagram.group), datagram.interface.name)])
        await self._hear(expected)

    async def _send(self, number: int) -> None:
        await self._hear(self._speak(number))

    # What happens to the machine --------------------------------------------------------------

    async def _plug(self, number: int) -> None:
        name = NAMES[number]
        if name not in self.model.ports:
            self.plug(name)
            self.model.ports[name] = Port()

    async def _unplug(self, number: int) -> None:
        if self.model.ports.pop(NAMES[number], None):
            self.host.interface(NAMES[number]).unplug()

    async def _down(self, number: int) -> None:
        port = self.model.ports.get(NAMES[number])
        if port is not None and port.is_up:
            self.host.interface(NAMES[number]).take_down()
            port.is_up = False

    async def _up(self, number: int) -> None:
        port = self.model.ports.get(NAMES[number])
        if port is not None and not port.is_up:
            self.host.interface(NAMES[number]).take_up()
            port.is_up = True

    async def _enslave(self, number: int) -> None:
        if NAMES[number] in self.model.ports:
            self.host.interface(NAMES[number]).set_master("br0")
            self.model.ports[NAMES[number]].is_enslaved = True

    async def _release(self, number: int) -> None:
        if NAMES[number] in self.model.ports:
            self.host.interface(NAMES[number]).set_master(None)
            self.model.ports[NAMES[number]].is_enslaved = False

    async def _address(self, number: int) -> None:
        if NAMES[number] in self.model.ports:
            interface = self.host.interface(NAMES[number])
            for address in interface.networks:
                interface.remove_address(str(address))
            for new in self.new_addresses():
                interface.add_address(new)

    # What comes of it -------------------------------------------------------------------------

    def _speak(self, number: int) -> Counter[Place]:
        """Send a datagram to a group; return where it should come."""
        group, source = GROUPS[number], SOURCES[self.sent % 2]
        self.sent += 1
        expected = self.model.reached(group, source)
        self.model.delivered += expected.total()
        send_from(self.speakers[source], group, b"%d" % self.sent)
        return expected

    async def _hear(self, expected: Counter[Place]) -> None:
        heard: Counter[Place] = Counter()
        with trio.move_on_after(1):
            async for datagram in self.receiver:
                assert datagram.data == b"%d" % self.sent
                heard[str(datagram.group), datagram.interface.name] += 1
        assert heard == expected

    async def check(self) -> None:
        """Compare the receiver with the model, once all has settled."""
        await trio.sleep(SETTLE_SECONDS)
        memberships = {
            (str(membership.group), membership.interface.name): membership.state
            for membership in self.receiver.memberships
        }
        assert memberships == self.model.states()
        for number in range(len(GROUPS)):
            await self._send(number)
        counts = self.receiver.statistics()
        assert counts.received == counts.delivered == self.model.delivered
        assert (counts.waiting, counts.dropped_by_policy, counts.sockets_failed) == (0, 0, 0)
        assert not counts.dropped_by_kernel


async def run(named: tuple[str, ...], steps: list[Step]) -> None:
    async with VirtualNetwork() as network:
        machine = Machine(network, Model(named, {"eth0": Port()}, {GROUPS[0]}))
        machine.plug("eth0")
        with machine.host:
            async with open_mcast_receiver(
                GROUPS[0], PORT, interfaces=named or None, allow_missing=True
            ) as machine.receiver:
                await machine.check()
                for kind, number in steps:
                    await machine.do(kind, number)
                    await machine.check()
            with pytest.raises(trio.ClosedResourceError):
                await machine.receiver.receive()
            assert machine.receiver.statistics().delivered == machine.model.delivered


@pytest.mark.parametrize("named", [(), ("eth0", "eth1")], ids=["every interface", "two named"])
@settings(settings.get_profile("any speed"), max_examples=_EXAMPLES)
@given(STEPS)
def test_receiver_is_as_the_model_says(named: tuple[str, ...], steps: list[Step]) -> None:
    trio.run(run, named, steps, clock=MockClock(autojump_threshold=0))
