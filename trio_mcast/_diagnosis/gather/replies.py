"""The unicast datagrams that reach this machine for some ports, as root sees them."""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import Final

from ..._host.current import current_host
from ..._host.facts import open_frames_to_port
from ..._host.system import SystemHost

# linux/if_packet.h: a packet to this machine alone.
_PACKET_HOST: Final = 0


class Replies:
    """The datagrams for some ports that came to this machine, whatever became of them then.

    Attributes:
        count: How many came, once closed; `None` if they could not be seen.
    """

    def __init__(self) -> None:
        self.count: int | None = None
        self._sockets: list[socket.socket] = []

    def open(self, ports: Collection[int]) -> None:
        """Begin to see them, if the system lets it. Those of a virtual host are not seen."""
        if type(current_host()) is not SystemHost:
            return
        for port in ports:
            try:
                sock = open_frames_to_port(port)
            except OSError:
                continue  # It takes CAP_NET_RAW.
            if sock is not None:
                self._sockets.append(sock)

    def close(self) -> None:
        """Count what came, and close. What exceeds the buffers is not counted."""
        for sock in self._sockets:
            with sock:
                self.count = (self.count or 0) + _count(sock)
        self._sockets.clear()


def _count(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            _data, (_name, _protocol, kind, _hardware, _link) = sock.recvfrom(1)
        except BlockingIOError:
            return count
        except OSError:
            continue  # An interface has gone down; the error is told once.
        count += kind == _PACKET_HOST
