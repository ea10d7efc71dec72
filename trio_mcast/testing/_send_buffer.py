"""The send buffer of a socket: what waits to leave an interface with a rate. Pure.

Only Linux charges a socket for datagrams that have not left the interface yet. On macOS and
FreeBSD the send buffer of a UDP socket only bounds the size of a datagram, and what waits is the
interface's (udp_send of FreeBSD); of Windows nothing is known.
"""

from __future__ import annotations

import errno
from collections import deque

from ._cable import Waiting
from ._charges import linux_charge, parts
from ._frames import Packet
from ._options import refuse
from ._state import SocketState


class SendBuffer:
    """The send buffer of one socket.

    The rules are those of __ip_append_data, sock_alloc_send_pskb and sock_writeable of Linux 6.18;
    the numbers of datagrams that find room were measured, behind a token bucket (tc-tbf(8)).
    """

    def __init__(self, state: SocketState) -> None:
        self._state = state
        self._held: deque[tuple[Waiting, int]] = deque()
        self._charged = 0

    def check_room(self, packet: Packet, now_ns: int) -> None:
        """Raise OSError if a datagram finds no room.

        A datagram is taken as long as less than the whole buffer is in use, even if it is larger
        than what is left. Its fragments may take twice the buffer.

        Raises:
            BlockingIOError: Other datagrams wait (EAGAIN).
            OSError: The datagram has more fragments than the buffer takes (ENOBUFS).
        """
        size = len(packet.data)
        if self._state.platform.name != "linux" or (not self._held and size + 48 <= packet.mtu):
            return
        limit, charged = self._state.buffers[1], self._charged_at(now_ns)
        if charged >= limit:
            raise refuse(errno.EAGAIN)
        *before_last, last = parts(packet.family, size, packet.mtu)
        taken = linux_charge(packet.family, size, packet.mtu, arrived=False)
        taken -= linux_charge(packet.family, last - 8, packet.mtu, arrived=False)
        if before_last and 1 + charged + taken > 2 * limit:
            raise refuse(errno.ENOBUFS)

    def hold(self, packet: Packet, waiting: Waiting) -> None:
        """Charge for a datagram until it has left the interface, or is lost there."""
        if self._state.platform.name == "linux":
            charge = linux_charge(packet.family, len(packet.data), packet.mtu, arrived=False)
            self._held.append((waiting, charge))
            self._charged += charge

    def writable_at(self, now_ns: int) -> int | None:
        """Return when a program can send again: when half of the buffer is free; `None` for now."""
        charged, due_ns = self._charged_at(now_ns), None
        for waiting, charge in self._held:
            if charged + 1 < self._state.buffers[1] // 2:
                break
            charged, due_ns = charged - charge, waiting.until_ns
        return due_ns

    def _charged_at(self, now_ns: int) -> int:
        while self._held and self._held[0][0].until_ns <= now_ns:
            self._charged -= self._held.popleft()[1]
        return self._charged
