"""Waiting for an event of a virtual network.

Decision: when a wait ends
==========================

At one time, several tasks have their turn, in Trio's order, which is random. Were a wait to end
within that time, the same test would see an event in one run and its time limit in another, and of
two events the one or the other. So it ends when all has happened that happens at that time: no task
can run any more. Then the first event of that time is known, and so is that there was none.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio
import trio.testing

from ._core import Core
from ._event_list import Choice, VirtualTrace
from ._scheduler import NS_PER_SECOND
from ._trace import TraceEvent

# The length of the end of the trace in the message of what did not happen.
_SHOWN_EVENTS: Final = 10

# How long a wait goes on, with a clock that does not stand still, until all has happened.
_MOMENT: Final = 0.001


async def expect(core: Core, choice: Choice, within: float, since: float | None) -> TraceEvent:
    """Return the first event that fits a choice, waiting for it if need be.

    Raises:
        AssertionError: There is none in time.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    recorder = core.trace
    if since is not None:
        for event in VirtualTrace(recorder):
            if event.time >= since and choice.takes(event):
                await trio.lowlevel.cancel_shielded_checkpoint()
                return event
    last_moment = core.scheduler.read_clock() + round(within * NS_PER_SECOND)
    events: list[tuple[tuple[object, ...], TraceEvent]] = []
    happened = trio.Event()
    last: deque[TraceEvent] = deque(maxlen=_SHOWN_EVENTS)

    def notice(event: TraceEvent) -> None:
        last.append(event)
        if choice.takes(event) and recorder.order[0] <= last_moment:
            place = event.where, event.interface or "", event.source or ""
            # In the order of the trace.
            events.append(((*recorder.order, *place), event))
            happened.set()

    recorder.listen(notice)
    try:
        with trio.move_on_after(within):
            await happened.wait()
        with trio.move_on_after(_MOMENT):
            await trio.testing.wait_all_tasks_blocked()
    finally:
        recorder.stop_listening(notice)
    if events:
        return min(events, key=lambda entry: entry[0])[1]
    shown = "".join(f"\n{event}" for event in last) or " nothing"
    wanted = f" ({choice})" if str(choice) else ""
    raise AssertionError(f"there was no event{wanted} within {within} s; what happened:{shown}")
