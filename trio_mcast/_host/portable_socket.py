"""Reading and sending through the socket module."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import Final

import trio

from .._live import call_each
from .._plan.socket_spec import BindAddress, SocketSpec, group_destination
from .._platform.control import NOTHING, Arrival, shared_decoder
from .._platform.model import Platform
from .._platform.options import SocketOption
from .._values.addresses import Endpoint, host_with_zone, parse_address, without_zone
from .._values.datagram import Datagram
from .._values.interface import zone_of
from .carry_out import change_options, leave_group
from .endpoint_cache import endpoint_cache
from .protocols import DepartureTime, Rejection

# No UDP datagram is larger (the length field of its header has 16 bits), so none is ever cut short.
READ_BYTES: Final = 65_536

# Room for the ancillary data that is asked for: segment size, ttl and traffic class (an int each),
# timestamp (16 bytes) and packet information (20 bytes), each with its header and padding: 144
# bytes on Linux. FreeBSD has no segment size, but the two parts of its packet information take 96
# bytes: 176. Where Linux tells when datagrams leave, it may also tell when others came (64 bytes).
CONTROL_BYTES: Final = 256


class PosixSocket:
    """A `McastSocket` over the socket module."""

    # With thousands of sockets that have one datagram each, much of the time goes by until the data
    # of a socket has come from memory. Without a dictionary there is less data.
    __slots__ = (
        "__weakref__",
        "_control",
        "_destination",
        "_local_endpoint",
        "_pending_error",
        "_platform",
        "_rejected",
        "_sock",
        "_wanted",
        "endpoints",
        "pending",
        "received",
        "received_bytes",
        "socket_spec",
    )

    def __init__(
        self,
        sock: socket.socket,
        socket_spec: SocketSpec,
        platform: Platform,
        applied: frozenset[str],
    ) -> None:
        """Take over an open socket.

        Args:
            sock: The socket, set up and bound; closed with this object.
            socket_spec: The plan that the socket carries out.
            platform: The platform on which the socket was opened.
            applied: The symbols of the options that were set, fallbacks included.
        """
        self.socket_spec = socket_spec
        self.received = 0
        self.received_bytes = 0
        self.pending: tuple[SocketOption, ...] = ()
        self._rejected: Counter[Rejection] | None = None
        self._sock = sock
        self._platform = platform
        self.endpoints = endpoint_cache(platform.sockaddr, socket_spec)
        self._control = shared_decoder(platform, socket_spec.family, applied)
        self._pending_error: OSError | None = None
        # Asked for when it is wanted: a receiver may have thousands of sockets.
        self._local_endpoint: Endpoint | None = None
        # The only destination that is wanted, if each datagram is to tell.
        self._wanted: bytes | None = None
        if self._control.tells_destination:
            if socket_spec.group is not None:
                self._wanted = ip_address(socket_spec.group).packed
            elif socket_spec.bind_if_taken is not None and self._is_wide():
                self._wanted = ip_address(socket_spec.bind[0]).packed
        # Of what is sent to the socket's group or, without a group, to its address.
        self._destination = group_destination(socket_spec) or self.local_endpoint

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def local_endpoint(self) -> Endpoint:
        # Linux may take the port away from a socket that is open (``ss --kill``), and gives it
        # another when it sends again.
        if self._sock.fileno() >= 0:
            with suppress(OSError):  # Then the one that was known last.
                self._local_endpoint = self._ask_local_endpoint()
        if self._local_endpoint is None:
            host, port = self.socket_spec.bind[:2]  # Nobody has asked while there was one.
            return Endpoint(self._with_zone(host), port)
        return self._local_endpoint

    def _is_wide(self) -> bool:
        """Whether the socket is bound to the wildcard instead of an address."""
        return ip_address(self._sock.getsockname()[0]).is_unspecified

    def _ask_local_endpoint(self) -> Endpoint:
        host, port, *_ = self._sock.getsockname()
        if self.socket_spec.bind_if_taken is not None and ip_address(host).is_unspecified:
            host = self.socket_spec.bind[0]  # What is sent comes from there all the same.
        return Endpoint(self._with_zone(str(host)), int(port))

    def _with_zone(self, host: str) -> str:
        address = without_zone(parse_address(host, "address"))
        return host_with_zone(address, 1, lambda index: zone_of(self.socket_spec.interface))

    @property
    def rejected(self) -> Counter[Rejection]:
        # Made when first asked for: most sockets reject nothing.
        if self._rejected is None:
            self._rejected = Counter()
        return self._rejected

    @property
    def receive_buffer_granted(self) -> int:
        return self._granted("SO_RCVBUF")

    @property
    def send_buffer_granted(self) -> int:
        return self._granted("SO_SNDBUF")

    def _granted(self, symbol: str) -> int:
        """Return the size of a buffer; 0 once closed, or where a sandbox refuses to say."""
        numbers = self._platform.constants
        try:
            size = self._sock.getsockopt(numbers["SOL_SOCKET"], numbers[symbol])
        except OSError:
            return 0
        return size // 2 if self._platform.doubles_buffers else size

    def revise(self, socket_spec: SocketSpec, options: Sequence[SocketOption]) -> None:
        change_options(self._sock, socket_spec, options, self._platform.name)
        self.socket_spec = socket_spec
        self.endpoints = endpoint_cache(self._platform.sockaddr, socket_spec)

    def receive(self, max_datagrams: int) -> list[Datagram]:
        if self._pending_error is not None:
            error, self._pending_error = self._pending_error, None
            raise error
        batch: list[Datagram] = []
        try:
            self._read_into(batch, max_datagrams)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            if not batch:
                raise
            self._pending_error = error  # The datagrams read before the error are not lost.
        return batch

    @property
    def has_failed(self) -> bool:
        """Whether the next `receive` raises an error."""
        return self._pending_error is not None

    def fail_next(self, error: OSError) -> None:
        """Have the next `receive` raise an error."""
        self._pending_error = error

    def _read_into(self, batch: list[Datagram], max_datagrams: int) -> None:
        """Read until there is nothing more, which raises BlockingIOError, or enough was read."""
        read = self._read_with_control if self._control.expects_anything else self._read_plain
        for _ in range(max_datagrams):
            read(batch)
            if len(batch) >= max_datagrams:
                break

    def _read_plain(self, batch: list[Datagram]) -> None:
        data, address = self._sock.recvfrom(READ_BYTES)
        self._add(batch, data, self.endpoints[address], NOTHING)

    def _read_with_control(self, batch: list[Datagram]) -> None:
        if sys.platform != "win32":  # Where the socket module has no recvmsg.
            data, control, _flags, address = self._sock.recvmsg(READ_BYTES, CONTROL_BYTES)
            source = self.endpoints[address]
            self._add(batch, data, source, self._control.decode(control) if control else NOTHING)

    def _add(
        self, batch: list[Datagram], data: bytes, source: Endpoint | Rejection, arrival: Arrival
    ) -> None:
        """Add the result of one read: a datagram, or several of one size, sent as one unit."""
        interface, size = self.socket_spec.interface, arrival.segment_size
        parts = [data]
        if size is not None and size < len(data):
            parts = [data[start : start + size] for start in range(0, len(data), size)]
        source = self._refusal_of(arrival) or source
        if isinstance(source, Rejection):
            self.rejected[source] += len(parts)
            return
        self.received += len(parts)
        self.received_bytes += len(data)
        group, ttl, timestamp_ns = self.socket_spec.group, arrival.ttl, arrival.timestamp_ns
        of_socket = (source, group, interface, ttl, timestamp_ns, self._destination)
        traffic_class = arrival.traffic_class
        batch.extend(Datagram(part, *of_socket, traffic_class) for part in parts)

    def _refusal_of(self, arrival: Arrival) -> Rejection | None:
        """Return the reason to reject what tells that it came elsewhere, or for another group."""
        if arrival.interface_index not in (None, self.socket_spec.interface.index):
            return Rejection.OTHER_INTERFACE
        if self._wanted is not None and arrival.destination not in (None, self._wanted):
            is_group = self.socket_spec.group is not None
            return Rejection.OTHER_GROUP if is_group else Rejection.UNICAST
        return None

    def send(self, data: bytes, address: BindAddress) -> None:
        self._sock.sendto(data, address)

    def send_timed(self, data: bytes, address: BindAddress) -> DepartureTime:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))  # Only Linux can.

    def send_batch(self, datagrams: Sequence[bytes], start: int, address: BindAddress) -> int:
        self._sock.sendto(datagrams[start], address)
        return 1

    async def wait_writable(self) -> None:
        try:
            await trio.lowlevel.wait_writable(self._sock)
        except trio.ClosedResourceError:
            # A poller that is to look at this socket anew wakes whoever waits for it.
            if self._sock.fileno() < 0:
                raise

    def dropped(self) -> int | None:
        return None  # Only Linux tells.

    def leave(self) -> None:
        leave_group(self._sock, self.socket_spec, self._platform)

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            call_each(
                (
                    partial(trio.lowlevel.notify_closing, self._sock),
                    self.leave,
                    self._sock.close,
                )
            )
