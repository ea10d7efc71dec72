"""Receivers for what was written on the command line: one for each port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import trio

from .. import Datagram, McastReceiver, ReceiverStatistics, open_mcast_receiver
from .._values.errors import printable
from .rendering import counted
from .targets import Joining


@asynccontextmanager
async def open_receivers(
    joins: Mapping[int, tuple[Joining, ...]], **options: Any
) -> AsyncIterator[dict[int, McastReceiver]]:
    """Open a receiver for each port, with all of its joins, for the length of a block.

    Args:
        joins: The joins by port, as `plan_joins` returns them.
        options: Further arguments of `open_mcast_receiver`.

    Raises:
        ValueError: Arguments contradict each other.
        McastError: A receiver cannot be opened, as for `open_mcast_receiver`.
    """
    receivers: dict[int, McastReceiver] = {}
    async with AsyncExitStack() as stack:
        for port, (first, *others) in joins.items():
            receiver = await stack.enter_async_context(
                open_mcast_receiver(port=port, **attrs.asdict(first, recurse=False), **options)
            )
            for joining in others:
                await receiver.join(**attrs.asdict(joining, recurse=False))
            receivers[port] = receiver
        yield receivers


@asynccontextmanager
async def open_batches(
    receivers: Mapping[int, McastReceiver],
) -> AsyncIterator[trio.MemoryReceiveChannel[list[Datagram]]]:
    """Give the batches of all receivers, as they come, for the length of a block."""
    send, receive = trio.open_memory_channel[list[Datagram]](0)

    async def hand_on(receiver: McastReceiver) -> None:
        async for batch in receiver.batches():
            await send.send(batch)

    async with trio.open_nursery() as nursery:
        for receiver in receivers.values():
            nursery.start_soon(hand_on, receiver)
        yield receive
        nursery.cancel_scope.cancel()


def describe_counts(all_counts: Mapping[int, ReceiverStatistics]) -> list[str]:
    """Return lines that tell what came and what was lost, in all and by membership.

    Args:
        all_counts: The statistics by port.
    """
    received = sum(counts.received for counts in all_counts.values())
    size = sum(counts.received_bytes for counts in all_counts.values())
    kernel = [counts.dropped_by_kernel for counts in all_counts.values()]
    policy = sum(counts.dropped_by_policy for counts in all_counts.values())
    known = [count for count in kernel if count is not None]
    by_kernel = f"{sum(known):,}" if len(known) == len(kernel) else "unknown"
    lines = [
        f"{counted(received)}, {counted(size, 'byte')}; "
        f"dropped by the kernel: {by_kernel}, by policy: {policy:,}"
    ]
    for port, counts in all_counts.items():
        for membership in counts.memberships:
            dropped = membership.dropped_by_kernel
            place = "unicast" if membership.group is None else membership.group
            line = (
                f"  {place} port {port} on {printable(membership.interface.name)}: "
                f"{counted(membership.received)}, "
                f"{counted(membership.received_bytes, 'byte')}; dropped by the "
                f"kernel: {'unknown' if dropped is None else f'{dropped:,}'}, "
                f"by policy: {membership.dropped_by_policy:,}"
            )
            if membership.rejected:
                reasons = ", ".join(
                    f"{count:,} {reason}" for reason, count in membership.rejections
                )
                line += f"; rejected: {reasons}"
            lines.append(line)
    return lines
