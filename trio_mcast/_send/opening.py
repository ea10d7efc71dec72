"""Opening a sender."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from .._host.current import current_host
from .._live import at_end, running
from .._plan.wanted import SendRequest
from .outlets import Outlets
from .sender import McastSender
from .transmitter import SenderOverflow


@asynccontextmanager
async def open_sender(
    request: SendRequest, *, overflow: SenderOverflow
) -> AsyncIterator[McastSender]:
    """Open a sender for a request, and run the sender for the length of the block."""
    host = current_host()
    await trio.lowlevel.checkpoint()
    outlets = Outlets(host, request)
    with at_end(outlets.close):
        await outlets.settle()
        sender = McastSender._create(
            outlets, send_buffer_asked=request.send_buffer_size, overflow=overflow
        )
        async with running(sender._run, sender.close, name="sender"):
            yield sender
