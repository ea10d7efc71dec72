"""The control messages by which the two ends of a probe agree. Pure.

A message is one JSON object in one unicast datagram, to the control port of the responder or back
to the port that asked::

    {"trio-mcast": 1, "kind": "mark", "id": 7, "token": "d0f1...", ...}

``trio-mcast`` is the version, ``kind`` one of `MESSAGES`, ``id`` the number of the request, which
its answer repeats. A request is filled up with spaces to `MOST_BYTES`, so that there is room for
an answer that is no larger. Names that are unknown are left.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from ..._values.addresses import Endpoint

CONTROL_PORT: Final = 27430
"""The control port at both ends unless another one is named; arbitrary, and not registered."""

MOST_BYTES: Final = 1_200
"""The bytes of a request, and the most that an answer has: they fit into any packet of IPv6."""

ATTEMPTS: Final = 4
"""How often a request is sent until it counts as unanswered."""

_VERSION: Final = 1
_MOST_NUMBER: Final = 2**64 - 1

MESSAGES: Final[Mapping[str, str]] = {
    "open": "opened",
    "mark": "marked",
    "result": "results",
    "send": "sending",
    "close": "closed",
    "measure": "measured",
}
"""The kinds of requests, each with the kind of its answer. To any request, the answer may be
``"refused"`` with the reason in ``why``; to ``open`` and ``measure``, also ``"challenge"`` with a
``token``, with which the request is to be repeated: so nothing is done for an address that does not
exist.
"""

_KINDS: Final = frozenset((*MESSAGES, *MESSAGES.values(), "refused", "challenge"))


@attrs.frozen
class Message:
    """One control message.

    Attributes:
        kind: The kind.
        id: The number of the request.
        fields: The other members of the object.
    """

    kind: str
    id: int
    fields: Mapping[str, Any] = attrs.Factory(dict)

    def answer(self, **fields: Any) -> Message:
        """Return the answer to this request."""
        return Message(MESSAGES[self.kind], self.id, fields)

    def refuse(self, why: str) -> Message:
        """Return the answer that this request is refused."""
        return Message("refused", self.id, {"why": why})

    def encode(self, *, size: int = 0) -> bytes:
        """Return the message as bytes, filled up to a size."""
        content = {"trio-mcast": _VERSION, "kind": self.kind, "id": self.id, **self.fields}
        return json.dumps(content, separators=(",", ":")).encode().ljust(size)

    @classmethod
    def decode(cls, data: bytes) -> Message:
        """Return the message in a datagram.

        Raises:
            ValueError: It is larger than a message may be, no JSON object, of an unknown version
                or kind, or without a number.
        """
        if len(data) > MOST_BYTES:
            raise ValueError(f"a control message has at most {MOST_BYTES} bytes, not {len(data)}")
        try:
            content = json.loads(data.decode())
        except RecursionError:
            raise ValueError("the control message is nested too deeply") from None
        if not isinstance(content, dict):
            raise ValueError("a control message is a JSON object")
        version, kind = content.pop("trio-mcast", None), content.pop("kind", None)
        if isinstance(version, bool) or version != _VERSION:
            raise ValueError(f"the control message has version {version!r:.20}, not {_VERSION}")
        if not isinstance(kind, str) or kind not in _KINDS:
            raise ValueError(f"the control message has the unknown kind {kind!r:.40}")
        number = cls(kind, 0, content).number("id")
        del content["id"]
        return cls(kind, number, content)

    def number(self, name: str, least: int = 0, most: int = _MOST_NUMBER) -> int:
        """Return a field that is a whole number.

        Raises:
            ValueError: There is none, or it is out of range.
        """
        value = self.fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{name} must be a whole number from {least} to {most}")
        return value

    def text(self, name: str, most: int = 100) -> str:
        """Return a field that is a text.

        Raises:
            ValueError: There is none, or it is too long.
        """
        value = self.fields.get(name)
        if not isinstance(value, str) or len(value) > most:
            raise ValueError(f"{name} must be a text of at most {most} characters")
        return value

    def members(self, name: str, most: int = 64) -> list[Any]:
        """Return a field that is a list.

        Raises:
            ValueError: There is none, or it is too long.
        """
        value = self.fields.get(name)
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"{name} must be a list of at most {most}")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a field that is an object.

        Raises:
            ValueError: There is none.
        """
        value = self.fields.get(name)
        if not isinstance(value, dict):
            raise ValueError(f"{name} must be an object")
        return value


def token_for(secret: bytes, source: Endpoint) -> str:
    """Return what proves that a request comes from an address: only it was told."""
    return hmac.new(secret, str(source).encode(), hashlib.sha256).hexdigest()[:32]


def is_token_of(token: object, secret: bytes, source: Endpoint) -> bool:
    """Tell whether a token is the one of an address."""
    if not isinstance(token, str):
        return False
    return hmac.compare_digest(token.encode("utf-8", "replace"), token_for(secret, source).encode())
