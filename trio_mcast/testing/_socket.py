"""`VirtualSocket`: an `McastSocket` on a virtual host."""

from __future__ import annotations

import errno
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Protocol

import attrs
import trio

from .._host.carry_out import change_options, leave_group
from .._host.endpoint_cache import EndpointCache, endpoint_cache
from .._host.protocols import Rejection
from .._plan.socket_spec import BindAddress, SocketSpec, group_destination
from .._platform.bsd import AF_LINK
from .._platform.control import NOTHING, shared_decoder
from .._platform.options import SocketOption
from .._values.addresses import Endpoint, host_with_zone, parse_address, without_zone
from .._values.datagram import Datagram
from .._values.interface import zone_of
from ._clock import VirtualClock
from ._core import Core
from ._frames import Packet
from ._kernel import KernelSocket
from ._options import refuse
from ._receive_buffer import Arrived


class SocketOwner(Protocol):
    """The part of a host that the host's open sockets call."""

    name: str
    clock: VirtualClock

    def send_from(self, socket: VirtualSocket, data: bytes, address: BindAddress) -> None:
        """Send one datagram. OSError if the system refuses."""

    def socket_closed(self, socket: VirtualSocket) -> None:
        """Forget a socket, which ends its memberships."""


class Watching(Protocol):
    """A poller or another object that waits for sockets."""

    def became_ready(self, socket: VirtualSocket) -> None:
        """Note that a socket has something to read."""


@attrs.frozen
class VirtualDeparture:
    """The time at which a datagram left: known at once."""

    time_ns: int

    async def wait(self) -> int:
        """Return the time. A checkpoint."""
        await trio.lowlevel.checkpoint()
        return self.time_ns


class VirtualSocket:
    """An open socket of a `VirtualHost` that carries out a `SocketSpec`."""

    def __init__(
        self,
        core: Core,
        owner: SocketOwner,
        kernel: KernelSocket,
        socket_spec: SocketSpec,
        applied: frozenset[str],
    ) -> None:
        self.socket_spec: SocketSpec = socket_spec
        self.received: int = 0
        self.received_bytes: int = 0
        self.pending: tuple[SocketOption, ...] = ()
        self.kernel = kernel
        self.watchers: dict[Watching, None] = {}
        self._core = core
        self._owner = owner
        self._is_dead = False
        self._closed = False
        # For who waits for room.
        self._has_room: trio.Event | None = None
        state = kernel.state
        self._platform = state.platform
        self._control = shared_decoder(state.platform, socket_spec.family, applied)
        # The sources of datagrams, once some come.
        self._endpoints: EndpointCache | None = None
        divisor = 2 if state.platform.doubles_buffers else 1
        self.receive_buffer_granted: int = state.buffers[0] // divisor
        self.send_buffer_granted: int = state.buffers[1] // divisor
        kernel.buffer.on_arrival = self._arrived

    @cached_property
    def rejected(self) -> Counter[Rejection]:
        """The number of datagrams that were rejected, by reason."""
        return Counter()

    @cached_property
    def local_endpoint(self) -> Endpoint:
        """The address and port that the socket is bound to."""
        return Endpoint(self._local_host(), self.kernel.state.port)

    @cached_property
    def _group_destination(self) -> Endpoint | None:
        return group_destination(self.socket_spec)

    @cached_property
    def _groups(self) -> dict[bytes | None, str | None]:
        """By the destination of a datagram, the group that the datagram counts as sent to.

        Empty for a socket without a group.
        """
        socket_spec, bound_to = self.socket_spec, self.kernel.state.address
        groups: dict[bytes | None, str | None] = {}
        if socket_spec.group is not None:
            groups[parse_address(socket_spec.group, "group").packed] = socket_spec.group
            if socket_spec.accepts_unicast and bound_to is not None:
                groups[bound_to.packed] = None
        elif socket_spec.bind_if_taken is not None and bound_to is None:
            address = parse_address(socket_spec.bind[0], "address")
            groups[without_zone(address).packed] = None
        return groups

    def __repr__(self) -> str:
        state = "closed" if self._closed else str(self.local_endpoint)
        return f"<VirtualSocket of {self._owner.name} ({state})>"

    def _local_host(self) -> str:
        address = self.kernel.state.address
        if address is None and self.socket_spec.bind_if_taken is not None:
            address = without_zone(parse_address(self.socket_spec.bind[0], "address"))
        if address is None:
            return "0.0.0.0" if self.socket_spec.family == "ipv4" else "::"
        return host_with_zone(address, 1, lambda index: zone_of(self.socket_spec.interface))

    @property
    def is_readable(self) -> bool:
        """Whether there is something to read."""
        return bool(self.kernel.buffer.waiting)

    def die(self) -> None:
        """Let the socket go down with its host: it does nothing any more."""
        self._is_dead = True
        self._end_wait()
        self.kernel.buffer.waiting.clear()

    def look_for_room(self) -> None:
        """Have whoever waits until there is room to send look again."""
        self._end_wait()

    def _arrived(self) -> None:
        for watching in self.watchers:
            watching.became_ready(self)

    def receive(self, max_datagrams: int) -> list[Datagram]:
        """Return the datagrams that have arrived, up to ``max_datagrams`` of them."""
        self._check_open()
        batch: list[Datagram] = []
        taken = 0
        while self.kernel.buffer.waiting and taken < max_datagrams:
            arrived = self.kernel.buffer.read()
            self._add(batch, arrived)
            taken += 1
        if taken:
            # What comes last in the order of the trace stands for all before.
            self._core.trace.read(arrived.key[0])
        return batch

    def _add(self, batch: list[Datagram], arrived: Arrived) -> None:
        packet, socket_spec = arrived.packet, self.socket_spec
        messages = list(self._control_messages(arrived))
        control = self._control.decode(messages) if messages else NOTHING
        if self._endpoints is None:
            self._endpoints = endpoint_cache(self._platform.sockaddr, socket_spec)
        source = self._endpoints[self._source_tuple(packet, arrived.interface_index)]
        if control.interface_index not in (None, socket_spec.interface.index):
            source = Rejection.OTHER_INTERFACE
        elif self._groups and control.destination not in (None, *self._groups):
            source = Rejection.UNICAST  # Comes in where a socket cannot be bound to a group.
        if isinstance(source, Rejection):
            self.rejected[source] += 1
            return
        self.received += 1
        self.received_bytes += len(packet.data)
        group = self._groups.get(control.destination, socket_spec.group)
        destination = self.local_endpoint if group is None else self._group_destination
        batch.append(
            Datagram(
                packet.data,
                source,
                group,
                socket_spec.interface,
                control.ttl,
                control.timestamp_ns,
                destination or self.local_endpoint,
                control.traffic_class,
            )
        )

    def _source_tuple(self, packet: Packet, index: int) -> tuple[object, ...]:
        """Return the tuple that the socket module would make of the source's address."""
        if self.socket_spec.family == "ipv4":
            return packet.sender
        host, port = packet.sender
        if packet.family == "ipv4":
            return (f"::ffff:{host}", port, 0, 0)
        return (host, port, 0, index if packet.source.is_link_local else 0)

    def _control_messages(self, arrived: Arrived) -> Iterator[tuple[int, int, bytes]]:
        """Yield the ancillary data, as the platform would write them."""
        platform, applied = self._platform, self._control.applied
        numbers, packet = platform.constants, arrived.packet
        family = self.socket_spec.family
        if applied & {"IP_RECVTTL", "IPV6_RECVHOPLIMIT", "IPV6_HOPLIMIT"}:
            symbol = platform.ttl_control[family]
            one_byte = family == "ipv4" and platform.sockaddr.has_length
            value = bytes([packet.ttl]) if one_byte else struct.pack("=i", packet.ttl)
            yield platform.level(symbol, family), numbers[symbol], value
        if applied & {"IP_RECVTOS", "IPV6_RECVTCLASS"}:
            symbol = platform.traffic_class_control[family]
            one_byte = family == "ipv4" and platform.name != "windows"
            number = packet.traffic_class
            value = bytes([number]) if one_byte else struct.pack("=i", number)
            yield platform.level(symbol, family), numbers[symbol], value
        for stamps in [each for each in platform.timestamps if each.option in applied]:
            seconds, ns = divmod(arrived.time_ns, 1_000_000_000)
            value = struct.pack(stamps.layout, seconds, ns // stamps.fraction_ns)
            yield numbers["SOL_SOCKET"], numbers[stamps.kind], value
        destination = packet.packed_destination
        if family == "ipv6" and len(destination) == 4:  # IPv6 sockets see ::ffff:a.b.c.d.
            destination = bytes(10) + b"\xff\xff" + destination
        if applied & {"IP_PKTINFO", "IP_RECVPKTINFO", "IPV6_PKTINFO", "IPV6_RECVPKTINFO"}:
            symbol = "IP_PKTINFO" if family == "ipv4" else "IPV6_PKTINFO"
            info = bytearray(20)  # struct in6_pktinfo; struct in_pktinfo is shorter.
            start = platform.packet_info_destination[family]
            info[start : start + len(destination)] = destination
            struct.pack_into(
                "=I", info, platform.packet_info_index[family], arrived.interface_index
            )
            yield platform.level(symbol, family), numbers[symbol], bytes(info)
        if "IP_RECVDSTADDR" in applied:
            yield numbers["IPPROTO_IP"], numbers["IP_RECVDSTADDR"], destination
        if "IP_RECVIF" in applied:  # struct sockaddr_dl: the length, AF_LINK, the index, no name.
            link = struct.pack("=BBH50x", 54, AF_LINK, arrived.interface_index)
            yield numbers["IPPROTO_IP"], numbers["IP_RECVIF"], link

    def revise(self, socket_spec: SocketSpec, options: Sequence[SocketOption]) -> None:
        """Carry out another plan from now on. SocketSetupError if an option is refused."""
        self._check_open()
        if self._is_dead:
            return
        change_options(self.kernel, socket_spec, options, self._platform.name)
        self.socket_spec = socket_spec
        self._endpoints = None

    def send(self, data: bytes, address: BindAddress) -> None:
        """Send one datagram. OSError if the system refuses."""
        self._check_open()
        if not self._is_dead:
            self._owner.send_from(self, data, address)

    def send_timed(self, data: bytes, address: BindAddress) -> VirtualDeparture:
        """Send one datagram, and return the time; EOPNOTSUPP where the system takes none."""
        if "SO_TIMESTAMPING" not in self._platform.constants:
            raise refuse(errno.EOPNOTSUPP)
        self.send(data, address)
        return VirtualDeparture(self._owner.clock.time_ns())

    def send_batch(self, datagrams: Sequence[bytes], start: int, address: BindAddress) -> int:
        """Send the datagrams from position ``start`` on, and return the number sent, at least 1."""
        self._check_open()
        for sent, data in enumerate(() if self._is_dead else datagrams[start:]):
            try:
                self._owner.send_from(self, data, address)
            except OSError:
                if not sent:
                    raise
                return sent
        return len(datagrams) - start

    async def wait_writable(self) -> None:
        """Wait until there is room to send: at once, unless a cable has a rate. A checkpoint."""
        await trio.lowlevel.checkpoint()
        scheduler = self._core.scheduler
        while not self._closed:
            due_ns = self.kernel.send_buffer.writable_at(scheduler.read_clock())
            if due_ns is None or self._is_dead:
                return
            has_room = self._has_room = trio.Event()
            scheduler.schedule(due_ns, (self.kernel.state.number,), has_room.set)
            await has_room.wait()
        raise trio.ClosedResourceError("this socket was closed")

    def dropped(self) -> int | None:
        """Return how many datagrams found no room; `None` where the system does not tell.

        Only Linux tells. The trace has every dropped datagram.
        """
        return self.kernel.buffer.dropped if "SO_MEMINFO" in self._platform.constants else None

    def _check_open(self) -> None:
        if self._closed:
            raise refuse(errno.EBADF)
        if self._is_dead:
            return
        self._core.enter(self._owner.name)

    def leave(self) -> None:
        """End the membership; what has come can still be read."""
        if self._is_dead:
            return
        leave_group(self.kernel, self.socket_spec, self._platform)

    def close(self) -> None:
        """Close the socket; all memberships end. Idempotent."""
        if not self._closed:
            self.watchers.clear()
            self._owner.socket_closed(self)
            self._closed = True
            self._end_wait()

    def _end_wait(self) -> None:
        if self._has_room is not None:
            self._has_room.set()
