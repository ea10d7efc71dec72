"""The watchers of one virtual host, which are told of changes at once or after a while."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from .._host.protocols import NOTHING_ENDED, Ended
from ._core import Core
from ._poller import VirtualWatcher


class Watchers:
    """The watchers of one host."""

    def __init__(self, core: Core, host: str, notice_seconds: float) -> None:
        """Have no watcher yet.

        Args:
            core: The core of the network.
            host: The host's name.
            notice_seconds: The time from a change until the watchers are told.
        """
        self._core = core
        self._host = host
        self._notice_seconds = notice_seconds
        self._watchers: dict[VirtualWatcher, None] = {}

    def __iter__(self) -> Iterator[VirtualWatcher]:
        return iter(tuple(self._watchers))

    def __len__(self) -> int:
        return len(self._watchers)

    def new(self) -> VirtualWatcher:
        """Return a new watcher."""
        return VirtualWatcher(self._host, self._watchers)

    def clear(self) -> None:
        """Forget all watchers."""
        self._watchers.clear()

    def notice(self, ended: Ended | None = None) -> None:
        """Tell all watchers of a change, with what it has ended."""
        self._core.enter(self._host)
        tell = partial(self._tell, ended or NOTHING_ENDED)
        if self._notice_seconds:
            scheduler = self._core.scheduler
            scheduler.schedule(scheduler.later(self._notice_seconds), (0,), tell)
        else:
            tell()

    def _tell(self, ended: Ended) -> None:
        for watcher in self:
            watcher.notice(ended)
