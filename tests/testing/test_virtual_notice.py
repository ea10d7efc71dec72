"""What happens between a change of a host's interfaces and the library's look at them.

With ``notice_seconds=0.02``, a virtual host does what a real Linux does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest
import trio
from trio.testing import MockClock

from tests.contract.using import receiving, sending
from tests.contract.worlds import VirtualWorld, World, lab_world
from tests.lab.fixtures import require_lab
from trio_mcast.testing import VirtualNetwork, network_test

pytestmark = pytest.mark.once

# The library's pause before it looks, on Linux.
REAL = 0.02
GROUPS = ("239.1.2.3", "ff05::1234")


async def attempt(send: Callable[[bytes], Awaitable[None]]) -> str:
    try:
        await send(b"x")
    except OSError as error:
        return type(error).__name__ + f" {error.errno}"
    return "sent"


class Outcomes(NamedTuple):
    """What becomes of datagrams after a change, at once and later; how long the first part took."""

    at_once: list[str]
    later: list[str]
    seconds: float


async def at_once_and_later(look: Callable[[], Awaitable[list[str]]]) -> Outcomes:
    start = trio.current_time()
    at_once = await look()
    seconds = trio.current_time() - start
    if seconds >= REAL:  # The library may have looked before the last datagram.
        return Outcomes(at_once, [], seconds)
    await trio.sleep(0.5)
    return Outcomes(at_once, await look(), seconds)


async def removed_address(world: World) -> Outcomes:
    addresses = ("10.0.1.1", "fd00:1::1")
    async with (
        sending(world, "a", GROUPS[0], source_address=addresses[0]) as four,
        sending(world, "a", GROUPS[1], source_address=addresses[1]) as six,
    ):

        async def look() -> list[str]:
            return [await attempt(four.send), await attempt(six.send)]

        world.address("a", "eth0", remove=["10.0.1.1/24", "fd00:1::1/64"])
        return await at_once_and_later(look)


async def unplugged(world: World) -> Outcomes:
    async with (
        sending(world, "a", GROUPS[0]) as four,
        sending(world, "a", GROUPS[1]) as six,
        receiving(world, "a", GROUPS[0], interfaces="eth0", allow_missing=True) as receiver,
    ):

        async def look() -> list[str]:
            states = [each.state for each in receiver.memberships]
            return [await attempt(four.send), await attempt(six.send), *states]

        world.unplug("a", "eth0")
        return await at_once_and_later(look)


Scenario = Callable[[World], Awaitable[Outcomes]]


async def on_virtual_hosts(scenario: Scenario) -> Outcomes:
    async with VirtualNetwork() as network:
        return await scenario(VirtualWorld(network, "linux", notice_seconds=REAL))


async def on_real_hosts(scenario: Scenario) -> Outcomes:
    with lab_world() as lab:
        return await scenario(lab)


@pytest.mark.parametrize("scenario", [removed_address, unplugged], ids=lambda each: each.__name__)
def test_virtual_host_that_notices_later_is_as_a_real_one(scenario: Scenario) -> None:
    require_lab()
    virtual = trio.run(on_virtual_hosts, scenario, clock=MockClock(autojump_threshold=0))
    for _ in range(100):
        real = trio.run(on_real_hosts, scenario)
        if real.seconds < REAL:
            break
    assert real.seconds < REAL, "this machine is too busy"
    assert (real.at_once, real.later) == (virtual.at_once, virtual.later)
    assert virtual.at_once != virtual.later


@pytest.mark.parametrize(("seconds", "error"), [(0.0, "EADDRNOTAVAIL"), (REAL, "ENETUNREACH")])
async def test_default_is_that_programs_notice_when_they_have_a_turn(
    autojump_clock: MockClock, seconds: float, error: str
) -> None:
    async with VirtualNetwork() as network:
        world = VirtualWorld(network, "linux", notice_seconds=seconds)
        async with sending(world, "a", GROUPS[0], source_address="10.0.1.1") as sender:
            world.address("a", "eth0", remove=["10.0.1.1/24"])
            await world.settle()
            with pytest.raises(OSError, match=error):
                await sender.send(b"x")


@network_test
async def test_change_is_noticed_when_the_time_is_over(network: VirtualNetwork) -> None:
    lan, a = network.switch("lan"), network.host("a", notice_seconds=5)
    a.plug("eth0", lan, "10.0.0.1/24")
    with a:
        watcher = a.watch()
        began = trio.current_time()
        a.plug("eth1", lan, "10.0.0.2/24")
        await watcher.wait()
        assert trio.current_time() - began == pytest.approx(5)
        watcher.close()


@network_test
async def test_time_to_notice_is_checked(network: VirtualNetwork) -> None:
    for wrong, kind in ((-1, ValueError), (float("inf"), ValueError), ("1", TypeError)):
        with pytest.raises(kind, match=r"notice_seconds must be"):
            network.host("a", notice_seconds=wrong)  # type: ignore[arg-type]
