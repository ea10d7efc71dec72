"""Opening a sender."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from trio.lowlevel import enable_ki_protection

from .._host.current import current_host
from .._live import closing_each, running
from .._plan.wanted import SendRequest
from .outlets import Outlets
from .sender import McastSender
from .transmitter import SenderOverflow

# How long opening waits for an address that is being checked, and how often it looks meanwhile.
# Linux takes up to 2 seconds: it begins within the first, and waits for one more (6.18, measured).
_CHECK_SECONDS = 3.0
_LOOKS_SECONDS = 0.1


@asynccontextmanager
async def open_sender(
    request: SendRequest, *, overflow: SenderOverflow
) -> AsyncIterator[McastSender]:
    """Open a sender for a request, and run the sender for the length of the block."""
    host = current_host()
    await trio.lowlevel.checkpoint()
    outlets = Outlets(host, request)
    with closing_each(outlets):
        sender = McastSender._create(
            outlets, send_buffer_asked=request.send_buffer_size, overflow=overflow
        )
        await outlets.open()
        await settle(outlets)
        async with running(sender._run, sender.close, name="sender"):
            yield sender


@enable_ki_protection  # Else Ctrl-C could come between the end of the wait and that of its scope.
async def settle(outlets: Outlets) -> None:
    """Wait for an address that is being checked, if nothing can be sent without it.

    A checkpoint only where it waits. Whatever cannot be had in the end comes later.
    """
    with trio.move_on_after(_CHECK_SECONDS):
        while not outlets.open_sockets and outlets.waits_for_check:
            await trio.sleep(_LOOKS_SECONDS)
            await outlets.look_now()
