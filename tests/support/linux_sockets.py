"""Sockets of the fast path on Linux, without a receiver, and what they are sent and have read."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from tests.lab import Host
from tests.lab.machine import LabMachine
from tests.support.traffic import PORT
from trio_mcast import Datagram, McastReceiverSpec
from trio_mcast._host.portable_socket import PosixSocket

if sys.platform != "linux":
    pytest.skip("the fast path is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import fast_path

UDP_SEGMENT, UDP_GRO = 103, 104  # linux/udp.h
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
# The reader's limit for one turn.
TURN = 512


def open_sockets(
    stack: ExitStack, host: Host, groups: str | Sequence[str], interface: str = "lo", **options: Any
) -> list[PosixSocket]:
    """Open the sockets of a receiver without the receiver; the stack closes them."""
    machine = LabMachine(host)
    spec = McastReceiverSpec(groups, PORT, interfaces=interface, **options)
    sockets: list[PosixSocket] = []
    for socket_spec in spec.plan(machine.list_interfaces()):
        sock = machine.open_socket(socket_spec)
        # Its own close tells Trio, which is not running here.
        assert isinstance(sock, fast_path.LinuxSocket)
        stack.callback(sock._sock.close)
        # Room for everything that a test sends before it reads, whatever the limit of the machine.
        sock._sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 * 1024**2)
        sockets.append(sock)
    return sockets


def send_unit(sock: socket.socket, to: tuple[str, int], data: bytes, size: int) -> None:
    """Send datagrams of one size as one unit; the last may be shorter."""
    control = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", size))]
    assert sock.sendmsg([data], control, 0, to) == len(data)


def read_all(sock: PosixSocket, turn: int = TURN) -> list[Datagram]:
    """Read everything that waits, turn by turn."""
    datagrams: list[Datagram] = []
    while batch := sock.receive(turn):
        datagrams += batch
    return datagrams


def read_until(sock: PosixSocket, count: int, turn: int = TURN) -> list[Datagram]:
    """Read turn by turn until so many datagrams have come; no turn may be in vain."""
    datagrams: list[Datagram] = []
    while len(datagrams) < count:
        batch = sock.receive(turn)
        assert batch
        datagrams += batch
    return datagrams


def numbered(count: int, size: int = 64) -> list[bytes]:
    """Return so many payloads of one size, each of which is a number."""
    return [b"%0*d" % (size, number) for number in range(count)]
