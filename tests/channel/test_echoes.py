"""What a channel remembers of what it has sent, and for how long."""

from __future__ import annotations

from typing import Any, cast

import attrs
import pytest
import trio
import trio.testing

from tests.support.interfaces import ETH0, ETH1
from trio_mcast import Datagram, Endpoint, Interface
from trio_mcast._channel.echoes import Echoes
from trio_mcast._receive.memberships import Memberships

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 5000
OWN = Endpoint("10.0.0.1", PORT)


@attrs.define
class FakeSocket:
    socket_spec: Any
    received: int = 0
    received_bytes: int = 0
    rejected: Any = attrs.Factory(dict)


@attrs.define
class FakeMembership:
    sockets: list[Any]


@attrs.define
class FakeMemberships:
    """As much of a receiver's memberships as is looked at: the group on two interfaces."""

    live: dict[Any, FakeMembership]
    interfaces: list[Interface] = attrs.field(factory=lambda: [ETH0, ETH1])


@pytest.fixture
def echoes() -> Echoes:
    made = Echoes()
    live = {(GROUP, name): FakeMembership([object()]) for name in ("eth0", "eth1")}
    made.listen(cast("Memberships", FakeMemberships(live)), (PORT,))
    made._socket_of = lambda datagram: None  # type: ignore[method-assign]  # Counts nothing.
    return made


def send(echoes: Echoes, *payloads: bytes, group: str = GROUP, port: int = PORT) -> None:
    echoes.expect(OWN, "eth0", (group, port), payloads)


def heard(
    echoes: Echoes, *payloads: bytes, interface: Interface = ETH0, emptied: bool = True
) -> list[bytes]:
    destination = Endpoint(GROUP, PORT)
    batch = [Datagram(data, OWN, GROUP, interface, destination=destination) for data in payloads]
    return [it.data for it in echoes.sift(batch, interface.name, emptied, None)]


async def test_copy_is_taken_out_once_on_each_interface(echoes: Echoes) -> None:
    send(echoes, b"a", b"b", b"b")
    assert heard(echoes, b"a", b"a", b"b", b"c", b"b", b"b") == [b"a", b"c", b"b"]
    assert heard(echoes, b"a", b"b", b"a", interface=ETH1) == [b"a"]


async def test_nothing_is_expected_where_nothing_is_heard(echoes: Echoes) -> None:
    send(echoes, b"a", group="239.9.9.9")
    send(echoes, b"a", port=PORT + 1)
    echoes.expect(OWN, "eth7", (GROUP, PORT), [b"a"])
    assert not echoes._lanes
    assert heard(echoes, b"a") == [b"a"]


async def test_what_was_heard_is_remembered_for_a_second(
    echoes: Echoes, autojump_clock: trio.testing.MockClock
) -> None:
    send(echoes, b"a")
    assert heard(echoes, b"a") == []
    await trio.sleep(0.9)
    send(echoes, b"later")
    assert heard(echoes, b"a", interface=ETH1) == []
    await trio.sleep(0.2)
    send(echoes, b"later")
    (lane,) = echoes._lanes.values()
    assert len(lane._order) == 2


async def test_what_was_not_heard_is_remembered_until_all_that_waited_was_read(
    echoes: Echoes, autojump_clock: trio.testing.MockClock
) -> None:
    send(echoes, b"a", b"b")
    await trio.sleep(60)
    send(echoes, b"later")
    assert heard(echoes, b"a", emptied=False) == []
    assert heard(echoes) == []  # All has been read, so that the other is not to come.
    await trio.sleep(2)
    send(echoes, b"later")
    assert heard(echoes, b"b") == [b"b"]


async def test_memory_is_bounded_and_what_came_first_is_kept(echoes: Echoes) -> None:
    numbered = [b"%d" % number for number in range(6_000)]
    send(echoes, *numbered)
    (lane,) = echoes._lanes.values()
    assert len(lane._order) == 4_096
    # The first are those that wait in the kernel, which drops what does not fit.
    assert heard(echoes, *numbered[:4_096]) == []
    send(echoes, *numbered[:4_000])
    assert len(lane._order) <= 4_096
    assert heard(echoes, *numbered[:4_000]) == []


async def test_ways_that_are_not_used_any_more_are_forgotten(
    echoes: Echoes, autojump_clock: trio.testing.MockClock
) -> None:
    for number in range(600):
        source = Endpoint(f"10.0.{number // 250}.{number % 250}", PORT)
        echoes.expect(source, "eth0", (GROUP, PORT), [b"a"])
        assert heard(echoes) == []
        await trio.sleep(0.1)
    assert len(echoes._lanes) <= 256
    assert len(echoes._sources) <= 256
