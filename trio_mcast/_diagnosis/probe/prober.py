"""`Prober`: the end of a two-ended probe that asks, and what it finds out."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Final, TypeAlias

import attrs
import trio

from ..._channel.channel import McastChannel
from ..._values.addresses import Endpoint
from ..._values.datagram import Datagram
from ..._values.interface import Interface
from .answers import is_forgotten, is_loopback, links_in, refusals_in, whole
from .asking import Asking, UnansweredError
from .cases import ON_THE_WAY, Cases
from .control_socket import ControlSocket
from .ears import Ears, machine_addresses
from .header import starts_with_magic
from .measured import Direction, JoinRefusal, Peer, ProbeCase, Purpose
from .plan import (
    AGEING,
    AGEING_BACK,
    COUNT,
    COUNT_BACK,
    FAR,
    PAUSE,
    REJOINED,
    Target,
    plan_back,
    plan_there,
)

# Reports of joins go out within a second (RFC 9776, 8.11), and switches learn from them.
_SETTLING: Final = 1.0
_MOST_GROUPS: Final = 8
_MOST_INTERFACES: Final = 8

_SendCase: TypeAlias = Callable[[Target, int, float, Purpose], Awaitable["ProbeCase | None"]]


class Prober:
    """Probes the way to another machine and back.

    Args:
        asked: The other machine as it was named.
        to: Its address and control port.
        groups: The groups, without zones.
        port: Their port.
        interfaces: This machine's interfaces to probe from.
        own_port: This machine's control port.
        seconds: How long to send for memberships that are forgotten.
        on_step: Called with what is being done, for people.
    """

    def __init__(
        self,
        asked: str,
        to: Endpoint,
        groups: Sequence[str],
        port: int,
        interfaces: Sequence[Interface],
        *,
        own_port: int,
        seconds: float,
        on_step: Callable[[str], None],
    ) -> None:
        self._peer = Peer(asked, str(to))
        self._to = to
        self._groups = [(ip_address(group).version, group) for group in groups[:_MOST_GROUPS]]
        self._port = port
        self._interfaces = {one.name: one for one in interfaces[:_MOST_INTERFACES]}
        self._seconds = seconds
        self._on_step = on_step
        self._run = random.getrandbits(64)
        self._control = ControlSocket(own_port, self._take)
        self._asking = Asking(to, self._control.send)
        self._ears = Ears(self._run, own_port)
        self._listening = trio.CancelScope()
        self._arrived = ""
        self._limit = 0
        self._cases = Cases(
            self._run,
            to,
            port,
            self._interfaces,
            asking=self._asking,
            ears=self._ears,
            send_unicast=self._control.send,
            on_step=on_step,
        )
        names = [interface.name for interface in interfaces]
        self._cases.skipped += [
            *_beyond("to", groups, _MOST_GROUPS, "groups"),
            *_beyond("from", names, _MOST_INTERFACES, "interfaces"),
        ]

    async def _take(self, channel: McastChannel, datagram: Datagram) -> None:
        if starts_with_magic(datagram.data):
            self._ears.take(datagram)
        else:
            self._asking.take(datagram)

    async def run(self) -> Peer:
        """Probe, and return what was found out.

        Raises:
            McastError: The control port cannot be had.
        """
        async with trio.open_nursery() as nursery:
            await nursery.start(self._control.run)
            try:
                await self._open()
            except UnansweredError as error:
                self._peer = attrs.evolve(self._peer, problem=str(error), failed=error.failed)
            else:
                await self._probe(nursery)
            nursery.cancel_scope.cancel()
        refusals = [
            JoinRefusal("back", each.group, each.interface, each.name, each.text)
            for each in self._ears.refused
        ]
        return attrs.evolve(
            self._peer,
            cases=tuple(self._cases.done),
            skipped=tuple(self._cases.skipped),
            refusals=(*self._peer.refusals, *refusals),
        )

    async def _probe(self, nursery: trio.Nursery) -> None:
        try:
            await nursery.start(self._listen)
            start = trio.current_time()
            for target in plan_there(self._groups, list(self._interfaces)):
                if target.to == "group":
                    await trio.sleep(max(0, start + _SETTLING - trio.current_time()))
                await self._cases.there(target, COUNT, PAUSE)
            await self._all_back()
            await self._age_both(nursery)
            await self._asking.ask("close")
        except UnansweredError as error:
            self._cases.skipped.append(f"all further cases: {error}")

    # The two ends ------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Have the other machine join the groups, or join them anew."""
        self._on_step(f"asking {self._to}")
        groups = [[group, self._port] for _, group in self._groups]
        answer = await self._asking.ask("open", run=self._run, groups=groups)
        seen_as = str(answer.fields.get("seen_as", "")).partition("%")[0]
        self._arrived = str(answer.fields.get("arrived", ""))
        if not self._peer.answered:
            self._cases.links = links_in(answer)
            self._limit = self._cases.left_back = whole(answer.fields.get("probes"))
        self._peer = attrs.evolve(
            self._peer,
            answered=True,
            round_trip=self._asking.last_round_trip,
            system=str(answer.fields.get("system", ""))[:20],
            seen_as=seen_as,
            is_translated=bool(seen_as) and seen_as not in machine_addresses(),
            links=self._cases.links,
            refusals=refusals_in(answer),
        )

    async def _listen(self, *, task_status: trio.TaskStatus[None]) -> None:
        groups = [(group, self._port) for _, group in self._groups]
        with trio.CancelScope() as self._listening:
            await self._ears.listen(groups, self._interfaces.values(), task_status=task_status)

    # Back --------------------------------------------------------------------------------------

    async def _all_back(self) -> None:
        names = [link.name for link in self._peer.links if not is_loopback(link)]
        names.sort(key=lambda name: name != self._arrived)
        for target in plan_back(self._groups, names):
            if self._cases.left_back - COUNT_BACK < AGEING_BACK + REJOINED:
                why = f"the other machine sends at most {self._limit} probes"
                self._cases.skip("back", target, why)
            else:
                await self._cases.back(target, COUNT_BACK, PAUSE)

    # Ageing ------------------------------------------------------------------------------------

    async def _age_both(self, listening: trio.Nursery) -> None:
        """Send for a long time, there and back, to where probes of a group came."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._age, "there", self._cases.there, AGEING, listening)
            nursery.start_soon(self._age, "back", self._cases.back, AGEING_BACK, listening)

    async def _age(
        self, direction: Direction, send: _SendCase, count: int, listening: trio.Nursery
    ) -> None:
        came = [one for one in self._cases.done if one.direction == direction and one.to == "group"]
        first = next((one for one in came if one.came and one.ttl == FAR), None)
        if first is None:
            return
        target = Target(first.version, "group", first.destination, first.interface, FAR)
        try:
            case = await send(target, count, max(PAUSE, self._seconds / count), "ageing")
            if case is not None and is_forgotten(case):
                await self._rejoin(listening, direction)
                await trio.sleep(_SETTLING)
                await send(target, REJOINED, PAUSE, "rejoined")
        except UnansweredError as error:
            self._cases.skip(direction, target, str(error))

    async def _rejoin(self, listening: trio.Nursery, direction: Direction) -> None:
        if direction == "there":
            await self._open()
        else:
            self._listening.cancel()
            await trio.sleep(ON_THE_WAY)
            await listening.start(self._listen)


def _beyond(preposition: str, names: Sequence[str], most: int, nouns: str) -> list[str]:
    """Return what there is no probe of, with the reason, as there are too many."""
    if len(names) <= most:
        return []
    more = f" and {len(names) - most - 1} more" if len(names) > most + 1 else ""
    return [f"{preposition} {names[most]}{more}: a session has at most {most} {nouns}"]
