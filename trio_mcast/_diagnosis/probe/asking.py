"""`Asking`: requests to a responder, each repeated until it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from ..._values.addresses import Endpoint
from ..._values.datagram import Datagram
from ..._values.errors import McastError
from .control import ATTEMPTS, MESSAGES, MOST_BYTES, Message
from .measured import Failed

# How long the first answer is waited for; then twice as long each time.
_FIRST_WAIT: Final = 0.25


class UnansweredError(Exception):
    """A request has no answer, or was refused; the text says why, and ``failed`` what failed."""

    def __init__(self, why: str, failed: Failed) -> None:
        super().__init__(why)
        self.failed: Failed = failed


class Asking:
    """Requests to one responder, one at a time.

    Args:
        to: The responder's address and control port.
        send: Sends a datagram by unicast.

    Attributes:
        last_round_trip: The seconds from the last request to its answer, of those not repeated.
    """

    def __init__(self, to: Endpoint, send: Callable[[bytes, Endpoint], Awaitable[None]]) -> None:
        self.last_round_trip: float | None = None
        self._to = to
        self._send = send
        self._turn = trio.Lock()
        self._number = 0
        self._token = ""
        self._answer: Message | None = None
        self._has_answer = trio.Event()

    def take(self, datagram: Datagram) -> None:
        """Take a datagram that came to the control port: maybe it is the answer."""
        if datagram.source.port != self._to.port:
            return
        try:
            message = Message.decode(datagram.data)
        except ValueError:
            return
        if message.id == self._number and message.kind not in MESSAGES:
            self._answer = message
            self._has_answer.set()

    async def ask(self, kind: str, **fields: Any) -> Message:
        """Send a request, up to four times, and return the answer.

        Raises:
            UnansweredError: No answer came, or the request was refused.
        """
        async with self._turn:
            answer = await self._ask(kind, fields)
            if answer.kind == "challenge":
                token = answer.fields.get("token")
                self._token = token if isinstance(token, str) else ""
                answer = await self._ask(kind, fields)
        if answer.kind != MESSAGES[kind]:
            why = str(answer.fields.get("why", "it asks for a token again"))[:200]
            raise UnansweredError(why, "refused")
        return answer

    async def _ask(self, kind: str, fields: dict[str, Any]) -> Message:
        self._number += 1
        self._has_answer = trio.Event()
        request = Message(kind, self._number, {"token": self._token, **fields})
        data = request.encode(size=MOST_BYTES)
        problem = ""
        for attempt in range(ATTEMPTS):
            start = trio.current_time()
            try:
                await self._send(data, self._to)
                problem = ""
            except (McastError, ValueError) as error:
                problem = str(error)
            with trio.move_on_after(_FIRST_WAIT * 2**attempt):
                await self._has_answer.wait()
                if not attempt:
                    self.last_round_trip = trio.current_time() - start
                assert self._answer is not None, "the event is set with the answer"
                return self._answer
        if problem:
            raise UnansweredError(problem, "send")
        raise UnansweredError(f"none of {ATTEMPTS} requests was answered", "answer")
