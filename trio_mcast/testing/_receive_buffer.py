"""The receive buffer of a socket: what waits there, in the order in which programs read. Pure."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

from ._charges import buffer_charge
from ._frames import Packet
from ._state import SocketState

# The place of a datagram among those that a program reads: as in the trace (the time, the rests
# before, the depth), then by source.
ReadingOrder: TypeAlias = tuple[tuple[int, int, int], tuple[str, int]]


_KEY: Final = itemgetter(0)


class Arrived(NamedTuple):
    """A datagram in a receive buffer, with the time of arrival on the host's clock."""

    key: ReadingOrder
    """The order in which a program reads what arrives."""
    packet: Packet
    interface_index: int
    time_ns: int
    charge: int
    """The bytes of the receive buffer that the datagram takes."""


class ReceiveBuffer:
    """The receive buffer of one socket."""

    def __init__(self, state: SocketState) -> None:
        self.waiting: deque[Arrived] = deque()
        self.dropped: int = 0
        self.on_arrival: Callable[[], None] = lambda: None
        self._state = state
        self._charged = 0
        # The datagrams that Linux has handed to the reader as one queue; the bytes that were read
        # of them, and are charged for still.
        self._taken_over = 0
        self._read = 0

    def charge_for(self, packet: Packet, *, looped: bool) -> int | None:
        """Return the bytes of the receive buffer that a datagram takes.

        Args:
            packet: The datagram.
            looped: Whether it is the copy of a datagram that this host sends to a group.

        Returns:
            The bytes; `None`, counted as dropped, if there is no room.
        """
        limit, platform = self._state.buffers[0], self._state.platform.name
        # Linux loops groups of IPv6 in fragments, and those of IPv4 as they are (measured).
        arrived = not looped or packet.family == "ipv6"
        charge = buffer_charge(
            platform, packet.family, len(packet.data), packet.mtu, arrived=arrived
        )
        # __udp_enqueue_schedule_skb of Linux: an empty buffer takes anything.
        if self._charged + charge > limit and (self._charged or platform != "linux"):
            self.dropped += 1
            return None
        return charge

    def take(self, arrived: Arrived) -> None:
        """Put a datagram into the receive buffer.

        Datagrams of one instant are read in the order of the trace, in whatever order Trio ran the
        tasks that have sent them.
        """
        self._charged += arrived.charge
        if not self.waiting or self.waiting[-1].key <= arrived.key:
            self.waiting.append(arrived)
        else:
            bisect.insort_right(self.waiting, arrived, key=_KEY)
        self.on_arrival()

    def read(self) -> Arrived:
        """Take the next datagram out of the receive buffer."""
        if not self._taken_over:
            self._taken_over = len(self.waiting)
        self._taken_over -= 1
        arrived = self.waiting.popleft()
        self._read += arrived.charge
        # udp_rmem_release of Linux: what was read counts until a quarter of the buffer has been
        # read, or all that was there when the program began to read.
        is_linux = self._state.platform.name == "linux"
        if not (is_linux and self._taken_over and self._read < self._state.buffers[0] // 4):
            self._charged -= self._read
            self._read = 0
        return arrived
