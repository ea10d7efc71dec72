"""The times at which datagrams leave, from the Linux kernel: SO_TIMESTAMPING.

The kernel takes the time when it hands a datagram to the interface's driver, and puts the time into
the error queue of the socket (Documentation/networking/timestamping.rst). Only datagrams that ask
for a time by ancillary data have one, so that sending anything else costs nothing. The kernel
numbers these datagrams, and each time comes with its number.

An error queue that is not empty makes a socket count as readable and writable for whoever waits for
it. So a task takes the times out as soon as they come, also those that nobody waits for any more.
It waits for nothing else: a socket in an epoll of its own, for no event, is only told of for errors
and the error queue. The task is one of Trio's system tasks, and ends when the socket is closed.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from ..._live import call_each
from ..._plan.socket_spec import BindAddress
from ..._platform.model import Platform

assert not TYPE_CHECKING or sys.platform == "linux"

# linux/net_tstamp.h: tell of software times, number the datagrams, give back
# no payload; and, for each datagram, take the time in software.
_REPORT: Final = 1 << 4 | 1 << 7 | 1 << 11
_TAKE: Final = struct.pack("=I", 1 << 1)

# linux/in.h, linux/in6.h: the types of the message that has a struct sock_extended_err.
_EXTENDED_ERROR: Final = frozenset({(0, 11), (41, 25)})
# linux/errqueue.h: SO_EE_ORIGIN_TIMESTAMPING.
_FROM_TIMESTAMPING: Final = 4

# struct sock_extended_err: error, origin, type, code, padding, info, data; here origin and data.
_ORIGIN_AND_NUMBER: Final = struct.Struct("=4xB7xI")
# The first of three struct timespec: the software time.
_TIME: Final = struct.Struct("@ll")
_CONTROL_BYTES: Final = 512

# After an error that is not in the error queue, which somebody else has to take from the socket.
_PAUSE_SECONDS: Final = 0.1


class LinuxDeparture:
    """The time at which one datagram left, when it is known."""

    def __init__(self, forget: Callable[[LinuxDeparture], None]) -> None:
        self._forget = forget
        self._known = trio.Event()
        self._time_ns: int | None = None

    def tell(self, time_ns: int | None) -> None:
        """Tell the time; `None` if it will not be known, as the socket was closed."""
        self._time_ns = time_ns
        self._known.set()

    async def wait(self) -> int:
        try:
            await self._known.wait()
        except trio.Cancelled:
            self._forget(self)
            raise
        if self._time_ns is None:
            raise trio.ClosedResourceError("the socket was closed before the time was known")
        return self._time_ns


class Departures:
    """The datagrams of one socket whose departure is timed."""

    def __init__(self, sock: socket.socket, platform: Platform) -> None:
        """Begin to number datagrams.

        Args:
            sock: The socket.
            platform: The platform whose numbers are used.

        Raises:
            OSError: The system refused.
        """
        self._sock = sock
        numbers = platform.constants
        self._option = numbers["SOL_SOCKET"], numbers["SO_TIMESTAMPING"]
        # In the order of sending.
        self._waiting: list[tuple[int, LinuxDeparture]] = []
        self._next_number = 0
        self._restart()
        self._epoll = select.epoll()
        try:
            self._epoll.register(sock.fileno(), 0)
            trio.lowlevel.spawn_system_task(self._take_times, name="take times of departure")
        except BaseException:
            self._epoll.close()
            raise

    def _restart(self) -> None:
        """Have the kernel number the next datagram 0."""
        for value in (0, _REPORT):
            self._sock.setsockopt(*self._option, value)
        self._next_number = 0

    def send(self, data: bytes, address: BindAddress) -> LinuxDeparture:
        """Send one datagram. OSError if refused."""
        control = (*self._option, _TAKE)
        try:
            self._sock.sendmsg([data], [control], 0, address)
        except OSError:
            self._restart()  # Some kernels have counted the datagram, others have not.
            raise
        departure = LinuxDeparture(self._forget)
        self._waiting.append((self._next_number, departure))
        self._next_number = (self._next_number + 1) % 2**32
        return departure

    def _forget(self, departure: LinuxDeparture) -> None:
        """Drop the time of a datagram for which nobody waits any more."""
        self._waiting = [entry for entry in self._waiting if entry[1] is not departure]

    async def _take_times(self) -> None:
        # Nothing may come out of a system task, which would end the whole program.
        with suppress(trio.ClosedResourceError):
            while not self._epoll.closed:
                try:
                    await trio.lowlevel.wait_readable(self._epoll)
                except OSError:  # The system refuses to tell Trio: epoll_ctl(2), say.
                    refused = True
                else:
                    refused = False
                if not self._take_all() or refused:
                    await trio.sleep(_PAUSE_SECONDS)

    def _take_all(self) -> int:
        """Take all times out of the error queue, and return how many messages there were."""
        flags, count = socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT, 0
        with suppress(OSError):  # There is nothing more, or the socket was closed.
            while True:
                _, control, _, _ = self._sock.recvmsg(0, _CONTROL_BYTES, flags)
                self._tell(control)
                count += 1
        return count

    def _tell(self, control: list[tuple[int, int, bytes]]) -> None:
        number = time_ns = None
        for level, kind, value in control:
            if (level, kind) == self._option:
                seconds, fraction = _TIME.unpack_from(value)
                time_ns = seconds * 1_000_000_000 + fraction
            elif (level, kind) in _EXTENDED_ERROR:
                origin, told = _ORIGIN_AND_NUMBER.unpack_from(value)
                number = told if origin == _FROM_TIMESTAMPING else None
        for entry in self._waiting:
            if entry[0] == number:
                entry[1].tell(time_ns)
                self._waiting.remove(entry)
                return

    def close(self) -> None:
        """End the task, and the waiting for times. Idempotent."""
        waiting, self._waiting = self._waiting, []
        steps = [lambda departure=departure: departure.tell(None) for _, departure in waiting]
        if not self._epoll.closed:
            call_each(
                (lambda: trio.lowlevel.notify_closing(self._epoll), self._epoll.close, *steps)
            )
