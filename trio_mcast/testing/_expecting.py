"""Waiting for an event of a virtual network."""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from ._event_list import Choice, VirtualTrace
from ._recorder import Recorder
from ._trace import TraceEvent

# The length of the end of the trace in the message of what did not happen.
_SHOWN_EVENTS: Final = 10


async def expect(
    recorder: Recorder, choice: Choice, within: float, since: float | None
) -> TraceEvent:
    """Return the first event that fits a choice, waiting for it if need be.

    Raises:
        AssertionError: There is none in time.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    if since is not None:
        for event in VirtualTrace(recorder):
            if event.time >= since and choice.takes(event):
                await trio.lowlevel.cancel_shielded_checkpoint()
                return event
    events: list[TraceEvent] = []
    happened = trio.Event()
    last: deque[TraceEvent] = deque(maxlen=_SHOWN_EVENTS)

    def notice(event: TraceEvent) -> None:
        last.append(event)
        if not events and choice.takes(event):
            events.append(event)
            happened.set()

    recorder.listen(notice)
    try:
        with trio.move_on_after(within):
            await happened.wait()
    finally:
        recorder.stop_listening(notice)
    if events:
        return events[0]
    shown = "".join(f"\n{event}" for event in last) or " nothing"
    raise AssertionError(f"there was no event ({choice}) within {within} s; what happened:{shown}")
