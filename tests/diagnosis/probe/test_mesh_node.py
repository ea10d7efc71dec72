"""Machines of a mesh on virtual networks: members, and responders as guests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import trio

from tests.support.virtual_hosts import GROUP4, PORT, Lan, sending, two_on_lan
from trio_mcast import McastChannelSpec
from trio_mcast._diagnosis.probe.beacon import Beacon, Heard
from trio_mcast._diagnosis.probe.header import Header, Kind
from trio_mcast._diagnosis.probe.mesh import Change, Row
from trio_mcast._diagnosis.probe.mesh_node import MeshNode
from trio_mcast._diagnosis.probe.responder import Responder
from trio_mcast.testing import VirtualHost

pytestmark = pytest.mark.once


@asynccontextmanager
async def member(
    host: VirtualHost, name: str, tell: Callable[[Sequence[Change]], None] = lambda changes: None
) -> AsyncIterator[MeshNode]:
    """Have a host take part in the mesh for the length of a block."""
    complaints: list[str] = []
    with host:
        spec = McastChannelSpec(GROUP4, PORT)
        async with spec.open() as channel, trio.open_nursery() as nursery:
            node = MeshNode(
                channel,
                (GROUP4, PORT),
                name=name,
                interval=1,
                ttl=1,
                tell=tell,
                complain=complaints.append,
            )

            async def read() -> None:
                async for datagram in channel:
                    node.take(datagram)

            nursery.start_soon(node.run)
            nursery.start_soon(read)
            yield node
            nursery.cancel_scope.cancel()
    # A beacon may be on its way to an interface that is unplugged at that moment: that is told.
    assert [reason for reason in complaints if "on interface eth1" not in reason] == []


def labels(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    return [(str(row.station), row.station.address, row.state) for row in rows]


def cells(rows: Sequence[Row]) -> list[list[bool | None]]:
    return [[cell.hears if cell else None for cell in row.cells] for row in rows]


async def test_members_find_each_other_and_notice_who_leaves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    events: list[str] = []

    def tell(changes: Sequence[Change]) -> None:
        events.extend(f"{change.event} {change.who}" for change in changes)

    async with two_on_lan() as lan, member(lan.a, "one", tell) as one:
        async with member(lan.b, "two") as two:
            await trio.sleep(5)
            assert labels(one.mesh.rows()) == [
                ("one:eth0", "10.0.0.1", "here"),
                ("two:eth0", "10.0.0.2", "there"),
            ]
            assert cells(one.mesh.rows()) == cells(two.mesh.rows()) == [[None, True], [True, None]]
        await trio.sleep(0.1)
        assert events[-1] == "left two:eth0"
        assert labels(one.mesh.rows())[1][2] == "left"


async def test_member_that_dies_is_noticed_after_five_beacons(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with two_on_lan() as lan, member(lan.a, "one") as one, member(lan.b, "two"):
        await trio.sleep(3.5)
        lan.switch.partition(["a"], ["b"])
        await trio.sleep(4)
        assert labels(one.mesh.rows())[1][2] == "there"
        await trio.sleep(2.6)
        assert labels(one.mesh.rows())[1][2] == "silent"
        lan.switch.heal()
        await trio.sleep(1)
        assert labels(one.mesh.rows())[1][2] == "there"


async def test_loss_is_told_for_each_pair(autojump_clock: trio.testing.MockClock) -> None:
    async with (
        two_on_lan(loss=0.3) as lan,
        member(lan.a, "one") as one,
        member(lan.b, "two") as two,
    ):
        await trio.sleep(200)
        (_, heard), (told, _) = (row.cells for row in one.mesh.rows())
        assert heard is not None
        assert heard.expected == 64
        assert 0.15 < heard.loss < 0.45
        assert told is not None
        assert 0.15 < told.loss < 0.45
        # Each knows what the other says, up to the last beacons.
        (_, other_side), _ = (row.cells for row in two.mesh.rows())
        assert other_side is not None
        assert abs(other_side.lost - told.lost) <= 6


async def test_interface_that_comes_and_goes_is_a_station(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with two_on_lan() as lan, member(lan.a, "one") as one, member(lan.b, "two"):
        await trio.sleep(2)
        other = lan.network.switch("lan1")
        lan.a.plug("eth1", other, "10.0.1.1/24")
        lan.b.plug("eth1", other, "10.0.1.2/24")
        await trio.sleep(5)
        rows = one.mesh.rows()
        assert [label for label, _, _ in labels(rows)] == [
            "one:eth0",
            "one:eth1",
            "two:eth0",
            "two:eth1",
        ]
        # Each hears the one on its own network.
        assert cells(rows)[0] == [None, None, True, None]
        assert cells(rows)[1] == [None, None, None, True]
        lan.a.interface("eth1").unplug()
        await trio.sleep(3)
        assert ("one:eth1", "10.0.1.1", "left") in labels(one.mesh.rows())


@asynccontextmanager
async def guest(host: VirtualHost) -> AsyncIterator[Responder]:
    """Have a host answer for the length of a block."""
    with host:
        responder = Responder([(GROUP4, PORT)])
        responder.name = "guest"
        async with trio.open_nursery() as nursery:
            await nursery.start(responder.run)
            await trio.sleep(0.1)
            yield responder
            nursery.cancel_scope.cancel()


def forged(sequence: int = 0, *, run: int = 5, heard: int = 0, **fields: bool) -> bytes:
    header = Header(Kind.MESH_BEACON, run, sequence, 0, 1)
    entries = tuple(Heard(number, 1, 0) for number in range(heard))
    return Beacon(header, "x", "eth0", 1_000, heard, entries, **fields).pack()


def sent_by_guest(lan: Lan) -> list[bytes]:
    """The payloads that host b has sent to the group."""
    return [
        event.data or b""
        for event in lan.network.trace
        if (event.what, event.where) == ("sent", "b") and event.destination == f"{GROUP4}:{PORT}"
    ]


async def test_responder_takes_part_as_long_as_a_member_does(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with two_on_lan() as lan, guest(lan.b):
        await trio.sleep(10)
        assert sent_by_guest(lan) == []
        async with member(lan.a, "one") as one:
            await trio.sleep(5.5)
            assert [label for label, _, _ in labels(one.mesh.rows())] == ["one:eth0", "guest:eth0"]
            assert cells(one.mesh.rows()) == [[None, True], [True, None]]
        count = len(sent_by_guest(lan))
        # One for each of the member's, but for those of its farewell.
        assert count == 6
        await trio.sleep(60)
        assert len(sent_by_guest(lan)) == count


async def test_two_guests_do_not_keep_each_other_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with two_on_lan() as lan, guest(lan.a), guest(lan.b):
        async with sending(lan.a) as sender:
            await sender.send(forged())
        await trio.sleep(60)
        assert len(sent_by_guest(lan)) == 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(forged(leaves=True), id="last"),
        pytest.param(forged(is_guest=True), id="guest"),
        pytest.param(forged()[:255], id="short"),
        pytest.param(forged() + bytes(1_000), id="long"),
    ],
)
async def test_guest_does_not_answer(data: bytes, autojump_clock: trio.testing.MockClock) -> None:
    async with two_on_lan() as lan, guest(lan.b):
        async with sending(lan.a) as sender:
            await sender.send(data)
        await trio.sleep(5)
        assert sent_by_guest(lan) == []


async def test_guest_sends_no_more_and_no_larger_than_it_is_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with two_on_lan() as lan, guest(lan.b):
        async with sending(lan.a) as sender:
            # A guest that hears many has much to tell.
            for run in range(10, 110):
                await sender.send(forged(run=run, heard=80))
            await trio.sleep(1)
            before = len(sent_by_guest(lan))
            assert before == 1
            for sequence in range(1, 1_001):
                await sender.send(forged(sequence))
                await trio.sleep(0.01)
        answers = sent_by_guest(lan)[before:]
        # Once in each of the intervals that the beacons tell of.
        assert 10 <= len(answers) <= 12
        assert {len(answer) for answer in answers} == {256}
        told = {heard.run for answer in answers for heard in Beacon.unpack(answer).heard}
        # In turn, seven in each, until those that beacon no more count as silent.
        assert len(told) > 4 * 7
