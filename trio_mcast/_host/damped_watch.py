"""Watching interfaces through a socket on which the system says that something has changed.

Decision: a message says "look again", and little more
=======================================================

The system's messages say what changed. The messages are not added up: the system drops messages
when the socket's buffer is full (and says so at best), so a program that adds up has to be able to
start afresh from a look at everything. A look is right whatever was lost; so mostly there is only a
look.

A look cannot show what has ended and come back in the meantime, with the memberships lost. So that
is read off the messages, where these tell (`Ended`). On Linux, measured on 6.18:

* An interface that is moved to another network namespace and back has the same name and index, and
  no membership. The message says that it was removed (RTM_DELLINK).
* An mtu below 1,280 takes IPv6 off an interface, one below 68 takes IPv4 off. All memberships of
  the family have ended, and do not come back with the mtu. Each mtu gives a message that has it
  (RTM_NEWLINK), also if the next one comes at once.
* Switching IPv6 off and on (``disable_ipv6``, of one interface or of all), links that go down and
  up, new names, other hardware addresses, addresses that are removed, ports of a bridge that come
  and go: none of these ends a membership. While IPv6 is off nothing is delivered, though.
* When messages were lost, any of the above may have been among them.

That a group is joined still, by whomever, shows in a list of the system. This is compared at each
look (`_receive.comparing`); but the membership of another program hides there that another has
ended. So what the messages tell counts without asking.

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
from abc import ABC, abstractmethod
from functools import partial
from typing import Final

import trio

from .._live import call_each
from .._platform.advice import explain_refusal
from .._platform.model import PlatformName
from .._values.errors import SocketSetupError
from .protocols import Ended

# From the first message to the look, and from one look to the next.
_PAUSE_SECONDS: Final = 0.02
_INTERVAL_SECONDS: Final = 0.1

# The messages that are read before other tasks have their turn. Each takes some 10 to 20 us.
_AT_ONCE: Final = 64


class DampedWatcher(ABC):
    """An `InterfaceWatcher` on a socket with messages; a subclass reads the messages."""

    # As much of a message as `_ended_by` looks at; more bytes are discarded.
    _message_bytes: int

    def __init__(self, sock: socket.socket, platform: PlatformName) -> None:
        """Take over a socket that does not block, and is closed with this object."""
        self._platform = platform
        self._socket = sock
        self._closed = trio.Event()
        # The time at which the waiting messages were first noticed; and the time at which the last
        # messages were answered.
        self._noticed: float | None = None
        # What the messages have told that were taken and not given yet, as `_ended_by` has it.
        self._ended: Ended | None = None
        self._answered = -math.inf

    @abstractmethod
    def _ended_by(self, message: bytes) -> Ended | None:
        """Return what has ended, according to a message.

        Returns:
            Nothing that ended, if the message only says that interfaces may have changed. `None` if
            the message is not about interfaces.
        """

    async def wait(self) -> Ended:
        while True:
            self._check_open()
            try:
                if self._ended is None:  # Else a call that was cancelled has read a part.
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
            while not self._drain():
                await trio.lowlevel.checkpoint()
                self._check_open()
            # From here to the caller's look there must be no checkpoint.
            ended = self.take()
            if ended is not None:
                return ended

    def take(self) -> Ended | None:
        self._noticed = None
        if not self._drain():
            return None  # There are very many: the wait ends for them.
        ended, self._ended = self._ended, None
        if ended is not None:
            self._answered = trio.current_time()
        return ended

    def _check_open(self) -> None:
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError("this watcher was closed")

    def _drain(self) -> bool:
        """Take messages out of the socket, and return whether there is none left.

        What they tell stays, also if one is refused.
        """
        for _ in range(_AT_ONCE):
            try:
                ended = self._ended_by(self._socket.recv(self._message_bytes))
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise self._explain(error) from error
                ended = Ended(unknown=True)  # Messages were lost; a look makes up for the rest.
            if ended is not None:
                self._ended = ended if self._ended is None else self._ended | ended
        return False

    def _explain(self, error: OSError) -> SocketSetupError:
        return explain_refusal(
            error, step="watch interfaces", group=None, interface=None, platform=self._platform
        )

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            notify = partial(trio.lowlevel.notify_closing, self._socket)
            call_each((notify, self._socket.close, self._closed.set))
