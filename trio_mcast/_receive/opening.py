"""Opening a receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

import trio

from .._follow import Follower
from .._host.current import current_host
from .._live import closing_each, running
from .._plan.common_options import DEFAULT_RECEIVE_BUFFER_BYTES
from .._plan.wanted import ReceiveRequest
from .intake import Intake
from .joining import Joining
from .latest import queue_for
from .memberships import Memberships
from .reader import Sift
from .receiver import McastReceiver
from .store import Overflow

_Receiver = TypeVar("_Receiver", bound=McastReceiver)


@asynccontextmanager
async def opened(
    request: ReceiveRequest,
    *,
    follow_interfaces: bool,
    allow_missing: bool,
    max_buffered: int,
    overflow: Overflow,
    make: Callable[..., Awaitable[_Receiver]],
    sift: Sift | None = None,
    owner: str = "this receiver",
) -> AsyncIterator[_Receiver]:
    """Open a receiver of some kind for a request, and run it for the length of the block.

    Args:
        request: The request.
        follow_interfaces: As for `open_mcast_receiver`.
        allow_missing: As for `open_mcast_receiver`.
        max_buffered: As for `open_mcast_receiver`.
        overflow: As for `open_mcast_receiver`.
        make: Makes the receiver.
        sift: Takes out of what was read what is not to be delivered.
        owner: The receiver as its errors call it.
    """
    host = current_host()
    await trio.lowlevel.checkpoint()
    intake = Intake(
        host,
        queue_for(max_buffered, overflow, owner),
        buffer_asked=request.receive_buffer_size or DEFAULT_RECEIVE_BUFFER_BYTES,
        sift=sift,
    )
    # Before the first look: what changes after it is then noticed, too.
    follower = Follower(host.watch() if follow_interfaces else None, host)
    with closing_each(intake, follower):
        memberships = Memberships(host, intake, follower)
        await Joining(memberships).join_first(request, strict=not allow_missing)
        receiver = await make(request, intake, memberships, allow_missing=allow_missing)
        async with running(receiver._run, receiver.close, name="receiver"):
            yield receiver


def open_receiver(
    request: ReceiveRequest,
    *,
    follow_interfaces: bool,
    allow_missing: bool,
    max_buffered: int,
    overflow: Overflow,
) -> AbstractAsyncContextManager[McastReceiver]:
    """Open a receiver for a request, and run it for the length of the block."""
    return opened(
        request,
        follow_interfaces=follow_interfaces,
        allow_missing=allow_missing,
        max_buffered=max_buffered,
        overflow=overflow,
        make=_make,
    )


async def _make(
    request: ReceiveRequest, intake: Intake, memberships: Memberships, *, allow_missing: bool
) -> McastReceiver:
    return McastReceiver._create(request, intake, memberships, allow_missing=allow_missing)
