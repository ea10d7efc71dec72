"""The order in which evidence is gathered: what stands, what comes, and what stands then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
import trio

from .._host.current import current_host
from .._host.system import SystemHost
from .._values.errors import McastError
from .._values.interface import Interface, InterfaceSelector
from .evidence import PARTS, Evidence, Heard, JoinedGroup, Question, Sent, UdpSocket
from .gather.capture import Capture
from .gather.joined import read_joined, read_joined_of
from .gather.links import Choice, choose, gather_links
from .gather.listening import refusal_of
from .gather.netfilter import list_dropping_rules, with_later
from .gather.ports import read_udp_sockets, with_programs, without_loopback
from .gather.routes import gather_routes
from .gather.settings import read_limits, read_settings
from .phases import Listening, Progress, ignore
from .probe.meeting import probe_peer

# Routes are asked for so many sources (arbitrary).
_MOST_SOURCES: Final = 16
# The group that every interface with IPv4 has joined.
_ALL_HOSTS: Final = "224.0.0.1"
# Groups of no program, of which the routes are asked if none is in question.
_ANY_GROUPS: Final = ("239.255.0.0", "ff0e::ffff")

_NO_PEER: Final = (
    "no other machine was named: run trio-mcast respond there, and name it as the peer (--peer)"
)
_NO_PEER_OF_MACHINE: Final = (
    "another machine is probed with a group: run trio-mcast respond there, and name a group and "
    "the peer, as in trio-mcast doctor 239.1.2.3:5000 --peer HOST"
)
_NOT_THIS_MACHINE: Final = "the machine is a virtual one, or its system is not asked for that"
_NOT_ASKED: Final = {
    "heard": {"sender": "a sender is not listened to", "machine": "no group was asked for"},
    "twice": {"sender": "a sender is not listened to", "machine": "no group was asked for"},
    "sent": {
        "sender": "nothing was sent, as it was not asked for: send=20, or --send 20",
        "receiver": "a receiver sends nothing",
        "machine": "no group was asked for",
    },
}


class Examination:
    """One question, and the evidence as it is gathered.

    Args:
        question: The question.
        named: The interfaces that were named.
        on_progress: Called some times a second while it listens.
    """

    def __init__(
        self,
        question: Question,
        named: tuple[InterfaceSelector, ...] | None,
        on_progress: Callable[[Progress], None] = ignore,
    ) -> None:
        self._question = question
        self._named = named
        self._on_progress = on_progress
        self._host = current_host()
        # Files of /proc, netlink and captures are this machine's own.
        self._is_linux = type(self._host) is SystemHost and self._host.platform.name == "linux"
        self._parts: dict[str, Any] = {}
        self._not_gathered: dict[str, str] = {}
        self._interfaces: list[Interface] = []
        self._choice = Choice({}, (), ())

    async def run(self) -> Evidence:
        """Gather all evidence there is."""
        try:
            self._interfaces = self._host.list_interfaces()
        except McastError as error:
            self._refuse_all(error)
        else:
            await self._gather_all()
        self._explain_missing()
        return Evidence(
            question=self._question,
            system=self._host.platform.name,
            not_gathered=self._not_gathered,
            **self._parts,
        )

    def _refuse_all(self, error: McastError) -> None:
        """Take the refusal to list interfaces for one of each membership, or of each sender."""
        refusal, question = refusal_of(error), self._question
        self._not_gathered = dict.fromkeys(PARTS, str(error))
        if question.role == "sender":
            self._parts["sent"] = tuple(
                Sent(group, "", 0, 0, refusal, replies=0) for group in question.groups
            )
        elif question.port is not None:
            self._parts["heard"] = tuple(
                Heard("joined", group, "", question.port, refusal=refusal)
                for group in question.groups
            )

    async def _gather_all(self) -> None:
        self._choice = choose(
            self._question.groups,
            self._named,
            self._interfaces,
            needs_address=not self._host.platform.joins_without_address,
        )
        self._parts["unmatched"] = self._choice.unmatched
        self._gather_standing()
        rules = await self._list_rules()
        capture = self._open_capture() if self._is_linux else None
        try:
            await self._gather_what_comes(capture)
        finally:
            if capture is not None:
                capture.close()
        await self._gather_after(rules)
        await self._gather_peer()

    # What stands -------------------------------------------------------------------------------

    def _gather_standing(self) -> None:
        def links() -> Any:
            return gather_links(
                self._interfaces, self._choice.interfaces, ask_system=self._is_linux
            )

        self._gather("links", links, of_linux=False)
        self._gather("settings", lambda: read_settings(map(str, self._interfaces)) | read_limits())
        self._gather("joined_before", lambda: tuple(self._joined()), of_linux=False)
        self._gather("sockets", lambda: tuple(self._sockets()))

    def _gather(self, part: str, read: Callable[[], Any], *, of_linux: bool = True) -> None:
        """Gather a part, or keep the reason why it cannot be had."""
        if of_linux and not self._is_linux:
            self._not_gathered[part] = _NOT_THIS_MACHINE
            return
        try:
            self._parts[part] = read()
        except (OSError, ValueError, IndexError) as error:
            # Refused, or no file of the kind that the kernel writes.
            self._not_gathered[part] = str(error)

    def _joined(self) -> Iterator[JoinedGroup]:
        """Yield who has joined the groups, and all hosts, whose line tells of the querier."""
        joined = read_joined() if self._is_linux else read_joined_of(self._host, self._interfaces)
        groups = {group.partition("%")[0] for group in self._question.groups}
        return (one for one in joined if not groups or one.group in groups | {_ALL_HOSTS})

    def _sockets(self) -> Iterator[UdpSocket]:
        """Yield the sockets on the port, and those that send without the loop; else all."""
        port = self._question.port
        for one in without_loopback(read_udp_sockets()):
            if port is None or one.port == port or one.loops is False:
                yield one

    async def _list_rules(self) -> Any:
        if not self._is_linux:
            return _NOT_THIS_MACHINE
        return await list_dropping_rules()

    # What comes --------------------------------------------------------------------------------

    def _open_capture(self) -> Capture:
        groups = {group.partition("%")[0] for group in self._question.groups}
        return Capture(groups, is_joined=self._question.subject == "machine")

    async def _gather_what_comes(self, capture: Capture | None) -> None:
        listening = Listening(
            self._question, self._interfaces, self._choice, self._named, capture, self._on_progress
        )
        await listening.run()
        if self._question.subject == "receiver":
            self._parts["heard"] = tuple(listening.heard)
            self._parts["twice"] = listening.twice
        self._parts["sent"] = listening.sent
        if self._is_linux and not listening.problem:
            self._parts["phases"] = tuple(listening.phases)
        self._not_gathered["phases"] = listening.problem
        if capture is not None:
            self._parts["captured"] = capture.tallies()
            self._parts["queries"] = capture.queries()
            self._not_gathered["captured"] = capture.problem
            self._not_gathered["queries"] = capture.problem

    # What is read in the end -------------------------------------------------------------------

    async def _gather_after(self, rules: Any) -> None:
        later = rules if isinstance(rules, str) else await self._list_rules()
        if isinstance(later, str):
            self._not_gathered["filters"] = later
        else:
            self._parts["filters"] = with_later(rules, later)
        self._gather("routes", self._routes)
        if self._parts.get("sockets") is not None:
            self._parts["sockets"] = tuple(
                await trio.to_thread.run_sync(
                    with_programs, self._sockets_later(), abandon_on_cancel=True
                )
            )

    def _routes(self) -> Any:
        sources = [
            tally.source for tally in self._parts.get("captured") or () if not tally.is_outgoing
        ]
        sources += [
            source for heard in self._parts.get("heard") or () for source in heard.by_source
        ]
        kept = list(dict.fromkeys(source for source in sources if "%" not in source))
        groups = self._question.groups or _ANY_GROUPS
        return gather_routes(
            groups, kept[:_MOST_SOURCES], self._interfaces, self._choice.interfaces
        )

    def _sockets_later(self) -> list[UdpSocket]:
        """Return the sockets with what they have lost by now, and those that came meanwhile."""
        try:
            later = {one.inode: one for one in self._sockets()}
            drops = {one.inode: one.drops for one in read_udp_sockets()}
        except (OSError, ValueError, IndexError):
            later, drops = {}, {}
        for one in self._parts["sockets"]:
            later[one.inode] = attrs.evolve(one, drops_later=drops.get(one.inode))
        return list(later.values())

    async def _gather_peer(self) -> None:
        """Probe the other machine; its datagrams are not among those that were listened to."""
        if self._question.peer is None:
            is_machine = self._question.subject == "machine"
            self._not_gathered["peer"] = _NO_PEER_OF_MACHINE if is_machine else _NO_PEER
            return

        def on_step(doing: str) -> None:
            self._on_progress(Progress("probing", (), 0, 0, 0, None, doing))

        try:
            self._parts["peer"] = await probe_peer(self._question, self._choice.interfaces, on_step)
        except McastError as error:
            self._not_gathered["peer"] = str(error)

    def _explain_missing(self) -> None:
        subject = self._question.subject
        for part in PARTS:
            if self._parts.get(part) is not None:
                self._not_gathered.pop(part, None)
            else:
                why = _NOT_ASKED.get(part, {}).get(subject, _NOT_THIS_MACHINE)
                self._not_gathered[part] = self._not_gathered.get(part) or why
