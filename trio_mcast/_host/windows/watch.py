"""The watcher of interfaces on Windows: the IP helper library tells, on a thread of its own.

NotifyIpInterfaceChange, NotifyUnicastIpAddressChange and NotifyRouteChange2 call back on a thread
of the system when an interface, an address or a route comes, goes or changes. Notifications are not
added up: as elsewhere, a notification means "look again"; only the index of a removed interface is
kept. The callback only asks Trio's thread to note the change, so nothing in this module runs on two
threads at once.

Where these functions do nothing (Wine 8 has only the names and returns no handle), the interfaces
are looked at once a second; a watcher of routes then reports a change each time.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from ..._live import call_each
from ..._platform.advice import explain_refusal
from ..._values.interface import Interface
from ..protocols import Ended
from .api import AF_UNSPEC, MIB_DELETE_INSTANCE, IpInterfaceRow

assert not TYPE_CHECKING or sys.platform == "win32"

if sys.platform == "win32":
    from .api import (
        ChangeCallback,
        cancel_change_notification,
        notify_address_change,
        notify_interface_change,
        notify_route_change,
    )
    from .interfaces import read_windows_interfaces

# From the first notification to the look, and from one look to the next, as on Linux: one action
# gives several notifications. Both numbers are arbitrary.
_PAUSE_SECONDS: Final = 0.02
_INTERVAL_SECONDS: Final = 0.1

# How often interfaces are looked at where the system does not tell. Arbitrary.
_POLL_SECONDS: Final = 1.0


class WindowsWatcher:
    """An `InterfaceWatcher` on Windows."""

    def __init__(self, *, routes: bool = False) -> None:
        """Watch from now on.

        Args:
            routes: Whether to notice changes of routes too.

        Raises:
            OSError: The system refuses.
        """
        self._routes = routes
        self._closed = trio.Event()
        self._noticed = trio.Event()
        self._noticed_at = 0.0
        self._answered = -math.inf
        self._removed: set[int] = set()
        # The last look, to compare with where the system does not tell; None where the system does.
        self._known: list[Interface] | None = None
        self._notifications = _Notifications(self._note, routes=routes)
        if not self._notifications.active:
            self._known = read_windows_interfaces()

    async def wait(self) -> Ended:
        self._check_open()
        if self._known is not None:
            return await self._poll(self._known)
        while True:
            await self._noticed.wait()
            with trio.move_on_at(
                max(self._noticed_at + _PAUSE_SECONDS, self._answered + _INTERVAL_SECONDS)
            ):
                await self._closed.wait()
            self._check_open()
            # From here to the caller's look there must be no checkpoint.
            ended = self.take()
            if ended is not None:
                return ended

    def take(self) -> Ended | None:
        if self._known is not None or not self._noticed.is_set():
            return None
        ended, self._removed = Ended(frozenset(self._removed)), set()
        self._noticed = trio.Event()
        self._answered = trio.current_time()
        return ended

    def _note(self, removed: int | None) -> None:
        if removed is not None:
            self._removed.add(removed)
        if not self._noticed.is_set():
            self._noticed_at = trio.current_time()
            self._noticed.set()

    async def _poll(self, known: list[Interface]) -> Ended:
        while True:
            with trio.move_on_after(_POLL_SECONDS):
                await self._closed.wait()
            self._check_open()
            try:
                now = read_windows_interfaces()
            except OSError as error:
                raise explain_refusal(
                    error, step="watch interfaces", group=None, interface=None, platform="windows"
                ) from error
            if now != known or self._routes:
                self._known = now
                gone = {old.index for old in known} - {new.index for new in now}
                return Ended(frozenset(gone))

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise trio.ClosedResourceError("this watcher was closed")

    def close(self) -> None:
        call_each((self._closed.set, self._noticed.set, self._notifications.cancel))


class _Notifications:
    """The notifications of the system, until cancelled."""

    def __init__(self, note: Callable[[int | None], None], *, routes: bool) -> None:
        """Ask for notifications.

        Args:
            note: Called in Trio's thread, with the index of an interface that was removed, or
                `None` for any other change.
            routes: Whether to ask for notifications about routes too.

        Raises:
            OSError: The system refuses.
        """
        token = trio.lowlevel.current_trio_token()

        def tell(removed: int | None) -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(note, removed)

        def interface_changed(context: int | None, row: int | None, kind: int) -> None:
            index = IpInterfaceRow.from_address(row).InterfaceIndex if row else None
            tell(index if kind == MIB_DELETE_INSTANCE else None)

        def something_changed(context: int | None, row: int | None, kind: int) -> None:
            tell(None)

        # The system calls these until cancelled: they have to live that long.
        self._callbacks = [ChangeCallback(interface_changed), ChangeCallback(something_changed)]
        asking = [notify_interface_change, notify_address_change]
        if routes:
            self._callbacks.append(ChangeCallback(something_changed))
            asking.append(notify_route_change)
        self._handles: list[ctypes.c_void_p] = []
        for ask, callback in zip(asking, self._callbacks, strict=True):
            handle = ctypes.c_void_p()
            error = ask(AF_UNSPEC, callback, None, False, ctypes.byref(handle))
            if error:
                self.cancel()
                raise ctypes.WinError(error)
            if handle:
                self._handles.append(handle)
        _asked.add(self)

    @property
    def active(self) -> bool:
        """Whether the system will tell of all changes that were asked for."""
        return len(self._handles) == len(self._callbacks)

    def cancel(self) -> None:
        """Return when nothing will be called back any more. Idempotent."""
        # The call waits for a callback that is running; the interpreter is not locked meanwhile.
        while self._handles:
            cancel_change_notification(self._handles.pop())
        _asked.discard(self)


# Keeps notifications alive until cancelled, also if a watcher is forgotten without being closed.
_asked: Final[set[_Notifications]] = set()
