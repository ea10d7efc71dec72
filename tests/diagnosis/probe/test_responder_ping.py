"""The responder's answers to pings, on the virtual network and between real kernels."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import pytest
import trio

from tests.lab.fixtures import TwoHosts
from tests.lab.machine import on
from tests.support.virtual_hosts import GROUP4, GROUP6, PLATFORMS, PORT, two_on_lan
from trio_mcast import Datagram, open_mcast_sender
from trio_mcast._diagnosis.probe.header import Header, Kind
from trio_mcast._diagnosis.probe.ping import PingAnswer
from trio_mcast._diagnosis.probe.responder import MOST_ANSWERS, Responder

pytestmark = pytest.mark.once

QUESTION = Header(Kind.PING_QUESTION, 5, 6, 7, 4).pack(128)


async def ask(
    host: AbstractContextManager[Any], group: str, questions: list[bytes], wait: float = 0.5
) -> list[Datagram]:
    """Send questions to a group, and return the answers of some time."""
    answers = []
    with host:
        async with open_mcast_sender(group, PORT, ttl=4, receive_replies=True) as sender:
            for question in questions:
                await sender.send(question)
            with trio.move_on_after(wait):
                async for answer in sender.replies:
                    answers.append(answer)
    return answers


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("group", [GROUP4, GROUP6])
async def test_ping_is_answered_by_unicast(
    autojump_clock: trio.abc.Clock, platform: str, group: str
) -> None:
    responder = Responder([(group, PORT)])
    async with two_on_lan(platform) as lan, trio.open_nursery() as nursery:
        with lan.b:
            await nursery.start(responder.run)
        (answer,) = await ask(lan.a, group, [QUESTION])
        nursery.cancel_scope.cancel()
    assert answer.group is None
    assert answer.source.host in ("10.0.0.2", "fd00::2", "fe80::2%eth0")
    told = PingAnswer.unpack(answer.data)
    assert Header.unpack(answer.data) == Header(Kind.PING_ANSWER, 5, 6, 7, 64)
    assert len(answer.data) <= len(QUESTION)
    assert (told.responder, told.name) == (responder.run_number, responder.name)
    assert (told.interface, told.ttl) == ("eth0", 4)
    assert told.alive_ns <= 1e9
    assert responder.counts.pings == 1


async def test_what_is_no_question_is_not_answered(autojump_clock: trio.abc.Clock) -> None:
    responder = Responder([(GROUP4, PORT)])
    other = [
        b"",
        b"hello",
        QUESTION[:40],
        QUESTION[:4] + b"\x02" + QUESTION[5:],
        QUESTION[:5] + b"\x63" + QUESTION[6:],
        Header(Kind.PING_ANSWER, 1, 2, 3).pack(64),
        Header(Kind.NUMBERED, 1, 2, 3).pack(64),
    ]
    async with two_on_lan() as lan, trio.open_nursery() as nursery:
        with lan.b:
            await nursery.start(responder.run)
        assert await ask(lan.a, GROUP4, other) == []
        assert await ask(lan.a, "239.1.2.4", [QUESTION]) == []
        assert len(await ask(lan.a, GROUP4, [QUESTION])) == 1
        nursery.cancel_scope.cancel()
    assert (responder.counts.pings, responder.counts.refused) == (1, 3)


async def test_flood_of_questions_gets_so_many_answers_a_second(
    autojump_clock: trio.abc.Clock,
) -> None:
    responder = Responder([(GROUP4, PORT)])
    questions = [QUESTION] * (3 * MOST_ANSWERS)
    async with two_on_lan() as lan, trio.open_nursery() as nursery:
        with lan.b:
            await nursery.start(responder.run)
        answers = await ask(lan.a, GROUP4, questions, wait=0.2)
        assert MOST_ANSWERS <= len(answers) <= 1.2 * MOST_ANSWERS
        assert responder.counts.held_back == len(questions) - len(answers)
        await trio.sleep(1)
        assert len(await ask(lan.a, GROUP4, questions[:1])) == 1
        nursery.cancel_scope.cancel()


async def test_responder_that_ends_has_left_all(autojump_clock: trio.abc.Clock) -> None:
    async with two_on_lan() as lan:
        async with trio.open_nursery() as nursery:
            with lan.b:
                await nursery.start(Responder([(GROUP4, PORT)]).run)
            nursery.cancel_scope.cancel()
        assert await ask(lan.a, GROUP4, [QUESTION]) == []


@pytest.mark.parametrize("group", [GROUP4, GROUP6])
async def test_ping_is_answered_between_real_kernels(two_hosts: TwoHosts, group: str) -> None:
    responder = Responder([(group, PORT)])
    async with trio.open_nursery() as nursery:
        with on(two_hosts.b):
            await nursery.start(responder.run)
        await two_hosts.lan.wait_for_async(
            lambda subscriptions: any(
                (one.group, one.host) == (group, "b") for one in subscriptions
            )
        )
        (answer,) = await ask(on(two_hosts.a), group, [QUESTION], wait=0.3)
        nursery.cancel_scope.cancel()
    assert answer.source.host in ("10.0.1.2", "fd00:1::2") or "fe80" in answer.source.host
    told = PingAnswer.unpack(answer.data)
    assert (told.interface, told.ttl) == ("eth0", 4)
