"""Receivers follow the interfaces: when they try again, on a virtual machine and its clock."""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.support.changing_lan import states
from trio_mcast import (
    McastReceiver,
    SocketSetupError,
    open_mcast_receiver,
    open_mcast_sender,
)
from trio_mcast._host.current import host_variable
from trio_mcast._host.protocols import LookSteps, McastSocket
from trio_mcast._plan.socket_spec import SocketSpec
from trio_mcast._platform.advice import explain_refusal
from trio_mcast.testing import VirtualHost, VirtualNetwork, VirtualSwitch

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 5000


class Refusing:
    """A virtual host that opens nothing, or does not tell its interfaces, when told so."""

    def __init__(self, host: VirtualHost) -> None:
        self.host = host
        self.refuses: set[str | None] = set()
        self.blind = False
        self.attempts: list[float] = []
        self.looks: list[float] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.host, name)

    def open_socket(self, socket_spec: SocketSpec) -> McastSocket:
        self.attempts.append(trio.current_time())
        if socket_spec.group in self.refuses:
            raise refusal(errno.EADDRINUSE, "bind", socket_spec.group)
        return self.host.open_socket(socket_spec)

    def look(self) -> LookSteps:
        self.looks.append(trio.current_time())
        if self.blind:
            raise refusal(errno.EMFILE, "list interfaces", None)
        return self.host.look()


def refusal(number: int, step: str, group: str | None) -> SocketSetupError:
    return explain_refusal(
        OSError(number, "refused"), step=step, group=group, interface=None, platform="linux"
    )


def distances(times: list[float]) -> list[float]:
    return [round(later - sooner, 6) for sooner, later in pairwise(times)]


@pytest.fixture
async def network() -> AsyncIterator[VirtualNetwork]:
    async with VirtualNetwork() as network:
        yield network


@pytest.fixture
def lan(network: VirtualNetwork) -> VirtualSwitch:
    return network.switch("lan")


@pytest.fixture
def machine(network: VirtualNetwork) -> Refusing:
    return Refusing(network.host("a"))


def on(machine: Refusing) -> None:
    """From here to the end of the test."""
    host_variable.set(machine)  # type: ignore[arg-type]  # It passes everything else on.


async def state_after(seconds: float, receiver: McastReceiver) -> str:
    await trio.sleep(seconds)
    (membership,) = receiver.memberships
    return membership.state


async def test_pauses_between_attempts_grow_from_a_tenth_of_a_second_to_thirty(
    autojump_clock: MockClock,
    machine: Refusing,
    lan: VirtualSwitch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    on(machine)
    machine.refuses = {GROUP}
    async with open_mcast_receiver(GROUP, PORT, interfaces="eth0", allow_missing=True) as receiver:
        machine.host.plug("eth0", lan, "10.0.0.1/24")
        assert await state_after(200, receiver) == "failed"
        expected = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30, 30]
        assert distances(machine.attempts) == expected
        (membership,) = receiver.memberships
        assert membership.error is not None
        assert membership.error.errno == errno.EADDRINUSE
        assert [item.message for item in caplog.records] == [str(membership.error)]

        machine.refuses = set()
        assert await state_after(30, receiver) == "joined"
        assert receiver.memberships[0].error is None
        attempts = len(machine.attempts)
        assert await state_after(200, receiver) == "joined"
        assert len(machine.attempts) == attempts

        # The next time it begins anew.
        machine.refuses = {GROUP}
        machine.host.interface("eth0").unplug()
        assert await state_after(1, receiver) == "waiting"
        machine.attempts.clear()
        machine.host.plug("eth0", lan, "10.0.0.1/24")
        await trio.sleep(1)
        assert distances(machine.attempts) == [0.1, 0.2, 0.4]


async def test_join_that_is_refused_all_day_is_tried_on(
    autojump_clock: MockClock, machine: Refusing, lan: VirtualSwitch
) -> None:
    on(machine)
    machine.refuses = {GROUP}
    async with open_mcast_receiver(GROUP, PORT, interfaces="eth0", allow_missing=True) as receiver:
        machine.host.plug("eth0", lan, "10.0.0.1/24")
        assert await state_after(40_000, receiver) == "failed"
        assert len(machine.attempts) > 1_300
        machine.refuses = set()
        assert await state_after(30, receiver) == "joined"


async def test_change_of_the_interface_has_it_tried_at_once(
    autojump_clock: MockClock, machine: Refusing, lan: VirtualSwitch
) -> None:
    on(machine)
    machine.refuses = {GROUP}
    async with open_mcast_receiver(GROUP, PORT, interfaces="eth0", allow_missing=True) as receiver:
        interface = machine.host.plug("eth0", lan, "10.0.0.1/24")
        assert await state_after(60, receiver) == "failed"
        machine.refuses = set()
        interface.add_address("10.0.0.2/24")
        assert await state_after(0.2, receiver) == "joined"


async def test_retries_of_one_group_leave_the_others_alone(
    autojump_clock: MockClock, machine: Refusing, lan: VirtualSwitch
) -> None:
    on(machine)
    machine.refuses = {"239.1.2.4"}
    machine.host.plug("eth0", lan, "10.0.0.1/24")
    machine.host.plug("eth1", lan, "10.0.0.2/24")
    async with open_mcast_receiver([GROUP, "239.1.2.4"], PORT) as receiver:
        assert states(receiver) == [
            (GROUP, "eth0", "joined"),
            (GROUP, "eth1", "joined"),
            ("239.1.2.4", "eth0", "failed"),
            ("239.1.2.4", "eth1", "failed"),
        ]
        plans = receiver._memberships.plans()[:2]
        await trio.sleep(5)
        assert len(machine.attempts) == 4 + 2 * 5
        assert all(a is b for a, b in zip(plans, receiver._memberships.plans(), strict=False))


async def test_interfaces_that_cannot_be_listed_are_looked_at_again_after_a_second(
    autojump_clock: MockClock,
    machine: Refusing,
    lan: VirtualSwitch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    on(machine)
    machine.host.plug("eth0", lan, "10.0.0.1/24")
    async with open_mcast_receiver(GROUP, PORT) as receiver:
        machine.blind = True
        machine.looks.clear()
        machine.host.plug("eth1", lan, "10.0.0.2/24")
        await trio.sleep(5.5)
        assert distances(machine.looks) == [1, 1, 1, 1, 1]
        assert states(receiver) == [(GROUP, "eth0", "joined")]
        assert [item.levelname for item in caplog.records] == ["WARNING"]
        assert "list interfaces failed: " in caplog.records[0].message
        machine.blind = False
        await trio.sleep(1)
        assert states(receiver) == [(GROUP, "eth0", "joined"), (GROUP, "eth1", "joined")]
        machine.looks.clear()
        await trio.sleep(100)
        assert machine.looks == []
        # If it happens again later, that is told again.
        machine.blind = True
        machine.host.plug("eth2", lan, "10.0.0.3/24")
        await trio.sleep(5)
        assert len([item for item in caplog.records if item.levelname == "WARNING"]) == 2


async def test_closing_while_interfaces_cannot_be_listed_is_at_once(
    autojump_clock: MockClock, machine: Refusing, lan: VirtualSwitch
) -> None:
    on(machine)
    machine.host.plug("eth0", lan, "10.0.0.1/24")
    async with open_mcast_receiver(GROUP, PORT):
        machine.blind = True
        machine.host.plug("eth1", lan, "10.0.0.2/24")
        await trio.sleep(0.5)
        begin = trio.current_time()
    assert trio.current_time() == begin


async def test_nothing_is_looked_at_when_nothing_happens(
    autojump_clock: MockClock, machine: Refusing, lan: VirtualSwitch
) -> None:
    on(machine)
    machine.host.plug("eth0", lan, "10.0.0.1/24")
    async with open_mcast_receiver(GROUP, PORT):
        await trio.sleep(1)
        machine.looks.clear()
        await trio.sleep(1_000)
        assert machine.looks == []


async def test_interfaces_that_nobody_named_are_forgotten_when_they_have_gone(
    autojump_clock: MockClock,
    machine: Refusing,
    network: VirtualNetwork,
    lan: VirtualSwitch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = network.host("other")
    other.plug("eth0", lan, "10.0.0.9/24")
    on(machine)
    machine.host.plug("eth0", lan, "10.0.0.1/24")
    groups = [GROUP, "239.1.2.4"]
    with caplog.at_level(logging.INFO, "trio_mcast"):
        async with (
            open_mcast_receiver(groups, PORT) as receiver,
            open_mcast_receiver(
                GROUP, PORT, interfaces=["eth0", "veth3"], allow_missing=True
            ) as by_name,
        ):
            before = states(receiver)
            for number in range(60):
                machine.host.plug(f"veth{number}", lan, f"10.0.1.{number + 1}/24")
                await trio.sleep(1)
                assert len(receiver.memberships) == len(before) + 2
                with other:
                    async with open_mcast_sender(GROUP, PORT) as sender:
                        await sender.send(b"x")
                await trio.sleep(1)
                machine.host.interface(f"veth{number}").unplug()
                await trio.sleep(1)
                assert states(receiver) == before
            assert states(by_name) == [(GROUP, "eth0", "joined"), (GROUP, "veth3", "waiting")]
            counts = receiver.statistics().by_interface
            assert [counts[f"veth{number}"].received for number in range(60)] == [1] * 60
            # One that is forgotten is joined like any other when it comes back.
            machine.host.plug("veth0", lan, "10.0.1.1/24")
            await trio.sleep(1)
            assert (GROUP, "veth0", "joined") in states(receiver)
    logged = [record.message for record in caplog.records if "239.1.2.4" in record.message]
    assert len(logged) == 121


async def test_interface_that_nobody_named_waits_while_it_is_down(
    autojump_clock: MockClock, machine: Refusing, lan: VirtualSwitch
) -> None:
    on(machine)
    interface = machine.host.plug("eth0", lan, "10.0.0.1/24")
    async with open_mcast_receiver(GROUP, PORT) as receiver:
        for _ in range(2):
            interface.take_down()
            assert await state_after(1, receiver) == "waiting"
            interface.take_up()
            assert await state_after(1, receiver) == "joined"
        interface.take_down()
        assert await state_after(1, receiver) == "waiting"
        interface.unplug()
        await trio.sleep(1)
        assert receiver.memberships == ()


async def test_group_is_left_for_good_also_while_there_is_no_interface(
    autojump_clock: MockClock, machine: Refusing, lan: VirtualSwitch
) -> None:
    on(machine)
    machine.host.plug("eth0", lan, "10.0.0.1/24")
    async with open_mcast_receiver([GROUP, "239.1.2.4"], PORT) as receiver:
        machine.host.interface("eth0").unplug()
        await trio.sleep(1)
        assert receiver.memberships == ()
        await receiver.leave(GROUP)
        with pytest.raises(ValueError, match="not joined"):
            await receiver.leave(GROUP)
        machine.host.plug("eth0", lan, "10.0.0.1/24")
        await trio.sleep(1)
        assert states(receiver) == [("239.1.2.4", "eth0", "joined")]


async def test_address_on_two_interfaces_for_a_moment_is_waited_for(
    autojump_clock: MockClock, machine: Refusing, network: VirtualNetwork, lan: VirtualSwitch
) -> None:
    on(machine)
    other = network.switch("other")
    first = machine.host.plug("eth0", lan, "10.0.0.1/24", "10.0.0.9/24")
    second = machine.host.plug("eth1", other, "10.0.0.2/24")
    async with open_mcast_receiver(GROUP, PORT, interfaces="10.0.0.9") as receiver:
        second.add_address("10.0.0.9/24")
        await trio.sleep(1)
        assert states(receiver) == [(GROUP, "10.0.0.9", "waiting")]
        first.remove_address("10.0.0.9/24")
        await trio.sleep(1)
        assert states(receiver) == [(GROUP, "eth1", "joined")]
