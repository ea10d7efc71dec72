"""`diagnose` with a peer on the virtual network: both ends are the library's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio

from tests.support.virtual_hosts import GROUP4, GROUP6, PORT, Lan, add_second_lan, two_on_lan
from trio_mcast import Diagnosis, Endpoint, diagnose
from trio_mcast._diagnosis.probe import sessions
from trio_mcast._diagnosis.probe.measured import Peer
from trio_mcast._diagnosis.probe.responder import Responder
from trio_mcast._diagnosis.probe.sessions import MOST_PROBES
from trio_mcast._diagnosis.probe.shots import Shot, fire

pytestmark = pytest.mark.once


@asynccontextmanager
async def responding(lan: Lan) -> AsyncIterator[Responder]:
    responder = Responder()
    async with trio.open_nursery() as nursery:
        with lan.b:
            await nursery.start(responder.run)
        yield responder
        nursery.cancel_scope.cancel()


async def probe(lan: Lan, *groups: str, peer: str | Endpoint = "10.0.0.2") -> Diagnosis:
    with lan.a:
        return await diagnose(groups, PORT, peer=peer, listen_seconds=1)


def peer_of(diagnosis: Diagnosis) -> Peer:
    assert diagnosis.evidence.peer is not None
    return diagnosis.evidence.peer


@pytest.mark.parametrize(
    ("group", "peer"),
    [(GROUP4, "10.0.0.2"), (GROUP6, "fd00::2"), (GROUP6, Endpoint("fe80::2%eth0", 27430))],
)
async def test_all_probes_come_there_and_back(
    autojump_clock: trio.abc.Clock, group: str, peer: str | Endpoint
) -> None:
    async with two_on_lan() as lan, responding(lan) as responder:
        diagnosis = await probe(lan, group, peer=peer)
    evidence = peer_of(diagnosis)
    assert diagnosis.errors == ()
    assert evidence.answered
    assert not evidence.is_translated
    assert {case.direction for case in evidence.cases} == {"there", "back"}
    assert all(case.got == case.sent > 0 for case in evidence.cases)
    assert responder.counts.probes <= MOST_PROBES
    assert Diagnosis.from_json(diagnosis.to_json()) == diagnosis


async def test_each_interface_of_the_sender_is_tried_and_the_limit_is_told(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with two_on_lan() as lan:
        add_second_lan(lan)
        async with responding(lan) as responder:
            others = ("239.1.2.4", "239.1.2.5", "239.1.2.6", "239.1.2.7")
            diagnosis = await probe(lan, GROUP4, GROUP6, *others)
    evidence = peer_of(diagnosis)
    tried = {(case.direction, case.interface) for case in evidence.cases if case.to == "group"}
    assert tried >= {("there", "eth0"), ("there", "eth1"), ("back", "eth0"), ("back", "eth1")}
    assert any("at most 200 probes" in text for text in evidence.skipped)
    assert responder.counts.probes <= MOST_PROBES
    assert diagnosis.errors == ()


async def test_groups_and_interfaces_beyond_the_most_are_named(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with two_on_lan() as lan:
        for number in range(1, 10):
            network = lan.network.switch(f"lan{number}")
            lan.a.plug(f"eth{number}", network, f"10.{number}.0.1/24")
        async with responding(lan):
            diagnosis = await probe(lan, *(f"239.1.2.{number}" for number in range(10)))
    why = {one.what: one.why for one in diagnosis.not_checked}
    assert why["probes to 239.1.2.8 and 1 more"] == "a session has at most 8 groups"
    assert why["probes from eth8 and 1 more"] == "a session has at most 8 interfaces"


async def test_peer_that_does_not_answer_is_a_finding(autojump_clock: trio.abc.Clock) -> None:
    async with two_on_lan() as lan:
        diagnosis = await probe(lan, GROUP4)
    (error,) = diagnosis.errors
    assert (error.code, error.place) == ("no-unicast", "peer")
    assert not peer_of(diagnosis).answered


async def test_name_without_an_address_is_a_finding(autojump_clock: trio.abc.Clock) -> None:
    async with two_on_lan() as lan:
        diagnosis = await probe(lan, GROUP4, peer="pumpe.example")
    assert [error.code for error in diagnosis.errors] == ["no-unicast"]
    assert "pumpe.example has no address" in diagnosis.errors[0].what
    assert "Name it by its address" in diagnosis.errors[0].cure


async def test_without_a_peer_it_is_told_what_it_takes(autojump_clock: trio.abc.Clock) -> None:
    async with two_on_lan() as lan:
        with lan.a:
            diagnosis = await diagnose(GROUP4, PORT, listen_seconds=0.5)
    assert diagnosis.evidence.peer is None
    why = {one.what: one.why for one in diagnosis.not_checked}
    assert "trio-mcast respond" in why["the way to another machine and back"]


async def test_peer_needs_a_group() -> None:
    with pytest.raises(ValueError, match="a peer is probed with groups"):
        await diagnose((), None, peer="10.0.0.2")


async def test_nothing_stays_open_after_a_probe_that_is_cancelled(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with two_on_lan() as lan, responding(lan):
        for seconds in (2.5, 6.5, 9.0):
            with trio.move_on_after(seconds) as scope:
                await probe(lan, GROUP4)
            assert scope.cancelled_caught
        # The control port is free again, and the responder serves the next one.
        assert peer_of(await probe(lan, GROUP4)).answered


async def test_machine_without_a_group_is_told_what_can_be_typed(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with two_on_lan() as lan:
        with lan.a:
            diagnosis = await diagnose((), None)
    (told,) = [one for one in diagnosis.not_checked if "another machine" in one.what]
    assert "trio-mcast doctor 239.1.2.3:5000 --peer HOST" in told.why


async def test_late_responder_is_waited_for(
    autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fire_late(shot: Shot, *arguments: Any) -> None:
        await fire(attrs.evolve(shot, pause=shot.pause + 0.05), *arguments)

    monkeypatch.setattr(sessions, "fire", fire_late)
    async with two_on_lan() as lan, responding(lan):
        diagnosis = await probe(lan, GROUP4)
    back = [case for case in peer_of(diagnosis).cases if case.direction == "back"]
    assert {case.to for case in back} == {"unicast", "local", "group"}
    assert all(case.got == case.sent == (case.last or 0) + 1 for case in back)
    assert not any("probes are being sent" in text for text in peer_of(diagnosis).skipped)
