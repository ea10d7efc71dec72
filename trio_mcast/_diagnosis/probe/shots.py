"""Sending of the probes of one case, from either end."""

from __future__ import annotations

import errno
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import attrs
import trio

from ..._specs.sender import McastSenderSpec
from ..._values.addresses import Endpoint
from ..._values.errors import McastError, error_name
from ..._values.interface import Interface
from . import broadcast
from .control_socket import UNICAST_TTL
from .ears import explain
from .header import Header, Kind
from .measured import Destination
from .tally import sequence_of

_Send: TypeAlias = Callable[[bytes], Awaitable[None]]


@attrs.frozen
class Shot:
    """The probes of one case that are to be sent.

    Attributes:
        case: The number of the case.
        to: What they are sent to.
        destination: The group, or the address for unicast; for broadcast, an address of the other
            machine.
        port: The port.
        interface: The interface; `None` for unicast, where the route decides.
        ttl: The ttl.
        size: The bytes of each.
        count: How many.
        pause: The seconds between two.
    """

    case: int
    to: Destination
    destination: str
    port: int
    interface: Interface | None
    ttl: int
    size: int
    count: int
    pause: float


@attrs.define
class Sent:
    """The probes of a case that were sent.

    Attributes:
        count: How many.
        seconds: How long it took.
        name: The name of the error number of the last refusal; empty if there was none.
        text: The last refusal as text.
    """

    count: int = 0
    seconds: float = 0
    name: str = ""
    text: str = ""


async def fire(
    shot: Shot, run: int, send_unicast: Callable[[bytes, Endpoint], Awaitable[None]], sent: Sent
) -> None:
    """Send the probes of a case, and keep count of them. A refusal is kept, not raised.

    Args:
        shot: The case.
        run: The number of the run.
        send_unicast: Sends by the control socket.
        sent: The count.
    """
    start = trio.current_time()
    ttl = UNICAST_TTL if shot.to == "unicast" else shot.ttl
    try:
        async with _open(shot, send_unicast) as send:
            for number in range(shot.count):
                if number:
                    await trio.sleep(shot.pause)
                header = Header(
                    Kind.PROBE, run, sequence_of(shot.case, number), time.time_ns(), ttl
                )
                try:
                    await send(header.pack(shot.size))
                    sent.count += 1
                except (OSError, ValueError, McastError) as error:
                    sent.name, sent.text = _explain(error)
    except (OSError, ValueError, McastError) as error:
        sent.name, sent.text = _explain(error)
    sent.seconds = trio.current_time() - start


def _explain(error: Exception) -> tuple[str, str]:
    if isinstance(error, McastError):
        return explain(error)
    number = error.errno if isinstance(error, OSError) else None
    return error_name(number), str(error)


@asynccontextmanager
async def _open(
    shot: Shot, send_unicast: Callable[[bytes, Endpoint], Awaitable[None]]
) -> AsyncIterator[_Send]:
    if shot.to == "unicast":
        to = Endpoint(shot.destination, shot.port)

        async def send(data: bytes) -> None:
            await send_unicast(data, to)

        yield send
        return
    assert shot.interface is not None, "only unicast goes by the route"
    if shot.to == "broadcast":
        address = broadcast.broadcast_address(shot.interface, shot.destination)
        if address is None:
            raise OSError(errno.EADDRNOTAVAIL, "the interface has no broadcast address")
        target = str(address.network.broadcast_address), shot.port
        with broadcast.open_to_send(address) as sock:

            async def send_broadcast(data: bytes) -> None:
                await sock.sendto(data, target)

            yield send_broadcast
        return
    spec = McastSenderSpec(shot.destination, shot.port, interfaces=shot.interface, ttl=shot.ttl)
    async with spec.open() as sender:
        yield sender.send
