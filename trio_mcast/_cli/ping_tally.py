"""The counts of ``trio-mcast ping``: for each responder loss, round trip, hops. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import attrs

from .._diagnosis.probe.header import Header, Kind
from .._diagnosis.probe.ping import PingAnswer
from .._diagnosis.probe.timing import RoundTrips
from .._values.datagram import Datagram

# The questions of which the time of sending is known; an answer to an older one is left aside.
# Arbitrary: at the shortest interval, the last 40 seconds.
_REMEMBERED: Final = 4_096
# The responders that are told apart. Arbitrary; whoever forges answers fills no memory.
_MOST_RESPONDERS: Final = 1_000

PATIENCE_NS: Final = 1_000_000_000
"""The time after which a question without an answer counts as lost. Arbitrary: no network is that
slow, but a machine that wakes from its sleep is."""


@attrs.define
class Course:
    """The questions of one run: to one group, on one interface."""

    group: str
    """The group and port, as text."""
    interface: str
    """The name of the interface."""
    run: int
    """The random number of the run."""
    ttl: int
    """The ttl of the questions."""
    asked: int = 0
    """The number of questions that were sent."""
    sent_at: OrderedDict[int, int] = attrs.Factory(OrderedDict)
    """The times at which the last questions were sent, by number."""

    def ask(self, now_ns: int) -> Header:
        """Return the header of the next question, which is sent now."""
        number = self.asked
        self.asked += 1
        self.sent_at[number] = now_ns
        if len(self.sent_at) > _REMEMBERED:
            self.sent_at.popitem(last=False)
        return Header(Kind.PING_QUESTION, self.run, number, now_ns, self.ttl)

    def take_back(self) -> None:
        """Forget the last question, which could not be sent."""
        self.asked -= 1
        self.sent_at.popitem()

    def first_since(self, time_ns: int) -> int:
        """Return the number of the first question that was sent at that time or later."""
        for number, sent_ns in self.sent_at.items():
            if sent_ns >= time_ns:
                return number
        return self.asked


@attrs.frozen
class Answer:
    """An answer that came."""

    course: Course
    """The course of the question."""
    number: int
    """The number of the question, from 0."""
    address: str
    """The address of the responder."""
    responder: PingAnswer
    """The payload of the answer."""
    round_trip_ns: int
    """The time from question to answer."""
    hops_there: int | None
    """The routers between here and there; `None` if unknown."""
    hops_back: int | None
    """The routers on the way back; `None` if unknown."""
    is_duplicate: bool
    """Whether the same responder has answered this question before."""


@attrs.frozen
class Line:
    """The counts of one responder, as asked on one interface."""

    last: Answer
    """The last answer."""
    asked: int
    """The questions since the responder was there, without those that may still be answered."""
    answered: int
    """The questions that it answered."""
    duplicates: int
    """The answers that came once more."""
    reordered: int
    """The answers that came after one to a later question."""
    round_trips: tuple[int, int, int]
    """The least, the median, and the 99th percentile of the round trips, in nanoseconds."""

    @property
    def lost(self) -> int:
        """The questions that it did not answer, or whose answer got lost."""
        return self.asked - self.answered


@attrs.define
class _Responder:
    """One responder, as asked on one interface."""

    first: int
    last: Answer
    round_trips: RoundTrips = attrs.Factory(RoundTrips)
    # Those of the questions that are remembered.
    answered: set[int] = attrs.Factory(set)
    answered_before: int = 0
    duplicates: int = 0
    reordered: int = 0
    highest: int = -1

    def take(self, answer: Answer) -> None:
        self.last = answer
        if answer.is_duplicate:
            self.duplicates += 1
            return
        self.reordered += answer.number < self.highest
        self.highest = max(self.highest, answer.number)
        self.first = min(self.first, answer.number)
        self.answered.add(answer.number)
        self.round_trips.add(answer.round_trip_ns)
        if len(self.answered) > 2 * _REMEMBERED:
            kept = self.answered & answer.course.sent_at.keys()
            self.answered_before += len(self.answered) - len(kept)
            self.answered = kept

    def pending(self, now_ns: int | None) -> int:
        """Return the number of questions that may still be answered."""
        pending = 0
        if now_ns is None:
            return pending
        for number in reversed(sent_at := self.last.course.sent_at):
            if now_ns - sent_at[number] > PATIENCE_NS:
                break
            pending += number not in self.answered and number >= self.first
        return pending

    def line(self, now_ns: int | None) -> Line:
        round_trips = self.round_trips.summary()
        assert round_trips is not None
        return Line(
            self.last,
            self.last.course.asked - self.first - self.pending(now_ns),
            self.answered_before + len(self.answered),
            self.duplicates,
            self.reordered,
            round_trips,
        )


class Tally:
    """All questions and answers of a ping."""

    def __init__(self) -> None:
        self._courses: dict[int, Course] = {}
        self._responders: dict[tuple[int, int, str], _Responder] = {}
        self.refused = 0
        """The datagrams that came and were no answer to a question of these."""

    def add(self, course: Course) -> None:
        """Add a course."""
        self._courses[course.run] = course

    @property
    def asked(self) -> int:
        """The number of questions that were sent."""
        return sum(course.asked for course in self._courses.values())

    def take(self, datagram: Datagram, now_ns: int) -> Answer | None:
        """Take in a reply; return the answer that it is, or `None`."""
        answer = self._answer_in(datagram, now_ns)
        if answer is None:
            self.refused += 1
            return None
        key = answer.course.run, answer.responder.responder, answer.address
        known = self._responders.get(key)
        if known is None:
            if len(self._responders) >= _MOST_RESPONDERS:
                self.refused += 1
                return None
            alive_since = now_ns - answer.responder.alive_ns
            first = min(answer.course.first_since(alive_since), answer.number)
            known = self._responders[key] = _Responder(first, answer)
        elif answer.number in known.answered:
            answer = attrs.evolve(answer, is_duplicate=True)
        known.take(answer)
        return answer

    def _answer_in(self, datagram: Datagram, now_ns: int) -> Answer | None:
        try:
            header = Header.unpack(datagram.data)
            responder = PingAnswer.unpack(datagram.data)
        except ValueError:
            return None
        course = self._courses.get(header.run)
        if header.kind is not Kind.PING_ANSWER or course is None:
            return None
        sent_ns = course.sent_at.get(header.sequence)
        if sent_ns is None:
            return None
        return Answer(
            course,
            header.sequence,
            datagram.source.host,
            responder,
            max(0, now_ns - sent_ns),
            _hops(course.ttl, responder.ttl),
            _hops(header.ttl, datagram.ttl),
            False,
        )

    def all_answered(self) -> bool:
        """Tell whether every responder that is known has answered the last question."""
        return bool(self._responders) and all(
            known.last.course.asked - 1 in known.answered for known in self._responders.values()
        )

    def lines(self, now_ns: int | None = None) -> Iterator[Line]:
        """Yield the counts of each responder.

        Args:
            now_ns: The time, if some questions may still be answered; `None` after the end.
        """
        for known in self._responders.values():
            yield known.line(now_ns)


def _hops(sent: int, arrived: int | None) -> int | None:
    """Return how many routers have lowered a ttl."""
    return sent - arrived if sent and arrived and sent >= arrived else None
