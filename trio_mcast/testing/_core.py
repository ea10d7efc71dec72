"""The core of one virtual network, shared by all parts: the clock, the trace, the open state."""

from __future__ import annotations

import trio

from ._scheduler import NS_PER_SECOND, Scheduler
from ._trace import EventKind, Trace, TraceEvent


class _Turns(trio.abc.Instrument):
    """A counter of Trio's turns. Only the order counts; empty turns make no difference."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def before_io_wait(self, timeout: float) -> None:
        """Count a turn; Trio calls this between two turns."""
        self._trace.turn += 1


class Core:
    """The core of one network, made when the network is entered, and asked by all parts."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.trace: Trace = Trace()
        self.turns: _Turns = _Turns(self.trace)
        self.scheduler: Scheduler = Scheduler(self.trace)
        self.is_open = True
        self._interfaces = 0

    def enter(self) -> None:
        """Check that the network is open, and let happen whatever is due by now.

        Every call of a program into the network begins with this.

        Raises:
            RuntimeError: The network has been left.
        """
        if not self.is_open:
            raise RuntimeError(
                "this virtual network has ended: its hosts are used inside "
                "'async with VirtualNetwork()' only"
            )
        now = self.scheduler.now_ns()
        self.trace.begin(now, None)
        self.scheduler.run_due()
        self.trace.begin(now, trio.lowlevel.current_task())

    def new_number(self) -> int:
        """Return a number for an interface: numbers follow the order of plugging in."""
        self._interfaces += 1
        return self._interfaces

    def record(
        self,
        where: str,
        what: EventKind,
        *,
        interface: str | None = None,
        destination: object = None,
        source: object = None,
        data: bytes | None = None,
        reason: str = "",
    ) -> None:
        """Take an event down."""
        self.trace.add(
            TraceEvent(
                self.scheduler.now_ns() / NS_PER_SECOND,
                where,
                what,
                interface,
                None if destination is None else str(destination),
                None if source is None else str(source),
                data,
                reason,
            )
        )
