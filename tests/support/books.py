"""Books that are kept of made-up sockets: a ledger, a queue, and sockets that come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import attrs

from tests.support.interfaces import ETH0
from trio_mcast import (
    Datagram,
    DatagramCounts,
    Endpoint,
    Interface,
    MembershipStatistics,
    SocketSpec,
)
from trio_mcast._host.protocols import McastSocket, Rejection
from trio_mcast._receive.latest import queue_for
from trio_mcast._receive.ledger import Ledger
from trio_mcast._receive.store import Overflow
from trio_mcast._values.statistics import add_up

SOURCE = Endpoint("10.0.0.9", 5000)
GROUP, OTHER = "239.1.2.3", "ff05::1:2:3"


@attrs.define(eq=False)
class FakeSocket:
    """A socket that reads and counts what a test says."""

    socket_spec: SocketSpec
    received: int = 0
    received_bytes: int = 0
    rejected: Counter[Rejection] = attrs.Factory(Counter)
    # What the kernel counts: an unsigned integer of 32 bits, or nothing at all.
    drops: int | None = 0

    def dropped(self) -> int | None:
        return self.drops

    def drop(self, count: int) -> None:
        assert self.drops is not None
        self.drops = (self.drops + count) % 2**32

    def read(self, count: int, size: int = 1) -> list[Datagram]:
        self.received += count
        self.received_bytes += count * size
        group, interface = self.socket_spec.group, self.socket_spec.interface
        return [Datagram(b"x" * size, SOURCE, group, interface) for _ in range(count)]


class Books:
    """A ledger with sockets that come and go, and a queue."""

    def __init__(
        self, max_buffered: int = 10_000, overflow: Overflow = "wait", **options: Any
    ) -> None:
        self.sockets: list[FakeSocket] = []
        self.queue = queue_for(max_buffered, overflow)
        self.ledger = Ledger(
            lambda: cast(Iterator[McastSocket], iter(self.sockets)), self.queue, **options
        )

    def open(
        self, group: str | None = GROUP, interface: Interface = ETH0, drops: int | None = 0
    ) -> FakeSocket:
        spec = SocketSpec("ipv4", interface, group, (), ("", 5000), ())
        self.sockets.append(FakeSocket(spec, drops=drops))
        return self.sockets[-1]

    def close(self, sock: FakeSocket) -> None:
        self.ledger.keep_counts(cast(McastSocket, sock))
        self.sockets.remove(sock)

    def memberships(self) -> dict[tuple[str | None, str], MembershipStatistics]:
        memberships = self.ledger.memberships()
        by_key = {(each.group, each.interface.name): each for each in memberships}
        assert len(by_key) == len(memberships), "each once"
        return by_key

    def only(self) -> MembershipStatistics:
        (membership,) = self.ledger.memberships()
        return membership

    def total(self) -> DatagramCounts:
        return add_up([*self.ledger.memberships(), self.ledger.earlier])
