"""Groups joined for a block, and joins that are refused: all or nothing, on real kernels."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing

from tests.lab.machine import LabMachine, on
from tests.support.changing_lan import ChangingLan, states, until_memberships
from tests.support.leftovers import nothing_left_over, open_socket_names
from tests.support.traffic import PORT, group_of
from tests.support.watched_host import ip
from trio_mcast import (
    InterfaceNotFoundError,
    McastReceiver,
    SocketSetupError,
    open_mcast_receiver,
)
from trio_mcast._host.current import host_variable
from trio_mcast._host.protocols import McastSocket
from trio_mcast._plan.socket_spec import SocketSpec

pytestmark = pytest.mark.once


@pytest.fixture
def net(net: ChangingLan) -> ChangingLan:
    """The network of the fixture of that name, with the host plugged in."""
    net.plug()
    return net


# `joined` ----------------------------------------------------------------------------------------


async def test_joined_leaves_at_the_end_of_its_block(net: ChangingLan) -> None:
    more = net.second_group
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT) as receiver:
            manager = receiver.joined(more)
            assert len(receiver.memberships) == 1
            with trio.testing.assert_checkpoints():
                await manager.__aenter__()
            assert await net.heard(receiver, more) == ["eth0"]
            with trio.testing.assert_checkpoints():
                await manager.__aexit__(None, None, None)
            assert states(receiver) == [(net.group, "eth0", "joined")]


async def test_joined_leaves_when_an_exception_leaves_the_block_which_comes_out_as_it_is(
    net: ChangingLan,
) -> None:
    raised = KeyError("from the body")
    with on(net.a):
        async with open_mcast_receiver(net.group, PORT) as receiver:
            with pytest.raises(KeyError) as caught:
                async with receiver.joined(net.second_group):
                    raise raised
            assert caught.value is raised
            assert len(receiver.memberships) == 1


async def test_joined_leaves_when_the_block_is_cancelled(net: ChangingLan) -> None:
    with on(net.a):
        async with open_mcast_receiver(net.group, PORT) as receiver:
            with trio.CancelScope() as scope:
                async with receiver.joined(net.second_group):
                    scope.cancel()
                    await trio.sleep_forever()
            assert scope.cancelled_caught
            assert len(receiver.memberships) == 1
            with trio.CancelScope() as scope:
                async with receiver.joined(net.second_group):
                    scope.cancel()  # And then the end of the block is a checkpoint.
            assert scope.cancelled_caught
            assert len(receiver.memberships) == 1


async def test_joined_leaves_alone_what_was_left_before(net: ChangingLan) -> None:
    more, third = net.second_group, group_of(net.family, 3)
    with on(net.a):
        async with open_mcast_receiver(net.group, PORT) as receiver:
            async with receiver.joined([more, third]):
                await receiver.leave(more)
                assert [group for group, _, _ in states(receiver)] == [net.group, third]
                await receiver.join(more)  # That is another one, and stays.
            assert [group for group, _, _ in states(receiver)] == [net.group, more]
            assert await net.heard(receiver, more) == ["eth0"]


async def test_closing_inside_joined_is_no_error(net: ChangingLan) -> None:
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT) as receiver:
            async with receiver.joined(net.second_group):
                await receiver.aclose()
            with pytest.raises(trio.ClosedResourceError):
                await receiver.join(net.second_group)


async def test_what_joined_stood_in_the_way_of_is_joined_when_it_ends(net: ChangingLan) -> None:
    with on(net.a):
        async with open_mcast_receiver(
            net.group, PORT, interfaces=["eth0", "eth1"], allow_missing=True
        ) as receiver:
            net.a.unplug("eth0")
            net.plug(number=11, name="eth1")
            # Before it has looked, so eth1 belongs to this block.
            async with receiver.joined(net.second_group, interfaces="eth1"):
                await until_memberships(receiver, "eth0 waiting", "eth1 joined", "eth1 joined")
            await until_memberships(receiver, "eth0 waiting", "eth1 joined")
            assert await net.heard(receiver) == ["eth1"]


# Errors ------------------------------------------------------------------------------------------


async def test_what_cannot_be_joined_or_left_is_an_error_that_names_it(net: ChangingLan) -> None:
    other = {"ipv4": "ff05::1", "ipv6": "239.1.2.3"}[net.family]
    with on(net.a):
        async with open_mcast_receiver(net.group, PORT, interfaces="eth0") as receiver:
            before, sockets = receiver.memberships, open_socket_names()

            async def refuses(
                call: str, kind: type[Exception], match: str, *args: object, **kwargs: object
            ) -> None:
                with pytest.raises(kind, match=match):
                    await getattr(receiver, call)(*args, **kwargs)
                assert receiver.memberships == before
                assert open_socket_names() == sockets

            group, more = net.group, net.second_group
            await refuses("join", ValueError, f"group {group} is joined on interface eth0", group)
            await refuses("join", ValueError, f"group {group} is joined", [more, group])
            await refuses("join", ValueError, "10.0.0.1", "10.0.0.1")
            await refuses("join", ValueError, "groups", [])
            await refuses("join", TypeError, "17", 17)
            await refuses("join", InterfaceNotFoundError, "eth7", more, interfaces="eth7")
            await refuses("join", InterfaceNotFoundError, "42", more, interfaces=42)
            await refuses("join", ValueError, "empty", more, interfaces=[])
            await refuses("join", ValueError, "sources", more, sources=[])
            both = {"sources": net.address(2), "excluded_sources": net.address(3)}
            await refuses("join", ValueError, "contradict", more, **both)
            await refuses("join", ValueError, "sources", other, sources=net.address(2))
            await refuses("leave", ValueError, f"group {more} is not joined", more)
            await refuses("leave", ValueError, f"group {more} is not joined", [group, more])
            await refuses("leave", ValueError, "'eth7'.*on: eth0", group, interfaces="eth7")
            await refuses("leave", ValueError, "'lo'.*on: eth0", group, interfaces="lo")
            await refuses("leave", ValueError, "10.9.9.9", group, interfaces="10.9.9.9")
            await refuses("leave", TypeError, "interfaces", group, interfaces=1.5)
            await refuses("leave", ValueError, "10.0.0.1", "10.0.0.1")
            await receiver.leave(group)
            with pytest.raises(ValueError, match=f"group {group} is not joined"):
                await receiver.leave(group)
            with pytest.raises(ValueError, match="there are memberships on: none"):
                await receiver.leave(group, interfaces="eth0")


async def test_after_closing_everything_is_a_closed_resource_error(net: ChangingLan) -> None:
    with on(net.a):
        async with open_mcast_receiver(net.group, PORT) as receiver:
            await receiver.aclose()
            calls: list[Callable[[], Awaitable[None]]] = [
                lambda: receiver.join(net.second_group),
                lambda: receiver.leave(net.group),
                lambda: receiver.joined(net.second_group).__aenter__(),
                lambda: receiver.block_source(net.address(2)),
                lambda: receiver.unblock_source(net.address(2)),
            ]
            for call in calls:
                with pytest.raises(trio.ClosedResourceError):
                    await call()


# All or nothing ----------------------------------------------------------------------------------


class Refusing(LabMachine):
    """A machine that refuses the socket with a number, and does something at another one."""

    opened = 0
    refuses: int | None = None
    number = errno.EADDRINUSE
    at_socket: tuple[int, Callable[[], object]] | None = None

    def open_socket(self, socket_spec: SocketSpec) -> McastSocket:
        self.opened += 1
        if self.at_socket is not None and self.at_socket[0] == self.opened:
            self.at_socket[1]()
        if self.refuses == self.opened:
            raise SocketSetupError(self.number, "refused", step="bind", group=socket_spec.group)
        return super().open_socket(socket_spec)


@contextmanager
def refusing(net: ChangingLan) -> Iterator[Refusing]:
    machine = Refusing(net.a)
    token = host_variable.set(machine)
    try:
        yield machine
    finally:
        host_variable.reset(token)


def many(net: ChangingLan, count: int = 100) -> Iterable[str]:
    return [group_of(net.family, number) for number in range(100, 100 + count)]


def told(receiver: McastReceiver) -> object:
    """What a receiver tells of its memberships: their states, and which ones have counts."""
    counts = receiver.statistics().memberships
    return states(receiver), [(count.group, count.interface.name) for count in counts]


@pytest.mark.parametrize("refused", [1, 50, 100])
async def test_join_that_is_refused_joins_nothing(net: ChangingLan, refused: int) -> None:
    with refusing(net) as machine:
        async with open_mcast_receiver(net.group, PORT, interfaces="eth0") as receiver:
            before, sockets = told(receiver), open_socket_names()
            machine.opened, machine.refuses = 0, refused
            with pytest.raises(SocketSetupError, match="refused"):
                await receiver.join(many(net))
            assert machine.opened == refused
            assert (told(receiver), open_socket_names()) == (before, sockets)
            machine.refuses = None
            await receiver.join(many(net))
            assert len(receiver.memberships) == 101


async def test_join_that_runs_out_of_descriptors_joins_nothing(net: ChangingLan) -> None:
    with refusing(net) as machine:
        machine.number = errno.EMFILE
        async with open_mcast_receiver(net.group, PORT) as receiver:
            before, sockets = told(receiver), open_socket_names()
            machine.opened, machine.refuses = 0, 70
            with pytest.raises(SocketSetupError):
                await receiver.join(many(net), interfaces=["eth0", "lo"])
            assert machine.opened == 70
            assert (told(receiver), open_socket_names()) == (before, sockets)


async def test_join_that_is_cancelled_joins_nothing(net: ChangingLan) -> None:
    with refusing(net) as machine:
        async with open_mcast_receiver(net.group, PORT, interfaces="eth0") as receiver:
            before, sockets = told(receiver), open_socket_names()
            for at in (1, 40):
                with trio.CancelScope() as scope:
                    machine.opened, machine.at_socket = 0, (at, scope.cancel)
                    await receiver.join(many(net))
                assert scope.cancelled_caught
                assert at <= machine.opened < 100
                assert (told(receiver), open_socket_names()) == (before, sockets)
            with trio.CancelScope() as scope:
                scope.cancel()
                await receiver.leave(net.group)
            assert told(receiver) == before


async def test_closing_ends_a_join_that_is_under_way(net: ChangingLan) -> None:
    with refusing(net) as machine, nothing_left_over():
        async with open_mcast_receiver(net.group, PORT, interfaces="eth0") as receiver:

            async def close() -> None:
                receiver.close()

            async with trio.open_nursery() as nursery:
                machine.opened = 0
                machine.at_socket = (40, lambda: nursery.start_soon(close))
                with pytest.raises(trio.ClosedResourceError):
                    await receiver.join(many(net))
            assert 40 <= machine.opened < 100


async def test_one_interface_that_refuses_a_join_does_not_stop_the_others(net: ChangingLan) -> None:
    net.plug(number=11, name="eth1")
    more = net.second_group
    with refusing(net) as machine:
        async with open_mcast_receiver(net.group, PORT) as receiver:
            machine.opened, machine.refuses = 0, 2
            await receiver.join(more)
            assert states(receiver)[2:] == [(more, "eth0", "joined"), (more, "eth1", "failed")]
            await until_memberships(receiver, *["eth0 joined", "eth1 joined"] * 2)
            assert await net.heard(receiver, more) == ["eth0", "eth1"]


async def test_join_sees_interfaces_that_nobody_has_looked_at_yet(net: ChangingLan) -> None:
    with on(net.a):
        async with open_mcast_receiver(net.group, PORT) as receiver:
            net.plug(number=11, name="eth1")
            await receiver.join(net.second_group)
            assert [name for group, name, _ in states(receiver) if group == net.second_group] == [
                "eth0",
                "eth1",
            ]
            await until_memberships(receiver, *["eth0 joined", "eth1 joined"] * 2)
            ip(net.a, "link set eth1 down")
            await until_memberships(receiver, *["eth0 joined", "eth1 waiting"] * 2)
