"""The memory of a switch or router for reports: wanted groups, each with an expiry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from .._values.addresses import IPAddress
from ._arguments import not_negative, positive
from ._core import Core
from ._frames import NO_SOURCE, Report, Reporter, SourceFilter


@attrs.frozen
class SnoopingTimes:
    """The times of a querier and of a memory for reports, in seconds; see `VirtualNetwork.switch`.

    The defaults are those of RFC 3376, 8, of RFC 3810, 9, and of a Linux bridge: a query interval
    of 125 s, within 10 s of which hosts answer, 260 s until a report is forgotten, and twice a last
    member query interval of 1 s. A bridge of Linux 6.18 went on for 2.0 s after a leave, and not at
    all with ``fastleave on`` (measured).
    """

    query: float
    response: float
    membership: float
    last_member: float

    @classmethod
    def parse(
        cls, query: float, response: float, membership: float, last_member: float
    ) -> SnoopingTimes:
        """Check what a test gives.

        Raises:
            TypeError: A value is not a number.
            ValueError: A value is out of range.
        """
        return cls(
            positive(query, "query_seconds"),
            not_negative(response, "response_seconds"),
            positive(membership, "membership_seconds"),
            not_negative(last_member, "last_member_seconds"),
        )


USUAL_TIMES: Final = SnoopingTimes(query=125.0, response=10.0, membership=260.0, last_member=2.0)


@attrs.define(eq=False)
class _Entry:
    """The sources of a group that one interface wants.

    Attributes:
        filter: The wanted sources.
        expiry: When that is forgotten.
        former: What was wanted until lately, each with the time until which that counts as well.
    """

    filter: SourceFilter
    expiry: int
    former: list[tuple[SourceFilter, int]] = attrs.Factory(list)


class MembershipTable:
    """A table of the groups that interfaces have reported. Without a new report, an entry ages.

    Who wants less than before, or nothing, gets the rest for a while: the time in which a querier
    asks whether anybody else on the port wants it (RFC 3376, 6.4.2).
    """

    def __init__(self, core: Core, where: str, times: SnoopingTimes) -> None:
        self._times = times
        self._core = core
        self._where = where
        self._entries: dict[IPAddress, dict[Reporter, _Entry]] = {}

    def learn(self, interface: Reporter, report: Report, at: str) -> None:
        """Take in a report.

        Args:
            interface: The interface of the entry: the one that reports, or the router's own.
            report: The report.
            at: The interface's name in the trace.
        """
        group, scheduler = report.group, self._core.scheduler
        entries = self._entries.setdefault(group, {})
        entry = entries.get(interface)
        before = NO_SOURCE if entry is None else entry.filter
        if entry is None:
            if report.filter == NO_SOURCE:
                return
            entry = entries[interface] = _Entry(NO_SOURCE, 0)
        if not report.filter.covers(before):
            until = scheduler.later(self._times.last_member) if self._times.last_member else 0
            entry.former.append((before, until))
            scheduler.schedule(
                until, (interface.number,), lambda: self._end_former(group, interface, at)
            )
        entry.filter = report.filter
        if report.filter == NO_SOURCE:
            return
        if before != report.filter:
            self._core.record(
                self._where, "learned", interface=at, subject=group, reason=str(report.filter)
            )
        entry.expiry = scheduler.later(self._times.membership)

        def expire() -> None:
            if entry.expiry <= scheduler.now_ns() and entries.get(interface) is entry:
                self._forget(group, interface, at, "no report for too long")

        scheduler.schedule(entry.expiry, (interface.number,), expire)

    def _end_former(self, group: IPAddress, interface: Reporter, at: str) -> None:
        """Forget what counts no longer."""
        entry = self._entries.get(group, {}).get(interface)
        if entry is not None:
            now = self._core.scheduler.now_ns()
            entry.former = [(former, until) for former, until in entry.former if until > now]
            if entry.filter == NO_SOURCE and not entry.former:
                self._forget(group, interface, at, "it left")

    def _forget(self, group: IPAddress, interface: Reporter, at: str, why: str) -> None:
        if self._entries.get(group, {}).pop(interface, None) is not None:
            self._core.record(self._where, "forgot", interface=at, subject=group, reason=why)

    def forget_port(self, interface: Reporter, at: str) -> None:
        """Forget all reports of an interface."""
        for group in list(self._entries):
            self._forget(group, interface, at, "its link is down")

    def wants(self, interface: Reporter, group: IPAddress, source: IPAddress) -> bool:
        """Tell whether a datagram is wanted at an interface."""
        entry = self._entries.get(group, {}).get(interface)
        if entry is None:
            return False
        return entry.filter.allows(source) or any(
            former.allows(source) for former, _ in entry.former
        )

    def wanting(self, group: IPAddress) -> Iterable[Reporter]:
        """Return the interfaces that want a group."""
        return tuple(self._entries.get(group, {}))
