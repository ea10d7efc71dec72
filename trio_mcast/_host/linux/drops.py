"""The count of datagrams that Linux dropped for want of room in a socket's receive buffer."""

from __future__ import annotations

import socket
import struct
from typing import Final

from ..._platform.model import Platform

# SO_MEMINFO (linux/sock_diag.h): nine u32, of which the last is the count of drops.
_MEMINFO_LAYOUT: Final = struct.Struct("=9I")


def read_drops(sock: socket.socket, platform: Platform) -> int | None:
    """Return the count of a socket's drops; `None` where the system does not tell.

    Args:
        sock: The socket.
        platform: The platform whose numbers are used.
    """
    numbers = platform.constants
    try:
        raw = sock.getsockopt(numbers["SOL_SOCKET"], numbers["SO_MEMINFO"], _MEMINFO_LAYOUT.size)
    except OSError:
        return None  # Linux before 4.12 does not have it; and counting must not stop a close.
    return int(_MEMINFO_LAYOUT.unpack(raw)[8])
