"""Datagram protocols of asyncio and of uvloop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

from .._drain import Drain
from .._latency import Quiet
from .._network import GROUP, PORT, SENDER_ADDRESS, plain_receiver, plain_sender
from .._send import Burst


class _Counting(asyncio.DatagramProtocol):
    """Counts down, and tells when it has arrived at zero."""

    def __init__(self, each: Callable[[bytes], None] | None = None) -> None:
        self.last = b""
        self._each = each
        self._left = 0
        self._done: asyncio.Future[None] | None = None

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self._each is not None:
            self._each(data)
        self.last = data
        self._left -= 1
        if not self._left and self._done is not None:
            self._done.set_result(None)

    def expect(self, count: int) -> asyncio.Future[None]:
        self._left = count
        self._done = asyncio.get_running_loop().create_future()
        return self._done


async def _open(
    sock: socket.socket, protocol: _Counting
) -> tuple[asyncio.DatagramTransport, _Counting]:
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    return await loop.create_datagram_endpoint(lambda: protocol, sock=sock)


async def _drain(task: Drain) -> None:
    transport, protocol = await _open(plain_receiver(), _Counting())

    async def by_protocol(count: int) -> bytes:
        await protocol.expect(count)
        return protocol.last

    await task.run_async(by_protocol)
    transport.close()


async def _quiet(task: Quiet) -> None:
    transport, protocol = await _open(plain_receiver(), _Counting(task.arrived))
    for _ in task:
        await protocol.expect(task.count)
    transport.close()


async def _send(task: Burst) -> None:
    sock = plain_sender()
    sock.bind((SENDER_ADDRESS, 0))  # uvloop takes no socket without an address.
    transport, _protocol = await _open(sock, _Counting())

    async def loop() -> None:
        for payload in task.payloads:
            transport.sendto(payload, (GROUP, PORT))
        # What uvloop has put off is sent now.
        await asyncio.sleep(0)

    await task.run_async(loop)
    transport.close()


def _run_uvloop(main: Coroutine[Any, Any, None]) -> None:
    # By name, and only here: it may not be installed, and types are checked all the same.
    import_module("uvloop").run(main)


def drain_asyncio(task: Drain) -> None:
    asyncio.run(_drain(task))


def drain_uvloop(task: Drain) -> None:
    _run_uvloop(_drain(task))


def quiet_asyncio(task: Quiet) -> None:
    asyncio.run(_quiet(task))


def quiet_uvloop(task: Quiet) -> None:
    _run_uvloop(_quiet(task))


def send_asyncio(task: Burst) -> None:
    asyncio.run(_send(task))


def send_uvloop(task: Burst) -> None:
    _run_uvloop(_send(task))
