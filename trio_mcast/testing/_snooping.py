"""The memory of a switch or router for reports: wanted groups, each with an expiry."""

from __future__ import annotations

from collections.abc import Iterable

from .._values.addresses import IPAddress
from ._core import Core
from ._frames import NO_SOURCE, Report, SourceFilter
from ._interface import VirtualInterface


class MembershipTable:
    """A table of the groups that interfaces have reported. Without a new report, an entry ages."""

    def __init__(self, core: Core, where: str, membership_seconds: float) -> None:
        self.membership_seconds = membership_seconds
        self._core = core
        self._where = where
        self._entries: dict[IPAddress, dict[VirtualInterface, tuple[SourceFilter, int]]] = {}

    def learn(self, interface: VirtualInterface, report: Report, at: str) -> None:
        """Take in a report.

        Args:
            interface: The interface of the entry: a port of a switch, or the router's own.
            report: The report.
            at: The interface's name in the trace.
        """
        if report.filter == NO_SOURCE:
            self._forget(report.group, interface, at, "it left")
            return
        entries = self._entries.setdefault(report.group, {})
        known = entries.get(interface)
        expiry = self._core.scheduler.later(self.membership_seconds)
        entries[interface] = (report.filter, expiry)
        if known is None or known[0] != report.filter:
            self._core.record(
                self._where,
                "learned",
                interface=at,
                subject=report.group,
                reason=str(report.filter),
            )

        def expire() -> None:
            entry = self._entries.get(report.group, {}).get(interface)
            if entry is not None and entry[1] <= self._core.scheduler.now_ns():
                self._forget(report.group, interface, at, "no report for too long")

        self._core.scheduler.schedule(expiry, (interface.number,), expire)

    def _forget(self, group: IPAddress, interface: VirtualInterface, at: str, why: str) -> None:
        if self._entries.get(group, {}).pop(interface, None) is not None:
            self._core.record(self._where, "forgot", interface=at, subject=group, reason=why)

    def forget_port(self, interface: VirtualInterface, at: str) -> None:
        """Forget all reports of an interface."""
        for group in list(self._entries):
            self._forget(group, interface, at, "its link is down")

    def wants(self, interface: VirtualInterface, group: IPAddress, source: IPAddress) -> bool:
        """Tell whether a datagram is wanted at an interface."""
        entry = self._entries.get(group, {}).get(interface)
        return entry is not None and entry[0].allows(source)

    def wanting(self, group: IPAddress) -> Iterable[VirtualInterface]:
        """Return the interfaces that want a group."""
        return tuple(self._entries.get(group, {}))
