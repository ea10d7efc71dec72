"""`Listening`: the phases in which a question is listened to, or sent for, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, Literal

import attrs
import trio

from .._values.interface import Interface, InterfaceSelector
from .evidence import Heard, Phase, Question, Sent, Twice
from .frames import PhaseName
from .gather.capture import Capture
from .gather.counters import count_group_datagrams, read_counters, rises_between
from .gather.links import Choice
from .gather.listening import Ear, find_twice
from .gather.ports import read_udp_sockets
from .gather.sending import Mouth
from .rules.elsewhere import swapped
from .rules.filters import loses_some
from .rules.network import has_stopped

# So many datagrams of every membership are enough; all numbers below are arbitrary.
_ENOUGH: Final = 20
# Who listens for longer than this wants to know whether it goes on: then nothing is enough.
_LONG_SECONDS: Final = 60
_LOOK_SECONDS: Final = 0.05
# How often it is told how far the listening is, and what comes of other groups is counted.
_PROGRESS_SECONDS: Final = 0.5
# Ports of other programs that the widened phase listens on, and memberships in all.
_MOST_PORTS: Final = 32
_MOST_EARS: Final = 128
# How long the group is left, and joined again, each of two times.
_TOGGLE_PART: Final = 0.25
_LEAST_TOGGLE_SECONDS: Final = 0.8


@attrs.frozen
class Progress:
    """The state of the listening, for a line that people read.

    Attributes:
        phase: The phase; ``"probing"`` while another machine is probed.
        interfaces: The interfaces that are listened on in it.
        seconds: How long it has gone on.
        of_seconds: How long it takes at most.
        count: The datagrams of the groups in this phase.
        others: The datagrams of other groups in this phase; `None` if they cannot be counted.
        doing: What is being done, while another machine is probed.
    """

    phase: PhaseName | Literal["probing"]
    interfaces: tuple[str, ...]
    seconds: float
    of_seconds: float
    count: int
    others: int | None
    doing: str = ""


def ignore(progress: Progress) -> None:
    """Do nothing with the progress."""


class Listening:
    """The phases of one question, and what came in them.

    Args:
        question: The question.
        interfaces: The interfaces of the machine.
        choice: The interfaces that the question is about, by group.
        named: What was named in the question to choose them; `None` if nothing was.
        capture: The capture; `None` if the machine is not this one.
        on_progress: Called twice a second while it listens.

    Attributes:
        phases: The phases that are over, with what the counters rose by.
        heard: What came, for each membership and phase.
        twice: What came on two interfaces.
        sent: What was sent.
        problem: The reason why the counters cannot be read; empty if they can.
    """

    def __init__(
        self,
        question: Question,
        interfaces: Sequence[Interface],
        choice: Choice,
        named: tuple[InterfaceSelector, ...] | None,
        capture: Capture | None,
        on_progress: Callable[[Progress], None] = ignore,
    ) -> None:
        self._question = question
        self._interfaces = interfaces
        self._choice = choice
        self._named = named
        self._capture = capture
        self._on_progress = on_progress
        self.phases: list[Phase] = []
        self.heard: list[Heard] = []
        self.twice: tuple[Twice, ...] | None = None
        self.sent: tuple[Sent, ...] | None = None
        self.problem = ""

    async def run(self) -> None:
        """Listen, or send, and capture what is seen meanwhile."""
        question = self._question
        async with trio.open_nursery() as nursery:
            if self._capture is not None:
                nursery.start_soon(self._capture.run)
            if question.subject == "receiver":
                await self._listen()
            elif question.send:
                await self._send(question.send)
            else:
                await self._phase("before", question.listen_seconds)
            nursery.cancel_scope.cancel()

    async def _send(self, count: int) -> None:
        seconds = self._question.listen_seconds
        mouths = [
            Mouth(self._question, group, interface, count)
            for group, interfaces in self._choice.by_group.items()
            for interface in (interfaces if self._named or "%" in group else (None,))
        ]
        async with trio.open_nursery() as nursery:
            for mouth in mouths:
                await nursery.start(mouth.run)
            await self._phase("before", seconds)
            nursery.cancel_scope.cancel()
        self.sent = tuple(sent for mouth in mouths for sent in mouth.sent())

    async def _listen(self) -> None:
        question = self._question
        seconds = question.listen_seconds
        await self._phase("before", seconds / 2)
        asked = self._ears("joined", question.groups)
        await self._phase("joined", seconds, asked, lambda: _is_enough(asked, seconds))
        self.twice = find_twice(asked)
        joined = [ear for ear in asked if not ear.is_absent and ear.heard.refusal is None]
        silent = [group for group in question.groups if not _came(group, joined)]
        silent = [group for group in silent if any(ear.group == group for ear in joined)]
        found = False
        if silent:
            widened = list(self._widened(silent))[:_MOST_EARS]
            await self._phase("widened", seconds, widened, lambda: _any_came(widened))
            found = any(ear.count for ear in widened)
        stopped = [ear.group for ear in joined if has_stopped(ear.heard)]
        if stopped or (silent and not found):
            await self._toggle(list(dict.fromkeys((*silent, *stopped))))
        elif not silent and loses_some(self.phases):
            await self._toggle(question.groups)

    async def _toggle(self, groups: Sequence[str]) -> None:
        seconds = max(_LEAST_TOGGLE_SECONDS, self._question.listen_seconds * _TOGGLE_PART)
        for _ in range(2):
            await self._phase("left", seconds)
            await self._phase("rejoined", seconds, self._ears("rejoined", groups))

    def _ears(self, phase: PhaseName, groups: Sequence[str]) -> list[Ear]:
        question = self._question
        assert question.port is not None
        return [
            Ear(phase, group, interface, question.port, sources=question.sources)
            for group in groups
            for interface in self._choice.by_group[group]
        ]

    def _widened(self, groups: Sequence[str]) -> Iterator[Ear]:
        question = self._question
        port, sources = question.port, question.sources
        assert port is not None
        for group in groups:
            asked = self._choice.by_group[group]
            for interface in asked if sources is not None else ():
                yield Ear("widened", group, interface, port, widening="source")
            for interface in filter(_can_listen, self._interfaces):
                if interface in asked:
                    continue
                yield Ear("widened", group, interface, port, sources=sources, widening="interface")
        for other_port in self._other_ports(port):
            for group in groups:
                for interface in self._choice.by_group[group]:
                    yield Ear(
                        "widened", group, interface, other_port, sources=sources, widening="port"
                    )

    def _other_ports(self, port: int) -> list[int]:
        ports = dict.fromkeys((swapped(port), port - 1, port + 1))
        if self._capture is not None:
            with suppress(OSError, ValueError, IndexError):  # The part "sockets" tells why.
                ports.update(dict.fromkeys(one.port for one in read_udp_sockets()))
        ports.pop(port, None)
        return [other for other in ports if 0 < other < 65_536][:_MOST_PORTS]

    async def _phase(
        self,
        name: PhaseName,
        seconds: float,
        ears: Sequence[Ear] = (),
        is_enough: Callable[[], bool] | None = None,
    ) -> None:
        """Listen for a time, or until it is enough, and keep what came and what was counted."""
        start = trio.current_time()
        counters = self._counters()
        async with trio.open_nursery() as nursery:
            for ear in ears:
                await nursery.start(ear.run)
            if self._capture is not None:
                self._capture.phase = name
            begun = trio.current_time()
            told = -_PROGRESS_SECONDS
            # Up to a time, not for one: what is left of it may be too little to add to a clock.
            while (now := trio.current_time()) < begun + seconds:
                passed = now - begun
                if passed - told >= _PROGRESS_SECONDS:
                    told = passed
                    self._tell(name, passed, seconds, ears, counters)
                await trio.sleep_until(min(now + _LOOK_SECONDS, begun + seconds))
                if is_enough is not None and is_enough():
                    break
            if self._capture is not None:
                self._capture.phase = None
                self._capture.end_queries()
            for ear in ears:
                ear.end()
            rises = rises_between(counters, self._counters())
            self.phases.append(Phase(name, trio.current_time() - start, rises))
            nursery.cancel_scope.cancel()
        self.heard += [ear.heard for ear in ears if not ear.is_absent]

    def _tell(
        self,
        name: PhaseName,
        passed: float,
        seconds: float,
        ears: Sequence[Ear],
        counters: dict[str, int],
    ) -> None:
        """Tell how far it is."""
        if self._on_progress is ignore:
            return
        count = sum(ear.count for ear in ears)
        others = None if self._capture is None else self._capture.count_others(name)
        if others is None and counters:
            received = count_group_datagrams(rises_between(counters, self._counters()))
            others = max(0, received - count)
        names = tuple(dict.fromkeys(str(ear.interface) for ear in ears if ear.is_open))
        self._on_progress(Progress(name, names, passed, seconds, count, others))

    def _counters(self) -> dict[str, int]:
        if self._capture is None:
            return {}
        try:
            return read_counters()
        except (OSError, ValueError, IndexError) as error:
            self.problem = str(error)
            return {}


def _can_listen(interface: Interface) -> bool:
    return interface.is_up and interface.master is None


def _came(group: str, ears: Sequence[Ear]) -> bool:
    return any(ear.count for ear in ears if ear.group == group)


def _is_enough(ears: Sequence[Ear], seconds: float) -> bool:
    return seconds <= _LONG_SECONDS and _all_came(ears)


def _all_came(ears: Sequence[Ear]) -> bool:
    return bool(ears) and all(ear.count >= _ENOUGH for ear in ears)


def _any_came(ears: Sequence[Ear]) -> bool:
    return any(ear.count >= _ENOUGH for ear in ears)
