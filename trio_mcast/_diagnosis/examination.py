"""The order in which evidence is gathered: what stands, then the phases of listening."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import attrs
import trio

from .._host.current import current_host
from .._host.system import SystemHost
from .._plan.selecting import parse_named
from .._values.interface import Interface, InterfaceSelectors
from .evidence import PARTS, Evidence, Heard, JoinedGroup, Phase, PhaseName, Question, UdpSocket
from .gather.capture import Capture
from .gather.counters import read_counters, rises_between
from .gather.joined import read_joined
from .gather.links import choose, gather_links
from .gather.listening import Ear, find_twice
from .gather.netfilter import list_dropping_rules, with_later
from .gather.ports import read_udp_sockets, with_programs
from .gather.routes import gather_routes
from .gather.settings import read_settings
from .rules.elsewhere import swapped
from .rules.filters import loses_some
from .rules.network import has_stopped

# So many datagrams of every membership are enough; all numbers below are arbitrary.
_ENOUGH: Final = 20
# Who listens for longer than this wants to know whether it goes on: then nothing is enough.
_LONG_SECONDS: Final = 60
_LOOK_SECONDS: Final = 0.05
# Ports of other programs that the widened phase listens on, and memberships in all.
_MOST_PORTS: Final = 32
_MOST_EARS: Final = 128
# How long the group is left, and joined again, each of two times.
_TOGGLE_PART: Final = 0.25
_LEAST_TOGGLE_SECONDS: Final = 0.8
# The group that every interface with IPv4 has joined.
_ALL_HOSTS: Final = "224.0.0.1"
# Routes are asked for so many sources.
_MOST_SOURCES: Final = 16

_NOT_THIS_MACHINE: Final = "the machine is a virtual one, or its system is not asked for that"


@attrs.frozen
class Progress:
    """The state of the listening, for a line that people read.

    Attributes:
        phase: The phase.
        seconds: How long it has gone on.
        of_seconds: How long it takes at most.
        count: The datagrams in this phase.
    """

    phase: PhaseName
    seconds: float
    of_seconds: float
    count: int


def ignore(progress: Progress) -> None:
    """Do nothing with the progress."""


class Examination:
    """One question, and the evidence as it is gathered.

    Args:
        question: The question.
        interfaces: The interfaces that were named.
        on_progress: Called some times a second while it listens.
    """

    def __init__(
        self,
        question: Question,
        interfaces: InterfaceSelectors | None,
        on_progress: Callable[[Progress], None] = ignore,
    ) -> None:
        self._question = question
        self._on_progress = on_progress
        self._host = current_host()
        # Files of /proc, netlink and captures are this machine's own.
        self._is_linux = type(self._host) is SystemHost and self._host.platform.name == "linux"
        self._interfaces = self._host.list_interfaces()
        self._chosen, self._unmatched = choose(parse_named(interfaces), self._interfaces)
        self._parts: dict[str, Any] = {"unmatched": tuple(self._unmatched)}
        self._not_gathered: dict[str, str] = {}
        self._phases: list[Phase] = []
        self._heard: list[Heard] = []
        self._capture: Capture | None = None

    async def run(self) -> Evidence:
        """Gather all evidence there is."""
        self._gather_standing()
        rules = await self._list_rules()
        if self._is_linux:
            self._capture = Capture()
        try:
            await self._gather_what_comes()
        finally:
            if self._capture is not None:
                self._capture.close()
        await self._gather_after(rules)
        self._explain_missing()
        return Evidence(
            question=self._question,
            system=self._host.platform.name,
            not_gathered=self._not_gathered,
            **self._parts,
        )

    # What stands -------------------------------------------------------------------------------

    def _gather_standing(self) -> None:
        def links() -> Any:
            return gather_links(self._interfaces, self._chosen, ask_system=self._is_linux)

        self._gather("links", links, of_linux=False)
        self._gather("settings", lambda: read_settings(map(str, self._interfaces)))
        self._gather("joined_before", lambda: tuple(self._joined()))
        self._gather("sockets", lambda: tuple(self._sockets_on_port()))

    def _gather(self, part: str, read: Callable[[], Any], *, of_linux: bool = True) -> None:
        """Gather a part, or keep the reason why it cannot be had."""
        if of_linux and not self._is_linux:
            self._not_gathered[part] = _NOT_THIS_MACHINE
            return
        try:
            self._parts[part] = read()
        except OSError as error:
            self._not_gathered[part] = str(error)

    def _joined(self) -> Iterator[JoinedGroup]:
        """Yield who has joined the groups, and all hosts, whose line tells of the querier."""
        groups = {group.partition("%")[0] for group in self._question.groups}
        return (one for one in read_joined() if one.group in groups | {_ALL_HOSTS})

    def _sockets_on_port(self) -> Iterator[UdpSocket]:
        return (one for one in read_udp_sockets() if one.port == self._question.port)

    async def _list_rules(self) -> Any:
        if not self._is_linux:
            return _NOT_THIS_MACHINE
        return await list_dropping_rules()

    # What comes --------------------------------------------------------------------------------

    async def _gather_what_comes(self) -> None:
        async with trio.open_nursery() as nursery:
            if self._capture is not None:
                nursery.start_soon(self._capture.run)
            if self._question.role == "receiver":
                await self._listen()
            else:
                await self._phase("before", self._question.listen_seconds)
            nursery.cancel_scope.cancel()

    async def _listen(self) -> None:
        question = self._question
        seconds = question.listen_seconds
        await self._phase("before", seconds / 2)
        asked = self._ears("joined", question.groups)
        await self._phase("joined", seconds, asked, lambda: _is_enough(asked, seconds))
        self._parts["twice"] = find_twice(asked)
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
        elif not silent and loses_some(self._phases):
            await self._toggle(question.groups)

    async def _toggle(self, groups: Sequence[str]) -> None:
        seconds = max(_LEAST_TOGGLE_SECONDS, self._question.listen_seconds * _TOGGLE_PART)
        for _ in range(2):
            await self._phase("left", seconds)
            await self._phase("rejoined", seconds, self._ears("rejoined", groups))

    def _ears(self, phase: PhaseName, groups: Sequence[str]) -> list[Ear]:
        question = self._question
        return [
            Ear(phase, group, interface, question.port, sources=question.sources)
            for group in groups
            for interface in self._chosen
        ]

    def _widened(self, groups: Sequence[str]) -> Iterator[Ear]:
        question = self._question
        port, sources = question.port, question.sources
        others = [one for one in self._interfaces if one not in self._chosen and _can_listen(one)]
        for group in groups:
            for interface in self._chosen:
                if sources is not None:
                    yield Ear("widened", group, interface, port, widening="source")
            for interface in others:
                yield Ear("widened", group, interface, port, sources=sources, widening="interface")
        for other_port in self._other_ports():
            for group in groups:
                for interface in self._chosen:
                    yield Ear(
                        "widened", group, interface, other_port, sources=sources, widening="port"
                    )

    def _other_ports(self) -> list[int]:
        port = self._question.port
        ports = dict.fromkeys((swapped(port), port - 1, port + 1))
        if self._is_linux:
            with suppress(OSError):  # The part "sockets" tells why.
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
            while (passed := trio.current_time() - begun) < seconds:
                self._on_progress(Progress(name, passed, seconds, sum(ear.count for ear in ears)))
                await trio.sleep(min(_LOOK_SECONDS, seconds - passed))
                if is_enough is not None and is_enough():
                    break
            if self._capture is not None:
                self._capture.phase = None
                self._capture.end_queries()
            for ear in ears:
                ear.end()
            rises = rises_between(counters, self._counters())
            self._phases.append(Phase(name, trio.current_time() - start, rises))
            nursery.cancel_scope.cancel()
        self._heard += [ear.heard for ear in ears if not ear.is_absent]

    def _counters(self) -> dict[str, int]:
        if not self._is_linux:
            return {}
        try:
            return read_counters()
        except OSError as error:
            self._not_gathered["phases"] = str(error)
            return {}

    # What is read in the end -------------------------------------------------------------------

    async def _gather_after(self, rules: Any) -> None:
        if self._question.role == "receiver":
            self._parts["heard"] = tuple(self._heard)
            if self._is_linux and "phases" not in self._not_gathered:
                self._parts["phases"] = tuple(self._phases)
        if self._capture is not None:
            self._parts["captured"] = self._capture.tallies()
            self._parts["queries"] = self._capture.queries()
            self._not_gathered["captured"] = self._capture.problem
            self._not_gathered["queries"] = self._capture.problem
        later = rules if isinstance(rules, str) else await self._list_rules()
        if isinstance(later, str):
            self._not_gathered["filters"] = later
        else:
            self._parts["filters"] = with_later(rules, later)
        self._gather("routes", self._routes)
        if self._parts.get("sockets"):
            self._parts["sockets"] = await trio.to_thread.run_sync(
                with_programs, self._sockets_later(), abandon_on_cancel=True
            )

    def _routes(self) -> Any:
        sources = [
            tally.source for tally in self._parts.get("captured") or () if not tally.is_outgoing
        ]
        sources += [source for heard in self._heard for source in heard.by_source]
        kept = list(dict.fromkeys(source for source in sources if "%" not in source))
        return gather_routes(
            self._question.groups, kept[:_MOST_SOURCES], self._interfaces, self._chosen
        )

    def _sockets_later(self) -> list[UdpSocket]:
        try:
            later = {one.inode: one.drops for one in self._sockets_on_port()}
        except OSError:
            later = {}
        return [
            attrs.evolve(one, drops_later=later.get(one.inode)) for one in self._parts["sockets"]
        ]

    def _explain_missing(self) -> None:
        for part in PARTS:
            if self._parts.get(part) is not None:
                self._not_gathered.pop(part, None)
            else:
                is_sender = self._question.role == "sender"
                why = "a sender is not listened to" if is_sender else _NOT_THIS_MACHINE
                self._not_gathered[part] = self._not_gathered.get(part) or why


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
