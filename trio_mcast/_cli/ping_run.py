"""The run of ``trio-mcast ping``: asks, and takes the answers. Shows nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final

import attrs
import trio

from .. import Interface, McastSender, SocketSetupError, open_mcast_sender
from .._diagnosis.probe.ping import LEAST_QUESTION
from .._values.errors import printable
from .ping_tally import PATIENCE_NS, Answer, Course, Tally
from .targets import Target

# Room for names of 64 bytes in the answer, which is never larger than its question.
_QUESTION_BYTES: Final = LEAST_QUESTION + 2 * 64


@attrs.frozen
class PingWish:
    """The arguments of a ping."""

    targets: Sequence[Target]
    """The groups to ask."""
    interfaces: Sequence[str | int]
    """The interfaces to ask on; empty for those to which the system routes the groups."""
    count: int | None
    """The number of questions to each group on each interface; `None` for no end."""
    interval: float
    """The seconds between two questions."""
    ttl: int
    """The ttl of the questions."""


class Pinging:
    """A ping: one course of questions for each group and interface."""

    def __init__(
        self,
        wish: PingWish,
        show: Callable[[Answer], None],
        complain: Callable[[str], None],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Ask nothing yet.

        Args:
            wish: The arguments.
            show: Called with each answer.
            complain: Called with the reason, once for each, why questions cannot be sent.
            clock: Returns the time of the system, in nanoseconds since 1970.
        """
        self.tally = Tally()
        self._wish = wish
        self._show = show
        self._complain = complain
        self._clock = clock
        self._courses: dict[tuple[Target, str], Course] = {}
        self._refusals: set[tuple[int | None, str | None]] = set()
        self._answered = trio.Event()

    async def run(self) -> None:
        """Ask, and take answers, until there are enough.

        Raises:
            McastError: A group cannot be sent to.
        """
        async with AsyncExitStack() as stack:
            senders = {
                target: await stack.enter_async_context(self._open(target))
                for target in dict.fromkeys(self._wish.targets)
            }
            async with trio.open_nursery() as nursery:
                for sender in senders.values():
                    nursery.start_soon(self._take_answers, sender)
                await self._ask(senders)
                nursery.cancel_scope.cancel()

    def _open(self, target: Target) -> AbstractAsyncContextManager[McastSender]:
        places = self._wish.interfaces if target.interface is None else [target.interface]
        return open_mcast_sender(
            target.group,
            target.port,
            interfaces=places or None,
            source_address=target.source,
            ttl=self._wish.ttl,
            receive_replies=True,
            receive_ttl=True,
            receive_timestamp=True,
        )

    async def _ask(self, senders: dict[Target, McastSender]) -> None:
        start = trio.current_time()
        turn = 0
        while self._wish.count is None or turn < self._wish.count:
            await trio.sleep_until(start + turn * self._wish.interval)
            for target, sender in senders.items():
                # Where there is none, the sender says why.
                for interface in sender.interfaces or (None,):
                    await self._ask_on(target, sender, interface)
            turn += 1
        # Whoever has not been heard by now may still answer, but not for long.
        patience = PATIENCE_NS / 1e9
        await trio.sleep_until(start + patience)
        with trio.move_on_after(patience):
            while not self.tally.all_answered():
                self._answered = trio.Event()
                await self._answered.wait()

    async def _ask_on(
        self, target: Target, sender: McastSender, interface: Interface | None
    ) -> None:
        course = self._course(target, interface)
        data = course.ask(self._clock()).pack(_QUESTION_BYTES)
        to = target.group, target.port
        try:
            try:
                sender.send_nowait(data, to=to, interface=interface)
            except trio.WouldBlock:
                await sender.send(data, to=to, interface=interface)
        except SocketSetupError as error:
            course.take_back()
            reason = error.errno, error.interface
            if reason not in self._refusals:
                self._refusals.add(reason)
                self._complain(str(error))

    def _course(self, target: Target, interface: Interface | None) -> Course:
        name = "" if interface is None else interface.name
        key = target, name
        course = self._courses.get(key)
        if course is None:
            group = str(attrs.evolve(target, source=None, interface=None))
            course = Course(group, printable(name), random.getrandbits(64), self._wish.ttl)
            self._courses[key] = course
            self.tally.add(course)
        return course

    async def _take_answers(self, sender: McastSender) -> None:
        async for datagram in sender.replies:
            answer = self.tally.take(datagram, datagram.timestamp_ns or self._clock())
            if answer is not None:
                self._show(answer)
                self._answered.set()
