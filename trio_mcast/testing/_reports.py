"""The reports of a virtual host: which groups it wants on its interfaces, from which sources."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Final

from .._values.addresses import Family, IPAddress, family_of
from ._core import Core
from ._frames import NO_SOURCE, Query, Report, SourceFilter, is_all_hosts
from ._interface import VirtualInterface
from ._scheduler import NS_PER_SECOND
from ._sockets import SocketTable

# The pause between the two reports of a change: a report is sent twice (the robustness variable of
# RFC 3376, 8.1; the interval of 8.11).
_REPORT_AGAIN_SECONDS: Final = 1.0


class Reports:
    """Sends the reports of one host."""

    def __init__(self, core: Core, sockets: SocketTable) -> None:
        self._core = core
        self._sockets = sockets
        # By interface number, when a query is answered.
        self._answers: dict[int, int] = {}

    def of_change(
        self, interface: VirtualInterface, group: IPAddress, wanted: SourceFilter
    ) -> None:
        """Report that a group is wanted otherwise than before: now, and once again."""
        interface.transmit(Report(group, wanted))
        scheduler = self._core.scheduler
        report_again = partial(self._report_again, interface, group, wanted)
        scheduler.schedule(
            scheduler.later(_REPORT_AGAIN_SECONDS), (interface.number,), report_again
        )

    def _report_again(
        self, interface: VirtualInterface, group: IPAddress, wanted: SourceFilter
    ) -> None:
        if self._sockets.wanted(group, interface.index) == wanted:
            self.of_group(interface, group)

    def answer(self, interface: VirtualInterface, query: Query) -> None:
        """Answer a query at a random moment (RFC 3376, 5.2; igmp_gq_start_timer).

        An answer with all groups that is due sooner will do for a query on all as well.
        """
        if query.group is not None:
            self._answer_on(interface, query.group, query.response_seconds)
        elif self._sockets.groups_on(interface.index):
            self._answer_on_all(interface, query.response_seconds)

    def _answer_on(self, interface: VirtualInterface, group: IPAddress, within: float) -> None:
        def report() -> None:
            if self._sockets.wanted(group, interface.index) != NO_SOURCE:
                self.of_group(interface, group)

        if self._sockets.wanted(group, interface.index) != NO_SOURCE:
            due = self._moment(interface, f"{group}/", within)
            self._core.scheduler.schedule(due, (interface.number,), report)

    def _moment(self, interface: VirtualInterface, about: str, within: float) -> int:
        """Return a random moment of the next seconds."""
        now = self._core.scheduler.now_ns()
        # A generator for each interface would take 2.5 kB.
        chance = Random(f"{self._core.seed}/{interface}/answers/{about}{now}")
        return now + round(chance.random() * within * NS_PER_SECOND)

    def _answer_on_all(self, interface: VirtualInterface, within: float) -> None:
        scheduler, number = self._core.scheduler, interface.number
        due = self._moment(interface, "", within)
        if self._answers.get(number, due + 1) <= due:
            return
        self._answers[number] = due

        def report() -> None:
            if self._answers.get(number) == due:
                del self._answers[number]
                self.of_all(interface)

        scheduler.schedule(due, (number,), report)

    def of_group(self, interface: VirtualInterface, group: IPAddress) -> None:
        """Report how a group is wanted on an interface."""
        interface.transmit(Report(group, self._sockets.wanted(group, interface.index)))

    def of_all(self, interface: VirtualInterface, only: Family | None = None) -> None:
        """Report all groups that are wanted on an interface: of both families, or of one."""
        for group in self._sockets.groups_on(interface.index):
            if not is_all_hosts(group) and only in (None, family_of(group)):
                self.of_group(interface, group)
