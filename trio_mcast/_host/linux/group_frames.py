"""A socket that sees the frames to groups on every interface, sent and received: packet(7).

It takes CAP_NET_RAW. A filter in the kernel (socket(7), SO_ATTACH_FILTER) passes IPv4 and IPv6
packets to groups only, so that other traffic costs nothing here.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..._platform.current import current_platform

assert not TYPE_CHECKING or sys.platform == "linux"

_ETH_P_ALL: Final = 3  # linux/if_ether.h
# The bytes of a packet that are kept: the headers.
_KEPT_BYTES: Final = 192
# Arbitrary, and the system may grant less: room for bursts until the task has its turn.
_BUFFER_BYTES: Final = 4 << 20

# linux/filter.h: struct sock_filter, and the instructions. Offsets are from the IP header on, as
# the socket is of type SOCK_DGRAM; 0xFFFFF000 is where the kernel has the protocol of the frame.
_INSTRUCTION: Final = struct.Struct("=HBBI")
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE, _AND, _IF_EQUAL, _RETURN = 0x20, 0x28, 0x30, 0x54, 0x15, 0x06
# The length of the IPv4 header; and what stands so far behind it.
_LOAD_HEADER_LENGTH, _LOAD_HALF_BEHIND = 0xB1, 0x48
_PROTOCOL: Final = 0xFFFFF000
_FILTER: Final = (
    (_LOAD_WORD, 0, 0, _PROTOCOL),
    (_IF_EQUAL, 0, 3, 0x0800),
    (_LOAD_BYTE, 0, 0, 16),  # The first byte of the destination of IPv4.
    (_AND, 0, 0, 0xF0),
    (_IF_EQUAL, 3, 4, 0xE0),
    (_IF_EQUAL, 0, 3, 0x86DD),
    (_LOAD_BYTE, 0, 0, 24),  # The first byte of the destination of IPv6.
    (_IF_EQUAL, 0, 1, 0xFF),
    (_RETURN, 0, 0, _KEPT_BYTES),
    (_RETURN, 0, 0, 0),
)


def open_group_frames() -> socket.socket:
    """Open the socket; each ``recvfrom`` gives a packet from its IP header on.

    Raises:
        OSError: The system refuses.
    """
    return _open(_FILTER)


def open_frames_to_port(port: int) -> socket.socket:
    """Open a socket that sees the UDP datagrams to a port, wherever they are sent.

    Raises:
        OSError: The system refuses.
    """
    return _open(
        (
            (_LOAD_WORD, 0, 0, _PROTOCOL),
            (_IF_EQUAL, 0, 5, 0x0800),
            (_LOAD_BYTE, 0, 0, 9),
            (_IF_EQUAL, 0, 8, socket.IPPROTO_UDP),
            (_LOAD_HEADER_LENGTH, 0, 0, 0),
            (_LOAD_HALF_BEHIND, 0, 0, 2),
            (_IF_EQUAL, 6, 5, port),
            (_IF_EQUAL, 0, 4, 0x86DD),
            (_LOAD_BYTE, 0, 0, 6),
            (_IF_EQUAL, 0, 2, socket.IPPROTO_UDP),
            (_LOAD_HALF, 0, 0, 42),
            (_IF_EQUAL, 1, 0, port),
            (_RETURN, 0, 0, 0),
            (_RETURN, 0, 0, _KEPT_BYTES),
        )
    )


def _open(instructions: Sequence[tuple[int, int, int, int]]) -> socket.socket:
    # What comes before the filter is there may be any packet.
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    try:
        code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)
        kept = ctypes.create_string_buffer(code, len(code))
        program = struct.pack("@HP", len(instructions), ctypes.addressof(kept))
        attach = current_platform().constants["SO_ATTACH_FILTER"]
        sock.setsockopt(socket.SOL_SOCKET, attach, program)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
