"""Watching interfaces through a socket on which the system says that something has changed.

Decision: a message says "look again", and little more
=======================================================

The system's messages say what changed. The messages are not added up: the system drops messages
when the socket's buffer is full (and says so at best), so a program that adds up has to be able to
start afresh from a look at everything. A look is right whatever was lost; so mostly there is only a
look.

A look cannot show that an interface was removed, and every membership with it, and has come back
under the same name and index. That happens when an interface is moved to another network namespace
of Linux and back. So the indexes of removed interfaces are read off the messages, where these tell.

Decision: when to look
======================

One action gives several messages: plugging in a cable and giving the interface two addresses, done
by three commands, gave 7 within 6 ms. A look costs 0.3 ms with 4 interfaces and 46 ms with
1,004 (all measured on Linux 6.18). So:

* the look comes 20 ms after the first message, and answers all messages that came meanwhile;
* two looks are 100 ms apart, however many messages come. Removing 50 interfaces took the kernel
  1.7 s, with a message every 35 ms: waiting for a pause would be one look for each, or none until
  the end.

So a lone change is seen after 20 ms, and any after 100 ms. Both numbers are arbitrary beyond that.

Messages are taken from the socket only after the pause, right before the look. Until then the
system keeps the messages: a wait that was cancelled has lost nothing.
"""

from __future__ import annotations

import errno
import math
import socket
from functools import partial
from typing import Final

import trio

from .._live import call_each
from .._platform.advice import explain_refusal
from .._platform.model import PlatformName
from .._values.errors import SocketSetupError

# From the first message to the look, and from one look to the next.
_PAUSE_SECONDS: Final = 0.02
_INTERVAL_SECONDS: Final = 0.1


class DampedWatcher:
    """An `InterfaceWatcher` on a socket with messages; a subclass reads the messages."""

    # As much of a message as `_removed_by` looks at; more bytes are discarded.
    _message_bytes: int

    def __init__(self, sock: socket.socket, platform: PlatformName) -> None:
        """Take over a socket that does not block, and is closed with this object."""
        self._platform = platform
        self._socket = sock
        self._closed = trio.Event()
        # The time at which the waiting messages were first noticed; and the time at which the last
        # messages were answered.
        self._noticed: float | None = None
        # What the messages have told that were taken and not given yet, as `_removed_by` has it.
        self._removed: frozenset[int] | None = None
        self._answered = -math.inf

    def _removed_by(self, message: bytes) -> frozenset[int] | None:
        """Return the indexes of interfaces that were removed, according to a message.

        Returns:
            The indexes; none if the message only says that interfaces may have changed. `None` if
            the message is not about interfaces.
        """
        raise NotImplementedError

    async def wait(self) -> frozenset[int]:
        while True:
            self._check_open()
            try:
                await trio.lowlevel.wait_readable(self._socket)
            except OSError as error:  # The system refuses to tell Trio: epoll_ctl(2), say.
                raise self._explain(error) from error
            if self._noticed is None:
                self._noticed = trio.current_time()
            # The time counts from the first notice, also if a cancelled call took it: else a caller
            # with short timeouts would never get to the end of the pause.
            due = max(self._noticed + _PAUSE_SECONDS, self._answered + _INTERVAL_SECONDS)
            with trio.move_on_at(due):
                await self._closed.wait()
            self._check_open()
            # From here to the caller's look there must be no checkpoint.
            removed = self.take()
            if removed is not None:
                return removed

    def take(self) -> frozenset[int] | None:
        self._noticed = None
        self._drain()
        removed, self._removed = self._removed, None
        if removed is not None:
            self._answered = trio.current_time()
        return removed

    def _check_open(self) -> None:
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError("this watcher was closed")

    def _drain(self) -> None:
        """Take every message out of the socket. What they tell stays, also if one is refused."""
        while True:
            try:
                removed = self._removed_by(self._socket.recv(self._message_bytes))
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise self._explain(error) from error
                removed = frozenset()  # Messages were lost; the look makes up for them.
            if removed is not None:
                self._removed = (self._removed or frozenset()) | removed

    def _explain(self, error: OSError) -> SocketSetupError:
        return explain_refusal(
            error, step="watch interfaces", group=None, interface=None, platform=self._platform
        )

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            notify = partial(trio.lowlevel.notify_closing, self._socket)
            call_each((notify, self._socket.close, self._closed.set))
