"""`Responder`: the end of a probe, a ping or a mesh that answers."""

from __future__ import annotations

import platform
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeAlias

import trio

from ..._channel.channel import McastChannel
from ..._host.current import current_host
from ..._specs.channel import McastChannelSpec
from ..._specs.requests import with_request
from ..._values.datagram import Datagram
from .control import CONTROL_PORT, MESSAGES, Message
from .control_socket import UNICAST_TTL, ControlSocket
from .header import Header, Kind, starts_with_magic
from .limits import Allowance
from .mesh_node import MeshNode
from .ping import PingAnswer
from .sessions import Counts, Sessions, fits
from .streams import Drops, Streams

MOST_ANSWERS: Final = 100
"""The answers a second that a responder sends, to all who ask; arbitrary."""

# The datagrams that may wait in the process, of each port. Arbitrary: of 40,000 a second, those of
# a tenth of a second.
_MOST_WAITING: Final = 4_096

Handler: TypeAlias = Callable[[McastChannel, Datagram, Header], Awaitable[None]]


class Responder:
    """Answers who probes, and for its groups who pings.

    It sends nothing unless asked, and never more bytes or datagrams than it was asked for. In a
    mesh it takes part as a guest: a beacon for a beacon.

    Args:
        groups: The groups with their ports, for which pings are answered; a group may have a zone.
        control_port: The port at which a probe begins.
        interfaces: The interfaces on which the groups are joined. Default: all that are fit.

    Attributes:
        run_number: A random number that tells this run from others, in answers to pings.
        name: The name of the machine, in answers to pings.
        counts: The counts until now.
        handlers: What is done with a numbered datagram of a group, by its kind. Those of other
            kinds are left.
        streams: The measured streams of its groups.
    """

    def __init__(
        self,
        groups: Iterable[tuple[str, int]] = (),
        control_port: int = CONTROL_PORT,
        *,
        interfaces: Sequence[str | int] | None = None,
    ) -> None:
        self._interfaces = interfaces
        self.run_number = random.getrandbits(64)
        self.name = platform.node()
        self.counts = Counts()
        self.handlers: dict[Kind, Handler] = {
            Kind.PING_QUESTION: self._answer_ping,
            Kind.MESH_BEACON: self._take_beacon,
        }
        self._mesh_nodes: dict[tuple[str, int], MeshNode] = {}
        self._by_port: dict[int, list[str]] = {}
        for group, port in groups:
            self._by_port.setdefault(port, []).append(group)
        self._control = ControlSocket(control_port, self._take_control)
        self._channels: list[McastChannel] = []
        self.streams = Streams(self._drops)
        self._sessions = Sessions(control_port, self._control.send, self.counts, self.streams)
        self._start = 0.0
        self._allowance = Allowance(MOST_ANSWERS, 0)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled: ``await nursery.start(responder.run)``.

        Raises:
            McastError: The control port or a group cannot be had.

        Cancellation:
            All groups are left, and nothing stays open.
        """
        self._start = trio.current_time()
        self._allowance = Allowance(MOST_ANSWERS, self._start)
        async with trio.open_nursery() as nursery:
            await nursery.start(self._sessions.run)
            await nursery.start(self._control.run)
            for port, groups in self._by_port.items():
                channel = await nursery.start(self._spec(groups, port).serve)
                self._channels.append(channel)
                for group in groups:
                    nursery.start_soon(self._join_mesh(channel, group, port).run)
                nursery.start_soon(self._serve_groups, channel)
            task_status.started()

    def _spec(self, groups: list[str], port: int) -> McastChannelSpec:
        # Where this process cannot keep up with a measured stream, it drops datagrams itself, and
        # counts them: the kernel is not to be blamed.
        spec = McastChannelSpec(
            groups,
            port,
            interfaces=self._interfaces,
            receive_ttl=True,
            # Windows has no such times.
            receive_timestamp=bool(current_host().platform.timestamps),
            unicast_ttl=UNICAST_TTL,
            overflow="drop_newest",
            max_buffered=_MOST_WAITING,
        )
        # Of datagrams that came as one unit (UDP_GRO), the kernel counts one if it drops them all.
        return with_request(spec, receive_units=False)

    def _drops(self) -> Drops:
        """Return the datagrams of all groups that were dropped here."""
        all_counts = [channel.statistics() for channel in self._channels]
        return Drops(
            sum(counts.dropped_by_kernel or 0 for counts in all_counts),
            sum(counts.dropped_by_policy for counts in all_counts),
        )

    async def _serve_groups(self, channel: McastChannel) -> None:
        async for datagrams in channel.batches():
            for datagram in datagrams:
                await self._take(channel, datagram)

    async def _take(self, channel: McastChannel, datagram: Datagram) -> None:
        if not starts_with_magic(datagram.data):
            return
        try:
            header = Header.unpack(datagram.data)
        except ValueError:
            self.counts.refused += 1
            return
        # These come at high rates, and are not answered.
        if header.kind is Kind.MEASURE:
            self.streams.take(datagram, header)
            return
        handler = self.handlers.get(header.kind)
        if handler is not None:
            await handler(channel, datagram, header)

    def may_answer(self) -> bool:
        """Take one of the answers of this second; if there is none left, count that."""
        if self._allowance.take(trio.current_time()):
            return True
        self.counts.held_back += 1
        return False

    async def _answer_ping(self, channel: McastChannel, question: Datagram, header: Header) -> None:
        alive = round((trio.current_time() - self._start) * 1e9)
        answer = PingAnswer(
            self.run_number, alive, question.ttl or 0, question.interface.name, self.name
        ).pack(header, UNICAST_TTL, len(question.data))
        if answer is None:
            self.counts.refused += 1
        elif self.may_answer():
            await channel.answer(question, answer)
            self.counts.pings += 1

    def _join_mesh(self, channel: McastChannel, group: str, port: int) -> MeshNode:
        """Take part in the mesh of a group, as long as somebody else is in it."""
        place = group.partition("%")[0], port
        node = self._mesh_nodes[place] = MeshNode(
            channel,
            place,
            name=self.name,
            interval=1,
            ttl=1,
            tell=lambda changes: None,
            complain=lambda reason: None,
            may_beacon=self.may_answer,
        )
        return node

    async def _take_beacon(self, channel: McastChannel, beacon: Datagram, header: Header) -> None:
        node = self._mesh_nodes.get((beacon.group or "", beacon.destination.port))
        if node is not None:
            node.take(beacon)

    async def _take_control(self, channel: McastChannel, datagram: Datagram) -> None:
        """Count a probe, or answer a request. Whatever else comes is refused, and not answered."""
        if starts_with_magic(datagram.data):
            self._sessions.take_probe(datagram)
            return
        try:
            request = Message.decode(datagram.data)
        except ValueError:
            self.counts.refused += 1
            return
        if datagram.group is not None or request.kind not in MESSAGES or not self.may_answer():
            return
        answer = await self._sessions.answer(request, datagram)
        data = None if answer is None else fits(answer, len(datagram.data))
        if data is None:
            self.counts.refused += 1
            return
        await channel.answer(datagram, data)
        self.counts.requests += 1
