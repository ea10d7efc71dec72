"""Waiting for an event of a virtual network."""

from __future__ import annotations

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
    trace = VirtualTrace(recorder)
    before = len(trace)
    if since is not None:
        for event in trace:
            if event.time >= since and choice.takes(event):
                await trio.lowlevel.cancel_shielded_checkpoint()
                return event
    events: list[TraceEvent] = []
    happened = trio.Event()

    def notice(event: TraceEvent) -> None:
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
    last = trace[max(before, len(trace) - _SHOWN_EVENTS) :]
    shown = "".join(f"\n{event}" for event in last) or " nothing"
    raise AssertionError(f"there was no event ({choice}) within {within} s; what happened:{shown}")
