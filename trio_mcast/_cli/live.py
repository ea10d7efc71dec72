"""``trio-mcast listen --live``: the run of the live view."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing

import trio
from rich.console import Console, RenderableType
from rich.live import Live

from .. import Datagram, McastReceiver
from .keys import read_keys, single_keys
from .live_view import draw
from .streams import ORDERS, Key, Row, StreamTable, Subscription, sort_rows

# The seconds from one picture to the next: often enough for people, and little to do.
_REDRAW_SECONDS = 0.25


class LiveView:
    """A live view of what receivers receive; keys pause it, sort it and end it."""

    def __init__(self, console: Console, table: StreamTable) -> None:
        self.receivers: Mapping[int, McastReceiver] = {}
        self.was_quit = False
        self._console = console
        self._table = table
        self._rows: list[Row] = []
        self._order = 0
        self._paused = False
        self._has_keys = False

    async def take(self, batch: list[Datagram]) -> None:
        """Count datagrams."""
        self._table.add(batch, trio.current_time())
        await trio.lowlevel.checkpoint()

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Show the view while something is done, in place of what the terminal has.

        Args:
            work: The async function that receives; the view ends with it.
        """
        with (
            single_keys() as self._has_keys,
            Live(console=self._console, auto_refresh=False, screen=True) as live,
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._redraw, live)
                if self._has_keys:
                    nursery.start_soon(self._obey, live, nursery.cancel_scope)
                try:
                    await work()
                finally:
                    self._look()
                nursery.cancel_scope.cancel()

    def print_last(self) -> None:
        """Print the last picture, of all streams, for good."""
        self._paused = False
        # So high that every stream has room.
        size = self._console.width, 2 * len(self._rows) + 100
        self._console.print(self._picture(size, keys=False))

    async def _redraw(self, live: Live) -> None:
        while True:
            if not self._paused:
                self._look()
                live.update(self._picture(self._console.size), refresh=True)
            await trio.sleep(_REDRAW_SECONDS)

    async def _obey(self, live: Live, scope: trio.CancelScope) -> None:
        async with aclosing(read_keys()) as keys:
            async for key in keys:
                if key in "qQ":
                    self.was_quit = True
                    scope.cancel()
                elif key in "pP ":
                    self._paused = not self._paused
                elif key in "sS":
                    self._order = (self._order + 1) % len(ORDERS)
                live.update(self._picture(self._console.size), refresh=True)

    def _look(self) -> None:
        """Take in how things stand now."""
        if self.receivers:
            self._table.subscribe(subscriptions_of(self.receivers))
        self._rows = self._table.rows(trio.current_time())

    def _picture(self, size: tuple[int, int], *, keys: bool = True) -> RenderableType:
        order = ORDERS[self._order]
        return draw(
            sort_rows(self._rows, order),
            size,
            order=order,
            paused=self._paused,
            not_shown=self._table.not_shown,
            keys=keys and self._has_keys,
        )


def subscriptions_of(receivers: Mapping[int, McastReceiver]) -> Iterator[Subscription]:
    """Yield the memberships of receivers, with what was dropped of each."""
    for port, receiver in receivers.items():
        failed = {
            (membership.group, membership.interface.name)
            for membership in receiver.memberships
            if membership.state == "failed" and membership.interface is not None
        }
        for counts in receiver.statistics().memberships:
            name = counts.interface.name
            yield Subscription(
                Key(counts.group, port, name),
                failed=(counts.group, name) in failed,
                dropped_by_kernel=counts.dropped_by_kernel,
                dropped_by_policy=counts.dropped_by_policy,
            )
