"""Reading and sending on Windows, and waiting for many sockets there.

Decision: a datagram says where it was sent
===========================================

Windows binds no socket to a group's address. A receiver's socket is bound to its interface's
address instead, where unicast to the port arrives as well. So every datagram is read with its
destination (IP_PKTINFO), and rejected unless sent to the group or, where unicast is accepted, to
the address of the bind. Python's socket module has no ``recvmsg`` on Windows; WSARecvMsg is called
through ctypes.

The arrival interface is checked only if the interface has no address to bind to, or unicast to an
address that another interface has as well. Otherwise the bind and the membership keep other
interfaces' datagrams out; and nobody documents which interface Windows names for a datagram that
this machine has sent itself.

Decision: a task for each socket
================================

Nothing on Windows stands for many sockets and can itself be waited for, as an epoll file descriptor
can. So the poller has a small task for each socket, which waits in Trio until the socket is
readable, says so, and waits anew once the socket was read. A datagram then costs the same however
many sockets there are. (Measured under Wine 8 with 100 sockets of which one has a datagram now and
then: 1.2 to 2.0 ms for each; 30 to 37 ms if each call of `WindowsPoller.wait` begins to wait for
all sockets. With one socket both take 0.9 to 1.9 ms.) The tasks read nothing, so that nothing is
lost with a task, and run nobody else's code; they are Trio's system tasks, and end when their
socket is removed or the poller closed.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import attrs
import trio

from ..._live import call_each
from ..._plan.socket_spec import BindAddress, SocketSpec
from ..._platform.control import NOTHING, Arrival, split_control
from ..._platform.model import Platform
from ..._values.addresses import Endpoint
from ..._values.datagram import Datagram
from ..poller import OnFailure
from ..portable_socket import CONTROL_BYTES, READ_BYTES, PosixSocket
from ..protocols import McastSocket, Rejection
from ..woken_poller import WokenPoller
from .api import (
    SIO_GET_EXTENSION_FUNCTION_POINTER,
    SIO_UDP_CONNRESET,
    SIO_UDP_NETRESET,
    WSAECONNRESET,
    WSAENETRESET,
    WSAEWOULDBLOCK,
    WSARECVMSG_GUID,
    WsaBuf,
    WsaMsg,
)

assert not TYPE_CHECKING or sys.platform == "win32"

if sys.platform == "win32":
    from .api import ReceiveMessage, control

logger = logging.getLogger("trio_mcast")

_NAME_BYTES: Final = 28  # A sockaddr_in6.

# How many sockets `WindowsPoller.wait` returns at once, as on Linux; later ones come first the next
# time.
_READY_AT_ONCE: Final = 64


class _Buffers:
    """The buffers for all sockets of one thread: reading is synchronous, so one set serves all."""

    def __init__(self) -> None:
        self._data = ctypes.create_string_buffer(READ_BYTES)
        self._name = ctypes.create_string_buffer(_NAME_BYTES)
        self._control = ctypes.create_string_buffer(CONTROL_BYTES)
        self._vector = WsaBuf(READ_BYTES, ctypes.addressof(self._data))
        self._message = WsaMsg(
            ctypes.addressof(self._name),
            _NAME_BYTES,
            ctypes.addressof(self._vector),
            1,
            WsaBuf(CONTROL_BYTES, ctypes.addressof(self._control)),
            0,
        )
        self._got = ctypes.c_uint32()
        self._arguments = (ctypes.addressof(self._message), ctypes.addressof(self._got))

    def read(self, receive: Callable[..., int], number: int) -> tuple[bytes, bytes, bytes]:
        """Read a datagram: return the payload, the source's sockaddr, the control messages.

        BlockingIOError if there is none, another OSError if reading is refused.
        """
        message = self._message
        message.namelen = _NAME_BYTES
        message.Control.len = CONTROL_BYTES
        message.dwFlags = 0
        if receive(number, *self._arguments, None, None):
            code = ctypes.get_last_error()
            if code == WSAEWOULDBLOCK:
                raise BlockingIOError(code, "nothing to read")
            raise ctypes.WinError(code)
        string_at = ctypes.string_at
        return (
            string_at(self._data, self._got.value),
            string_at(self._name, message.namelen),
            string_at(self._control, message.Control.len),
        )


_of_thread: Final = threading.local()


def _thread_buffers() -> _Buffers:
    """Return the buffers of this thread, in which a socket is opened and read."""
    if not hasattr(_of_thread, "buffers"):
        _of_thread.buffers = _Buffers()
    buffers: _Buffers = _of_thread.buffers
    return buffers


class WindowsSocket(PosixSocket):
    """A `McastSocket` on Windows."""

    def __init__(
        self,
        sock: socket.socket,
        socket_spec: SocketSpec,
        platform: Platform,
        applied: frozenset[str],
    ) -> None:
        super().__init__(sock, socket_spec, platform, applied)
        pointer = control(
            sock.fileno(),
            SIO_GET_EXTENSION_FUNCTION_POINTER,
            WSARECVMSG_GUID,
            struct.calcsize("P"),
        )
        # Of unicast that comes to this socket.
        self._own_destination = self.local_endpoint
        self._receive_message = ReceiveMessage(struct.unpack("P", pointer)[0])
        for code in (SIO_UDP_CONNRESET, SIO_UDP_NETRESET):
            with suppress(OSError):  # The errors to be switched off are passed over in any case.
                control(sock.fileno(), code, bytes(4))
        self._buffers = _thread_buffers()
        tells = bool(applied & {"IP_PKTINFO", "IPV6_PKTINFO"})
        bound_to = ip_address(socket_spec.bind[0])
        self._checks_interface = tells and (bound_to.is_unspecified or socket_spec.checks_interface)
        # The destinations to deliver, and the group that each counts as; empty: every destination.
        self._groups: dict[bytes | None, str | None] = {}
        if tells and socket_spec.group is not None:
            self._groups[ip_address(socket_spec.group).packed] = socket_spec.group
        if tells and socket_spec.accepts_unicast:
            self._groups[bound_to.packed] = None

    def _read_into(self, batch: list[Datagram], max_datagrams: int) -> None:
        number, read = self._sock.fileno(), self._buffers.read
        for _ in range(max_datagrams):
            try:
                data, name, ancillary = read(self._receive_message, number)
            except OSError as error:
                if error.errno in (WSAECONNRESET, WSAENETRESET):
                    continue  # Tells of a datagram that was sent from here.
                raise
            arrival = self._control.decode(split_control(ancillary)) if ancillary else NOTHING
            self._add(batch, data, self.endpoints[name], arrival)
            if len(batch) >= max_datagrams:
                break

    def _add(
        self, batch: list[Datagram], data: bytes, source: Endpoint | Rejection, arrival: Arrival
    ) -> None:
        interface = self.socket_spec.interface
        if self._checks_interface and arrival.interface_index != interface.index:
            untold = arrival.interface_index is None
            source = Rejection.UNTOLD if untold else Rejection.OTHER_INTERFACE
        elif self._groups and arrival.destination not in self._groups:
            # Short of memory, Windows leaves the ancillary data out (as msquic says).
            untold = arrival.destination is None
            source = Rejection.UNTOLD if untold else Rejection.UNICAST
        if isinstance(source, Rejection):
            if source is Rejection.UNICAST and not self.rejected[source]:
                self._log_unicast()
            self.rejected[source] += 1
            return
        self.received += 1
        self.received_bytes += len(data)
        group = self._groups.get(arrival.destination, self.socket_spec.group)
        destination = self._destination if group is not None else self._own_destination
        of_arrival = (arrival.ttl, arrival.timestamp_ns, destination, arrival.traffic_class)
        batch.append(Datagram(data, source, group, interface, *of_arrival))

    def _log_unicast(self) -> None:
        """Tell that this socket takes unicast away from programs on the wildcard address."""
        group = self.socket_spec.group
        if group is None:
            return  # It is broadcasts that are left out of what was asked for.
        logger.warning(
            "group %s on interface %s: unicast to port %d is discarded here. Windows gives it to "
            "the socket that is bound to the interface's address, also if another program waits "
            "for it at the wildcard address: use another port, or accept_unicast",
            group,
            self.socket_spec.interface,
            self.socket_spec.bind[1],
        )

    def send(self, data: bytes, address: BindAddress) -> None:
        try:
            self._sock.sendto(data, address)
        except OSError as error:
            # The error for a datagram over the loopback interface that nobody receives.
            if error.errno != errno.ENETUNREACH or not self.socket_spec.interface.is_loopback:
                raise

    def send_batch(self, datagrams: Sequence[bytes], start: int, address: BindAddress) -> int:
        self.send(datagrams[start], address)
        return 1


@attrs.define(eq=False)
class _Watch:
    """A socket that is watched, with the means to have its task end or wait anew."""

    socket: WindowsSocket
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)
    was_read: trio.Event = attrs.Factory(trio.Event)


class WindowsPoller(WokenPoller):
    """A `Poller` on Windows."""

    def __init__(self, fail: OnFailure) -> None:
        super().__init__(fail)
        self._watches: dict[McastSocket, _Watch] = {}
        # The sockets that can be read, in the order in which that was noticed; and the sockets that
        # the last wait has returned.
        self._ready: dict[McastSocket, _Watch] = {}
        self._returned: dict[McastSocket, _Watch] = {}

    def _watch(self, socket: McastSocket) -> None:
        assert isinstance(socket, WindowsSocket)
        watch = self._watches[socket] = _Watch(socket)
        trio.lowlevel.spawn_system_task(self._watch_one, watch, name="wait for a multicast socket")

    def _unwatch(self, socket: McastSocket) -> None:
        watch = self._watches.pop(socket, None)
        if watch is not None:
            watch.scope.cancel()
            self._ready.pop(socket, None)
            self._returned.pop(socket, None)

    async def _watch_one(self, watch: _Watch) -> None:
        with watch.scope:
            while True:
                try:
                    await trio.lowlevel.wait_readable(watch.socket.fileno())
                except trio.ClosedResourceError:
                    return
                except OSError:
                    pass  # Reading the socket will tell.
                if self._watches.get(watch.socket) is watch:
                    self._ready[watch.socket] = watch
                    self._wake.set()
                await watch.was_read.wait()
                watch.was_read = trio.Event()

    def _find_ready(self) -> Sequence[McastSocket]:
        if self._closed:
            raise trio.ClosedResourceError
        self._take_back()
        self._returned = dict(list(self._ready.items())[:_READY_AT_ONCE])
        for returned in self._returned:
            del self._ready[returned]
        self._awaited = list(self._returned)
        return self._awaited

    def _take_back(self) -> None:
        """Sort the sockets of the last wait: still readable, or to be waited for."""
        if not self._returned:
            return
        returned, self._returned = self._returned, {}
        readable, _, _ = select.select([watch.socket for watch in returned.values()], [], [], 0)
        for watched, watch in returned.items():
            if watched in readable:
                self._ready[watched] = watch
            else:
                watch.was_read.set()

    def close(self) -> None:
        self._closed = True
        removals = [partial(self.remove, watched) for watched in self._watches]
        call_each([self._wake.set, *removals, super().close])
