"""What a ping counts of the answers that come."""

from __future__ import annotations

import attrs
import pytest

from trio_mcast import Datagram, Endpoint, Interface
from trio_mcast._cli.ping_tally import Answer, Course, Line, Tally
from trio_mcast._diagnosis.probe.header import Header, Kind
from trio_mcast._diagnosis.probe.ping import PingAnswer

pytestmark = pytest.mark.once

ETH0 = Interface("eth0", 2)
MS = 1_000_000
SECOND = 1_000 * MS


class Asked:
    """A ping of one group on one interface; questions 100 ms apart from second 100 on."""

    def __init__(self, count: int = 0, ttl: int = 1) -> None:
        self.tally = Tally()
        self.course = Course("239.1.2.3:5000", "eth0", 77, ttl)
        self.tally.add(self.course)
        self.questions: list[Header] = []
        for _ in range(count):
            self.ask()

    def ask(self) -> None:
        self.questions.append(self.course.ask(self.time(len(self.questions))))

    def time(self, number: int) -> int:
        return 100 * SECOND + number * 100 * MS

    def answer(
        self,
        number: int,
        *,
        after: int = MS,
        responder: int = 1,
        alive: int = 1_000 * SECOND,
        host: str = "10.0.0.2",
        header: Header | None = None,
        ttl: int = 64,
    ) -> Answer | None:
        header = header or self.questions[number]
        payload = PingAnswer(responder, alive, 1, "eth1", "pumpe")
        data = payload.pack(header, 64, 200)
        assert data is not None
        datagram = Datagram(data, Endpoint(host, 5000), None, ETH0, ttl)
        return self.tally.take(datagram, self.time(number) + after)

    def lines(self, now: int | None = None) -> list[Line]:
        return list(self.tally.lines(now))


def test_questions_that_were_not_answered_are_lost() -> None:
    asked = Asked(10)
    for number in (0, 1, 2, 4, 5, 6, 8):
        asked.answer(number, after=(number + 1) * MS)
    (line,) = asked.lines()
    assert (line.asked, line.answered, line.lost, line.duplicates) == (10, 7, 3, 0)
    assert line.round_trips == (MS, 5 * MS, 9 * MS)
    assert not asked.tally.all_answered()
    asked.answer(9)
    assert asked.tally.all_answered()


def test_each_responder_has_counts_of_its_own() -> None:
    asked = Asked(4)
    for number in range(4):
        asked.answer(number, responder=1)
        if number % 2:
            asked.answer(number, responder=2, host="10.0.0.3")
    first, second = asked.lines()
    assert (first.last.address, first.lost) == ("10.0.0.2", 0)
    assert (second.last.address, second.lost) == ("10.0.0.3", 2)


def test_answers_that_come_twice_or_late_are_told() -> None:
    asked = Asked(4)
    answers = [asked.answer(number) for number in (0, 2, 1, 1, 3, 3, 3)]
    assert [answer.is_duplicate for answer in answers if answer] == [
        *[False] * 3,
        True,
        False,
        True,
        True,
    ]
    (line,) = asked.lines()
    assert (line.lost, line.duplicates, line.reordered) == (0, 3, 1)


def test_questions_before_the_responder_was_there_are_not_lost() -> None:
    asked = Asked(10)
    # There for 250 ms when it answers the tenth: the eighth was asked 200 ms before that.
    asked.answer(9, alive=250 * MS)
    (line,) = asked.lines()
    assert (line.asked, line.answered, line.lost) == (3, 1, 2)


def test_question_that_may_still_be_answered_is_not_lost_yet() -> None:
    asked = Asked(10)
    asked.answer(0)
    assert [line.lost for line in asked.lines(asked.time(9))] == [0]
    # By then, the first five of those without an answer have waited for more than a second.
    assert [line.lost for line in asked.lines(asked.time(15) + 50 * MS)] == [5]
    assert [line.lost for line in asked.lines(asked.time(30))] == [9]


def test_question_that_could_not_be_sent_is_none() -> None:
    asked = Asked(2)
    asked.course.ask(0)
    asked.course.take_back()
    asked.answer(0)
    asked.answer(1)
    assert asked.tally.asked == 2
    assert [line.lost for line in asked.lines()] == [0]


def test_hops_are_what_is_missing_of_the_ttl() -> None:
    asked = Asked(1, ttl=4)
    answer = asked.answer(0, ttl=61)
    assert answer is not None
    assert (answer.hops_there, answer.hops_back) == (3, 3)
    # 255 cannot come of 64: the ttl was not what the header says.
    answer = asked.answer(0, ttl=255)
    assert answer is not None
    assert answer.hops_back is None


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(Header(Kind.PING_QUESTION, 78, 0), id="another-run"),
        pytest.param(Header(Kind.PING_QUESTION, 77, 5), id="not-asked"),
    ],
)
def test_answer_to_another_question_counts_nowhere(header: Header) -> None:
    asked = Asked(2)
    assert asked.answer(0, header=header) is None
    assert asked.lines() == []
    assert asked.tally.refused == 1


@pytest.mark.parametrize("data", [b"", b"hello", Header(Kind.PING_ANSWER, 77, 0).pack()], ids=len)
def test_reply_that_is_no_answer_counts_nowhere(data: bytes) -> None:
    asked = Asked(1)
    assert asked.tally.take(Datagram(data, Endpoint("10.0.0.2", 1), None, ETH0), 0) is None
    assert asked.tally.refused == 1


def test_own_question_is_no_answer() -> None:
    asked = Asked(1)
    data = asked.questions[0].pack(200)
    assert asked.tally.take(Datagram(data, Endpoint("10.0.0.2", 1), None, ETH0), 0) is None


def test_forged_answers_fill_no_memory() -> None:
    asked = Asked(1)
    for responder in range(1_500):
        asked.answer(0, responder=responder)
    assert len(asked.lines()) == 1_000
    assert asked.tally.refused == 500


def test_long_ping_forgets_old_questions_and_keeps_its_counts() -> None:
    asked = Asked()
    for number in range(10_000):
        asked.ask()
        if number % 10:
            asked.answer(number)
    (line,) = asked.lines()
    assert (line.asked, line.answered, line.lost, line.duplicates) == (10_000, 9_000, 1_000, 0)
    assert len(asked.course.sent_at) == 4_096
    (known,) = asked.tally._responders.values()
    assert len(known.answered) <= 8_192
    # Too late: nobody knows any more when it was asked, and whether this answer is the first.
    assert asked.answer(5) is None


def test_line_is_of_the_last_answer() -> None:
    asked = Asked(2)
    first, second = asked.answer(0), asked.answer(1)
    assert first is not None
    (line,) = asked.lines()
    assert line.last == second == attrs.evolve(first, number=1)
