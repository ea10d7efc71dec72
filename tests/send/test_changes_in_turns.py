"""While the sockets of a sender on many interfaces are changed, other tasks have their turns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.virtual_hosts import GROUP4, PORT
from tests.support.waiting import until
from trio_mcast import McastSender, SocketSetupError, open_mcast_channel, open_mcast_sender
from trio_mcast._send.outlets import Outlets
from trio_mcast.testing import VirtualHost, VirtualNetwork

pytestmark = pytest.mark.once

MANY = 100
NAMES = [f"eth{number}" for number in range(MANY)]


class Many:
    """A virtual host on many switches."""

    def __init__(self, network: VirtualNetwork) -> None:
        self.host: VirtualHost = network.host("a")
        for number, name in enumerate(NAMES):
            self.host.plug(name, network.switch(f"lan{number}"), f"10.0.{number}.1/24")

    def readdress(self) -> None:
        """Change the addresses of all interfaces: each socket has to be replaced."""
        for number, name in enumerate(NAMES):
            interface = self.host.interface(name)
            interface.remove_address(f"10.0.{number}.1/24")
            interface.add_address(f"10.0.{number}.2/24")


@pytest.fixture
async def many() -> AsyncIterator[Many]:
    async with VirtualNetwork() as network:
        many = Many(network)
        with many.host:
            yield many


@asynccontextmanager
async def changing(many: Many, sender: McastSender) -> AsyncIterator[None]:
    """A block in the midst of changing all sockets: some are closed, and none is open again."""
    many.readdress()
    outlets = sender._outlets
    while outlets.change is None:  # noqa: ASYNC110 - With a turn of its own for each.
        await trio.sleep(0.001)
    yield


def counts(sender: McastSender) -> set[tuple[int, int]]:
    """What each interface has sent, and failed to send: as one pair, if all have the same."""
    interfaces = sender.statistics().interfaces
    assert len(interfaces) == MANY
    return {(counts.sent, counts.failed) for counts in interfaces.values()}


async def test_send_in_the_midst_of_a_change_goes_out_once_everywhere(many: Many) -> None:
    async with open_mcast_sender(GROUP4, PORT, interfaces=NAMES) as sender:
        await sender.send(b"before")
        async with changing(many, sender):
            assert counts(sender) == {(1, 0)}
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender.send, b"one")
                nursery.start_soon(sender.send_batch, [b"two", b"three"])
        assert counts(sender) == {(4, 0)}
        assert {endpoint.host[-2:] for endpoint in sender.local_endpoints} == {".2"}


async def test_send_nowait_in_the_midst_of_a_change_would_block(many: Many) -> None:
    async with open_mcast_sender(GROUP4, PORT, interfaces=NAMES) as sender:
        async with changing(many, sender):
            with pytest.raises(trio.WouldBlock):
                sender.send_nowait(b"no")
            await sender._outlets.settled()
        sender.send_nowait(b"yes")
        assert counts(sender) == {(1, 0)}


async def test_sender_of_one_target_waits_for_the_change_too(many: Many) -> None:
    async with open_mcast_sender(GROUP4, PORT, interfaces="eth0") as sender:
        await sender.send(b"before")
        outlets = sender._outlets
        outlets.change = change = trio.Event()
        outlets.listeners.hold()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.send, b"waits")
            await wait_all_tasks_blocked()
            assert sender.statistics().sent == 1
            outlets.change = None
            change.set()
        assert sender.statistics().sent == 2


async def test_turns_are_taken_in_the_midst_of_a_change(many: Many) -> None:
    async with open_mcast_sender(GROUP4, PORT, interfaces=NAMES) as sender:
        async with changing(many, sender):
            turns = 0
            while sender._outlets.change is not None:
                await trio.lowlevel.checkpoint()
                turns += 1
        assert turns > MANY // 16  # One for each 16 sockets closed, and again for those opened.


async def test_closing_in_the_midst_of_a_change_wakes_who_waits(many: Many) -> None:
    async with (
        open_mcast_sender(GROUP4, PORT, interfaces=NAMES) as sender,
        changing(many, sender),
        trio.open_nursery() as nursery,
    ):

        async def send() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await sender.send(b"never")

        nursery.start_soon(send)
        await trio.lowlevel.checkpoint()
        await sender.aclose()
    assert counts(sender) == {(0, 0)}
    assert not many.host._opened


async def test_cancelled_look_in_the_midst_of_a_change_completes_it(
    many: Many, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening looks again while it waits for an address, and gives up after some seconds."""

    async def nothing(_outlets: Outlets) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(Outlets, "follow", nothing)
    async with open_mcast_sender(GROUP4, PORT, interfaces=NAMES) as sender:
        outlets = sender._outlets
        many.readdress()

        async def look() -> None:
            with trio.CancelScope() as scope:
                nursery.start_soon(cancel_in_the_midst, scope)
                await outlets.look_now()

        async def cancel_in_the_midst(scope: trio.CancelScope) -> None:
            while outlets.change is None:
                await trio.lowlevel.checkpoint()
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
        assert outlets.change is None
        await sender.send(b"one")
        assert counts(sender) == {(1, 0)}


async def test_cancelled_opening_leaves_nothing_open(many: Many) -> None:
    for turns in range(1, 40, 6):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def cancel(scope: trio.CancelScope = scope, turns: int = turns) -> None:
                    for _ in range(turns):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()

                nursery.start_soon(cancel)
                async with open_mcast_sender(GROUP4, PORT, interfaces=NAMES, source_port=PORT):
                    await trio.sleep_forever()
        assert scope.cancelled_caught
        assert not many.host._opened


async def test_channel_that_waits_for_an_address_can_send_as_soon_as_it_is_open() -> None:
    """Its follower and its opening look in turn, and each leads to the new sockets."""
    async with VirtualNetwork() as network:
        host = network.host("a")
        eth0 = host.plug("eth0", network.switch("lan"))
        eth0.add_address("2001:db8::1/64", state="tentative")

        async def settle() -> None:
            await trio.sleep(0.05)
            eth0.change_address("2001:db8::1/64", "preferred")

        with host:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(settle)
                async with open_mcast_channel("ff15::1", PORT, interfaces="eth0") as channel:
                    await until(lambda: len(channel.local_endpoints), 1)
                    try:
                        await channel.send(b"at once")
                    except SocketSetupError as error:
                        pytest.fail(f"{error}")
