"""A cable that is taken out at the other end and put in again: virtual, and in the lab."""

from __future__ import annotations

import pytest
import trio

from tests.contract.using import all_of, receiving, sending
from tests.contract.worlds import LabWorld, VirtualWorld, World, lab_world
from tests.lab.fixtures import require_lab
from trio_mcast.testing import VirtualNetwork

pytestmark = pytest.mark.once

GROUPS = ["239.1.2.3", "ff02::1234", "ff05::1234"]


async def set_carrier(world: World, *, there: bool) -> None:
    """Take the cable of eth0 of host b out at the switch, or put it in."""
    if isinstance(world, LabWorld):
        plug = world._hosts["b"]._plugs["eth0"]
        plug.switch._ip(f"link set {plug.port} {'up' if there else 'down'}")
        if there:
            plug.switch.wait_for_port(plug.port)
    else:
        assert isinstance(world, VirtualWorld)
        eth0 = world._hosts["b"].interface("eth0")
        eth0.restore_carrier() if there else eth0.lose_carrier()
    await trio.sleep(0.3)  # Time for the library to look.


async def without_carrier(world: World) -> list[object]:
    """Return what becomes of what is sent before, meanwhile, and afterwards."""
    outcomes: list[object] = []
    async with (
        receiving(world, "b", GROUPS, interfaces="eth0") as receiver,
        receiving(world, "a", GROUPS, interfaces="eth0", loopback=False) as other,
        sending(world, "a", GROUPS) as towards,
        sending(world, "b", GROUPS) as away,
    ):
        for there in (True, False, True):
            await set_carrier(world, there=there)
            outcomes.append([(each.group, each.state) for each in receiver.memberships])
            eth0 = world.machine("b").list_interfaces()[1]
            outcomes.append((eth0.is_up, sorted(map(str, eth0.ipv6_addresses))))
            for sender in (towards, away):
                try:
                    await sender.send(b"x")
                except OSError as error:
                    outcomes.append(error)
            for each in (receiver, other):
                datagrams = await all_of(world, each)
                outcomes.append(sorted((str(d.group), d.source.host) for d in datagrams))
        counts = away.statistics()
        outcomes.append((counts.sent, counts.failed))
    return outcomes


async def test_receiver_and_sender_get_over_a_lost_carrier_as_on_real_linux() -> None:
    require_lab()
    async with VirtualNetwork() as network:
        virtual = await without_carrier(VirtualWorld(network, "linux"))
    with lab_world() as lab:
        assert await without_carrier(lab) == virtual
    assert virtual[-1] == (9, 0)
