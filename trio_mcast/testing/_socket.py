"""`VirtualSocket`: an `McastSocket` on a virtual host."""

from __future__ import annotations

import errno
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import trio

from .._addresses import Endpoint, IPAddress, host_with_zone, parse_address
from .._datagram import Datagram
from .._errors import explain_refusal
from .._host import Rejection
from .._host._options import apply_option
from .._host._sources import source_cache
from .._interface import zone_of
from .._plan import BindAddress, SocketSpec
from .._platform import SocketOption
from .._platform._bsd import AF_LINK
from .._platform._control import NOTHING, ControlDecoder
from ._core import Core
from ._kernel import Arrived, KernelSocket
from ._options import refuse

# What a timestamp of second 0 is: 2000-01-01, in seconds since 1970. The same in every run.
_EPOCH_SECONDS: Final = 946_684_800


class Watching(Protocol):
    """What waits for a socket."""

    def became_ready(self, socket: VirtualSocket) -> None:
        """A socket has something to read."""


class VirtualSocket:
    """An open socket of a `VirtualHost` that carries out a `SocketSpec`."""

    def __init__(
        self,
        core: Core,
        kernel: KernelSocket,
        spec: SocketSpec,
        applied: frozenset[str],
        send: Callable[[VirtualSocket, bytes, BindAddress], None],
        closed: Callable[[VirtualSocket], None],
    ) -> None:
        self.spec = spec
        self.received = 0
        self.received_bytes = 0
        self.rejected: Counter[Rejection] = Counter()
        self.kernel = kernel
        self.watchers: dict[Watching, None] = {}
        self._core = core
        self._applied = applied
        self._send = send
        self._on_close = closed
        self._closed = False
        state = kernel.state
        self._platform = state.platform
        self._control = ControlDecoder(state.platform, spec.family, applied)
        self._sources = source_cache(state.platform.sockaddr, spec)
        self.local_endpoint = Endpoint(self._local_host(), state.port)
        divisor = 2 if state.platform.doubles_buffers else 1
        self.receive_buffer_granted = state.buffers[0] // divisor
        self.send_buffer_granted = state.buffers[1] // divisor
        kernel.on_arrival = self._arrived
        # What is delivered, by destination, and as sent to which group, where it has a group.
        self._groups: dict[bytes | None, str | None] = {}
        if spec.group is not None:
            self._groups[parse_address(spec.group, "group").packed] = spec.group
            if spec.accepts_unicast and kernel.state.address is not None:
                self._groups[kernel.state.address.packed] = None

    def _local_host(self) -> str:
        address = self.kernel.state.address
        if address is None:
            return "0.0.0.0" if self.spec.family == "ipv4" else "::"
        return host_with_zone(address, 1, lambda index: zone_of(self.spec.interface))

    @property
    def is_readable(self) -> bool:
        """Whether there is something to read."""
        return bool(self.kernel.waiting)

    def _arrived(self) -> None:
        for watching in self.watchers:
            watching.became_ready(self)

    def receive(self, max_datagrams: int, busy_since: float | None = None) -> list[Datagram]:
        """What has arrived, up to so many datagrams."""
        self._check_open()
        batch: list[Datagram] = []
        taken = 0
        while self.kernel.waiting and taken < max_datagrams:
            self._add(batch, self.kernel.read())
            taken += 1
        return batch

    def _add(self, batch: list[Datagram], arrived: Arrived) -> None:
        packet, spec = arrived.packet, self.spec
        messages = list(self._control_messages(arrived))
        told = self._control.decode(messages) if messages else NOTHING
        source = self._sources[self._source_tuple(packet.source, packet.source_port, arrived.index)]
        if told.interface_index not in (None, spec.interface.index):
            source = Rejection.OTHER_INTERFACE
        elif self._groups and told.destination not in (None, *self._groups):
            source = Rejection.UNICAST  # A system that cannot bind to a group lets it in, too.
        if isinstance(source, Rejection):
            self.rejected[source] += 1
            return
        self.received += 1
        self.received_bytes += len(packet.data)
        group = self._groups.get(told.destination, spec.group)
        batch.append(
            Datagram(packet.data, source, group, spec.interface, told.ttl, told.timestamp_ns)
        )

    def _source_tuple(self, source: IPAddress, port: int, index: int) -> tuple[object, ...]:
        """The tuple that the socket module would make of the source's address."""
        if self.spec.family == "ipv4":
            return (str(source), port)
        if source.version == 4:
            return (f"::ffff:{source}", port, 0, 0)
        return (str(source), port, 0, index if source.is_link_local else 0)

    def _control_messages(self, arrived: Arrived) -> Iterator[tuple[int, int, bytes]]:
        """The ancillary data, as the platform would write it."""
        platform, applied = self._platform, self._applied
        numbers, packet = platform.constants, arrived.packet
        family = self.spec.family
        if applied & {"IP_RECVTTL", "IPV6_RECVHOPLIMIT", "IPV6_HOPLIMIT"}:
            symbol = platform.ttl_control[family]
            one_byte = family == "ipv4" and platform.sockaddr.has_length
            value = bytes([packet.ttl]) if one_byte else struct.pack("=i", packet.ttl)
            yield platform.level(symbol, family), numbers[symbol], value
        stamps = platform.timestamps
        if stamps is not None and stamps.option in applied:
            seconds, rest = divmod(arrived.time_ns, 1_000_000_000)
            value = struct.pack(stamps.layout, _EPOCH_SECONDS + seconds, rest // stamps.fraction_ns)
            yield numbers["SOL_SOCKET"], numbers[stamps.control], value
        destination = packet.destination.packed
        if family == "ipv6" and len(destination) == 4:  # An IPv6 socket gets it as ::ffff:a.b.c.d.
            destination = bytes(10) + b"\xff\xff" + destination
        if applied & {"IP_PKTINFO", "IP_RECVPKTINFO", "IPV6_PKTINFO", "IPV6_RECVPKTINFO"}:
            symbol = "IP_PKTINFO" if family == "ipv4" else "IPV6_PKTINFO"
            info = bytearray(20)  # struct in6_pktinfo; struct in_pktinfo is shorter.
            start = platform.packet_info_destination[family]
            info[start : start + len(destination)] = destination
            struct.pack_into("=I", info, platform.packet_info_index[family], arrived.index)
            yield platform.level(symbol, family), numbers[symbol], bytes(info)
        if "IP_RECVDSTADDR" in applied:
            yield numbers["IPPROTO_IP"], numbers["IP_RECVDSTADDR"], destination
        if "IP_RECVIF" in applied:  # struct sockaddr_dl: its length, AF_LINK, the index, no name.
            link = struct.pack("=BBH50x", 54, AF_LINK, arrived.index)
            yield numbers["IPPROTO_IP"], numbers["IP_RECVIF"], link

    def revise(self, spec: SocketSpec, options: Sequence[SocketOption]) -> None:
        """Carry out another plan from now on. SocketSetupError if an option is refused."""
        self._check_open()
        for item in options:
            try:
                apply_option(self.kernel, item)
            except OSError as error:
                if not item.required:
                    continue
                raise explain_refusal(
                    error,
                    step=item.symbol,
                    detail=f"({item.purpose})",
                    group=spec.group,
                    interface=spec.interface.name,
                    system=self._platform.name,
                ) from error
        self.spec = spec
        self._sources = source_cache(self._platform.sockaddr, spec)

    def send(self, data: bytes, address: BindAddress) -> None:
        """Send one datagram. OSError if the system refuses."""
        self._check_open()
        self._send(self, data, address)

    def send_batch(self, datagrams: Sequence[bytes], start: int, address: BindAddress) -> int:
        """Send the datagrams from position ``start`` on; how many were sent, at least one."""
        self._check_open()
        for sent, data in enumerate(datagrams[start:]):
            try:
                self._send(self, data, address)
            except OSError:
                if not sent:
                    raise
                return sent
        return len(datagrams) - start

    async def wait_writable(self) -> None:
        """There is always room to send. A checkpoint."""
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise trio.ClosedResourceError("this socket was closed")

    def dropped(self) -> int | None:
        """How many datagrams were dropped for want of room; `None` where the system does not tell.

        Only Linux tells. The trace has them all.
        """
        return self.kernel.dropped if "SO_MEMINFO" in self._platform.constants else None

    def _check_open(self) -> None:
        if self._closed:
            raise refuse(errno.EBADF)
        self._core.enter()

    def close(self) -> None:
        """Close it; its memberships end. Idempotent."""
        if not self._closed:
            self._closed = True
            self.watchers.clear()
            self._on_close(self)
