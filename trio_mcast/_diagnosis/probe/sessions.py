"""The sessions of a responder: what one who probes may have it do, and for how long."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import attrs
import trio

from ..._host.current import current_host
from ..._values.addresses import Endpoint, parse_group
from ..._values.datagram import Datagram
from ..._values.interface import Interface
from .control import MOST_BYTES, Message, is_token_of, token_for
from .control_socket import LOCAL_GROUPS
from .ears import Ears, usable_interfaces
from .marks import read_mark, rises_since
from .measured import Destination
from .shots import Sent, Shot, fire
from .streams import Streams
from .tally import MOST_CASES

MOST_PROBES: Final = 200
"""The probes that a responder sends in one session; all numbers here are arbitrary."""

MOST_SESSIONS: Final = 8
"""The sessions of a responder at a time, one for each address and port that has opened."""

IDLE_SECONDS: Final = 60
"""A session ends when it has had no request for so long."""

MOST_SECONDS: Final = 3_600
"""A session ends after this time in any case."""

_DESTINATIONS: Final[tuple[Destination, ...]] = ("unicast", "broadcast", "local", "group")
_MOST_GROUPS: Final = 8
_MOST_COUNT: Final = 40
_LARGEST_PROBE: Final = 3_000
_LARGEST_TTL: Final = 64
_SHORTEST_PAUSE: Final = 10
_LONGEST_PAUSE: Final = 60_000
_MOST_LINKS: Final = 6
_MOST_ADDRESSES: Final = 3
_MOST_REFUSALS: Final = 4
_MOST_TEXT: Final = 100

SendUnicast: TypeAlias = Callable[[bytes, Endpoint], Awaitable[None]]


@attrs.define
class Counts:
    """The counts of a responder.

    Attributes:
        pings: The ping questions that were answered.
        requests: The control messages that were answered.
        probes: The probes that were sent.
        held_back: The questions and requests that were left unanswered, as too many came at once.
        refused: The datagrams that were no question or request, or a hostile one.
    """

    pings: int = 0
    requests: int = 0
    probes: int = 0
    held_back: int = 0
    refused: int = 0


class Session:
    """The session that one address and port has opened.

    Args:
        peer: The address and port that opened it.
        run: The number of the run whose probes are counted.
        port: The responder's control port.
        send_unicast: Sends by the control socket.
        counts: The counts of the responder.

    Attributes:
        ears: The groups that are joined for it.
        scope: Cancelled to end it.
        sent: The probes that were sent, of all cases.
    """

    def __init__(
        self, peer: Endpoint, run: int, port: int, send_unicast: SendUnicast, counts: Counts
    ) -> None:
        self.peer = peer
        self.run = run
        self.ears = Ears(run, port)
        self.scope = trio.CancelScope()
        self.sent = 0
        self._send_unicast = send_unicast
        self._counts = counts
        self._listening = trio.CancelScope()
        self._has_left = trio.Event()
        self._has_left.set()
        self._nursery: trio.Nursery | None = None
        self._groups: list[tuple[str, int]] = []
        self._shots: dict[int, Sent] = {}
        self._is_sending = False
        self._mark = read_mark()
        self._last: tuple[int, Message] | None = None
        self._requests: Mapping[str, Callable[[Message, Datagram], Awaitable[Message]]] = {
            "open": self._open,
            "mark": self._marked,
            "result": self._result,
            "send": self._start_sending,
            "close": self._close,
        }

    async def run_until_over(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Live until it is closed, idle for too long, or too old."""
        self.scope.deadline = trio.current_time() + IDLE_SECONDS
        with trio.move_on_after(MOST_SECONDS), self.scope:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                await trio.sleep_forever()

    async def answer(self, request: Message, datagram: Datagram) -> Message:
        """Carry out a request, and return the answer: to one that was repeated, the same again."""
        self.scope.deadline = trio.current_time() + IDLE_SECONDS
        if self._last is not None and self._last[0] == request.id:
            return self._last[1]
        carry_out = self._requests.get(request.kind)
        try:
            if carry_out is None:
                raise ValueError("a session of the probe does not know such a request")
            answer = await carry_out(request, datagram)
        except ValueError as error:
            answer = request.refuse(str(error)[:_MOST_TEXT])
        self._last = request.id, answer
        return answer

    # Requests ------------------------------------------------------------------------------------

    async def _open(self, request: Message, datagram: Datagram) -> Message:
        """Join the groups anew on every interface."""
        assert self._nursery is not None, "the session runs"
        self._groups = [_group_of(each) for each in request.members("groups", _MOST_GROUPS)]
        interfaces = usable_interfaces()
        # What was joined is left before it is joined again, so that it is reported anew.
        self._listening.cancel()
        await self._has_left.wait()
        self._listening = trio.CancelScope()
        await self._nursery.start(self._listen, interfaces)
        self._mark = read_mark()
        refused = [
            [each.group, each.interface, each.name, each.text[:_MOST_TEXT]]
            for each in self.ears.refused[:_MOST_REFUSALS]
        ]
        return request.answer(
            system=current_host().platform.name,
            seen_as=datagram.source.host,
            arrived=datagram.interface.name,
            links=[_link(each) for each in interfaces[:_MOST_LINKS]],
            refused=refused,
            probes=MOST_PROBES,
        )

    async def _listen(
        self, interfaces: list[Interface], *, task_status: trio.TaskStatus[None]
    ) -> None:
        self._has_left = trio.Event()
        try:
            with self._listening:
                await self.ears.listen(self._groups, interfaces, task_status=task_status)
        finally:
            self._has_left.set()

    async def _marked(self, request: Message, datagram: Datagram) -> Message:
        """Tell what the counters rose by since the last mark."""
        rises, self._mark = rises_since(self._mark)
        return request.answer(rises=rises)

    async def _result(self, request: Message, datagram: Datagram) -> Message:
        """Tell what came of a case, or how many were sent of it."""
        case = request.number("case", 0, MOST_CASES - 1)
        tally, sent = self.ears.tallies.of_case(case), self._shots.get(case, Sent())
        return request.answer(
            got=tally.got,
            duplicates=tally.duplicates,
            last=tally.last,
            by_interface=tally.by_interface,
            ttls=tally.ttls,
            sources=tally.sources,
            sent=sent.count,
            seconds=sent.seconds,
            name=sent.name,
            text=sent.text[:_MOST_TEXT],
        )

    async def _start_sending(self, request: Message, datagram: Datagram) -> Message:
        """Send the probes of a case, within the limit."""
        assert self._nursery is not None, "the session runs"
        if self._is_sending:
            raise ValueError("probes are being sent: wait for their end")
        shot = self._shot_of(request)
        if shot.count > MOST_PROBES - self.sent:
            raise ValueError(f"no more than {MOST_PROBES} probes are sent in one session")
        self.sent += shot.count
        self._is_sending = True
        self._nursery.start_soon(self._fire, shot)
        return request.answer(count=shot.count)

    async def _fire(self, shot: Shot) -> None:
        sent = self._shots[shot.case] = Sent()
        try:
            await fire(shot, self.run, self._send_unicast, sent)
        finally:
            self._is_sending = False
            self._counts.probes += sent.count

    def _shot_of(self, request: Message) -> Shot:
        to = _destination_named(request.text("to"))
        case = request.number("case", 0, MOST_CASES - 1)
        version = request.number("version", 4, 6)
        size = request.number("size", 32, _LARGEST_PROBE)
        count = request.number("count", 1, _MOST_COUNT)
        ttl = request.number("ttl", 1, _LARGEST_TTL)
        pause = request.number("pause", _SHORTEST_PAUSE, _LONGEST_PAUSE) / 1_000
        if to == "unicast":
            host, port = self.peer
            return Shot(case, to, host, port, None, ttl, size, count, pause)
        interface = _interface_named(request.text("interface"))
        if to == "broadcast":
            host, port = self.peer
            return Shot(case, to, host, port, interface, ttl, size, count, pause)
        if to == "local":
            group = LOCAL_GROUPS.get(version, "")
            return Shot(case, to, group, self.peer.port, interface, ttl, size, count, pause)
        group, port = request.text("group"), request.number("port", 1, 65_535)
        if (group, port) not in self._groups:
            raise ValueError("the group was not opened")
        return Shot(case, to, group, port, interface, ttl, size, count, pause)

    async def _close(self, request: Message, datagram: Datagram) -> Message:
        """End the session; the answer still goes out."""
        self.scope.cancel()
        return request.answer()


def _group_of(entry: Any) -> tuple[str, int]:
    if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
        raise ValueError("a group is a list of its address and its port")
    port = entry[1]
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65_535:
        raise ValueError("the port of a group is a number from 1 to 65535")
    return str(parse_group(entry[0][:_MOST_TEXT]).address), port


def _destination_named(name: str) -> Destination:
    for destination in _DESTINATIONS:
        if destination == name:
            return destination
    raise ValueError(f"to is one of {', '.join(_DESTINATIONS)}")


def _interface_named(name: str) -> Interface:
    for interface in usable_interfaces():
        if interface.name == name:
            return interface
    raise ValueError("there is no such interface that can be used")


def _link(interface: Interface) -> list[Any]:
    addresses = [str(each) for each in interface.ipv4_addresses]
    addresses += [str(each) for each in interface.ipv6_addresses if not each.ip.is_link_local]
    return [interface.name, addresses[:_MOST_ADDRESSES]]


class Sessions:
    """The sessions of one responder, by the address and port that opened each.

    Args:
        port: The responder's control port.
        send_unicast: Sends by the control socket.
        counts: The counts of the responder.
        streams: The measured streams of its groups.
    """

    def __init__(
        self, port: int, send_unicast: SendUnicast, counts: Counts, streams: Streams
    ) -> None:
        self._secret = random.SystemRandom().randbytes(32)
        self._port = port
        self._send_unicast = send_unicast
        self._counts = counts
        self._streams = streams
        self._by_peer: dict[Endpoint, Session] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the sessions until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def __len__(self) -> int:
        return len(self._by_peer)

    def take_probe(self, datagram: Datagram) -> bool:
        """Count a probe for the session that it is of, and tell whether there is one."""
        return any(session.ears.take(datagram) for session in self._by_peer.values())

    async def answer(self, request: Message, datagram: Datagram) -> Message | None:
        """Return the answer to a request; `None` if there is to be none."""
        peer = datagram.source
        is_known = is_token_of(request.fields.get("token"), self._secret, peer)
        if request.kind in ("open", "measure") and not is_known:
            return Message("challenge", request.id, {"token": token_for(self._secret, peer)})
        if not is_known:
            return None  # Nobody has proved to have this address.
        if request.kind == "measure":
            return self._streams.answer(request)
        session = self._by_peer.get(peer)
        if request.kind == "open":
            session = await self._session_for(request, peer, session)
        if session is None:
            return request.refuse("no session is open: it ended, or too many are")
        return await session.answer(request, datagram)

    async def _session_for(
        self, request: Message, peer: Endpoint, session: Session | None
    ) -> Session | None:
        """Return the session for a request to open one: the one there is, if it is of its run."""
        try:
            run = request.number("run")
        except ValueError:
            return None
        if session is not None and session.run == run:
            return session
        if session is not None:
            session.scope.cancel()
        elif len(self) >= MOST_SESSIONS:
            return None
        assert self._nursery is not None, "the sessions run"
        session = self._by_peer[peer] = Session(
            peer, run, self._port, self._send_unicast, self._counts
        )
        await self._nursery.start(self._run, session)
        return session

    async def _run(self, session: Session, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            await session.run_until_over(task_status=task_status)
        finally:
            if self._by_peer.get(session.peer) is session:
                del self._by_peer[session.peer]


def fits(answer: Message, request_size: int) -> bytes | None:
    """Return the bytes of an answer that is no larger than its request; `None` if it is."""
    data = answer.encode()
    while len(data) > min(request_size, MOST_BYTES):
        lists = [value for value in answer.fields.values() if isinstance(value, list) and value]
        if not lists:
            return None
        max(lists, key=len).pop()
        data = answer.encode()
    return data
