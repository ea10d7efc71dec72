"""Setting a socket option, with the patience that some systems need."""

from __future__ import annotations

import errno
from typing import Final, Protocol

from .._platform.options import SocketOption

_BUFFERS: Final = frozenset({"SO_RCVBUF", "SO_SNDBUF"})

# The least room to ask for: with less a socket cannot hold the largest datagram.
_LEAST_BUFFER_BYTES: Final = 65_536


class TakesOptions(Protocol):
    """A socket, or a stand-in for a socket."""

    def setsockopt(self, level: int, number: int, value: int | bytes, /) -> None:
        """Set an option. OSError if refused."""


def apply_option(sock: TakesOptions, option: SocketOption) -> None:
    """Set an option.

    If there is no room for a buffer, half the size is asked for, until the system grants one: macOS
    and FreeBSD refuse sizes above their maximum (kern.ipc.maxsockbuf) with ENOBUFS, where Linux
    grants the maximum.

    Raises:
        OSError: The option was refused.
    """
    try:
        sock.setsockopt(option.level, option.number, option.value)
    except OSError as error:
        apply_after(sock, option, error)


def apply_after(sock: TakesOptions, option: SocketOption, refusal: OSError) -> None:
    """Set an option that was refused, as `apply_option` does.

    Raises:
        OSError: The option was refused once more, or the first refusal is final.
    """
    try:
        if option.symbol in _BUFFERS and refusal.errno == errno.ENOBUFS:
            _set_smaller_buffer(sock, option, refusal)
        else:
            raise refusal
    finally:
        del refusal  # Its traceback refers to this frame, and its context may be the user's error.


def _set_smaller_buffer(sock: TakesOptions, option: SocketOption, refusal: OSError) -> None:
    assert isinstance(option.value, int)
    size = option.value
    try:
        while size > _LEAST_BUFFER_BYTES:
            size = max(size // 2, _LEAST_BUFFER_BYTES)
            try:
                sock.setsockopt(option.level, option.number, size)
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
        raise refusal
    finally:
        del refusal
