"""One look at many interfaces with epoll, on Linux."""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING, Final, Protocol, cast

from ..protocols import Poller

assert not TYPE_CHECKING or sys.platform == "linux"

# How many pollers one look returns: more interfaces than most machines have. Of still more, the
# system shows others the next time, as it puts those that it has shown at the end of its list.
_READY_AT_ONCE: Final = 1_024


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


class EpollLookout:
    """A `Lookout` over the epolls of interfaces."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._pollers: dict[int, Poller] = {}

    def add(self, poller: Poller) -> None:
        number = cast("_HasFileno", poller).fileno()
        self._epoll.register(number, select.EPOLLIN)
        self._pollers[number] = poller

    def remove(self, poller: Poller) -> None:
        for number, watched in list(self._pollers.items()):
            if watched is poller:
                del self._pollers[number]
                self._epoll.unregister(number)

    def ready(self) -> list[Poller]:
        if not self._pollers:
            return []
        return [self._pollers[number] for number, _ in self._epoll.poll(0, _READY_AT_ONCE)]

    def close(self) -> None:
        self._pollers.clear()
        self._epoll.close()
