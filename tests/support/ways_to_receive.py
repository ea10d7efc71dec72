"""Each way to take datagrams from a receiver, or from a sender's replies, as one call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from trio_mcast import DatagramReceiver

Call = Callable[[DatagramReceiver], Awaitable[object]]


async def _nowait(receiver: DatagramReceiver) -> object:
    return receiver.receive_nowait()


CALLS: dict[str, Call] = {
    "receive": lambda receiver: receiver.receive(),
    "receive_nowait": _nowait,
    "receive_batch": lambda receiver: receiver.receive_batch(),
    "async for": lambda receiver: receiver.__anext__(),
    "batches": lambda receiver: anext(receiver.batches()),
}
EVERY_CALL = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
