"""`DropRule`: datagrams that a test chooses, and that a switch drops."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TypeAlias

import attrs

from .._values.addresses import Endpoint
from ._arguments import FixedAttributes
from ._frames import Packet


@attrs.frozen
class DatagramOnLink:
    """A datagram on its way through a switch to one receiver."""

    sender: str
    """The interface that it comes from, as ``"host/interface"``; of a replayed one, the switch."""
    receiver: str
    """The interface that it goes to, as ``"host/interface"``."""
    source: Endpoint
    """The address and port that it was sent from."""
    destination: Endpoint
    """The group or address, and port, that it was sent to."""
    data: bytes
    """The payload."""
    ttl: int
    """The ttl, or hop limit."""
    traffic_class: int
    """The type of service, or traffic class."""


Predicate: TypeAlias = Callable[[DatagramOnLink], object]


class DropRule(FixedAttributes):
    """A rule of a switch by which datagrams are dropped; made by `VirtualSwitch.drop`.

    It holds until `end`, or until the end of a ``with`` block.
    """

    def __init__(self, predicate: Predicate, end: Callable[[DropRule], None]) -> None:
        self._predicate = predicate
        self._end = end
        self._dropped = 0

    def __repr__(self) -> str:
        return f"<DropRule {self._predicate!r} ({self._dropped} dropped)>"

    def __enter__(self) -> DropRule:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    @property
    def dropped(self) -> int:
        """The number of datagrams that were dropped, once for each receiver."""
        return self._dropped

    def end(self) -> None:
        """End the rule: from now on it drops nothing. Idempotent."""
        self._end(self)

    def drops(self, sender: str, receiver: str, packet: Packet) -> bool:
        """Tell whether the rule drops a datagram, and count it. For the switch only."""
        datagram = DatagramOnLink(
            sender,
            receiver,
            Endpoint(*packet.sender),
            Endpoint(str(packet.destination), packet.port),
            packet.data,
            packet.ttl,
            packet.traffic_class,
        )
        if not self._predicate(datagram):
            return False
        self._dropped += 1
        return True
