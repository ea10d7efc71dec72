"""What a responder does for who asks by control messages, and what it does for nobody."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.support.virtual_hosts import GROUP4, GROUP6, PORT, Lan, two_on_lan
from trio_mcast import Endpoint, McastChannel, open_mcast_channel, open_mcast_receiver
from trio_mcast._diagnosis.probe.control import CONTROL_PORT, MOST_BYTES, Message
from trio_mcast._diagnosis.probe.header import HEADER_SIZE, Header, Kind, starts_with_magic
from trio_mcast._diagnosis.probe.responder import MOST_ANSWERS, Responder
from trio_mcast._diagnosis.probe.sessions import IDLE_SECONDS, MOST_PROBES, MOST_SESSIONS
from trio_mcast._diagnosis.probe.tally import sequence_of

pytestmark = pytest.mark.once

RESPONDER = Endpoint("10.0.0.2", CONTROL_PORT)
RUN = 77
GROUPS = [[GROUP4, PORT], [GROUP6, PORT]]
SEND: dict[str, Any] = {
    "case": 1, "version": 4, "to": "group", "group": GROUP4, "port": PORT, "interface": "eth0",
    "ttl": 1, "size": 64, "count": 5, "pause": 10,
}  # fmt: skip


class Asker:
    """One that sends whatever it likes from a port of host a."""

    def __init__(self, channel: McastChannel) -> None:
        self.channel = channel
        self.token = ""
        self.number = 0
        self.last = b""

    async def send(self, data: bytes, wait: float = 0.2) -> list[bytes]:
        """Send a datagram, and return the answers."""
        await self.channel.send(data, to=RESPONDER)
        answers = []
        with trio.move_on_after(wait):
            async for datagram in self.channel:
                if datagram.group is None:
                    answers.append(datagram.data)
        return answers

    async def ask(self, kind: str, fill: int = MOST_BYTES, **fields: Any) -> Message | None:
        """Send a request, and return the answer, if there is one."""
        self.number += 1
        request = Message(kind, self.number, {"token": self.token, **fields})
        self.last = request.encode(size=fill)
        answers = [each for each in await self.send(self.last) if not starts_with_magic(each)]
        assert len(answers) <= 1
        assert all(len(answer) <= len(self.last) for answer in answers)
        return Message.decode(answers[0]) if answers else None

    async def open(self, **fields: Any) -> Message | None:
        """Open a session."""
        answer = await self.ask("open", run=RUN, groups=GROUPS)
        if answer is not None and answer.kind == "challenge":
            self.token = answer.fields["token"]
            answer = await self.ask("open", **{"run": RUN, "groups": GROUPS, **fields})
        return answer


@asynccontextmanager
async def asker_on(lan: Lan, port: int = CONTROL_PORT) -> AsyncIterator[Asker]:
    with lan.a:
        async with open_mcast_channel("239.9.9.9", port, accept_unicast=True) as channel:
            yield Asker(channel)


@asynccontextmanager
async def asking() -> AsyncIterator[tuple[Lan, Responder, Asker]]:
    responder = Responder()
    async with two_on_lan() as lan, trio.open_nursery() as nursery:
        with lan.b:
            await nursery.start(responder.run)
        async with asker_on(lan) as asker:
            yield lan, responder, asker
        nursery.cancel_scope.cancel()


def reason(answer: Message | None) -> str:
    assert answer is not None
    assert answer.kind == "refused"
    return str(answer.fields["why"])


async def test_session_opens_after_a_challenge(autojump_clock: trio.abc.Clock) -> None:
    async with asking() as (_, _, asker):
        answer = await asker.ask("open", run=RUN, groups=GROUPS)
        assert answer is not None
        assert answer.kind == "challenge"
        asker.token = answer.fields["token"]
        answer = await asker.ask("open", run=RUN, groups=GROUPS)
        assert answer is not None
        assert answer.kind == "opened"
        assert answer.fields["system"] == "linux"
        assert answer.fields["seen_as"] == "10.0.0.1"
        assert answer.fields["probes"] == 200
        assert answer.fields["refused"] == []
        assert ["eth0", ["10.0.0.2/24", "fd00::2/64"]] in answer.fields["links"]


@pytest.mark.parametrize("kind", ["mark", "result", "send", "close", "opened", "challenge"])
async def test_who_has_not_opened_gets_no_answer(autojump_clock: trio.abc.Clock, kind: str) -> None:
    async with asking() as (_, _, asker):
        for token in ("", "0" * 32, None, 7):
            asker.token = token  # type: ignore[assignment]
            assert await asker.ask(kind, case=1) is None


async def test_token_of_another_port_is_worth_nothing(autojump_clock: trio.abc.Clock) -> None:
    async with asking() as (lan, _, asker):
        await asker.open()
        async with asker_on(lan, 4_000) as other:
            other.token = asker.token
            assert await other.ask("mark") is None
            answer = await other.ask("open", run=RUN, groups=GROUPS)
        assert answer is not None
        assert answer.kind == "challenge"


async def test_request_without_room_for_its_answer_has_none(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with asking() as (_, _, asker):
        assert await asker.send(b'{"trio-mcast":1,"kind":"open","id":1}') == []
        await asker.open()
        assert await asker.ask("result", case=1) is not None
        assert await asker.ask("result", fill=0, case=1) is None


async def test_repeated_request_is_carried_out_once(autojump_clock: trio.abc.Clock) -> None:
    async with asking() as (_, responder, asker):
        await asker.open()
        await asker.ask("send", **SEND)
        assert len(await asker.send(asker.last)) == 1
        assert responder.counts.probes == 5


async def test_probes_that_came_are_told_by_case(autojump_clock: trio.abc.Clock) -> None:
    async with asking() as (_, _, asker):
        await asker.open()
        for number in (0, 1, 1, 4):
            probe = Header(Kind.PROBE, RUN, sequence_of(3, number), 0, 64)
            await asker.send(probe.pack(), wait=0.01)
        for stray in (
            Header(Kind.PROBE, RUN + 1, sequence_of(3, 7)),
            Header(Kind.NUMBERED, RUN, sequence_of(3, 8)),
            Header(Kind.PROBE, RUN, sequence_of(300, 9)),
            Header(Kind.PROBE, RUN, sequence_of(3, 5_000)),
        ):
            assert await asker.send(stray.pack(), wait=0.01) == []
        answer = await asker.ask("result", case=3)
        assert answer is not None
        wanted = {
            "got": 3,
            "duplicates": 1,
            "last": 4,
            "by_interface": {"eth0": 4},
            "ttls": [64, 64],
        }
        assert {name: answer.fields[name] for name in wanted} == wanted
        assert answer.fields["sources"] == ["10.0.0.1"]
        other = await asker.ask("result", case=4)
        assert other is not None
        assert (other.fields["got"], other.fields["last"]) == (0, -1)


async def test_no_more_than_200_probes_are_sent(autojump_clock: trio.abc.Clock) -> None:
    async with asking() as (lan, responder, asker):
        await asker.open()
        with lan.a:
            async with open_mcast_receiver(GROUP4, PORT) as receiver:
                for case in range(5):
                    answer = await asker.ask("send", **{**SEND, "case": case, "count": 40})
                    assert answer is not None
                    assert answer.kind == "sending"
                    await trio.sleep(1)
                for count in (1, 40):
                    answer = await asker.ask("send", **{**SEND, "count": count})
                    assert "no more than 200" in reason(answer)
                await trio.sleep(1)
                assert receiver.statistics().received == MOST_PROBES
                probe = Header.unpack((await receiver.receive()).data)
    assert (probe.kind, probe.run, probe.ttl) == (Kind.PROBE, RUN, 1)
    assert responder.counts.probes == MOST_PROBES


async def test_probes_by_unicast_go_to_who_opened(autojump_clock: trio.abc.Clock) -> None:
    async with asking() as (_, _, asker):
        await asker.open()
        number = asker.number + 1
        request = Message("send", number, {"token": asker.token, **SEND, "to": "unicast"})
        answers = await asker.send(request.encode(size=MOST_BYTES))
        probes = [each for each in answers if starts_with_magic(each)]
        assert [Header.unpack(each).sequence for each in probes] == [
            sequence_of(1, number) for number in range(5)
        ]
        assert {len(each) for each in probes} == {64}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"group": "239.1.2.4"}, "was not opened"),
        ({"port": PORT + 1}, "was not opened"),
        ({"group": "10.0.0.1"}, "was not opened"),
        ({"to": "all"}, "to is one of"),
        ({"to": None}, "to must be"),
        ({"interface": "eth7"}, "no such interface"),
        ({"count": 41}, "count must be"),
        ({"count": 0}, "count must be"),
        ({"count": 1.5}, "count must be"),
        ({"size": 3_001}, "size must be"),
        ({"size": HEADER_SIZE - 1}, "size must be"),
        ({"ttl": 255}, "ttl must be"),
        ({"pause": 9}, "pause must be"),
        ({"pause": 60_001}, "pause must be"),
        ({"case": 256}, "case must be"),
        ({"case": "1"}, "case must be"),
        ({"version": 10**30}, "version must be"),
    ],
)
async def test_request_out_of_bounds_is_refused(
    autojump_clock: trio.abc.Clock, change: dict[str, Any], why: str
) -> None:
    async with asking() as (_, responder, asker):
        await asker.open()
        assert why in reason(await asker.ask("send", **{**SEND, **change}))
        assert responder.counts.probes == 0


async def test_second_sending_waits_for_the_first(autojump_clock: trio.abc.Clock) -> None:
    async with asking() as (_, _, asker):
        await asker.open()
        await asker.ask("send", **{**SEND, "pause": 1_000})
        assert "being sent" in reason(await asker.ask("send", **SEND))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"groups": [["10.0.0.1", PORT]]}, "not a multicast group"),
        ({"groups": [[GROUP4, 0]]}, "port of a group"),
        ({"groups": [[GROUP4, True]]}, "port of a group"),
        ({"groups": [[GROUP4]]}, "a list of its address"),
        ({"groups": [[5, PORT]]}, "a list of its address"),
        ({"groups": GROUP4}, "groups must be"),
        ({"groups": [[GROUP4, PORT]] * 9}, "groups must be"),
        ({"run": -1}, "no session"),
        ({"run": "x"}, "no session"),
    ],
)
async def test_opening_of_what_is_no_group_is_refused(
    autojump_clock: trio.abc.Clock, fields: dict[str, Any], why: str
) -> None:
    async with asking() as (_, _, asker):
        assert why in reason(await asker.open(**fields))


async def test_session_ends_when_nothing_is_asked(autojump_clock: trio.abc.Clock) -> None:
    async with asking() as (_, _, asker):
        await asker.open()
        await trio.sleep(IDLE_SECONDS - 1)
        answer = await asker.ask("mark")
        assert answer is not None
        assert answer.kind == "marked"
        await trio.sleep(IDLE_SECONDS + 1)
        assert "no session is open" in reason(await asker.ask("mark"))


async def test_session_that_was_closed_is_over(autojump_clock: trio.abc.Clock) -> None:
    async with asking() as (_, _, asker):
        await asker.open()
        answer = await asker.ask("close")
        assert answer is not None
        assert answer.kind == "closed"
        assert "no session is open" in reason(await asker.ask("mark"))


async def test_sessions_are_bounded(autojump_clock: trio.abc.Clock) -> None:
    async with asking() as (lan, _, _):
        for number in range(MOST_SESSIONS + 1):
            async with asker_on(lan, 4_000 + number) as asker:
                answer = await asker.open()
                if number < MOST_SESSIONS:
                    assert answer is not None
                    assert answer.kind == "opened"
                else:
                    assert "too many" in reason(answer)


async def test_flood_of_requests_gets_so_many_answers_a_second(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with asking() as (_, responder, asker):
        await asker.open()
        await trio.sleep(1)
        before = responder.counts.requests
        for number in range(3 * MOST_ANSWERS):
            request = Message("mark", 1_000 + number, {"token": asker.token})
            await asker.channel.send(request.encode(size=MOST_BYTES), to=RESPONDER)
        await trio.sleep(0.2)
        assert MOST_ANSWERS <= responder.counts.requests - before <= 1.2 * MOST_ANSWERS


async def test_garbage_is_left_and_the_responder_goes_on(autojump_clock: trio.abc.Clock) -> None:
    chance = random.Random(1)
    async with asking() as (_, responder, asker):
        await asker.open()
        whole = Message("send", 9, {"token": asker.token, **SEND}).encode()
        for _ in range(200):
            data = bytearray(whole)
            for _ in range(chance.randrange(1, 8)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            await asker.channel.send(bytes(data), to=RESPONDER)
            await asker.channel.send(chance.randbytes(chance.randrange(60)), to=RESPONDER)
            await trio.sleep(0.02)
        assert responder.counts.refused > 100
        await asker.send(b"", wait=1)
        assert (await asker.ask("mark")) is not None


async def test_groups_of_a_session_are_joined_and_left(autojump_clock: trio.abc.Clock) -> None:
    async with asking() as (lan, _, asker):
        await asker.open()
        for group in (GROUP4, GROUP6):
            probe = Header(Kind.PROBE, RUN, sequence_of(8, int(":" in group))).pack()
            with lan.a:
                async with open_mcast_channel(group, PORT) as channel:
                    await channel.send(probe)
        await trio.sleep(0.1)
        answer = await asker.ask("result", case=8)
        assert answer is not None
        assert answer.fields["got"] == 2
        await asker.ask("close")
        await trio.sleep(0.1)
        delivered = len(lan.events("delivered", "b"))
        with lan.a:
            async with open_mcast_channel(GROUP4, PORT) as channel:
                await channel.send(b"nobody")
        await trio.sleep(0.1)
        assert len(lan.events("delivered", "b")) == delivered
