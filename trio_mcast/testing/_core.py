"""The core of one virtual network, shared by all parts: the clock, the trace, the open state."""

from __future__ import annotations

import trio

from ._recorder import Recorder, Subject
from ._scheduler import Scheduler
from ._trace import EventKind


class _Tasks(trio.abc.Instrument):
    """An observer of Trio's tasks: who wakes whom, and when no task can run."""

    def __init__(self, trace: Recorder, scheduler: Scheduler) -> None:
        self._trace = trace
        self._scheduler = scheduler
        self._ready: set[trio.lowlevel.Task] = set()

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """Note that a task can run; Trio calls this within the step of whoever wakes the task."""
        self._ready.add(task)
        self._trace.wake(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note that a task runs."""
        self._ready.discard(task)
        self._trace.resume(task)

    def after_io_wait(self, timeout: float) -> None:
        """Read the clock once for all the tasks of a turn; Trio calls this before they run."""
        self._scheduler.read_clock()

    def before_io_wait(self, timeout: float) -> None:
        """Note that no task runs, and a rest, if none can; Trio calls this between two turns."""
        self._trace.resume(None)
        if not self._ready:
            self._trace.rests += 1


class Core:
    """The core of one network, made when the network is entered, and asked by all parts."""

    def __init__(self, seed: int, keep: int | None) -> None:
        self.seed = seed
        self.trace: Recorder = Recorder(keep)
        self.scheduler: Scheduler = Scheduler(self.trace)
        self.tasks: _Tasks = _Tasks(self.trace, self.scheduler)
        self.is_open = True
        self.trace.catch_up = self._catch_up
        self._interfaces = 0
        self._routes = 0
        self._switches = 0

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
        now = self.scheduler.read_clock()
        if self.scheduler.is_due_at(now):
            self.trace.begin(now, None)
            self.scheduler.run_due()
        self.trace.begin(now, trio.lowlevel.current_task(), place)

    def _catch_up(self) -> None:
        """Let happen whatever is due by now, before the task goes on that looks at the trace."""
        if not self.is_open:
            return
        try:
            task = trio.lowlevel.current_task()
        except RuntimeError:  # Nothing can happen while no task looks.
            return
        if self.scheduler.is_due():
            self.trace.begin(self.scheduler.now_ns(), None)
            self.scheduler.run_due()
            self.trace.resume(task)

    def new_number(self) -> int:
        """Return a number for an interface: numbers follow the order of plugging in."""
        self._interfaces += 1
        return self._interfaces

    def new_route_number(self) -> int:
        """Return a number for a route to a network: numbers follow the order of making."""
        self._routes += 1
        return self._routes

    def new_switch_number(self) -> int:
        """Return a number for a switch: numbers follow the order of making."""
        self._switches += 1
        return self._switches

    def record(
        self,
        where: str,
        what: EventKind,
        *,
        interface: str | None = None,
        subject: Subject = None,
        reason: str = "",
    ) -> None:
        """Take an event down.

        Args:
            where: The name of the host, switch or router.
            what: The kind of event.
            interface: The name of the interface in question.
            subject: A datagram, or the group or address that the event is about.
            reason: Further detail.
        """
        self.trace.add(self.scheduler.now_ns(), where, what, interface, subject, reason)
