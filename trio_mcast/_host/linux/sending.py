"""Sending many datagrams by one call on Linux: UDP_SEGMENT, and sendmmsg through ctypes.

Datagrams of one size go as one unit, which the kernel cuts into segments (UDP_SEGMENT): 64 bytes
cost 58 ns each in units of 64, and 3,100 ns by ``sendto`` (measured over veth). Datagrams that make
no unit go by ``sendmmsg``. Where the system refuses either, the next way takes over, and at last
``sendto``. The order of the datagrams is kept.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..._live import call_each
from ..._plan.socket_spec import BindAddress, SocketSpec
from ..._platform.model import Platform
from ..._values.addresses import MAX_DATAGRAM_BYTES, encode_sockaddr, parse_address
from ..portable_socket import PosixSocket
from ..protocols import DepartureTime

if not TYPE_CHECKING or sys.platform == "linux":
    from .buffers import IOVEC, MMSGHDR, NAME_BYTES, address_of, libc_function
    from .departures import Departures

assert not TYPE_CHECKING or sys.platform == "linux"

# Datagrams per sendmmsg. Past 64 nothing more is gained (measured).
_SENT_TOGETHER: Final = 64

# The limit of UDP_SEGMENT, measured on 6.18: segments per call.
_MAX_SEGMENTS: Final = 128

# Datagrams in units of that size that are sent by one call from above, which costs as much as one
# such unit. They take as long as some hundred that are sent one by one.
_SENT_AT_ONCE: Final = 1_024

# The errors of UDP_SEGMENT where the interface, the route or the kernel cannot do it. EMSGSIZE and
# EINVAL concern the one call only, such as after a change of MTU. ENOSYS is a sandbox's: sendmsg
# itself is refused.
_SEGMENT_REFUSED: Final = frozenset({errno.EIO, errno.EOPNOTSUPP, errno.ENOPROTOOPT, errno.ENOSYS})
_SEGMENT_UNFIT: Final = frozenset({errno.EMSGSIZE, errno.EINVAL})

# The errors with which sendmmsg itself is refused.
_SENDMMSG_REFUSED: Final = frozenset({errno.ENOSYS, errno.EOPNOTSUPP})

# The errors that can be a sandbox's, which refuses a call, or a firewall's or a route's, which
# refuses the datagram. Whether the next way works tells which.
_SANDBOX_OR_FIREWALL: Final = frozenset({errno.EPERM, errno.EACCES})

_sendmmsg: Final = libc_function("sendmmsg")


class SendingSocket(PosixSocket):
    """A `PosixSocket` that sends many datagrams by one call.

    Attributes:
        name_bytes: The length of a socket address of the socket's family.
    """

    __slots__ = (
        "_departures",
        "_largest_segment",
        "_segment_control",
        "_segment_size",
        "_sends_batches",
        "_sends_segments",
        "name_bytes",
    )

    def __init__(
        self,
        sock: socket.socket,
        socket_spec: SocketSpec,
        platform: Platform,
        applied: frozenset[str],
    ) -> None:
        super().__init__(sock, socket_spec, platform, applied)
        self.name_bytes = 16 if socket_spec.family == "ipv4" else 28
        headers = 28 if socket_spec.family == "ipv4" else 48  # IP and UDP
        self._largest_segment = socket_spec.interface.mtu - headers
        self._sends_batches = _sendmmsg is not None
        self._sends_segments = True
        # The control data of the last unit, and the size of its segments.
        self._segment_control: list[tuple[int, int, bytes]] = []
        self._segment_size = 0
        # Once a datagram was to be timed.
        self._departures: Departures | None = None

    def send_timed(self, data: bytes, address: BindAddress) -> DepartureTime:
        if self._departures is None:
            self._departures = Departures(self._sock, self._platform)
        return self._departures.send(data, address)

    def close(self) -> None:
        steps = () if self._departures is None else (self._departures.close,)
        call_each((*steps, super().close))

    def send_batch(self, datagrams: Sequence[bytes], start: int, address: BindAddress) -> int:
        suspected_segments = suspected_batches = False
        if self._sends_segments:
            unit = self._unit_at(datagrams, start)
            if len(unit) > 1:
                try:
                    return self._send_units(unit, datagrams, start, address)
                except OSError as error:
                    if error.errno in _SEGMENT_REFUSED:
                        self._sends_segments = False
                    elif error.errno in _SANDBOX_OR_FIREWALL:
                        suspected_segments = True
                    elif error.errno not in _SEGMENT_UNFIT:
                        raise
        if self._sends_batches and len(datagrams) - start > 1:
            try:
                count = self._send_several(datagrams[start : start + _SENT_TOGETHER], address)
            except OSError as error:
                if error.errno in _SENDMMSG_REFUSED:
                    self._sends_batches = False
                elif error.errno in _SANDBOX_OR_FIREWALL:
                    suspected_batches = True
                else:
                    raise
            else:
                self._sends_segments = self._sends_segments and not suspected_segments
                return count
        count = super().send_batch(datagrams, start, address)
        # It has worked, so no datagram was refused but a call.
        self._sends_segments = self._sends_segments and not suspected_segments
        self._sends_batches = self._sends_batches and not suspected_batches
        return count

    def _send_units(
        self, unit: Sequence[bytes], datagrams: Sequence[bytes], start: int, address: BindAddress
    ) -> int:
        """Send a unit, and those behind while each is as large as can be; return how many went."""
        sent = self._send_segments(unit, address)
        while len(unit) == _MAX_SEGMENTS and sent < _SENT_AT_ONCE:
            unit = self._unit_at(datagrams, start + sent) if start + sent < len(datagrams) else ()
            if len(unit) <= 1:
                break
            try:
                sent += self._send_segments(unit, address)
            except OSError:
                break  # The next call tells, if there is still no room then.
        return sent

    def _unit_at(self, datagrams: Sequence[bytes], start: int) -> Sequence[bytes]:
        """Return the datagrams from ``start`` on that can go as one unit.

        The datagrams of a unit have one size; only the last may be shorter.
        """
        size = len(datagrams[start])
        limit = 1
        if 0 < size <= self._largest_segment:
            limit = min(_MAX_SEGMENTS, MAX_DATAGRAM_BYTES // size)
        candidates = datagrams[start : start + limit]
        sizes = list(map(len, candidates))
        if sizes.count(size) == len(sizes):
            return candidates
        count = next(place for place, other_size in enumerate(sizes) if other_size != size)
        return candidates[: count + 1 if 0 < sizes[count] < size else count]

    def _send_segments(self, unit: Sequence[bytes], address: BindAddress) -> int:
        if len(unit[0]) != self._segment_size:
            numbers = self._platform.constants
            size = self._segment_size = len(unit[0])
            control = (numbers["IPPROTO_UDP"], numbers["UDP_SEGMENT"], struct.pack("=H", size))
            self._segment_control = [control]
        self._sock.sendmsg([b"".join(unit)], self._segment_control, 0, address)
        return len(unit)

    def _send_several(self, datagrams: Sequence[bytes], address: BindAddress) -> int:
        """Send several datagrams in one call, and return how many went out, at least one."""
        assert _sendmmsg is not None
        count = len(datagrams)
        name = ctypes.create_string_buffer(self._encoded(address), NAME_BYTES)
        data = ctypes.create_string_buffer(b"".join(datagrams))
        vectors, headers = bytearray(count * IOVEC.size), bytearray(count * MMSGHDR.size)
        position, vector = ctypes.addressof(data), address_of(vectors)
        name_at = ctypes.addressof(name)
        for slot, payload in enumerate(datagrams):
            IOVEC.pack_into(vectors, slot * IOVEC.size, position, len(payload))
            header = (name_at, self.name_bytes, vector + slot * IOVEC.size, 1, 0, 0, 0, 0)
            MMSGHDR.pack_into(headers, slot * MMSGHDR.size, *header)
            position += len(payload)
        sent: int = _sendmmsg(self._sock.fileno(), address_of(headers), count, socket.MSG_DONTWAIT)
        if sent < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return sent

    def _encoded(self, address: BindAddress) -> bytes:
        scope_id = address[3] if len(address) == 4 else 0
        return encode_sockaddr(
            self._platform.sockaddr, parse_address(address[0], "address"), address[1], scope_id
        )
