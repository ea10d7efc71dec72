"""The core of one virtual network, shared by all parts: the clock, the trace, the open state."""

from __future__ import annotations

import trio

from ._scheduler import NS_PER_SECOND, Scheduler
from ._trace import EventKind, Trace, TraceEvent


class _Tasks(trio.abc.Instrument):
    """An observer of Trio's tasks: who wakes whom, and when no task can run."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._ready: set[trio.lowlevel.Task] = set()

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """Note that a task can run; Trio calls this within the step of whoever wakes the task."""
        self._ready.add(task)
        self._trace.wake(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note that a task runs."""
        self._ready.discard(task)
        self._trace.resume(task)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note that no task runs."""
        self._trace.resume(None)

    def before_io_wait(self, timeout: float) -> None:
        """Note a rest, if no task can run; Trio calls this between two turns."""
        if not self._ready:
            self._trace.rests += 1


class Core:
    """The core of one network, made when the network is entered, and asked by all parts."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.trace: Trace = Trace()
        self.tasks: _Tasks = _Tasks(self.trace)
        self.scheduler: Scheduler = Scheduler(self.trace)
        self.is_open = True
        self._interfaces = 0

    def enter(self, place: str = "") -> None:
        """Check that the network is open, and let happen whatever is due by now.

        Every call of a program into the network begins with this.

        Args:
            place: The name of the host, switch or router at which the program acts.

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
        self.trace.begin(now, trio.lowlevel.current_task(), place)

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
