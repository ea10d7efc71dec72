"""The copies of what a channel sends, which come back to it and are taken out.

Decision: own is what this channel has sent, and not what this machine has
==========================================================================

With ``loopback``, the system gives a group's datagrams to all programs of the machine that have
joined the group, also to the one that sent them. A program that answers whatever it gets would
answer itself for ever. The source does not tell: mDNS, SSDP or PTP want all programs on one port,
so another one on this machine has the same address and port (avahi beside this one). So what was
sent is remembered, with the endpoint that it came from, the group, and a hash of the payload. On
each interface one such datagram is taken out: mostly the copy of the interface that it was sent on;
where two interfaces are on one network, also the one that comes in from there.

What was sent is remembered for a second, and until its copy was read: a program that does not take
its datagrams has them wait in the kernel for any time. If no copy comes (somebody left the group
just then), it is forgotten once everything that waited has been read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias, cast

import attrs
import trio

from .._host.protocols import DepartureTime, McastSocket, Rejection
from .._plan.socket_spec import BindAddress, SocketSpec
from .._platform.options import SocketOption
from .._receive.memberships import Memberships
from .._values.addresses import Endpoint
from .._values.datagram import Datagram
from .._values.interface import zone_of

# A copy comes at once. From another interface it may take a turn through a switch.
_REMEMBERED_SECONDS: Final = 1.0

# How much is remembered of what was sent from one endpoint to one group. A receive buffer of 1 MiB
# holds some 2,700 of the smallest datagrams, and the system drops the copies that do not fit.
_MOST_REMEMBERED: Final = 4_096

# With so many ways to send, those that nothing was sent on for a while are forgotten. Arbitrary.
_MANY_LANES: Final = 256

# The source, the group (`None` for unicast), and the port that a datagram was sent to.
_Way: TypeAlias = "tuple[Endpoint, str | None, int]"


@attrs.define(eq=False)
class _Sent:
    """One datagram that was sent.

    Attributes:
        digest: The hash of its payload.
        interface: The name of the interface that it was sent on.
        time: The time, by Trio's clock.
        taken: The names of the interfaces on which a copy was taken out.
    """

    digest: int
    interface: str
    time: float
    taken: set[str] = attrs.field(factory=set)


class _Lane:
    """The datagrams that were sent on one way, in order."""

    def __init__(self) -> None:
        self._order: deque[_Sent] = deque()
        self._by_digest: dict[int, deque[_Sent]] = {}
        # How many had their copy taken out on the interface that they were sent on.
        self._taken = 0

    def add(self, sent: _Sent, read_until: dict[str, float]) -> None:
        """Remember what was sent.

        Args:
            sent: What was sent.
            read_until: For each interface, the time until when all that had come was read.
        """
        order = self._order
        while order and _is_over(order[0], sent.time, read_until):
            self._forget_first()
        if len(order) >= _MOST_REMEMBERED and self._taken > _MOST_REMEMBERED // 2:
            self._forget_taken()
        if len(self._order) < _MOST_REMEMBERED:
            self._order.append(sent)
            self._by_digest.setdefault(sent.digest, deque()).append(sent)

    def take(self, digest: int, interface: str) -> bool:
        """Tell whether a datagram is a copy, and mark that as taken out."""
        for sent in self._by_digest.get(digest, ()):
            if interface not in sent.taken:
                sent.taken.add(interface)
                self._taken += interface == sent.interface
                return True
        return False

    def is_over(self, now: float, read_until: dict[str, float]) -> bool:
        """Tell whether no copy is expected any more."""
        return all(_is_over(sent, now, read_until) for sent in self._order)

    def _forget_first(self) -> None:
        first = self._order.popleft()
        self._taken -= first.interface in first.taken
        alike = self._by_digest[first.digest]
        alike.popleft()
        if not alike:
            del self._by_digest[first.digest]

    def _forget_taken(self) -> None:
        """Forget what is no longer waited for."""
        self._taken = 0
        before, self._order = self._order, deque()
        self._by_digest.clear()
        for sent in before:
            if sent.interface not in sent.taken:
                self._order.append(sent)
                self._by_digest.setdefault(sent.digest, deque()).append(sent)


def _is_over(sent: _Sent, now: float, read_until: dict[str, float]) -> bool:
    if now - sent.time <= _REMEMBERED_SECONDS:
        return False
    return sent.interface in sent.taken or read_until.get(sent.interface, 0.0) > sent.time


class Echoes:
    """The copies that one channel expects of what it has sent."""

    def __init__(self) -> None:
        self._memberships: Memberships | None = None
        self._ports: tuple[int, ...] = ()
        self._lanes: dict[_Way, _Lane] = {}
        # Each source that a copy can be told to come from, with the one that it is.
        self._sources: dict[Endpoint, Endpoint] = {}
        self._read_until: dict[str, float] = {}
        self._forget_above = _MANY_LANES

    def listen(self, memberships: Memberships, ports: tuple[int, ...]) -> None:
        """Expect copies in these memberships, on these ports."""
        self._memberships, self._ports = memberships, ports

    def expect(
        self, source: Endpoint, interface: str, address: BindAddress, payloads: Sequence[bytes]
    ) -> None:
        """Expect copies of what was sent.

        Args:
            source: The endpoint that it was sent from.
            interface: The name of the interface that it was sent on.
            address: The address that it was sent to.
            payloads: The payloads.
        """
        group = self._heard_as(interface, address)
        if group == "":
            return
        now = trio.current_time()
        way = source, group, address[1]
        lane = self._lanes.get(way)
        if lane is None:
            self._forget_lanes(now)
            lane = self._lanes[way] = _Lane()
            self._sources.update(self._seen_as(source))
        for payload in payloads:
            lane.add(_Sent(hash(payload), interface, now), self._read_until)

    def _heard_as(self, interface: str, address: BindAddress) -> str | None:
        """Return the group under which the channel hears what was sent to an address.

        `None` for unicast to this machine; "" if the channel does not hear it.
        """
        host, port = str(address[0]), address[1]
        if self._memberships is None or port not in self._ports:
            return ""
        live = self._memberships.live
        membership = live.get((host, interface))
        if membership is not None:
            return host if membership.sockets else ""
        for known in self._memberships.interfaces:
            unicast = live.get((None, known.name))
            if unicast is not None and any(
                socket.socket_spec.bind[0] == host for socket in unicast.sockets
            ):
                return None
        return ""

    def _seen_as(self, source: Endpoint) -> dict[Endpoint, Endpoint]:
        """Return what the source of a copy can look like: its zone is that of the arrival."""
        bare, has_zone, _ = source.host.partition("%")
        if not has_zone or self._memberships is None:
            return {source: source}
        interfaces = self._memberships.interfaces
        zoned = {Endpoint(f"{bare}%{zone_of(it)}", source.port): source for it in interfaces}
        return {**zoned, source: source}

    def _forget_lanes(self, now: float) -> None:
        if len(self._lanes) >= self._forget_above:
            self._lanes = {
                way: lane
                for way, lane in self._lanes.items()
                if not lane.is_over(now, self._read_until)
            }
            self._sources = {}
            for source, _, _ in self._lanes:
                self._sources.update(self._seen_as(source))
            self._forget_above = max(_MANY_LANES, 2 * len(self._lanes))

    def sift(
        self, batch: list[Datagram], interface: str, emptied: bool, socket: McastSocket | None
    ) -> list[Datagram]:
        """Return what was read without the copies, which are counted as rejected.

        Args:
            batch: The datagrams.
            interface: The name of the interface that was read.
            emptied: Whether nothing more had come, as far as can be told.
            socket: The socket, if only one was read.
        """
        if emptied:
            self._read_until[interface] = trio.current_time()
        sources = self._sources
        if not any(datagram.source in sources for datagram in batch):
            return batch
        return [datagram for datagram in batch if not self._take(datagram, socket)]

    def _take(self, datagram: Datagram, read: McastSocket | None) -> bool:
        """Tell whether a datagram is a copy of what was sent; then count it as rejected."""
        source = self._sources.get(datagram.source)
        if source is None:
            return False
        lane = self._lanes.get((source, datagram.group, datagram.destination.port))
        if lane is None or not lane.take(hash(datagram.data), datagram.interface.name):
            return False
        socket = read or self._socket_of(datagram)
        if socket is not None:
            socket.received -= 1
            socket.received_bytes -= len(datagram.data)
            socket.rejected[Rejection.OWN] += 1
        return True

    def _socket_of(self, datagram: Datagram) -> McastSocket | None:
        """Return the socket that a datagram was read from."""
        assert self._memberships is not None
        membership = self._memberships.live.get((datagram.group, datagram.interface.name))
        for socket in [] if membership is None else membership.sockets:
            host, port = socket.socket_spec.bind[:2]
            to_it = datagram.group is not None or host == datagram.destination.host
            if to_it and port == datagram.destination.port:
                return socket
        return None


def inner_socket(socket: McastSocket) -> McastSocket:
    """Return the socket that an `EchoingSocket` sends through."""
    return cast("EchoingSocket", socket).inner


class EchoingSocket:
    """A sender's socket that has the copies of what it sends expected.

    All else is done by the socket itself.

    Attributes:
        inner: The socket itself.
    """

    def __init__(self, socket: McastSocket, echoes: Echoes) -> None:
        self.inner = socket
        self._echoes = echoes
        self._source = socket.local_endpoint

    @classmethod
    def around(cls, socket: McastSocket, echoes: Echoes) -> McastSocket:
        """Return a socket that sends through another one."""
        return cast("McastSocket", cls(socket, echoes))

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def send(self, data: bytes, address: BindAddress) -> None:
        self.inner.send(data, address)
        self._expect([data], address)

    def send_batch(self, datagrams: Sequence[bytes], start: int, address: BindAddress) -> int:
        count = self.inner.send_batch(datagrams, start, address)
        self._expect(datagrams[start : start + count], address)
        return count

    def send_timed(self, data: bytes, address: BindAddress) -> DepartureTime:
        departure = self.inner.send_timed(data, address)
        self._expect([data], address)
        return departure

    def _expect(self, payloads: Sequence[bytes], address: BindAddress) -> None:
        # Before anything else is read: nothing has run in between.
        interface = self.inner.socket_spec.interface.name
        self._echoes.expect(self._source, interface, address, payloads)

    def revise(self, socket_spec: SocketSpec, options: Sequence[SocketOption]) -> None:
        self.inner.revise(socket_spec, options)
        self._source = self.inner.local_endpoint  # Its zone is the interface's name.
