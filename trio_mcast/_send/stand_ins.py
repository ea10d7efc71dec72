"""Stand-ins for the sockets of a sender that cannot be had: each refuses whatever is to be sent."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import NoReturn, TypeAlias

import attrs

from .._host.protocols import McastSocket
from .._plan.sender import Absence
from .._plan.socket_spec import BindAddress, SocketSpec
from .._values.errors import SocketSetupError


@attrs.frozen
class Refusing:
    """A stand-in for a socket: refuses every datagram.

    Attributes:
        socket_spec: The plan that the socket carries out, or did.
        errno: The error number of the refusal.
        advice: The reason of the refusal, and what to do about it.
    """

    socket_spec: SocketSpec
    errno: int
    advice: str

    def send(self, data: bytes, address: BindAddress) -> NoReturn:
        raise OSError(self.errno, os.strerror(self.errno))

    def send_batch(self, datagrams: Sequence[bytes], start: int, address: BindAddress) -> NoReturn:
        self.send(b"", address)

    def send_timed(self, data: bytes, address: BindAddress) -> NoReturn:
        self.send(data, address)

    async def wait_writable(self) -> None:
        """Return at once: sending is not refused for lack of room."""


@attrs.frozen
class Gone(Refusing):
    """A stand-in for a socket that cannot be open now.

    Attributes:
        absence: Why it cannot.
    """

    absence: Absence

    @classmethod
    def of(cls, socket_spec: SocketSpec, absence: Absence) -> Gone:
        """Return the stand-in for the socket of a plan."""
        advice = f"{absence.reason}; the sender goes on there when that has changed"
        return cls(socket_spec, absence.errno, advice, absence)


Outlet: TypeAlias = McastSocket | Refusing


def refused(socket_spec: SocketSpec, error: SocketSetupError) -> Gone:
    """Return the stand-in for a socket that the system has refused to open."""
    return Gone.of(socket_spec, Absence(error.errno or errno.EIO, str(error)))


def port_of(outlet: Outlet) -> int:
    """Return the port that a socket sends from; 0 if there is no socket."""
    return 0 if isinstance(outlet, Refusing) else outlet.local_endpoint.port
