"""The program that is run with each fault: it opens, uses and closes all that there is."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from trio_mcast import (
    InterfaceChange,
    McastReceiver,
    McastSender,
    open_mcast_receiver,
    open_mcast_sender,
    watch_interfaces,
)

if not TYPE_CHECKING or sys.platform == "linux":
    from tests.faults.world import INTERFACES, PORT, World

assert sys.platform == "linux"

# Longer than any pause after a refusal; by a clock that jumps.
_RECOVERY_SECONDS: Final = 70
_PATIENCE: Final = 50
PHASES: Final = (
    "opening",
    "receiving",
    "sending",
    "joining",
    "blocking",
    "leaving",
    "following",
    "closing",
)


@attrs.frozen
class Use:
    """A way to use the library.

    Attributes:
        name: Its name.
        receiver: The arguments of the receiver.
        sender: The arguments of the sender.
        another: A group to join later.
        blocked: Sources to block and unblock.
    """

    name: str
    receiver: Mapping[str, Any]
    sender: Mapping[str, Any]
    another: str
    blocked: Sequence[str] = ()


USES: Final = (
    Use(
        "two interfaces, both families",
        {"groups": ["239.1.2.3", "ff05::3"], "interfaces": INTERFACES},
        {"groups": ["239.1.2.3"], "interfaces": INTERFACES, "receive_replies": True},
        "239.1.2.4",
        ["192.0.2.1", "2001:db8::1"],
    ),
    Use(
        "many groups",
        {
            "groups": [f"239.1.3.{n}" for n in range(1, 13)],
            "interfaces": "eth0",
            "receive_ttl": True,
        },
        {"groups": ["ff05::3"], "interfaces": "eth0"},
        "ff05::4",
        ["192.0.2.1"],
    ),
    Use(
        "sources, unicast, every interface",
        {
            "groups": ["239.1.2.3"],
            "sources": ["10.0.0.1", "10.0.1.1", "10.0.1.9"],
            "accept_unicast": True,
        },
        {"groups": ["239.1.2.3"]},
        "239.1.2.4",
    ),
)


async def run(world: World, use: Use) -> None:
    """Run the program once; what is wrong is in ``world.wrong``."""
    try:
        async with AsyncExitStack() as stack:
            with world.during("opening"):
                receiver = await stack.enter_async_context(
                    open_mcast_receiver(port=PORT, **use.receiver)
                )
                sender = await stack.enter_async_context(
                    open_mcast_sender(port=PORT + 1, **use.sender)
                )
                changes = await stack.enter_async_context(watch_interfaces())
            await _recover(world, "opening", receiver, sender)
            await _use(world, use, receiver, sender, changes)
            world.begin("closing")
    except Exception as error:
        world.note(error)
        world.states.add("refused")
    else:
        world.check_received(receiver)
    finally:
        world.end()


async def _use(
    world: World,
    use: Use,
    receiver: McastReceiver,
    sender: McastSender,
    changes: trio.abc.ReceiveChannel[InterfaceChange],
) -> None:
    with world.during("receiving"):
        for count in (1, 1, 40, 3):
            world.speak(receiver, count)
            await world.listen(receiver)
    await _recover(world, "receiving", receiver, sender)
    with world.during("sending"):
        await _send(world, sender)
    await _recover(world, "sending", receiver, sender)
    with world.during("joining"):
        await world.attempt(receiver.join(use.another))
        world.speak(receiver)
        await world.listen(receiver)
    await _recover(world, "joining", receiver, sender)
    with world.during("blocking"):
        for source in use.blocked:
            if await world.attempt(receiver.block_source(source)):
                await world.attempt(receiver.unblock_source(source))
        world.speak(receiver)
        await world.listen(receiver)
    await _recover(world, "blocking", receiver, sender)
    with world.during("leaving"):
        world.speak(receiver)  # Not taken before, so leaving has to read.
        groups = {membership.group for membership in receiver.memberships}
        if use.another in groups:
            await world.attempt(receiver.leave(use.another))
        await world.listen(receiver)
    await _recover(world, "leaving", receiver, sender)
    with world.during("following"):
        await _change(world, changes)
    await _recover(world, "following", receiver, sender)
    world.speak(receiver)
    await world.listen(receiver)


async def _send(world: World, sender: McastSender) -> None:
    places = len(sender.interfaces)
    await world.send(sender, sender.send(b"one"), places)
    alike = [b"%03d" % number for number in range(20)]
    await world.send(sender, sender.send_batch(alike), 20 * places)
    different = [b"x" * (number % 7 + 1) for number in range(20)]
    await world.send(sender, sender.send_batch(different), 20 * places)
    await world.send(sender, sender.send(b"one more"), places)
    # To nobody: the system takes it all the same.
    nobody = "fd00::2" if ":" in sender.local_endpoints[0].host else "10.0.0.2"
    await world.attempt(sender.send(b"to one", to=(nobody, 9)))


async def _change(world: World, changes: trio.abc.ReceiveChannel[InterfaceChange]) -> None:
    async def watch() -> None:
        with trio.move_on_after(1):
            while True:
                await changes.receive()

    steps: list[dict[str, Any]] = [
        {"up": False},
        {"up": True},
        {"address": "10.0.1.9"},
        {"address": "10.0.1.1"},
    ]
    for step in steps:
        world.change_interface("eth1", **step)
        await world.attempt(watch())


async def _recover(world: World, phase: str, receiver: McastReceiver, sender: McastSender) -> None:
    """See that everything goes on by itself, now that nothing is refused any more."""
    world.check_states(receiver)
    if phase != world.phase:
        return
    world.now = f"after {phase}"
    # An error that came behind datagrams is told when the socket is read the next time.
    world.speak(receiver)
    await world.listen(receiver)
    before = world.came.copy()
    await trio.sleep(_RECOVERY_SECONDS)
    world.speak(receiver)
    await world.listen(receiver)
    for _ in range(_PATIENCE):  # A busy machine may deliver later than the clock has jumped.
        if all(world.came[place] - before[place] >= n for place, n in world.spoken.items()):
            break
        time.sleep(0.01)  # noqa: ASYNC251 - for the kernel to go on, not for Trio.
        await world.listen(receiver)
    for membership in receiver.memberships:
        place = str(membership.group), membership.interface.name
        if membership.state != "joined":
            world.wrong.append(f"{world.now}: {place} stays {membership.state}: {membership.error}")
        elif world.came[place] - before[place] < world.spoken[place]:
            world.wrong.append(f"{world.now}: {place} is deaf")
    errors = len(world.errors)
    await world.send(sender, sender.send(b"again"), len(sender.interfaces))
    if len(world.errors) > errors or not sender.interfaces:
        world.wrong.append(f"{world.now}: sending does not work again")
