"""The sizes of IGMPv3 reports that macOS returns as errors: a model of XNU's bsd/netinet/igmp.c.

Since macOS 10.9, igmp_handle_state_change returns how many bytes it has queued, and setsockopt
hands that on as the errno. The first join of a group on an interface goes another way, and has no
error. A change that has been announced is none any more: the same call then succeeds. A group that
has been left is remembered for a while.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Final

from .._values.addresses import IPAddress
from ._frames import NO_SOURCE, SourceFilter
from ._scheduler import Scheduler
from ._state import SocketState

# A record, and a source in a record.
_RECORD_BYTES: Final = 8
_SOURCE_BYTES: Final = 4

# Two reports tell that a group was left, up to a second apart.
_REMEMBERED_SECONDS: Final = 2


def report_bytes(announced: SourceFilter, wanted: SourceFilter) -> int:
    """Return the size of the report that tells of a change, as macOS counts."""
    if announced.mode != wanted.mode:
        # The sources are counted twice (igmp.c, igmp_v3_enqueue_group_record).
        return _RECORD_BYTES + 2 * _SOURCE_BYTES * len(wanted.sources)
    changes = (wanted.sources - announced.sources, announced.sources - wanted.sources)
    return sum(_RECORD_BYTES + _SOURCE_BYTES * len(change) for change in changes if change)


class ReportSizes:
    """The announcements of one host's groups, and the errors of what has not been announced."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._announced: dict[tuple[IPAddress, int], SourceFilter] = {}
        # When the groups that were left are to be forgotten.
        self._left: dict[tuple[IPAddress, int], int] = {}

    def error_after(
        self,
        state: SocketState,
        key: tuple[IPAddress, int],
        after: SourceFilter | None,
        wanted: SourceFilter,
    ) -> int:
        """Return the error of a change of what a socket wants of a group; 0 for none.

        Args:
            state: The socket.
            key: The group, and the index of the interface.
            after: The socket's filter now; `None` if it has left.
            wanted: The filter of the interface now.
        """
        if state.family not in state.platform.passing_join_errors:
            return 0
        if wanted == NO_SOURCE:
            self._left[key] = self._scheduler.later(_REMEMBERED_SECONDS)
        return 0 if after is None else self._error_of(key, wanted)

    def _error_of(self, key: tuple[IPAddress, int], wanted: SourceFilter) -> int:
        if self._left.pop(key, math.inf) <= self._scheduler.now_ns():
            del self._announced[key]
        if key not in self._announced:
            self._announced[key] = wanted
            return 0
        size = report_bytes(self._announced[key], wanted)
        if size:
            announce = partial(self._announced.__setitem__, key, wanted)
            self._scheduler.schedule(self._scheduler.later(0), (), announce)
        return size
