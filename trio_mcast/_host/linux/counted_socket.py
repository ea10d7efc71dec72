"""The counts of a socket on Linux, which somebody else may keep for a while."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Protocol

from ..._plan.socket_spec import SocketSpec
from ..._platform.model import Platform

if not TYPE_CHECKING or sys.platform == "linux":
    from .sending import SendingSocket

assert not TYPE_CHECKING or sys.platform == "linux"


class Counts(Protocol):
    """Keeps the counts of several sockets until somebody asks."""

    def settle(self) -> None:
        """Add to each socket's counts."""

    def part(self) -> None:
        """Add to each socket's counts, and count for the sockets no longer."""


class CountedSocket(SendingSocket):
    """A `SendingSocket` whose counts are right whenever somebody asks.

    Attributes:
        together: Keeps the counts while the socket is read together with others; `None` if it is
            read by itself.
    """

    __slots__ = ("_received", "_received_bytes", "together")

    def __init__(
        self,
        sock: socket.socket,
        socket_spec: SocketSpec,
        platform: Platform,
        applied: frozenset[str],
    ) -> None:
        self.together: Counts | None = None
        super().__init__(sock, socket_spec, platform, applied)

    @property
    def received(self) -> int:
        if self.together is not None:
            self.together.settle()
        return self._received

    @received.setter
    def received(self, count: int) -> None:
        self._received = count

    @property
    def received_bytes(self) -> int:
        if self.together is not None:
            self.together.settle()
        return self._received_bytes

    @received_bytes.setter
    def received_bytes(self, count: int) -> None:
        self._received_bytes = count

    def count(self, datagrams: int, size: int) -> None:
        """Add to the socket's own counts, without asking `together` to settle."""
        self._received += datagrams
        self._received_bytes += size
