"""Reading and sending through the socket module, and waiting for many sockets with epoll."""

from __future__ import annotations

import select
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

import trio

from .._addresses import Endpoint, IPAddress, host_with_zone, parse_address, without_zone
from .._datagram import Datagram
from .._errors import explain_refusal
from .._plan import BindAddress, SocketSpec
from .._platform import Platform
from ._protocols import McastSocket

assert not TYPE_CHECKING or sys.platform != "win32"

# No UDP datagram is larger (the length field of its header has 16 bits), so none is ever cut short.
_READ_BYTES: Final = 65_536

# Room for the ancillary data that is asked for: ttl (an int), timestamp (16 bytes) and packet
# information (20 bytes), each with its header and padding; 128 bytes are more than all of it.
_CONTROL_BYTES: Final = 128

# How many decoded source addresses a socket remembers. Sources can be forged, so there is a bound;
# at the bound it starts afresh. The number is arbitrary: more than a network of hosts has.
_CACHED_SOURCES: Final = 4_096

# SO_MEMINFO (linux/sock_diag.h): nine u32, of which the last is the count of drops.
_MEMINFO_LAYOUT: Final = struct.Struct("=9I")


class SourceCache(dict[tuple[object, ...], "Endpoint | None"]):
    """From the address that a read returns to the source's `Endpoint`; `None` if it is rejected.

    Decided once per source, so rejecting some sources costs nothing per datagram.
    """

    def __init__(self, spec: SocketSpec) -> None:
        super().__init__()
        self._rejected = spec.rejected_sources
        self._zone = spec.interface.name

    def __missing__(self, address: tuple[object, ...]) -> Endpoint | None:
        if len(self) >= _CACHED_SOURCES:
            self.clear()
        host, port, *rest = address
        parsed: IPAddress = without_zone(parse_address(str(host), "source"))
        endpoint = None
        if str(parsed) not in self._rejected:
            scope_id = int(str(rest[1])) if rest else 0
            # A link-local address is heard on its own link only: the zone is the interface.
            text = host_with_zone(parsed, scope_id, lambda index: self._zone)
            endpoint = Endpoint(text, int(str(port)))
        self[address] = endpoint
        return endpoint


class PosixSocket:
    """A `McastSocket` over the socket module."""

    def __init__(
        self, sock: socket.socket, spec: SocketSpec, platform: Platform, applied: frozenset[str]
    ) -> None:
        """Take over an open socket.

        Args:
            sock: The socket, set up and bound; closed with this object.
            spec: What it carries out.
            platform: The platform it runs on.
            applied: The symbols of the options that were set, fallbacks included.
        """
        self.spec = spec
        self.rejected = 0
        self._sock = sock
        self._platform = platform
        self._sources = SourceCache(spec)
        self._pending_error: OSError | None = None
        host, port, *_ = sock.getsockname()
        self.local_endpoint = Endpoint(self._with_zone(str(host)), int(port))
        divisor = 2 if platform.doubles_buffers else 1
        self.receive_buffer_granted = self._option("SO_RCVBUF") // divisor
        self.send_buffer_granted = self._option("SO_SNDBUF") // divisor
        family = spec.family
        numbers = platform.constants
        requests = {"IP_RECVTTL", "IPV6_RECVHOPLIMIT"}
        self._ttl_key = self._index_key = self._time_key = None
        if applied & requests:
            symbol = platform.ttl_control[family]
            self._ttl_key = (platform.level(symbol, family), numbers[symbol])
        if "IPV6_RECVPKTINFO" in applied:
            self._index_key = (numbers["IPPROTO_IPV6"], numbers["IPV6_PKTINFO"])
        if platform.timestamps is not None and platform.timestamps.option in applied:
            self._time_key = (numbers["SOL_SOCKET"], numbers[platform.timestamps.control])
        self._wants_control = any((self._ttl_key, self._index_key, self._time_key))

    def fileno(self) -> int:
        return self._sock.fileno()

    def _with_zone(self, host: str) -> str:
        address = without_zone(parse_address(host, "address"))
        return host_with_zone(address, 1, lambda index: self.spec.interface.name)

    def _option(self, symbol: str) -> int:
        numbers = self._platform.constants
        return self._sock.getsockopt(numbers["SOL_SOCKET"], numbers[symbol])

    def receive(self, max_datagrams: int) -> list[Datagram]:
        if self._pending_error is not None:
            error, self._pending_error = self._pending_error, None
            raise error
        batch: list[Datagram] = []
        read_one = self._read_with_control if self._wants_control else self._read_plain
        try:
            for _ in range(max_datagrams):
                datagram = read_one()
                if datagram is None:
                    self.rejected += 1
                else:
                    batch.append(datagram)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            if not batch:
                raise
            self._pending_error = error  # What was read before it is not lost.
        return batch

    def _read_plain(self) -> Datagram | None:
        data, address = self._sock.recvfrom(_READ_BYTES)
        source = self._sources[address]
        if source is None:
            return None
        return Datagram(data, source, self.spec.group, self.spec.interface)

    def _read_with_control(self) -> Datagram | None:
        data, control, _flags, address = self._sock.recvmsg(_READ_BYTES, _CONTROL_BYTES)
        source = self._sources[address]
        ttl = timestamp_ns = None
        index = self.spec.interface.index
        for level, kind, value in control:
            key = (level, kind)
            if key == self._ttl_key:
                ttl = int.from_bytes(value, "little") if len(value) == 1 else _int_of(value)
            elif key == self._time_key:
                timestamp_ns = self._timestamp_of(value)
            elif key == self._index_key:
                (index,) = struct.unpack_from("=I", value, 16)  # in6_pktinfo.ipi6_ifindex
        if source is None or index != self.spec.interface.index:
            return None
        return Datagram(data, source, self.spec.group, self.spec.interface, ttl, timestamp_ns)

    def _timestamp_of(self, value: bytes) -> int:
        assert self._platform.timestamps is not None
        layout = self._platform.timestamps
        seconds, fraction = struct.unpack_from(layout.layout, value)
        return int(seconds) * 1_000_000_000 + int(fraction) * layout.fraction_ns

    def send(self, data: bytes, address: BindAddress) -> None:
        self._sock.sendto(data, address)

    async def wait_writable(self) -> None:
        await trio.lowlevel.wait_writable(self._sock)

    def dropped(self) -> int | None:
        numbers = self._platform.constants
        if "SO_MEMINFO" not in numbers:
            return None
        try:
            raw = self._sock.getsockopt(
                numbers["SOL_SOCKET"], numbers["SO_MEMINFO"], _MEMINFO_LAYOUT.size
            )
        except OSError:
            return None  # Linux before 4.12 does not have it; and counting must not stop a close.
        return int(_MEMINFO_LAYOUT.unpack(raw)[8])

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()


def _int_of(value: bytes) -> int:
    return int(struct.unpack("=i", value[:4])[0])


if sys.platform == "linux":

    class EpollPoller:
        """A `Poller` on an epoll file descriptor, which can itself be waited for."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self._sockets: dict[int, McastSocket] = {}

        def add(self, socket: McastSocket) -> None:
            assert isinstance(socket, PosixSocket)
            number = socket.fileno()
            try:
                self._epoll.register(number, select.EPOLLIN)
            except OSError as error:
                raise explain_refusal(
                    error,
                    step="epoll_ctl",
                    group=socket.spec.group,
                    interface=socket.spec.interface.name,
                ) from error
            self._sockets[number] = socket

        def remove(self, socket: McastSocket) -> None:
            for number, known in list(self._sockets.items()):
                if known is socket:
                    del self._sockets[number]
                    self._epoll.unregister(number)

        async def wait(self) -> list[McastSocket]:
            while True:
                if self._epoll.closed:
                    raise trio.ClosedResourceError
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                if self._epoll.closed:
                    raise trio.ClosedResourceError
                ready = [self._sockets[number] for number, _ in self._epoll.poll(0)]
                if ready:
                    return ready

        def close(self) -> None:
            if not self._epoll.closed:
                trio.lowlevel.notify_closing(self._epoll.fileno())
                self._epoll.close()
                self._sockets.clear()
