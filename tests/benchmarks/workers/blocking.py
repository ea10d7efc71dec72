"""Blocking sockets: the C library's calls from C, and the socket module's from Python."""

from __future__ import annotations

import ctypes
import socket
import struct

from .._compiler import compiled
from .._drain import Drain
from .._network import GROUP, PORT, plain_receiver, plain_sender
from .._send import Burst
from .._turns import Lost

_READ_BYTES = 2_048


def drain_c(task: Drain) -> None:
    function = compiled("recv.c").drain
    start_of_last = ctypes.create_string_buffer(8)
    with plain_receiver() as sock:

        def loop(count: int) -> bytes:
            if function(sock.fileno(), count, start_of_last):
                raise Lost(f"fewer than {count} datagrams have arrived")
            return start_of_last.raw

        task.run(loop)


def drain(task: Drain) -> None:
    with plain_receiver() as sock:

        def loop(count: int) -> bytes:
            for _ in range(count):
                last, _source = sock.recvfrom(_READ_BYTES)
            return last

        task.run(loop)


def send_c(task: Burst) -> None:
    function = compiled("send.c").send_all
    # struct sockaddr_in
    name = struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", PORT, socket.inet_aton(GROUP))
    data, count = b"".join(task.payloads), len(task.payloads)
    with plain_sender() as sock:

        def at_once() -> None:
            if function(sock.fileno(), name, len(name), data, len(data) // count, count):
                raise Lost("the kernel refused a datagram")

        task.run(at_once)


def send(task: Burst) -> None:
    with plain_sender() as sock:

        def loop() -> None:
            for payload in task.payloads:
                sock.sendto(payload, (GROUP, PORT))

        task.run(loop)
