"""The querier of a switch that snoops, and which one is elected where switches are joined."""

from __future__ import annotations

from collections.abc import Callable

from .._values.addresses import IPAddress
from ._core import Core
from ._frames import Query
from ._snooping import SnoopingTimes


class Querier:
    """A querier, and its knowledge of the others: the one with the lowest address asks alone.

    The number of a switch stands for its address. Whoever hears a lower one is silent until it has
    not been heard for the "other querier present interval" (RFC 3376, 6.6.2 and 8.5; as
    br_multicast_select_querier in net/bridge/br_multicast.c). Routers ask besides.
    """

    def __init__(
        self, core: Core, times: SnoopingTimes, ask: Callable[[Query], None], *, is_enabled: bool
    ) -> None:
        """Ask for reports at once, and then at every interval.

        Args:
            core: The core of the network.
            times: The times of the switch.
            ask: Called with each query, to be sent to all ports.
            is_enabled: Whether the switch asks at all.
        """
        self._number = core.new_switch_number()
        self._scheduler = core.scheduler
        self._times = times
        self._ask = ask
        self._is_enabled = is_enabled
        # The number of the lowest other switch that has asked, and until when that counts.
        self._other = 0
        self._other_until = 0
        if is_enabled:
            self._ask_again()

    def ask_now(self) -> None:
        """Ask for reports, unless another switch does."""
        if self.is_asking:
            self._ask(Query(self._times.response, self._number))

    @property
    def is_asking(self) -> bool:
        """Whether the switch asks for reports: no other one does."""
        return self._is_enabled and not self._hears_other

    def query_about(self, group: IPAddress) -> Query:
        """Return a query on one group."""
        return Query(self._times.last_member_response, self._number, group)

    @property
    def present_until(self) -> int:
        """When a querier that is heard now, and then no more, is taken to be gone."""
        return self._scheduler.later(2 * self._times.query + self._times.response / 2)

    @property
    def _hears_other(self) -> bool:
        return self._scheduler.now_ns() < self._other_until

    def hear(self, query: Query) -> bool:
        """Take notice of a query from another switch.

        Returns:
            Whether reports and datagrams are to go where the query came from.
        """
        if not query.switch:
            return True
        if (self._is_enabled and query.switch > self._number) or (
            self._hears_other and query.switch > self._other
        ):
            return False
        self._other, self._other_until = query.switch, self.present_until
        if self._is_enabled:
            self._scheduler.schedule(self._other_until, (0,), self.ask_now)
        return True

    def _ask_again(self) -> None:
        self.ask_now()
        self._scheduler.schedule(self._scheduler.later(self._times.query), (0,), self._ask_again)
