"""The memory of a switch or router for reports: wanted groups, each with an expiry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal

import attrs

from .._values.addresses import IPAddress
from .._values.numbers import parse_seconds
from ._core import Core
from ._frames import NO_SOURCE, Report, Reporter, SourceFilter

# Queries that follow each other without a pause would be all that ever happens.
_LEAST_QUERY_SECONDS: Final = 0.001


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
            parse_seconds(query, "query_seconds", lowest=_LEAST_QUERY_SECONDS),
            parse_seconds(response, "response_seconds"),
            parse_seconds(membership, "membership_seconds", above=True),
            parse_seconds(last_member, "last_member_seconds"),
        )

    @property
    def last_member_response(self) -> float:
        """The time in which hosts answer a query on one group: such a query is sent twice.

        The last member query interval and count (RFC 3376, 8.8 and 8.9).
        """
        return self.last_member / 2


USUAL_TIMES: Final = SnoopingTimes(query=125.0, response=10.0, membership=260.0, last_member=2.0)


@attrs.define(eq=False)
class _Entry:
    """The sources of a group that one reporter wants.

    Attributes:
        group: The group.
        port: The port where the report arrived.
        reporter: The interface that has reported.
        filter: The wanted sources.
        expiry: When that is forgotten.
        former: What was wanted until lately, each with the time until which that counts as well.
    """

    group: IPAddress
    port: Reporter
    reporter: Reporter
    filter: SourceFilter = NO_SOURCE
    expiry: int = 0
    former: list[tuple[SourceFilter, int]] = attrs.Factory(list)

    @property
    def numbers(self) -> tuple[int, int]:
        """The numbers by which what is due at the same time is ordered."""
        return self.port.number, self.reporter.number

    def allows(self, source: IPAddress) -> bool:
        """Tell whether datagrams of a source are wanted, or were lately."""
        return self.filter.allows(source) or any(former.allows(source) for former, _ in self.former)


class MembershipTable:
    """A table of the groups that are wanted at ports: an entry for each interface that reports.

    At a port of a switch that is the interface which is plugged in there; behind the interface of a
    router, and behind a trunk, there can be many. Without a new report, an entry ages.

    Who wants less than before, or nothing, gets the rest for a while: the time in which a querier
    asks whether anybody else at the port wants it (RFC 3376, 6.4.2). Where somebody else has
    reported there, that is asked, twice; and who does not answer in time is forgotten (6.6.3.1).
    """

    def __init__(
        self,
        core: Core,
        where: str,
        times: SnoopingTimes,
        show: Callable[[Reporter], str],
        ask: Callable[[Reporter, IPAddress], bool],
    ) -> None:
        """Begin without entries.

        Args:
            core: The core of the network.
            where: The name of the switch or router.
            times: The times of the querier.
            show: Called with a port; returns its name in the trace.
            ask: Called with a port and a group, to ask everybody there for reports; returns whether
                this switch or router asks at all.
        """
        self._times = times
        self._core = core
        self._where = where
        self._show = show
        self._ask = ask
        # By group and port, the entry of each reporter.
        self._entries: dict[IPAddress, dict[Reporter, dict[Reporter, _Entry]]] = {}

    def learn(self, port: Reporter, report: Report) -> None:
        """Take in a report that has arrived at a port."""
        reporter, scheduler = report.reporter or port, self._core.scheduler
        entry = self._at(report.group, port).get(reporter)
        if entry is None:
            if report.filter == NO_SOURCE:
                return
            entry = _Entry(report.group, port, reporter)
            self._entries.setdefault(report.group, {}).setdefault(port, {})[reporter] = entry
        before, entry.filter = entry.filter, report.filter
        if report.filter != NO_SOURCE:
            if before != report.filter:
                self._record("learned", entry, str(report.filter))
            self._expire_at(entry, scheduler.later(self._times.membership))
        if not report.filter.covers(before):
            self._keep_for_a_while(entry, before)

    def _at(self, group: IPAddress, port: Reporter) -> dict[Reporter, _Entry]:
        return self._entries.get(group, {}).get(port, {})

    def _keep_for_a_while(self, entry: _Entry, former: SourceFilter) -> None:
        """Keep what is wanted no longer while others at the port are asked."""
        scheduler, seconds = self._core.scheduler, self._times.last_member
        until = scheduler.later(seconds) if seconds else 0
        entry.former.append((former, until))
        scheduler.schedule(until, entry.numbers, lambda: self._end_former(entry))
        if seconds:
            # A moment later: then it makes no difference who of several that leave was the first.
            numbers = (entry.port.number, 0)
            scheduler.schedule(scheduler.later(0), numbers, lambda: self._ask_others(entry, until))

    def _ask_others(self, leaving: _Entry, until: int) -> None:
        """Ask the others at a port whether they want a group; who does not answer is forgotten."""
        group, port, scheduler = leaving.group, leaving.port, self._core.scheduler
        others = [
            entry
            for entry in self._at(group, port).values()
            if entry is not leaving and entry.filter != NO_SOURCE
        ]
        if others and self._ask(port, group):
            for entry in others:
                self._expire_at(entry, min(entry.expiry, until))
            again = scheduler.later(self._times.last_member_response)

            def ask_again() -> None:
                self._ask(port, group)

            scheduler.schedule(again, (port.number, 0), ask_again)

    def _end_former(self, entry: _Entry) -> None:
        """Forget what counts no longer."""
        now = self._core.scheduler.now_ns()
        entry.former = [(former, until) for former, until in entry.former if until > now]
        if self._has(entry) and entry.filter == NO_SOURCE and not entry.former:
            self._forget(entry, "it left")

    def _expire_at(self, entry: _Entry, expiry: int) -> None:
        """Forget an entry at a time, unless a report comes before that."""
        entry.expiry = expiry

        def expire() -> None:
            is_due = entry.expiry <= self._core.scheduler.now_ns()
            if self._has(entry) and is_due and entry.filter != NO_SOURCE:
                self._forget(entry, "no report for too long")

        self._core.scheduler.schedule(expiry, entry.numbers, expire)

    def _has(self, entry: _Entry) -> bool:
        return self._at(entry.group, entry.port).get(entry.reporter) is entry

    def _forget(self, entry: _Entry, why: str) -> None:
        ports = self._entries[entry.group]
        del ports[entry.port][entry.reporter]
        if not ports[entry.port]:
            del ports[entry.port]
        if not ports:
            del self._entries[entry.group]
        self._record("forgot", entry, why)

    def _record(self, what: Literal["learned", "forgot"], entry: _Entry, reason: str) -> None:
        if entry.reporter is not entry.port:
            reason += f": {entry.reporter}"
        port = self._show(entry.port)
        self._core.record(self._where, what, interface=port, subject=entry.group, reason=reason)

    def forget_port(self, port: Reporter) -> None:
        """Forget all reports that have come from a port."""
        for group in list(self._entries):
            for entry in list(self._at(group, port).values()):
                self._forget(entry, "its link is down")

    def wants(self, port: Reporter, group: IPAddress, source: IPAddress) -> bool:
        """Tell whether a datagram is wanted at a port."""
        return any(entry.allows(source) for entry in self._at(group, port).values())

    def wanting(self, group: IPAddress) -> Iterator[Reporter]:
        """Yield the interfaces that want a group."""
        for entries in self._entries.get(group, {}).values():
            yield from entries
