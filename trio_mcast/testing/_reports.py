"""The reports of a virtual host: which groups it wants on its interfaces, from which sources."""

from __future__ import annotations

from typing import Final

from .._values.addresses import Family, IPAddress, family_of
from ._core import Core
from ._frames import Report, SourceFilter, is_all_hosts
from ._interface import VirtualInterface
from ._sockets import SocketTable

# The pause between the two reports of a change: a report is sent twice (the robustness variable of
# RFC 3376, 8.1; the interval of 8.11).
_REPORT_AGAIN_SECONDS: Final = 1.0


class Reports:
    """Sends the reports of one host."""

    def __init__(self, core: Core, sockets: SocketTable) -> None:
        self._core = core
        self._sockets = sockets

    def of_change(
        self, interface: VirtualInterface, group: IPAddress, wanted: SourceFilter
    ) -> None:
        """Report that a group is wanted otherwise than before: now, and once again."""

        def report_again() -> None:
            if self._sockets.wanted(group, interface.index) == wanted:
                self.of_group(interface, group)

        self.of_group(interface, group)
        scheduler = self._core.scheduler
        scheduler.schedule(
            scheduler.later(_REPORT_AGAIN_SECONDS), (interface.number,), report_again
        )

    def of_group(self, interface: VirtualInterface, group: IPAddress) -> None:
        """Report how a group is wanted on an interface."""
        interface.transmit(Report(group, self._sockets.wanted(group, interface.index)))

    def of_all(self, interface: VirtualInterface, only: Family | None = None) -> None:
        """Report all groups that are wanted on an interface: of both families, or of one."""
        for group in self._sockets.groups_on(interface.index):
            if not is_all_hosts(group) and only in (None, family_of(group)):
                self.of_group(interface, group)
