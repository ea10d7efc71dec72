"""The sending end of ``trio-mcast measure``: finds receivers, offers a rate, asks what came."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import attrs
import trio

from .. import Endpoint, McastError, McastSender, open_mcast_sender
from .._diagnosis.probe.asking import Asking, UnansweredError
from .._diagnosis.probe.header import Header, Kind, starts_with_magic
from .._diagnosis.probe.ping import LEAST_QUESTION
from .._diagnosis.probe.streams import StreamCounts
from .measure_report import Interval, Received, compare
from .ping_tally import Course, Tally
from .rate_search import ENOUGH, RateSearch
from .targets import Target

# Receivers are looked for so often, so long apart; arbitrary. They then have the last pause to
# answer.
_QUESTIONS: Final = 3
_QUESTION_SECONDS: Final = 0.3
_MOST_RECEIVERS: Final = 64

# The time after an interval of the search until the counts are asked for: what is still under way
# is no loss.
_SETTLING_SECONDS: Final = 0.2
# The pause between two looks at the clock; and the time whose datagrams are sent in one go at most,
# after a pause that was longer. Arbitrary: more than that would overflow buffers on the way.
_TICK_SECONDS: Final = 0.002
_MOST_BURST_SECONDS: Final = 0.02

FIRST_RATE: Final = 1e6
_LEAST_RATE: Final = 1e4


@attrs.frozen
class MeasureWish:
    """The arguments of a measurement."""

    target: Target
    """The group."""
    interfaces: Sequence[str | int]
    """The interfaces; empty for the system's choice."""
    size: int
    """The payload of each datagram in bytes."""
    rate: float | None
    """The bits of payload a second; `None` to search for the highest without loss."""
    interval: float
    """The seconds from report to report, or for which each rate is tried."""
    duration: float
    """The seconds for which a given rate is offered."""
    ttl: int
    """The ttl of the datagrams."""
    control_port: int
    """The control port of the receivers."""


@attrs.define
class _Receiver:
    """A receiver, as it hears one interface of the sender."""

    name: str
    interface: str
    asking: Asking
    before: StreamCounts = attrs.field(factory=StreamCounts)
    lost: int = 0


@attrs.define
class _Flow:
    """The datagrams on one interface."""

    interface: str
    run: int
    sent: int = 0
    told: int = 0


class NoReceiverError(McastError):
    """Nobody receives what is to be measured, or a receiver does not tell any more."""


class Measuring:
    """A measurement, seen from the sender."""

    def __init__(self, wish: MeasureWish, show: Callable[[Interval], None]) -> None:
        """Measure nothing yet.

        Args:
            wish: The arguments.
            show: Called with each interval.
        """
        self.search = RateSearch(FIRST_RATE, _LEAST_RATE)
        """The search for the highest clean rate, if no rate is given."""
        self.intervals: list[Interval] = []
        """The intervals until now."""
        self._wish = wish
        self._show = show
        self._tally = Tally()
        self._askings: dict[tuple[str, int], Asking] = {}
        self._start = 0.0

    async def run(self) -> None:
        """Measure.

        Raises:
            McastError: The group cannot be sent to, or nobody receives.
        """
        async with self._open() as sender:
            receivers = await self._find_receivers(sender)
            self._start = trio.current_time()
            if self._wish.rate is None:
                await self._find_highest_rate(sender, receivers)
            else:
                await self._keep_rate(sender, receivers, self._wish.rate)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[McastSender]:
        target = self._wish.target
        places = self._wish.interfaces if target.interface is None else [target.interface]
        block = open_mcast_sender(
            target.group,
            target.port,
            interfaces=places or None,
            source_address=target.source,
            ttl=self._wish.ttl,
            receive_replies=True,
        )
        async with block as sender, trio.open_nursery() as nursery:
            nursery.start_soon(self._read, sender)
            yield sender
            nursery.cancel_scope.cancel()

    async def _read(self, sender: McastSender) -> None:
        async for datagram in sender.replies:
            if starts_with_magic(datagram.data):
                self._tally.take(datagram, time.time_ns())
            elif (asking := self._askings.get(datagram.source)) is not None:
                asking.take(datagram)

    async def _find_receivers(self, sender: McastSender) -> list[_Receiver]:
        """Ask the group who is there."""
        courses: dict[str, Course] = {}
        for _ in range(_QUESTIONS):
            for interface in sender.interfaces:
                if interface.name not in courses:
                    run = random.getrandbits(64)
                    course = Course("", interface.name, run, self._wish.ttl)
                    courses[interface.name] = course
                    self._tally.add(course)
                data = courses[interface.name].ask(time.time_ns()).pack(LEAST_QUESTION + 128)
                await sender.send(data, interface=interface)
            await trio.sleep(_QUESTION_SECONDS)
        receivers = []
        for line in list(self._tally.lines())[:_MOST_RECEIVERS]:
            place = Endpoint(line.last.address, self._wish.control_port)
            if place not in self._askings:
                send = partial(_send_to, sender)
                self._askings[place] = Asking(place, send)
            name = f"{line.last.address} {line.last.responder.name}"
            receivers.append(_Receiver(name, line.last.course.interface, self._askings[place]))
        if not receivers:
            raise NoReceiverError(
                f"nobody receives {self._wish.target}: on other machines, first run trio-mcast "
                f"measure {self._wish.target} --receiver"
            )
        return receivers

    async def _find_highest_rate(self, sender: McastSender, receivers: Sequence[_Receiver]) -> None:
        while (rate := self.search.rate) is not None:
            flows = self._flows(sender)
            await self._begin(receivers, flows)
            seconds = await self._offer(sender, flows, rate, self._wish.interval)
            interval = await self._report(receivers, flows, seconds, is_last=True)
            offered = interval.offered or 0.0
            if not interval.is_clean:
                self.search.note("lossy", offered)
            else:
                is_enough = offered >= ENOUGH * rate
                self.search.note("clean" if is_enough else "not offered", offered)

    async def _keep_rate(
        self, sender: McastSender, receivers: Sequence[_Receiver], rate: float
    ) -> None:
        flows = self._flows(sender)
        await self._begin(receivers, flows)
        end = self._start + self._wish.duration
        while (left := end - trio.current_time()) > 1e-3:
            seconds = await self._offer(sender, flows, rate, min(self._wish.interval, left))
            is_last = end - trio.current_time() <= 1e-3
            await self._report(receivers, flows, seconds, is_last=is_last)

    def _flows(self, sender: McastSender) -> list[_Flow]:
        return [_Flow(interface.name, random.getrandbits(64)) for interface in sender.interfaces]

    async def _offer(
        self, sender: McastSender, flows: Sequence[_Flow], rate: float, seconds: float
    ) -> float:
        """Send at a rate on each interface; return how long that took."""
        a_second = rate / (8 * self._wish.size)
        start = trio.current_time()
        before = [flow.sent for flow in flows]
        total = max(1, round(a_second * seconds))
        burst = max(1, round(a_second * _MOST_BURST_SECONDS))
        done = 0
        while done < total and (passed := trio.current_time() - start) < seconds:
            # The first is due at once.
            due = min(total, int(passed * a_second) + 1, done + burst)
            for flow, first in zip(flows, before, strict=True):
                await self._send(sender, flow, first + done, first + due)
            done = due
            await trio.sleep(max(_TICK_SECONDS, start + done / a_second - trio.current_time()))
        await trio.sleep_until(start + seconds)
        return trio.current_time() - start

    async def _send(self, sender: McastSender, flow: _Flow, first: int, end: int) -> None:
        if first < end:
            now, size = time.time_ns(), self._wish.size
            datagrams = [
                Header(Kind.MEASURE, flow.run, number, now, self._wish.ttl).pack(size)
                for number in range(first, end)
            ]
            await sender.send_batch(datagrams, interface=flow.interface)
            flow.sent = end

    async def _begin(self, receivers: Sequence[_Receiver], flows: Sequence[_Flow]) -> None:
        """Have each receiver expect the flows, and note what it has dropped before."""
        for receiver, counts in zip(receivers, await self._look(receivers, flows), strict=True):
            receiver.before, receiver.lost = counts, 0

    async def _look(
        self, receivers: Sequence[_Receiver], flows: Sequence[_Flow]
    ) -> list[StreamCounts]:
        """Ask each receiver what has come until now."""
        runs = {flow.interface: flow.run for flow in flows}
        counts: dict[int, StreamCounts] = {}
        failures: list[str] = []

        async def look(index: int, receiver: _Receiver) -> None:
            try:
                run = runs.get(receiver.interface, 0)
                message = await receiver.asking.ask("measure", run=run)
                counts[index] = StreamCounts.of_message(message)
            except (UnansweredError, ValueError) as error:
                failures.append(f"{receiver.name} does not tell what came: {error}")

        async with trio.open_nursery() as nursery:
            for index, receiver in enumerate(receivers):
                nursery.start_soon(look, index, receiver)
        if failures:
            raise NoReceiverError("; ".join(failures))
        return [counts[index] for index in range(len(receivers))]

    async def _report(
        self,
        receivers: Sequence[_Receiver],
        flows: Sequence[_Flow],
        seconds: float,
        *,
        is_last: bool,
    ) -> Interval:
        if is_last:
            await trio.sleep(_SETTLING_SECONDS)
        all_counts = await self._look(receivers, flows)
        sent = {flow.interface: flow.sent for flow in flows}
        received = [
            self._received(receiver, counts, sent.get(receiver.interface, 0), seconds, is_last)
            for receiver, counts in zip(receivers, all_counts, strict=True)
        ]
        most = max((flow.sent - flow.told for flow in flows), default=0)
        for flow in flows:
            flow.told = flow.sent
        interval = Interval(
            trio.current_time() - self._start,
            most * 8 * self._wish.size / seconds,
            most,
            tuple(received),
        )
        self.intervals.append(interval)
        self._show(interval)
        return interval

    def _received(
        self, receiver: _Receiver, now: StreamCounts, sent: int, seconds: float, is_last: bool
    ) -> Received:
        before = receiver.before
        # In the middle of a stream, the numbers of what came tell of the loss; what is under way is
        # none. Where nothing comes, they tell nothing.
        is_silent = now.numbers.received == before.numbers.received
        received = compare(
            receiver.name,
            receiver.interface,
            before,
            now,
            lost_before=receiver.lost,
            sent=sent if is_last or is_silent else None,
            seconds=seconds,
        )
        receiver.before = now
        receiver.lost += received.losses.total
        return received


async def _send_to(sender: McastSender, data: bytes, to: Endpoint) -> None:
    await sender.send(data, to=to)
