"""What all parts of one virtual network share: its clock, its trace, and whether it is open."""

from __future__ import annotations

import trio

from ._scheduler import NS_PER_SECOND, Scheduler
from ._trace import EventKind, Trace, TraceEvent


class _Turns(trio.abc.Instrument):
    """Counts Trio's turns. Only their order counts: how many pass without an event is no matter."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def before_io_wait(self, timeout: float) -> None:
        """Called between two turns."""
        self._trace.turn += 1


class Core:
    """Made when a network is entered, and asked by all its parts."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.trace = Trace()
        self.turns = _Turns(self.trace)
        self.scheduler = Scheduler(self.trace)
        self.is_open = True
        self._interfaces = 0

    def enter(self) -> None:
        """At the start of whatever a program does: check, and let happen what is due by now.

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
        """A number for an interface, in the order in which they are plugged in."""
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
