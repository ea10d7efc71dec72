"""A network that is rebuilt while receivers run: nothing is lost, doubled or left over.

What happens is random, from a seed that the name of a failed test tells.
"""

from __future__ import annotations

import random
from contextlib import ExitStack

import pytest
import trio

from tests.lab import Host, Lab, Switch
from tests.lab._polling import wait_until_async
from tests.lab.machine import on
from tests.support.leftovers import open_descriptors, tasks_now
from tests.support.traffic import PORT, plain_sender
from trio_mcast import McastReceiver, open_mcast_receiver

pytestmark = pytest.mark.once

GROUPS = ["239.1.2.3", "ff05::123"]
UNTOUCHED = ["calm0", "calm1"]
CHANGING = ["wild0", "wild1", "wild2"]

# How soon after it is ready an interface has to receive.
READY_SECONDS = 2.0


class Wild:
    """A host with two interfaces that stay as they are and three that do not, on one switch."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lan: Switch = lab.switch("lan", flood=True)
        self.host: Host = lab.host("here")
        self.there: Host = lab.host("there")
        self.random = random.Random(seed)
        # The number in an interface's addresses, for those that there are; and which are down.
        self.numbers: dict[str, int] = {}
        self.down: set[str] = set()
        self.there.plug("eth0", self.lan, "10.0.1.1/24", "fd00:1::1/64")
        for number, name in enumerate(UNTOUCHED, start=2):
            self._plug(name, number)
        for number, name in enumerate(CHANGING, start=10):
            self._plug(name, number)

    def _plug(self, name: str, number: int) -> None:
        self.host.plug(name, self.lan, *self._addresses(number))
        self.numbers[name] = number
        self.down.discard(name)

    @staticmethod
    def _addresses(number: int) -> tuple[str, str]:
        return f"10.0.1.{number}/24", f"fd00:1::{number:x}/64"

    def change(self) -> str:
        """One random change; what it was."""
        name = self.random.choice(CHANGING)
        number = self.random.randrange(10, 250)
        if name not in self.numbers:
            self._plug(name, number)
            return f"plug {name}"
        if name in self.down:
            self.host.up(name)
            self.down.discard(name)
            return f"up {name}"
        what = self.random.choice(["unplug", "make again", "readdress", "down", "down and up"])
        if what in ("unplug", "make again"):
            self.host.unplug(name)
            del self.numbers[name]
            if what == "make again":
                self._plug(name, number)
        elif what == "readdress":
            before = set(self._addresses(self.numbers[name]))
            after = set(self._addresses(number))
            self.host.address(name, add=after - before, remove=before - after)
            self.numbers[name] = number
        else:
            self.host.down(name)
            self.down.add(name)
            if what == "down and up":
                self.host.up(name)
                self.down.discard(name)
        return f"{what} {name}"

    @property
    def usable(self) -> set[str]:
        return (set(self.numbers) - self.down) | set(UNTOUCHED)


Heard = dict[tuple[str, str], list[int]]


async def listen(receiver: McastReceiver, heard: Heard) -> None:
    async for batch in receiver.batches():
        for item in batch:
            assert item.group is not None
            heard.setdefault((item.group, item.interface.name), []).append(int(item.data))


@pytest.mark.parametrize("seed", [1])
async def test_200_changes_lose_and_double_nothing_on_other_interfaces(lab: Lab, seed: int) -> None:
    network = Wild(lab, seed)
    heard: Heard = {}
    sent = 0
    before = open_descriptors(), tasks_now()
    with ExitStack() as stack:
        senders = [
            (group, stack.enter_context(plain_sender(network.there, group, "eth0")))
            for group in GROUPS
        ]

        def send() -> None:
            nonlocal sent
            for group, sender in senders:
                sender.sendto(b"%d" % sent, (group, PORT))
            sent += 1

        with on(network.host):
            async with (
                open_mcast_receiver(GROUPS, PORT, max_buffered=10_000) as receiver,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(listen, receiver, heard)
                for _ in range(200):
                    send()
                    network.change()
                    send()
                    await trio.lowlevel.checkpoint()
                with trio.fail_after(READY_SECONDS):
                    await wait_until_async(
                        lambda: {
                            (item.group, item.interface.name)
                            for item in receiver.memberships
                            if item.state == "joined"
                        },
                        lambda seen: seen == {(g, i) for g in GROUPS for i in network.usable},
                        "every interface that there is to be joined",
                    )
                # That may still be how it was before the last change: what counts is what arrives.
                changed = sent
                everywhere = {(group, name) for group in GROUPS for name in network.usable}
                with trio.fail_after(READY_SECONDS):
                    while {
                        place for place, got in heard.items() if got[-1] >= changed
                    } != everywhere:
                        send()
                        await trio.sleep(0.01)
                with trio.fail_after(READY_SECONDS):
                    await wait_until_async(
                        lambda: [heard[group, name][-1] for group in GROUPS for name in UNTOUCHED],
                        lambda seen: set(seen) == {sent - 1},
                        "all that was sent to have arrived where nothing changed",
                    )
                statistics = receiver.statistics()
                nursery.cancel_scope.cancel()
    for group in GROUPS:
        for name in UNTOUCHED:
            assert heard[group, name] == list(range(sent)), f"{group} on {name}"
    for numbers in heard.values():
        assert numbers == sorted(set(numbers)), "some came twice, or in another order"
    assert statistics.received == sum(map(len, heard.values()))
    assert statistics.sockets_failed == 0
    assert (open_descriptors(), tasks_now()) == before


@pytest.mark.parametrize("seed", [3])
async def test_closing_at_any_moment_leaves_nothing_open_and_raises_nothing(
    lab: Lab, seed: int
) -> None:
    network = Wild(lab, seed)
    with plain_sender(network.there, GROUPS[0], "eth0") as sender, on(network.host):
        before = open_descriptors(), tasks_now()
        for number in range(40):
            network.change()
            with trio.move_on_after(network.random.uniform(0, 0.15)):
                async with (
                    open_mcast_receiver(
                        GROUPS, PORT, interfaces=CHANGING, allow_missing=True
                    ) as receiver,
                    trio.open_nursery() as nursery,
                ):
                    nursery.start_soon(listen, receiver, {})
                    await trio.sleep(network.random.uniform(0, 0.05))
                    network.change()
                    sender.sendto(b"%d" % number, (GROUPS[0], PORT))
                    async with receiver.joined("239.1.2.4"):
                        await trio.sleep(network.random.uniform(0, 0.1))
                    nursery.cancel_scope.cancel()
            assert (open_descriptors(), tasks_now()) == before
