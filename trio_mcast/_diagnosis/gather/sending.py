"""The datagrams that a sender sends when it is asked to, and what becomes of them here."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

import trio

from ..._send.sender import McastSender
from ..._specs.sender import McastSenderSpec
from ..._values.errors import McastError
from ..._values.interface import Interface
from ..evidence import Question, Refusal, Sent
from ..probe.header import Header, Kind
from .listening import refusal_of
from .replies import Replies

# The last of the datagrams goes when this part of the time is over: what is left is for replies.
_SENDING_PART: Final = 0.6
_LONGEST_PAUSE_SECONDS: Final = 0.1
# Enough for every router of a network (arbitrary), where one stands between.
_ROUTED_TTL: Final = 32


class Mouth:
    """A sender to one group, and how its datagrams fared.

    Args:
        question: The question.
        group: The group.
        interface: The interface that was named; `None` for the one that the system chooses.
        count: The number of datagrams to send.
    """

    def __init__(
        self, question: Question, group: str, interface: Interface | None, count: int
    ) -> None:
        self._question = question
        self._group = group
        self._selector = interface
        self._count = count
        self._interface = "" if interface is None else str(interface)
        self._tried = self._sent = self._replied = 0
        self._refusal: Refusal | None = None
        self._replies = Replies()
        self._is_absent = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send, then receive replies until cancelled. A refusal is kept, not raised."""
        port, ttl = self._question.port, _ROUTED_TTL if self._question.routed else 1
        assert port is not None
        has_started = False
        try:
            spec = McastSenderSpec(
                self._group.partition("%")[0],
                port,
                interfaces=self._selector,
                ttl=ttl,
                receive_replies=True,
            )
            async with spec.open() as sender, trio.open_nursery() as nursery:
                self._interface = ", ".join(map(str, sender.interfaces)) or self._interface
                self._replies.open({endpoint.port for endpoint in sender.local_endpoints})
                nursery.start_soon(self._receive, sender)
                task_status.started()
                has_started = True
                await self._send(sender, ttl)
        except McastError as error:
            self._refusal = refusal_of(error)
        except ValueError:
            self._is_absent = True  # The group and the interface do not go together.
        finally:
            self._replies.close()
        if not has_started:
            task_status.started()

    async def _send(self, sender: McastSender, ttl: int) -> None:
        pause = self._question.listen_seconds * _SENDING_PART / self._count
        run = random.getrandbits(64)
        for number in range(self._count):
            data = Header(Kind.NUMBERED, run, number, ttl=ttl).pack()
            self._tried += 1
            try:
                await sender.send(data)
                self._sent += 1
            except McastError as error:
                self._refusal = refusal_of(error)
            await trio.sleep(min(_LONGEST_PAUSE_SECONDS, pause))

    async def _receive(self, sender: McastSender) -> None:
        async for _ in sender.replies:
            self._replied += 1

    def sent(self) -> Iterator[Sent]:
        """Yield the numbers, as evidence, unless there can be no such sender."""
        if not self._is_absent:
            yield Sent(
                self._group,
                self._interface,
                self._tried,
                self._sent,
                self._refusal,
                self._replied,
                self._replies.count,
            )
